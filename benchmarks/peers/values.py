"""The metrics that are logged, and whether those read back are the same."""

from __future__ import annotations

import math
import random
from typing import Any, Final

NAMES: Final = (
    *("loss", "grad_norm", "learning_rate", "epoch", "reward", "reward_std", "kl", "entropy", "step_time"),
    *("clip_ratio/low_mean", "clip_ratio/low_min", "clip_ratio/high_mean", "clip_ratio/high_max"),
    *("clip_ratio/region_mean", "completions/mean_length", "completions/min_length", "completions/max_length"),
    *("completions/clipped_ratio", "completions/mean_terminated_length", "rewards/accuracy/mean"),
    *("rewards/accuracy/std", "rewards/format/mean", "rewards/format/std", "frac_reward_zero_std"),
    *("sampling/delta_mean", "sampling/delta_max", "sampling/is_ratio_mean", "sampling/is_ratio_min"),
    *("sampling/is_ratio_max", "num_tokens"),
)
"""The keys of a step, 30 of them, as GRPO logs them."""

NONFINITE: Final = {"nan": math.nan, "plus": math.inf, "minus": -math.inf, "one": 1.0}
"""A step that is not finite."""

_MARK: Final = "num_tokens"
_SPAN: Final = 100_000


def values(step: int, writer: int = 0) -> dict[str, float]:
    """What a writer logs at a step: floats of full length, and one that says whose they are."""
    rng = random.Random(step * 100 + writer)  # noqa: S311 - figures, not secrets
    return {name: rng.uniform(-1, 1) for name in NAMES} | {_MARK: float(writer * _SPAN + step)}


def writer_of(step: int, metrics: dict[str, Any]) -> int | None:
    """Who logged these metrics, None when they are not all there or not the same; single precision is enough."""
    mark = metrics.get(_MARK)
    if not _is_number(mark) or mark % 1:
        return None
    writer, marked = divmod(int(mark), _SPAN)
    expected = values(step, writer)
    same = all(
        _is_number(found := metrics.get(name)) and math.isclose(found, value, rel_tol=1e-6)
        for name, value in expected.items()
    )
    return writer if marked == step and same else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
