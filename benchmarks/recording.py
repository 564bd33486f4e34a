"""A whole `on_log`: what a step of training pays."""

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.events import NAMES, events

CALLS = 3000


def measure(folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """Call the hook as a trainer does, with the keys and the types that GRPO logs."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        from transformers import TrainerControl, TrainerState
        from trl import GRPOConfig
    except ImportError:
        yield "whole on_log", "needs rldk[trl]", "", "<= 100 us"
        return
    from rldk.integrations.trl import RLDKCallback  # noqa: PLC0415

    args = GRPOConfig(output_dir=str(folder / "trainer"), use_cpu=True, bf16=False, report_to="none")
    state, control = TrainerState(), TrainerControl()
    callback = RLDKCallback(folder / "logs", on_error="raise")
    callback.on_train_begin(args, state, control)
    times = []
    for event in events(CALLS):
        logs = dict(zip(_native(), event.metrics.values(), strict=True))
        state.global_step += 1
        state.log_history.append({**logs, "step": state.global_step})
        began = time.perf_counter()
        callback.on_log(args, state, control, logs=logs)
        times.append((time.perf_counter() - began) * 1e6)
    callback.on_train_end(args, state, control)
    p99 = statistics.quantiles(times, n=100)[98]
    yield (
        f"whole on_log of {len(NAMES)} metrics, median (p99 {p99:.0f} us)",
        f"{statistics.median(times):.0f} us",
        "",
        "<= 100 us",
    )


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
