"""Rules on where one attempt took over from another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from rldk.alerts.rule import Finding, Rule
from rldk.alerts.rules.wording import number, steps, times
from rldk.alerts.statistics import mad, median, noise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldk.alerts.record import Record
    from rldk.io.history import Seam

__all__ = ["RULES"]

_NOTHING: Final[tuple[Finding, ...]] = ()
_FOLLOWED: Final = ("entropy_mean", "grad_norm", "kl_mean", "loss", "reward_mean")
_AFTER: Final = 5
"""So many values behind a seam are compared with twenty before it."""


class _Rewound:
    """Names the seams."""

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The last seam, and how many there were."""
        if not record.seams:
            return _NOTHING
        seam = record.seams[-1]
        more = len(record.seams) - 1
        earlier = f" ({more} earlier restart{'s' if more > 1 else ''})" if more else ""
        return [
            Finding(
                severity="info",
                message=f"Attempt {seam.attempt} took over at step {seam.first_step}: {_replaced(seam)}{earlier}.",
                first_step=record.seams[0].first_step,
                last_step=seam.first_step,
                evidence=_evidence(seam, len(record.seams)),
                confidence=1.0,
            )
        ]


def _replaced(seam: Seam) -> str:
    last = seam.first_step - 1 if seam.resumed_from is None else seam.resumed_from
    if seam.last_step > last:
        return f"steps {last + 1} to {seam.last_step} of the attempt before no longer count"
    return "nothing of the attempt before was replaced"


def _evidence(seam: Seam, count: int) -> dict[str, int | float | str]:
    found: dict[str, int | float | str] = {"seams": count, "reached before": seam.last_step}
    if seam.gap_seconds is not None:
        found["seconds between"] = round(seam.gap_seconds, 1)
    return found


class _Restarts:
    """Finds attempts that, one after the other, get no further."""

    def __init__(self) -> None:
        self._best = -1
        self._stuck = 0
        self._first = 0

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The finding, while three attempts in a row got no further than those before them."""
        if record.seam is not None:
            reached = record.seam.last_step
            if reached > self._best:
                self._best, self._stuck = reached, 0
                self._first = record.seam.first_step
            else:
                self._stuck += 1
        elif record.last_step is not None and record.last_step > self._best:
            self._stuck = 0
        if self._stuck < 2:  # noqa: PLR2004 - with the first one that got there, three
            return _NOTHING
        return [
            Finding(
                severity="warning",
                message=f"{self._stuck + 1} attempts in a row got no further than step {self._best}.",
                first_step=self._first,
                evidence={"attempts": self._stuck + 1},
                confidence=0.9,
            )
        ]


class _Gap:
    """Finds steps between attempts that are in no log."""

    def __init__(self) -> None:
        self._found: tuple[int, int, int] | None = None
        self._stride = 1

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The finding, once there are such steps."""
        seam = record.seam
        # Not every step need be logged, so a checkpoint may be one stride ahead of the log.
        if seam is not None and seam.resumed_from is not None and seam.resumed_from >= seam.last_step + self._stride:
            self._found = (seam.last_step, seam.resumed_from, seam.attempt)
        if record.stride is not None and seam is None:
            self._stride = record.stride
        if self._found is None:
            return _NOTHING
        last, resumed_from, attempt = self._found
        return [
            Finding(
                severity="warning",
                message=f"Attempt {attempt} continued after step {resumed_from}, but the log of the attempt before "
                f"ends at step {last}: {steps(resumed_from - last)} are in no log.",
                first_step=last,
                last_step=resumed_from,
                evidence={"steps": resumed_from - last},
                confidence=0.9,
            )
        ]


class _Side(NamedTuple):
    """A metric before a seam."""

    level: float
    scale: float
    step: int
    attempt: int


class _Jumps:
    """Compares what was before a seam with what came after it."""

    def __init__(self) -> None:
        self._before: dict[str, _Side] = {}
        self._waiting: dict[str, list[float]] = {}
        self._found: dict[str, Finding] = {}

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The metrics that jumped."""
        if record.cut_to is not None:
            self._found = {name: each for name, each in self._found.items() if each.first_step <= record.cut_to}
        if record.seam is not None:
            self._begin(record, record.seam)
        if self._waiting and record.phase == "train":
            self._follow(record)
        return list(self._found.values()) if self._found else _NOTHING

    def _begin(self, record: Record, seam: Seam) -> None:
        self._before.clear()
        self._waiting.clear()
        for name in _FOLLOWED:
            series = record.train.get(name)
            if series is None or series.n <= 2 * _AFTER:
                continue
            recent = list(series.recent)
            values = (recent[:-1] if series.last_step == record.step else recent)[-20:]
            if len(values) >= 2 * _AFTER:
                scale = max(mad(values), noise(values))
                self._before[name] = _Side(median(values), scale, seam.first_step, seam.attempt)
                self._waiting[name] = []
        self._look_at_lr(seam)

    def _look_at_lr(self, seam: Seam) -> None:
        before, after = seam.jumps.get("lr", (None, None))
        if not before or not after or not (math.isfinite(before) and math.isfinite(after)):
            return
        if not 0.5 <= after / before <= 2:  # noqa: PLR2004 - no schedule moves so fast
            self._found["lr"] = Finding(
                severity="warning",
                message=f"lr goes from {number(before)} to {number(after)} where attempt {seam.attempt} took over at "
                f"step {seam.first_step}: the schedule was not restored.",
                first_step=seam.first_step,
                last_step=seam.first_step,
                metric="lr",
                value=after,
                baseline=before,
                confidence=0.85,
            )

    def _follow(self, record: Record) -> None:
        for name, values in list(self._waiting.items()):
            series = record.train[name]
            if series.last_step != record.step:
                continue
            values.append(series.last)
            if len(values) == _AFTER:
                self._compare(name, median(values), self._before[name])
                del self._waiting[name]

    def _compare(self, name: str, after: float, side: _Side) -> None:
        size = abs(after - side.level)
        if size < 6 * side.scale or size < 0.3 * abs(side.level):
            return
        self._found[name] = Finding(
            severity="warning",
            message=f"{name} goes from {number(side.level)} to {number(after)} where attempt {side.attempt} took over "
            f"at step {side.step}, {times(size / side.scale)} its usual spread.",
            first_step=side.step,
            last_step=side.step,
            metric=name,
            value=after,
            baseline=side.level,
            evidence={"spread": side.scale},
            confidence=0.85,
        )


_MEASURED: Final = "A threshold of RLDK's own, measured: docs/explanation/diagnosis.md"

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="rewound",
        group="seams",
        severity="info",
        summary="An attempt took over from an earlier one.",
        why="Training was resumed from a checkpoint, or began again. Steps that were trained twice count once, as the "
        "later attempt trained them.",
        advice="Compare the two sides of the seam, and let nothing be drawn through it.",
        references=(_MEASURED,),
        traps=("A log that names no attempts is taken to begin a new one when its step goes back.",),
        make=_Rewound,
        eager=True,
    ),
    Rule(
        name="restart_loop",
        group="seams",
        severity="warning",
        summary="Attempts one after the other get no further.",
        why="The run crashes at the same place each time, for want of memory or on one bad sample.",
        advice="Look at the end of each attempt's console; go on from an earlier checkpoint or leave the sample out.",
        references=(_MEASURED,),
        traps=("Two attempts that end early may be chance; it takes three.",),
        make=_Restarts,
        eager=True,
    ),
    Rule(
        name="seam_gap",
        group="seams",
        severity="warning",
        summary="Between two attempts there are steps that no log has.",
        why="The end of the attempt before was lost, or it logged elsewhere.",
        advice="Look for another log of the same run, and for the torn end of this one.",
        references=(_MEASURED,),
        traps=("An attempt that logs only every tenth step ends up to nine steps before its checkpoint.",),
        make=_Gap,
        eager=True,
    ),
    Rule(
        name="seam_jump",
        group="seams",
        severity="warning",
        summary="A metric is not where it was after a resume.",
        why="The weights, the optimizer's state, the schedule or the order of the data were not restored; a reward "
        "that jumps comes from another reward function, another prompt set, or other weights.",
        advice="Resume from the same checkpoint again and compare the first steps; check that the optimizer's and the "
        "scheduler's state were saved.",
        references=(_MEASURED,),
        traps=("One noisy step behind a seam is no jump: the medians of five and of twenty are compared.",),
        make=_Jumps,
        eager=True,
    ),
)
"""The rules of this group."""
