"""Make out what a `logs` dict of a Trainer is: a step, an evaluation, or the end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Entry", "counter_note", "leftovers", "loss_note", "read_entry"]

_FINAL: Final = frozenset(
    {
        "epoch",
        "num_input_tokens_seen",
        "total_flos",
        "train_loss",
        "train_runtime",
        "train_samples_per_second",
        "train_steps_per_second",
        "train_tokens_per_second",
    }
)
"""The keys of the summary that a Trainer logs when it ends."""

_ANYWHERE: Final = frozenset({"epoch", "num_input_tokens_seen", "train_runtime", "train_tokens_per_second"})
"""Keys that a log of any kind can have."""


class Entry(NamedTuple):
    """A log made out: its phase, its evaluation set, and its metrics without the prefix of that."""

    phase: str
    eval_set: str | None
    metrics: dict[str, Any]


def read_entry(logs: Mapping[str, Any]) -> Entry:
    """Make out a log.

    The final summary is known by `train_loss`; `train_runtime` is in every log when
    `include_num_input_tokens_seen` is "all". An evaluation is known by its own runtime and rate, whose prefix
    names the set: `eval_runtime`, `eval_math_runtime`, or another with `metric_key_prefix`. TRL's own metrics
    have the plain prefix `eval_` even then.
    """
    if "train_loss" in logs:
        return Entry("final", None, dict(logs))
    prefix = _eval_prefix(logs)
    if prefix is None:
        return Entry("train", None, dict(logs))
    eval_set = None if prefix == "eval" else prefix.removeprefix("eval_")
    return Entry("eval", eval_set, _stripped(logs, (f"{prefix}_", "eval_", "eval/")))


def _eval_prefix(logs: Mapping[str, Any]) -> str | None:
    for key in logs:
        prefix = key.removesuffix("_runtime") if isinstance(key, str) else ""
        if prefix not in {key, "train"} and f"{prefix}_samples_per_second" in logs:
            return prefix
    own = [key for key in logs if key not in _ANYWHERE]
    return "eval" if own and all(str(key).startswith(("eval_", "eval/")) for key in own) else None


def _stripped(logs: Mapping[str, Any], prefixes: tuple[str, ...]) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    for key, value in logs.items():
        prefix = next((prefix for prefix in prefixes if str(key).startswith(prefix)), "")
        name = key[len(prefix) :] if prefix else key
        metrics[key if name in metrics else name] = value
    return metrics


def leftovers(logs: Mapping[str, Any]) -> list[str]:
    """The keys of a final log that are no summary: metrics of last steps that were never logged by themselves."""
    return [key for key in logs if key not in _FINAL]


def loss_note(logs: Mapping[str, Any], *, group_relative: bool) -> str | None:
    """What to say of a loss that `logging_nan_inf_filter` may have changed; None when nothing points to it.

    With the filter on, transformers leaves NaN and infinite losses out of the mean it logs: one alone in its
    window is shown as 0.0. Gradient and entropy are not filtered and tell the truth.

    Args:
        logs: a log of a step.
        group_relative: whether the loss of a healthy step can be exactly 0.0, as in GRPO.
    """
    loss = logs.get("loss")
    if not isinstance(loss, (int, float)) or not math.isfinite(loss):
        return None
    for name in ("grad_norm", "entropy"):
        value = logs.get(name)
        if isinstance(value, float) and not math.isfinite(value):
            return (
                f"loss_filtered: loss {loss:g} beside {name} {value} is not to be trusted, "
                "logging_nan_inf_filter leaves NaN and infinite losses out"
            )
    if loss == 0.0 and not group_relative and logs.get("grad_norm"):
        return "loss_filtered: loss is exactly 0.0, which logging_nan_inf_filter makes of a NaN or infinite loss"
    return None


def counter_note(before: object, now: object) -> str | None:
    """What to say when the running count of tokens goes back; None when it does not."""
    if isinstance(before, (int, float)) and isinstance(now, (int, float)) and now < before:
        return f"counter_reset: num_tokens went from {before:g} to {now:g}, this trainer begins it anew on resume"
    return None
