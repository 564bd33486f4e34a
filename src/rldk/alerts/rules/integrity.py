"""Rules on the values in a log: whether they are numbers, and say anything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from rldk.alerts.rule import Finding, Rule, stateless
from rldk.alerts.rules.wording import number, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rldk.alerts.findings import Severity
    from rldk.alerts.record import Odd, Record

__all__ = ["RULES"]

_CORE: Final = frozenset(
    {
        *("advantage_mean", "advantage_std", "entropy_mean", "entropy_sampled", "grad_norm", "kl_mean", "kl_old"),
        *("loss", "policy_loss", "ratio_mean", "reward_mean", "reward_shaped_mean", "return_mean", "value_loss"),
        *("value_grad_norm", "value_mean", "kl_mismatch"),
    }
)
"""Metrics that are numbers in every healthy step; others may be undefined, as a mean over an empty side is."""

_MOST: Final = 500

_QUIET: Final = 10

_NOTHING: Final[tuple[Finding, ...]] = ()


class _Trouble:
    """How often a metric was no number."""

    def __init__(self, odd: Odd, step: int, before: float | None) -> None:
        self.odd = odd
        self.count = 0
        self.row = 0
        self.first_step = self.last_step = step
        self.before = before
        """The last number before it began."""
        self.point = 0
        self.hidden = False
        """Whether the trainer shows the loss as 0 instead."""


class _Odd:
    """Follows values that are NaN or infinite, or null; only the latest of a metric's troubles is told."""

    def __init__(self, *, null: bool) -> None:
        self._null = null
        self._found: dict[tuple[str, str | None, str], _Trouble] = {}

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The metrics that are in trouble, or were not long ago."""
        if not self._found and not record.odd:
            return _NOTHING
        if record.cut_to is not None:
            cut = record.cut_to
            self._found = {key: each for key, each in self._found.items() if each.first_step <= cut}
        for odd in record.odd:
            if (odd.value is None) == self._null:
                self._note(odd, record)
        return [self._finding(each, record) for each in self._found.values() if self._fires(each, record)]

    def _note(self, odd: Odd, record: Record) -> None:
        key = odd[:3]
        each = self._found.get(key)
        if each is None or record.points - each.point > _QUIET:
            series = record.train.get(odd.metric)
            before = series.last if series and series.n and odd.phase == "train" else None
            if self._null and before is None:
                # It never was a number: the trainer has none to give.
                return
            if each is None and len(self._found) >= _MOST:
                return
            each = self._found[key] = _Trouble(odd, record.step, before)
        each.row = each.row + 1 if record.points - each.point <= 1 else 1
        each.count += 1
        notes = record.event.notes if record.event else ()
        each.hidden = each.hidden or any(note.startswith("loss_filtered:") for note in notes)
        each.last_step, each.point, each.odd = record.step, record.points, odd

    def _fires(self, each: _Trouble, record: Record) -> bool:
        return record.points - each.point <= _QUIET

    def _severity(self, each: _Trouble, record: Record) -> Severity:
        name, value = each.odd.metric, each.odd.value
        if not each.odd.known or name not in _CORE:
            return "info"
        if each.odd.phase != "train":
            return "warning"
        ended = record.finished and each.last_step == record.last_step
        if each.row > 1 or each.count > 2 or ended:  # noqa: PLR2004 - once may be a skipped step
            return "critical"
        # Mixed precision finds its scale by overflowing, and skips the step.
        return "info" if name == "grad_norm" and isinstance(value, float) and math.isinf(value) else "warning"

    def _finding(self, each: _Trouble, record: Record) -> Finding:
        name, value = each.odd.metric, each.odd.value
        what = "null, where a number was" if value is None else str(value)
        where = "" if each.odd.phase == "train" else f" in phase {each.odd.phase}"
        when = f"at step {each.first_step}" if each.count == 1 else f"since step {each.first_step}, {each.count} times"
        before = "" if each.before is None else f"; the last number before was {number(each.before)}"
        evidence: dict[str, int | float | str] = {"value": "null" if value is None else str(value), "count": each.count}
        if each.hidden:
            evidence["loss_filtered"] = "the trainer shows a NaN loss as 0.0"
        return Finding(
            severity=self._severity(each, record),
            message=f"{name} is {what}{where} {when}{before}.",
            first_step=each.first_step,
            last_step=each.last_step,
            metric=name,
            baseline=each.before,
            evidence=evidence,
            confidence=1.0 if value is not None else 0.95,
            phase=each.odd.phase,
            eval_set=each.odd.eval_set,
        )


def _quantised(record: Record) -> Iterator[Finding]:
    """A loss that is mostly exact zeros, or has few values, while the gradient is there."""
    loss, gradient = record.series("loss", 20), record.series("grad_norm", 20)
    if loss is None or gradient is None or gradient.level <= 0:
        return
    zeros, distinct = loss.zeros / loss.n, len(set(loss.recent))
    if zeros >= 0.2:  # noqa: PLR2004 - the threshold
        text = f"loss is exactly 0 in {percent(zeros)} of {loss.n} points while the gradient is not: it is rounded."
    elif loss.n >= 40 and distinct <= 5:  # noqa: PLR2004 - fewer than a handful
        values = "value" if distinct == 1 else "values"
        text = f"loss has had only {distinct} {values} lately while the gradient moves: it is rounded."
    else:
        return
    yield Finding(
        severity="info",
        message=text,
        first_step=record.first_step or 0,
        metric="loss",
        value=zeros,
        evidence={"zeros": loss.zeros, "points": loss.n, "distinct": distinct},
        confidence=0.8,
    )


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="non_finite",
        group="integrity",
        severity="critical",
        summary="A metric is NaN or infinite.",
        why="Overflow, a mean over an empty mask, 0/0 in a standard deviation, or weights that are broken already. "
        "Once loss and gradient are NaN, every further step is wasted. A loss of exactly 0.0 beside a NaN gradient is "
        "the earliest honest sign: transformers shows a NaN loss as 0.0.",
        advice="Go back to the last checkpoint before it. Lower the learning rate, use bf16 instead of fp16, and check "
        "masks and rewards for empty batches.",
        references=(
            "transformers, TrainingArguments.logging_nan_inf_filter",
            "PyTorch, torch.amp.GradScaler: steps with infinite gradients are skipped",
        ),
        traps=(
            (
                "NaN is legal for the explained variance of constant returns and for means over an empty side of "
                "preference pairs: only metrics that are numbers in every healthy step are more than an information."
            ),
            (
                "A gradient that overflows once under mixed precision is a skipped step: it takes two in a row, three "
                "in all, or the end of the run."
            ),
        ),
        make=lambda: _Odd(null=False),
        eager=True,
    ),
    Rule(
        name="null_values",
        group="integrity",
        severity="critical",
        summary="A metric that was a number is null.",
        why="Some loggers write NaN as null: orjson and msgspec do, and so verl's file logger. A run whose loss has "
        "become NaN then looks as if it merely stopped to log it.",
        advice="Take it for NaN until the framework's console says otherwise, and treat it in the same way.",
        references=("verl, verl/utils/tracking.py, FileLogger: orjson.dumps",),
        traps=("A metric that never was a number is one that the trainer cannot give, and nothing is said of it.",),
        make=lambda: _Odd(null=True),
        eager=True,
    ),
    Rule(
        name="quantised_loss",
        group="integrity",
        severity="info",
        summary="The loss is rounded so much that it says nothing.",
        why="Before transformers 5 the loss is rounded to 4 decimals, and near an on-policy optimum that is 0.",
        advice="Do not judge a group-relative run by its loss; look at reward, entropy and divergence.",
        references=("transformers, Trainer._maybe_log_save_evaluate: round(loss, 4)",),
        traps=("When the gradient is zero, too, it is no rounding; rule `dead_gradient` tells of it.",),
        make=stateless(_quantised),
        needs=("loss", "grad_norm"),
        least=20,
    ),
)
"""The rules of this module."""
