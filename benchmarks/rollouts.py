"""A whole `on_step_end`: what a step of OpenRLHF pays."""

import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from rldk.integrations.openrlhf import OpenRLHFCallback

CALLS = 3000
KEYS = (
    *("policy_loss", "entropy_loss", "actor_lr", "actor_grad_norm", "ppo_clip_ratio", "ppo_kl", "vllm_kl"),
    *("is_filter_ratio", "kl", "logprobs_diff", "reward", "score", "return", "group_reward_std"),
    *("response_clip_ratio", "response_length", "total_length", "truncated", "critic_loss", "values", "critic_lr"),
    *("critic_grad_norm", "rollout/reward_mean", "rollout/reward_std", "rollout/response_length_mean"),
    *("rollout/truncated_rate", "rollout/num_samples", "timing/make_experience", "timing/ppo_train"),
    *("timing/broadcast", "timing/generation", "timing/step_total", "dynamic_filtering_pass_rate", "kl_coef"),
    *("accuracy_reward", "format_reward", "length_reward", "language_reward", "tool_calls", "turns"),
)
"""All that OpenRLHF 0.11.2 logs with a critic, and six values of a reward function."""

SIZES = {
    **dict.fromkeys(("actor_lr", "critic_lr"), 1e-6),
    **dict.fromkeys(("ppo_kl", "vllm_kl", "is_filter_ratio"), 0.001),
    **dict.fromkeys(("kl", "kl_coef", "ppo_clip_ratio", "response_clip_ratio", "truncated"), 0.01),
    "rollout/truncated_rate": 0.01,
}
"""What a healthy training has where it is not about a half, so that no alert is measured."""
STEADY = frozenset({"actor_lr", "critic_lr", "kl_coef"})


def measure(folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """Call the method with the keys and the types that OpenRLHF logs, and with the sample that comes beside them."""
    rng = random.Random(7)  # noqa: S311 - figures, not secrets
    callback = OpenRLHFCallback(folder / "rollouts", algorithm="ppo", on_error="raise")
    times = []
    for step in range(1, CALLS + 1):
        logs = {name: SIZES.get(name, 0.5) * (1 if name in STEADY else rng.uniform(0.9, 1.1)) for name in KEYS}
        logs["rollout/reward_mean"] += step / CALLS
        logs["generated_samples"] = ["What is two plus two? " + "It is four. " * 30, 1.0]
        began = time.perf_counter()
        callback.on_step_end(step, logs)
        times.append((time.perf_counter() - began) * 1e6)
    callback.close()
    p99 = statistics.quantiles(times, n=100)[98]
    yield (
        f"whole on_step_end of {len(KEYS)} metrics and a sample, median (p99 {p99:.0f} us)",
        f"{statistics.median(times):.0f} us",
        "",
        "<= 100 us",
    )
