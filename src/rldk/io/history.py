"""Which events of a run still count after resumes and restarts."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rldk.io.event_schema import Event, Number

__all__ = ["Cuts", "Seam", "Seams", "curve_key", "cuts", "effective", "merged", "seams", "with_attempt"]

_JUMPS: Final[tuple[str, ...]] = ("loss", "reward_mean", "lr")
"""The metrics that are compared over a seam."""

_SECTIONS: Final = ("metrics", "rng", "data_slice", "model_info")

_REACH: Final = 10_000
"""How many of the last training points are remembered: so far back may an attempt resume and still be compared."""


class _Attempts:
    """Tells the attempt of each event: the one it names, else one more each time a train step goes back."""

    def __init__(self) -> None:
        self._implied, self._last_step = 1, -1

    def of(self, event: Event) -> int:
        """The attempt of the next event of the log."""
        if "attempt" in event.model_info:
            return event.attempt
        if event.phase == "train":
            self._implied += event.step < self._last_step
            self._last_step = event.step
        return self._implied


def with_attempt(events: Iterable[Event]) -> Iterator[tuple[int, Event]]:
    """Each event with its attempt: the one it names, else one more each time a train step goes back."""
    attempts = _Attempts()
    for event in events:
        yield attempts.of(event), event


class Cuts:
    """Finds where attempts were cut off by later ones, event by event.

    An attempt that resumed from step r takes the place of everything earlier attempts did after r. One that
    does not say where it resumed is taken to replace everything from its own first train step on.

    Args:
        began: what was found in the events before, to go on from there.
    """

    def __init__(self, began: Mapping[int, int | None] | None = None) -> None:
        self.began: dict[int, int | None] = dict(began or {})
        """For each attempt the step that it continued after, None as long as that is not known."""

    def add(self, attempt: int, event: Event) -> None:
        """Take in the next event of the rank, which is of this attempt."""
        if self.began.get(attempt) is None:
            began = event.step - 1 if event.phase == "train" else None
            self.began[attempt] = began if event.resumed_from is None else event.resumed_from

    @property
    def last_steps(self) -> dict[int, int]:
        """For each attempt that a later one branched off from: its last step that still counts."""
        found: dict[int, int] = {}
        least = math.inf
        for attempt in sorted(self.began, reverse=True):
            if least < math.inf:
                found[attempt] = int(least)
            start = self.began[attempt]
            least = least if start is None else min(least, start)
        return found


def cuts(events: Iterable[Event]) -> dict[int, int]:
    """For each attempt that a later one branched off from: its last step that still counts; see `Cuts`."""
    found = Cuts()
    for attempt, event in with_attempt(events):
        found.add(attempt, event)
    return found.last_steps


def effective(events: Iterable[Event], last_steps: Mapping[int, int]) -> Iterator[Event]:
    """The events that no later attempt has replaced.

    Args:
        events: all events of a rank, in the order they were written.
        last_steps: what `cuts` found in the same events.
    """
    for attempt, event in with_attempt(events):
        if event.step <= last_steps.get(attempt, math.inf):
            yield event


def curve_key(event: Event) -> tuple[str, str | None]:
    """Phase and evaluation set: events of one key make up a curve over steps."""
    return event.phase, event.eval_set


def merged(before: Event, event: Event) -> Event:
    """Two events of one attempt at one point as one: the later key wins, the notes of both are kept."""
    sections = {name: {**getattr(before, name), **getattr(event, name)} for name in _SECTIONS}
    times = {name: getattr(before, name) for name in ("wall_time", "timestamp") if getattr(event, name) is None}
    return msgspec.structs.replace(event, **sections, **times, notes=[*before.notes, *event.notes])


class Seam(msgspec.Struct, frozen=True):
    """Where an attempt took over from the one before."""

    attempt: int
    """The attempt that took over."""
    resumed_from: int | None
    """The step it says it continued after."""
    last_step: int
    """The furthest step of training that the attempt before had reached."""
    first_step: int
    """Its own first step of training."""
    jumps: dict[str, tuple[float | None, float | None]]
    """Loss, mean reward and learning rate, as far as both sides have them: just before in the effective history,
    which ends at the step it continued after, and at its own first step. None where the trainer said None."""
    gap_seconds: float | None
    """From the last event of the attempt before to its own first, by the run's clock; None when that is not known."""


def seams(events: Iterable[Event]) -> Iterator[Seam]:
    """The seams of a run, each as soon as the first training event behind it has come.

    Args:
        events: all events of a rank, in the order they were written; they may be still to come.
    """
    found = Seams()
    for event in events:
        if seam := found.add(event):
            yield seam


class _Point(NamedTuple):
    """What is remembered of a step of training."""

    attempt: int
    step: int
    metrics: dict[str, Number]


class Seams:
    """Finds the seams of a run, event by event, and remembers no more than its last 10,000 training points.

    An attempt that resumed from further back has a seam without jumps. An attempt that came to no training
    event has none, and neither has the first that trained.
    """

    def __init__(self) -> None:
        self._attempts = _Attempts()
        self._points: deque[_Point] = deque(maxlen=_REACH)
        """The effective history of training."""
        self._attempt = 0
        self._resumed_from: int | None = None
        self._before: int | None = None
        self._reached: int | None = None
        """The furthest steps of training of the attempt before that trained, and of this one."""
        self._ended: float | None = None
        self._gap: float | None = None

    def add(self, event: Event) -> Seam | None:
        """Take in the next event of the rank.

        Returns:
            the seam, when this is the first training event behind it.
        """
        attempt = self._attempts.of(event)
        if attempt < self._attempt:
            return None
        if attempt > self._attempt:
            self._begin(attempt, event.wall_time)
        self._ended = event.wall_time
        if self._resumed_from is None and event.resumed_from is not None:
            self._resumed_from = event.resumed_from
            self._cut(event.resumed_from)
        return self._train(event) if event.phase == "train" else None

    def _begin(self, attempt: int, wall_time: float | None) -> None:
        self._attempt, self._resumed_from = attempt, None
        if self._reached is not None:
            self._before, self._reached = self._reached, None
        gap = None if wall_time is None or self._ended is None else wall_time - self._ended
        self._gap = gap if gap is not None and gap >= 0 else None

    def _cut(self, last_step: int) -> None:
        """Forget what an attempt replaces that continues after this step."""
        while self._points and self._points[-1].step > last_step:
            self._points.pop()

    def _train(self, event: Event) -> Seam | None:
        seam = None
        metrics = {name: event.metrics[name] for name in _JUMPS if name in event.metrics}
        if self._reached is None:
            if self._resumed_from is None:
                self._cut(event.step - 1)
            seam = self._seam(event.step, metrics)
        self._reached = max(event.step, self._reached or 0)
        last = self._points[-1] if self._points else None
        if last and (last.attempt, last.step) == (self._attempt, event.step):
            last.metrics.update(metrics)
        else:
            self._points.append(_Point(self._attempt, event.step, metrics))
        return seam

    def _seam(self, first_step: int, after: dict[str, Number]) -> Seam | None:
        if self._before is None:
            return None
        before = self._points[-1].metrics if self._points else {}
        jumps = {name: (before[name], value) for name, value in after.items() if name in before}
        return Seam(self._attempt, self._resumed_from, self._before, first_step, jumps, self._gap)
