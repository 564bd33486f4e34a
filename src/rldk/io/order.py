"""Check that the events of a log follow each other as one writer's events do."""

from __future__ import annotations

import re
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rldk.io.decoder import Tail

__all__ = ["Ends", "Order"]

_PLACE: Final = (attrgetter("step"), attrgetter("wall_time"), attrgetter("seq"))
_DROPPED: Final = re.compile(r"\Aevents_dropped: .*?\bseq ([0-9]+)(?:-([0-9]+))?")


class Place(Protocol):
    """Where an event stands among the others of its attempt."""

    @property
    def step(self) -> float:
        """The step it is of."""

    @property
    def wall_time(self) -> float | None:
        """Seconds since the run began; None when that is not known."""

    @property
    def seq(self) -> int | None:
        """The number that its writer gave it; None when it has none."""


class Stream(msgspec.Struct, array_like=True):
    """Where one attempt of one rank has got to, and where it began."""

    rank: Any
    attempt: Any
    seq: int = -1
    wall_time: float = 0.0
    begun: bool = False
    first_seq: int | None = None
    first_wall_time: float | None = None

    def begin(self, event: Place) -> None:
        """Take note of the first event."""
        self.begun, self.first_seq, self.first_wall_time = True, event.seq, event.wall_time


class Curve(msgspec.Struct, array_like=True):
    """Where one phase and evaluation set of a stream has got to, and where it began."""

    rank: Any
    attempt: Any
    phase: Any
    eval_set: Any
    step: float = -1
    first_step: float | None = None


class Ends(msgspec.Struct):
    """Where the events of a part of a log begin and end."""

    first_run_id: Any
    """Of the first event."""
    run_id: Any
    """Of the first event that has one."""
    streams: list[Stream]
    """In the order in which they began."""
    curves: list[Curve]


class Order:
    """Follows the events of a log and reports each that cannot follow the ones before it.

    After a finding it goes on from the new place, so that one step back is one finding. `stream` and `curve`
    are those of the event last turned to: a caller that reads a long regular log compares with them itself.

    Args:
        add: told of each problem.
    """

    def __init__(self, add: Callable[[Problem], None]) -> None:
        self._add = add
        self._streams: dict[tuple[Any, ...], Stream] = {}
        self._curves: dict[tuple[Any, ...], Curve] = {}
        self._attempts: dict[Any, float] = {}
        self._first_run_id: object = None
        self._run_id: object = None
        self._unread = 0
        self._skipped = False
        self.tail: Tail | None = None
        self.stream = Stream(None, None)
        self.curve = Curve(None, None, None, None)

    def lose(self) -> None:
        """Take note of a line that could not be read: the event in it is damaged, but not missing."""
        self._unread += 1
        self.tail = None

    def skip(self, rank: int = 0, attempt: int | None = None, seq: int | None = None) -> None:
        """Take note that the events before the next one are elsewhere: up to this one, where that is known."""
        self.tail = None
        if attempt is None or seq is None:
            self._skipped = True
        else:
            self._attempts[rank] = max(self._attempts.get(rank, 0), attempt)
            self._stream(rank, attempt).seq = seq

    def turn(self, tail: Tail, number: int, byte: int) -> None:
        """Make `stream` and `curve` those of the events with this tail."""
        self.tail = tail
        info = tail.model_info
        rank, attempt = info.get("rank") or 0, info.get("attempt") or 1
        self._check_run(info, number, byte)
        self._check_attempt(rank, attempt, number, byte)
        self.stream = self._stream(rank, attempt)
        self.curve = self._curve(rank, attempt, info.get("phase") or "train", tail.data_slice.get("eval_set"))

    def _stream(self, *key: Any) -> Stream:
        if key not in self._streams:
            self._streams[key] = Stream(*key)
        return self._streams[key]

    def _curve(self, *key: Any) -> Curve:
        if key not in self._curves:
            self._curves[key] = Curve(*key)
        return self._curves[key]

    def _check_run(self, info: Mapping[str, Any], number: int, byte: int) -> None:
        run_id = info.get("run_id")
        if not self._streams:
            self._first_run_id = run_id
        if self._run_id is None:
            self._run_id = run_id
        elif run_id != self._run_id:
            expected, found = f"events of {self._run_id!r} only", repr(run_id)
            self._add(Problem("mixed_runs", expected, found, "$.model_info.run_id", byte, number))

    def _check_attempt(self, rank: object, attempt: Any, number: int, byte: int) -> None:
        highest = self._attempts.get(rank, 0)
        if not isinstance(attempt, (int, float)):
            return
        if attempt < highest:
            expected = f"attempt >= {highest}"
            self._add(Problem("attempt_back", expected, str(attempt), "$.model_info.attempt", byte, number))
        self._attempts[rank] = max(highest, attempt)

    def follow(self, events: Sequence[Place]) -> bool:
        """Go on to the last of many events of the curve turned to, when they are dense and nothing goes back.

        Args:
            events: each has a wall_time.

        Returns:
            whether they are; when not, nothing was done, and `check` tells what is wrong, one by one.
        """
        stream, curve = self.stream, self.curve
        steps, wall_times, seqs = (list(map(get, events)) for get in _PLACE)
        first = stream.seq + 1
        numbered = seqs.count(None) < len(seqs)
        if (
            (numbered and (self._skipped or seqs != list(range(first, first + len(seqs)))))
            or steps[0] < curve.step
            or wall_times[0] < stream.wall_time
            or steps != sorted(steps)
            or wall_times != sorted(wall_times)
        ):
            return False
        self._begin(events[0])
        curve.step, stream.wall_time = steps[-1], wall_times[-1]
        if numbered:
            stream.seq = seqs[-1]
        self._unread = 0
        return True

    def check(self, event: Place, tail: Tail, number: int, byte: int) -> None:
        """Check one event of the curve turned to, and go on from it."""
        stream, curve = self.stream, self.curve
        self._begin(event)
        step, wall_time, seq = event.step, event.wall_time, event.seq
        if step < curve.step:
            self._add(Problem("step_back", f"step >= {curve.step}", str(step), "$.step", byte, number))
        curve.step = step
        if wall_time is not None:
            if wall_time < stream.wall_time:
                expected = f"wall_time >= {stream.wall_time}"
                self._add(Problem("wall_time_back", expected, str(wall_time), "$.wall_time", byte, number))
            stream.wall_time = wall_time
        if seq is not None:
            if not self._skipped or seq < 0:
                self._check_seq(seq, tail.notes, number, byte)
            stream.seq, self._skipped = seq, False
        self._unread = 0

    def _begin(self, event: Place) -> None:
        if self.curve.first_step is None:
            self.curve.first_step = event.step
            if not self.stream.begun:
                self.stream.begin(event)

    def ends(self) -> Ends:
        """Where the events began and where they have got to."""
        return Ends(self._first_run_id, self._run_id, list(self._streams.values()), list(self._curves.values()))

    def join(self, part: Ends) -> bool:
        """Go on over a part of the log whose events follow each other, its first one with any `seq`.

        Returns:
            whether they follow those before as well. It is no more than that: there is nothing to report, and
            after a False nothing to go on from.
        """
        return (
            self._join_run(part)
            and all(map(self._join_stream, part.streams))
            and all(map(self._join_curve, part.curves))
        )

    def _join_run(self, part: Ends) -> bool:
        if self._run_id is None:
            self._run_id = part.run_id
            return True
        return not part.streams or part.first_run_id == self._run_id

    def _join_stream(self, other: Stream) -> bool:
        stream = self._stream(other.rank, other.attempt)
        highest = self._attempts.get(other.rank, 0)
        if isinstance(other.attempt, (int, float)):
            self._attempts[other.rank] = max(highest, other.attempt)
            if other.attempt < highest:
                return False
        if other.first_wall_time is None or other.first_wall_time < stream.wall_time:
            return False
        stream.wall_time = other.wall_time
        if other.seq >= 0:
            if other.first_seq is None or not (self._skipped or other.first_seq == stream.seq + 1):
                return False
            stream.seq, self._skipped = other.seq, False
        return True

    def _join_curve(self, other: Curve) -> bool:
        curve = self._curve(other.rank, other.attempt, other.phase, other.eval_set)
        follows = other.first_step is None or other.first_step >= curve.step
        curve.step = other.step
        return follows

    def _check_seq(self, seq: int, notes: Iterable[str], number: int, byte: int) -> None:
        expected = self.stream.seq + 1
        if seq < expected:
            self._add(Problem("seq_repeat", f"seq {expected}", str(seq), "$.seq", byte, number))
        elif seq > expected + self._unread and not _explained(expected, seq - 1, notes):
            missing = seq - expected - self._unread
            found = f"{seq}: {missing} event{'s are' if missing > 1 else ' is'} missing"
            self._add(Problem("seq_gap", f"seq {expected}", found, "$.seq", byte, number))


def _explained(first: int, last: int, notes: Iterable[str]) -> bool:
    """Whether the notes say that all of seq `first` to `last` was dropped."""
    for note in notes:
        match = _DROPPED.match(note)
        if match and int(match[1]) <= first and last <= int(match[2] or match[1]):
            return True
    return False
