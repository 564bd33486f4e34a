"""Check that the events of a log follow each other as one writer's events do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol

from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rldk.io.decoder import Tail

__all__ = ["Order"]

_DROPPED: Final = re.compile(r"\Aevents_dropped: .*?\bseq ([0-9]+)(?:-([0-9]+))?")


class Place(Protocol):
    """Where an event stands among the others of its attempt."""

    @property
    def step(self) -> float: ...

    @property
    def wall_time(self) -> float | None: ...

    @property
    def seq(self) -> int | None: ...


class _Stream:
    """Where one attempt of one rank has got to."""

    __slots__ = ("seq", "wall_time")

    def __init__(self) -> None:
        self.seq = -1
        self.wall_time = 0.0


class _Curve:
    """Where one phase and evaluation set of a stream has got to."""

    __slots__ = ("step",)

    def __init__(self) -> None:
        self.step: float = -1


class Order:
    """Follows the events of a log and reports each that cannot follow the ones before it.

    After a finding it goes on from the new place, so that one step back is one finding. `stream` and `curve`
    are those of the event last turned to: a caller that reads a long regular log compares with them itself.

    Args:
        add: told of each problem.
    """

    def __init__(self, add: Callable[[Problem], None]) -> None:
        self._add = add
        self._streams: dict[tuple[Any, ...], _Stream] = {}
        self._curves: dict[tuple[Any, ...], _Curve] = {}
        self._attempts: dict[Any, int] = {}
        self._run_id: object = None
        self._unread = 0
        self._skipped = False
        self.tail: Tail | None = None
        self.stream = _Stream()
        self.curve = _Curve()

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
            self._streams.setdefault((rank, attempt), _Stream()).seq = seq

    def turn(self, tail: Tail, number: int, byte: int) -> None:
        """Make `stream` and `curve` those of the events with this tail."""
        self.tail = tail
        info = tail.model_info
        rank, attempt = info.get("rank") or 0, info.get("attempt") or 1
        self._check_run(info, number, byte)
        self._check_attempt(rank, attempt, number, byte)
        curve = (rank, attempt, info.get("phase") or "train", tail.data_slice.get("eval_set"))
        self.stream = self._streams.setdefault((rank, attempt), _Stream())
        self.curve = self._curves.setdefault(curve, _Curve())

    def _check_run(self, info: Mapping[str, Any], number: int, byte: int) -> None:
        run_id = info.get("run_id")
        if self._run_id is None:
            self._run_id = run_id
        elif run_id != self._run_id:
            expected, found = f"events of {self._run_id!r} only", repr(run_id)
            self._add(Problem("mixed_runs", expected, found, "$.model_info.run_id", byte, number))

    def _check_attempt(self, rank: object, attempt: Any, number: int, byte: int) -> None:
        highest = self._attempts.get(rank, 0)
        if not isinstance(attempt, int):
            return
        if attempt < highest:
            expected = f"attempt >= {highest}"
            self._add(Problem("attempt_back", expected, str(attempt), "$.model_info.attempt", byte, number))
        self._attempts[rank] = max(highest, attempt)

    def check(self, event: Place, tail: Tail, number: int, byte: int) -> None:
        """Check one event of the curve turned to, and go on from it."""
        stream, curve = self.stream, self.curve
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
            if not self._skipped:
                self._check_seq(seq, tail.notes, number, byte)
            stream.seq, self._skipped = seq, False
        self._unread = 0

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
