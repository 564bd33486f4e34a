"""Make out what a Trainer logs: a step, an evaluation, or the end, and what must be said of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rldk.io.event_schema import Primitive

__all__ = ["Entry", "LogReader", "Made", "counter_note", "leftovers", "loss_note", "read_entry"]

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


def loss_note(logs: Mapping[str, Any], *, zero_is_healthy: bool) -> str | None:
    """What to say of a loss that `logging_nan_inf_filter` may have changed; None when nothing points to it.

    With the filter on, transformers leaves NaN and infinite losses out of the mean it logs: one alone in its
    window is shown as 0.0. Gradient and entropy are not filtered and tell the truth.

    Args:
        logs: a log of a step.
        zero_is_healthy: whether the loss of a healthy step can be exactly 0.0, as in GRPO.
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
    if loss == 0.0 and not zero_is_healthy and logs.get("grad_norm"):
        return "loss_filtered: loss is exactly 0.0, which logging_nan_inf_filter makes of a NaN or infinite loss"
    return None


def counter_note(before: object, now: object) -> str | None:
    """What to say when the running count of tokens goes back; None when it does not."""
    if isinstance(before, (int, float)) and isinstance(now, (int, float)) and now < before:
        return f"counter_reset: num_tokens went from {before:g} to {now:g}, this trainer begins it anew on resume"
    return None


class Made(NamedTuple):
    """What a log becomes, short of its step, its time, and the names of its metrics."""

    phase: str
    metrics: dict[str, Any]
    data_slice: dict[str, Primitive]
    """The window of the means, and the evaluation set."""
    notes: list[str]


class LogReader:
    """Makes out the logs of one attempt, one after the other, whether they come live or from a file.

    Args:
        began: the step the attempt goes on from.
        tokens: `num_tokens` as last logged before.
        filtering: whether `logging_nan_inf_filter` may have changed a loss.
        zero_is_healthy: see `loss_note`.
    """

    def __init__(
        self, began: int = 0, tokens: object = None, *, filtering: bool = True, zero_is_healthy: bool = False
    ) -> None:
        self._began = self._logged = began
        self._tokens = tokens
        self._filtering = filtering
        self._zero_is_healthy = zero_is_healthy

    def read(self, step: int, logs: Mapping[str, Any]) -> Made:
        """Make out the next log."""
        phase, eval_set, metrics = read_entry(logs)
        if phase == "eval":
            return Made(phase, metrics, {} if eval_set is None else {"eval_set": eval_set}, [])
        if phase == "final":
            return Made(phase, metrics, {}, self._final_notes(step, metrics))
        return Made(phase, metrics, self._window(step, metrics), self._step_notes(metrics))

    def _window(self, step: int, metrics: Mapping[str, Any]) -> dict[str, Primitive]:
        """How many steps the log is the mean of, in a log of the trainer itself: it has the learning rate."""
        if "learning_rate" not in metrics and "lr" not in metrics:
            return {}
        window, self._logged = step - self._logged, step
        return {"window": window} if window > 0 else {}

    def _step_notes(self, metrics: Mapping[str, Any]) -> list[str]:
        found = [counter_note(self._tokens, metrics.get("num_tokens"))]
        self._tokens = metrics.get("num_tokens", self._tokens)
        if self._filtering:
            found.append(loss_note(metrics, zero_is_healthy=self._zero_is_healthy))
        return [note for note in found if note]

    def _final_notes(self, step: int, metrics: Mapping[str, Any]) -> list[str]:
        notes = []
        left = leftovers(metrics)
        if left and step > self._logged:
            what = f"{', '.join(left)} are of {_steps(self._logged + 1, step)} and had no log of their own"
            notes.append(f"final_leftovers: {what}")
        if self._began:
            notes.append(f"final_scope: the summary covers {_steps(self._began + 1, step)} only, after the resume")
        return notes


def _steps(first: int, last: int) -> str:
    return f"step {last}" if first == last else f"steps {first} to {last}"
