"""Rules on what lies between one record and the next: steps, time, and what counters have counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rldk.alerts.rule import Finding, Rule
from rldk.alerts.rules.wording import number, steps
from rldk.alerts.statistics import SortedWindow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldk.alerts.record import Record

__all__ = ["RULES"]

_QUIET: Final = 10
"""So many intervals must have been seen before one of them is unusual."""

_NOTHING: Final[tuple[Finding, ...]] = ()


class _Gaps:
    """Finds strides between steps that are far longer than usual."""

    def __init__(self) -> None:
        self._strides = SortedWindow(50)
        self._last: int | None = None
        self._count = self._worst = self._skipped = 0
        self._at = self._first = 0

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The finding, once a stride was too long."""
        if record.phase == "train" and not record.repeated:
            self._stride(record)
        if not self._count:
            return _NOTHING
        return [
            Finding(
                severity="info",
                message=f"{steps(self._skipped)} were not logged in {self._count} gaps, the longest of {self._worst} "
                f"before step {self._at}."
                if self._count > 1
                else f"{steps(self._skipped)} were not logged before step {self._at}.",
                first_step=self._first,
                last_step=self._at,
                evidence={"gaps": self._count, "steps": self._skipped},
                confidence=0.8,
            )
        ]

    def _stride(self, record: Record) -> None:
        last, self._last = self._last, record.step
        if last is None or record.seam is not None:
            return
        stride = record.step - last
        if stride <= 0:
            return
        usual = self._strides
        if len(usual) >= _QUIET and stride > 3 * usual.median and stride > usual.median + 10 * usual.scale:
            self._count += 1
            self._skipped += stride - round(usual.median)
            self._first = self._first or record.step
            if stride > self._worst:
                self._worst, self._at = stride, record.step
        usual.add(stride)


class _Stalls:
    """Finds pauses between steps that are far longer than usual."""

    def __init__(self) -> None:
        self._pauses = SortedWindow(50)
        self._last: float | None = None
        self._count = 0
        self._worst = 0.0
        self._first = self._at = 0
        self._usual = 0.0

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The finding, once a pause was too long."""
        event = record.event
        if event is not None and event.wall_time is not None and record.phase == "train":
            self._pause(event.wall_time, record)
        if not self._count:
            return _NOTHING
        often = f", and {self._count - 1} more" if self._count > 1 else ""
        return [
            Finding(
                severity="info",
                message=f"A pause of {number(self._worst)} s before step {self._at}, where {number(self._usual)} s "
                f"are usual{often}.",
                first_step=self._first,
                last_step=self._at,
                value=self._worst,
                baseline=self._usual,
                evidence={"pauses": self._count},
                confidence=0.7,
            )
        ]

    def _pause(self, now: float, record: Record) -> None:
        last, self._last = self._last, now
        if last is None or record.seam is not None or now < last:
            return
        pause, usual = now - last, self._pauses
        if len(usual) >= 2 * _QUIET and pause > max(10 * usual.median, 60.0):
            self._count += 1
            self._first = self._first or record.step
            if pause > self._worst:
                self._worst, self._at, self._usual = pause, record.step, usual.median
        usual.add(pause)


class _Counters:
    """Finds counters that go back where no attempt began."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._found: tuple[str, float, float, int] | None = None

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The finding, once a counter went back."""
        event = record.event
        if event is not None and record.phase == "train":
            tokens = record.train.get("tokens_total")
            if tokens is not None and tokens.n:
                self._follow("tokens_total", tokens.last, record)
            if event.wall_time is not None:
                self._follow("wall_time", event.wall_time, record)
        if self._found is None:
            return _NOTHING
        name, before, now, step = self._found
        return [
            Finding(
                severity="info",
                message=f"{name} goes back from {before:,.6g} to {now:,.6g} at step {step}, where no attempt began.",
                first_step=step,
                last_step=step,
                metric=name,
                value=now,
                baseline=before,
                confidence=0.9,
            )
        ]

    def _follow(self, name: str, value: float, record: Record) -> None:
        last = self._last.get(name)
        if last is not None and value < last and record.seam is None:
            self._found = (name, last, value, record.step)
        self._last[name] = value


_MEASURED: Final = "A threshold of RLDK's own, measured: docs/explanation/diagnosis.md"

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="gaps",
        group="integrity",
        severity="info",
        summary="Stretches of steps were not logged.",
        why="The process was stopped and went on, or logging was changed on the way.",
        advice="Compare with the trainer's checkpoints: what is not in the log may still have been trained.",
        references=(_MEASURED,),
        traps=("Environment steps come in strides of any length: it takes one far outside their usual spread.",),
        make=_Gaps,
        eager=True,
    ),
    Rule(
        name="stalls",
        group="integrity",
        severity="info",
        summary="The run stood still for much longer than a step takes.",
        why="Preemption, a hanging rank, a slow reward service, or an evaluation or a checkpoint.",
        advice="Look at what the cluster and the reward service did at that time.",
        references=(_MEASURED,),
        traps=("Evaluations and checkpoints are slow by nature, so it is an information only.",),
        make=_Stalls,
        eager=True,
    ),
    Rule(
        name="counter_reset",
        group="integrity",
        severity="info",
        summary="A counter goes back though no attempt began.",
        why="The trainer restarted its counters on resume, or two logs were put together.",
        advice="Take differences between steps, not the counter itself.",
        references=("TRL: num_tokens restarts at 0 on resume in SFT, DPO and reward training",),
        traps=("At a seam counters may restart.",),
        make=_Counters,
        eager=True,
    ),
)
"""The rules of this module."""
