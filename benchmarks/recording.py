"""A whole `on_log`: what a step of training pays."""

import os
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.events import NAMES

CALLS = 3000

SIZES = {
    "lr": 1e-6,
    **dict.fromkeys(("kl_mean", "sampling/sampling_logp_difference/mean"), 0.001),
    **dict.fromkeys(("clip_frac", "truncation_rate", "frac_zero_std_groups"), 0.01),
    "sampling/importance_sampling_ratio/mean": 1.0,
    **dict.fromkeys(("reward_component/format", "reward_component_std/format"), 0.05),
    "step_time": 10.0,
    **dict.fromkeys(("response_len_mean", "response_len_max", "response_len_min"), 500.0),
}
"""What a healthy training has where it is not about a half, so that no alert is measured."""


def measure(folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """Call the hook as a trainer does, with the keys and the types that GRPO logs."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        from transformers import TrainerControl, TrainerState
        from trl import GRPOConfig
    except ImportError:
        yield "whole on_log", "needs rldk[trl]", "", "<= 100 us"
        return
    args = GRPOConfig(output_dir=str(folder / "trainer"), use_cpu=True, bf16=False, report_to="none")
    for alerts in (True, False):
        times = _times(folder / f"alerts-{alerts}", args, TrainerState(), TrainerControl(), alerts=alerts)
        p99 = statistics.quantiles(times, n=100)[98]
        yield (
            f"whole on_log of {len(NAMES)} metrics, {'judged' if alerts else 'not judged'}, median (p99 {p99:.0f} us)",
            f"{statistics.median(times):.0f} us",
            "",
            "<= 100 us",
        )


def _times(folder: Path, args: Any, state: Any, control: Any, *, alerts: bool) -> list[float]:
    """How long each call took, in microseconds."""
    from rldk.integrations.trl import RLDKCallback  # noqa: PLC0415

    rng = random.Random(7)  # noqa: S311 - figures, not secrets
    callback = RLDKCallback(folder, on_error="raise", alerts=alerts)
    callback.on_train_begin(args, state, control)
    times = []
    for step in range(1, CALLS + 1):
        logs = {native: _value(name, step, rng) for native, name in zip(_native(), NAMES, strict=True)}
        state.global_step = step
        state.log_history.append({**logs, "step": step})
        began = time.perf_counter()
        callback.on_log(args, state, control, logs=logs)
        times.append((time.perf_counter() - began) * 1e6)
    callback.on_train_end(args, state, control)
    return times


def _value(name: str, step: int, rng: random.Random) -> float:
    if name in {"tokens_total", "epoch"}:
        return step * 1e-3
    rise = step / CALLS if name in {"reward_mean", "reward_component/accuracy"} else 0.0
    return SIZES.get(name, 0.5) * (1.0 if name == "lr" else rng.uniform(0.9, 1.1)) + rise


def _native() -> list[str]:
    """TRL's own keys, where they differ from RLDK's names."""
    native = {
        "lr": "learning_rate",
        "tokens_total": "num_tokens",
        "response_len_mean": "completions/mean_length",
        "response_len_min": "completions/min_length",
        "response_len_max": "completions/max_length",
        "truncation_rate": "completions/clipped_ratio",
        "reward_component/accuracy": "rewards/accuracy/mean",
        "reward_component_std/accuracy": "rewards/accuracy/std",
        "reward_component/format": "rewards/format/mean",
        "reward_component_std/format": "rewards/format/std",
        "reward_mean": "reward",
        "frac_zero_std_groups": "frac_reward_zero_std",
        "kl_mean": "kl",
        "entropy_mean": "entropy",
        "clip_frac": "clip_ratio/region_mean",
    }
    return [native.get(name, name) for name in NAMES]
