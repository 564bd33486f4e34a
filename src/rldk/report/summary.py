"""Sum up the events of a run, in one pass and in bounded memory."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

import msgspec

from rldk.io.history import Seam, Seams, curve_key, merged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rldk.io.event_schema import Event, Number

__all__ = ["Aggregate", "AttemptSummary", "Curve", "CurveSummary", "Summary", "points", "summarise"]

_TRACE: Final = 512
"""How many values of a metric are kept for drawing it."""

_DROPPED: Final = re.compile(r"\Aevents_dropped: .*?\bseq ([0-9]+)-([0-9]+)")

CurveKey = tuple[str, str | None]
"""Phase and evaluation set: events of one key make up a curve over steps."""


class Aggregate(msgspec.Struct):
    """A metric over a curve. All but the counts are of its finite values, None where there are too few.

    `std` is the sample standard deviation (divisor n - 1), by Welford's method. `mean` and `std` are None, too,
    where values are so large that no double holds them.
    """

    count: int
    nonfinite: int
    null: int
    first: float | None
    last: float | None
    min: float | None
    max: float | None
    mean: float | None
    std: float | None


class Running:
    """An aggregate in the making, with a thinned copy of the values to draw."""

    __slots__ = ("_m2", "_mean", "_stride", "count", "first", "last", "max", "min", "nonfinite", "null", "trace")

    def __init__(self) -> None:
        self.count = self.nonfinite = self.null = 0
        self.first: float | None = None
        self.last: float | None = None
        self.min, self.max = math.inf, -math.inf
        self._mean = self._m2 = 0.0
        self.trace: list[float] = []
        self._stride = 1

    def add(self, value: Number) -> None:
        """Take in the next value."""
        if value is None:
            self.null += 1
            return
        if not math.isfinite(value):
            self.nonfinite += 1
            return
        self.count += 1
        delta = value - self._mean
        self._mean += delta / self.count
        self._m2 += delta * (value - self._mean)
        self.first = value if self.first is None else self.first
        self.last = value
        self.min, self.max = min(self.min, value), max(self.max, value)
        if (self.count - 1) % self._stride == 0:
            self._keep(value)

    def _keep(self, value: float) -> None:
        self.trace.append(value)
        if len(self.trace) == _TRACE:
            self.trace = self.trace[::2]
            self._stride *= 2

    def result(self) -> Aggregate:
        """The aggregate of what was taken in so far."""
        some, several = self.count > 0, self.count > 1
        return Aggregate(
            count=self.count,
            nonfinite=self.nonfinite,
            null=self.null,
            first=self.first,
            last=self.last,
            min=self.min if some else None,
            max=self.max if some else None,
            mean=_finite(self._mean) if some else None,
            std=math.sqrt(self._m2 / (self.count - 1)) if several and 0 <= self._m2 < math.inf else None,
        )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


class CurveSummary(msgspec.Struct):
    """A curve in a few numbers."""

    phase: str
    eval_set: str | None
    points: int
    first_step: int | None
    last_step: int | None
    metrics: dict[str, Aggregate]


class Curve:
    """The points of one phase and evaluation set."""

    def __init__(self, phase: str, eval_set: str | None) -> None:
        self.phase = phase
        self.eval_set = eval_set
        self.points = 0
        self.first_step: int | None = None
        self.last_step: int | None = None
        self.metrics: dict[str, Running] = {}

    @property
    def name(self) -> str:
        """The phase, with the evaluation set when there is one: `eval: math`."""
        return f"{self.phase}: {self.eval_set}" if self.eval_set else self.phase

    def add(self, point: Event) -> None:
        """Take in the next point."""
        self.points += 1
        self.first_step = point.step if self.first_step is None else self.first_step
        self.last_step = point.step
        for name, value in point.metrics.items():
            if name not in self.metrics:
                self.metrics[name] = Running()
            self.metrics[name].add(value)

    def result(self) -> CurveSummary:
        """The curve as far as it was taken in."""
        metrics = {name: running.result() for name, running in self.metrics.items()}
        return CurveSummary(self.phase, self.eval_set, self.points, self.first_step, self.last_step, metrics)


class AttemptSummary(msgspec.Struct):
    """What one attempt contributed, replaced steps included."""

    attempt: int
    resumed_from: int | None = None
    events: int = 0
    first_step: int | None = None
    last_step: int | None = None
    began: float = 0.0
    """`wall_time` of its first event."""
    ended: float = 0.0
    """`wall_time` of its last event."""


class Summary:
    """What the events of a run amount to."""

    def __init__(self) -> None:
        self.curves: dict[CurveKey, Curve] = {}
        self.attempts: dict[int, AttemptSummary] = {}
        self.seams: list[Seam] = []
        """Where an attempt took over from the one before."""
        self._seams = Seams()
        self.events = 0
        """Events that count, those replaced by a later attempt left out."""
        self.duplicates = 0
        """Events merged into an earlier one of the same attempt, phase, evaluation set and step."""
        self._dropped: set[tuple[int, int, int]] = set()
        self.wall_time = 0.0
        """Seconds from the beginning of the run to its last event."""

    @property
    def dropped(self) -> dict[int, int]:
        """For each attempt with such a note: how many events, by the notes in the log, could not be written."""
        found: dict[int, int] = {}
        for attempt, first, last in self._dropped:
            found[attempt] = found.get(attempt, 0) + last - first + 1
        return found

    @property
    def replaced(self) -> int:
        """Events that a later attempt replaced."""
        return sum(attempt.events for attempt in self.attempts.values()) - self.events

    @property
    def columns(self) -> list[str]:
        """The names of all metrics, in the order they first appeared."""
        return list(dict.fromkeys(name for curve in self.curves.values() for name in curve.metrics))

    @property
    def steps(self) -> tuple[int, int] | None:
        """The first and the last step of training, None when there was none."""
        train = self.curves.get(("train", None))
        if train is None or train.first_step is None or train.last_step is None:
            return None
        return train.first_step, train.last_step

    def note_attempt(self, attempt: int, event: Event) -> None:
        """Count an event, replaced or not, for its attempt."""
        if attempt not in self.attempts:
            self.attempts[attempt] = AttemptSummary(attempt, event.resumed_from, began=event.wall_time or 0.0)
        facts = self.attempts[attempt]
        facts.ended = max(facts.ended, event.wall_time or 0.0)
        facts.events += 1
        if event.phase == "train":
            facts.first_step = event.step if facts.first_step is None else facts.first_step
            facts.last_step = event.step
        self.wall_time = max(self.wall_time, event.wall_time or 0.0)
        if seam := self._seams.add(event):
            self.seams.append(seam)
        for match in filter(None, map(_DROPPED.match, event.notes)):
            self._dropped.add((attempt, int(match[1]), int(match[2])))


def points(events: Iterable[Event]) -> Iterator[Event]:
    """One event for each point of a curve: those of one attempt at one step are merged, the later key winning."""
    pending: dict[CurveKey, Event] = {}
    for event in events:
        key = curve_key(event)
        before = pending.get(key)
        if before and (before.step, before.attempt) == (event.step, event.attempt):
            pending[key] = merged(before, event)
            continue
        if before:
            yield before
        pending[key] = event
    yield from pending.values()


def summarise(events: Iterable[Event], summary: Summary | None = None) -> Summary:
    """Sum up the events that count, in the order they were written.

    Args:
        events: the effective history of one rank.
        summary: a summary that already knows the attempts; a new one when not given.
    """
    summary = summary or Summary()

    def counted() -> Iterator[Event]:
        for event in events:
            summary.events += 1
            yield event

    count = 0
    for point in points(counted()):
        count += 1
        key = curve_key(point)
        if key not in summary.curves:
            summary.curves[key] = Curve(*key)
        summary.curves[key].add(point)
    summary.duplicates = summary.events - count
    return summary
