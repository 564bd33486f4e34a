"""Judge a run while it grows: the rules over every event, and the seams between its attempts."""

from __future__ import annotations

import time
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rldk.alerts import Engine, Verdict, rules_for
from rldk.errors import InvalidLineError
from rldk.io.decoder import LineDecoder, event
from rldk.io.history import Seam, Seams
from rldk.io.position import Position
from rldk.io.reader import problem
from rldk.io.replace import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rldk.dashboard.catalogue import Found
    from rldk.dashboard.foreign import Tail
    from rldk.io.event_schema import Event
    from rldk.io.log_tail import Chunk

__all__ = ["Judge", "PlacedSeam"]

_AT_ONCE: Final = 64
"""Events between two looks at the clock."""


_NAME: Final = "verdict"
_VERSION: Final = f"1, rldk {version('rldk')}"
"""Other rules may come to another verdict."""


class PlacedSeam(msgspec.Struct, frozen=True):
    """A seam, and when it was."""

    attempt: int
    resumed_from: int | None
    last_step: int
    first_step: int
    jumps: dict[str, tuple[float | None, float | None]]
    gap_seconds: float | None
    wall_time: float | None
    """Of the first event of training behind it."""


class _Judged(msgspec.Struct):
    """What was found, and how far the log was read for it."""

    version: str
    places: dict[int, Position]
    verdict: Verdict
    seams: list[PlacedSeam]
    problems: list[dict[str, Any]]


class Judge:
    """Runs the rules over all ranks of a run, a little at a time.

    Args:
        found: the run.
        clock: tells when to stop.
    """

    def __init__(self, found: Found, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._found, self._clock = found, clock
        self._tails: dict[int, Tail] = {}
        self._begin()

    def _begin(self) -> None:
        for tail in self._tails.values():
            tail.close()
        manifest = self._found.manifest
        algorithm = manifest.algorithm if manifest else ""
        self._engine = Engine(rules_for("auto", algorithm), algorithm=algorithm, semantics=self._found.sources)
        self._tails = {rank: self._found.tail(rank) for rank in self._found.ranks}
        self._decoders = {rank: LineDecoder() for rank in self._tails}
        self._seams = Seams()
        self._waiting: Iterator[None] | None = None
        self._recalled = False
        self.seams: list[PlacedSeam] = []
        self.problems: list[dict[str, Any]] = []
        self.changed = True
        """Whether there may be another verdict than at the last one."""
        self.read_bytes = 0

    def look(self, found: Found) -> None:
        """Take in that the run has further ranks."""
        self._found = found
        for rank in found.ranks:
            if rank not in self._tails:
                self._tails[rank] = found.tail(rank)
                self._decoders[rank] = LineDecoder()

    def advance(self, until: float) -> bool:
        """Go on until a moment; whether there may be more to do.

        Raises:
            RLDKError: a log cannot be read at all.
            OSError: a file cannot be read.
        """
        while self._clock() < until:
            if self._waiting is None:
                chunks = [(rank, chunk) for rank, tail in self._tails.items() if (chunk := tail.read())]
                if any(tail.lost for tail in self._tails.values()):
                    self._begin()
                    return True
                if not chunks:
                    return False
                if self._recalled:
                    # The rules know nothing of what came before.
                    self._begin()
                    return True
                self._waiting = self._take(chunks)
            if next(self._waiting, False) is False:
                self._waiting = None
        return True

    def _take(self, chunks: list[tuple[int, Chunk]]) -> Iterator[None]:
        """Take in some lines of each rank, with a pause now and then."""
        self.changed = True
        for rank, chunk in chunks:
            self.read_bytes += len(chunk.text)
            if chunk.problem:
                self._engine.note(chunk.problem, chunk.path.name)
                self._note(chunk, msgspec.structs.asdict(chunk.problem))
            for number, (begin, _, head, rest, names) in enumerate(self._decoders[rank].parts(chunk.text), 1):
                if isinstance(rest, InvalidLineError):
                    found = problem(rest).at(chunk.start.line + number, chunk.start.byte + begin)
                    self._engine.note(found, chunk.path.name)
                    self._note(chunk, msgspec.structs.asdict(found))
                else:
                    self._add(rank, event(head, rest, names))
                if number % _AT_ONCE == 0:
                    yield
                    self.changed = True

    def _note(self, chunk: Chunk, found: dict[str, Any]) -> None:
        if len(self.problems) < _AT_ONCE:
            self.problems.append({"file": chunk.path.name, **found})

    def _add(self, rank: int, each: Event) -> None:
        self._engine.add(each)
        if rank == min(self._tails) and (seam := self._seams.add(each)):
            self.seams.append(_placed(seam, each))

    def verdict(self) -> Verdict:
        """What the rules say so far."""
        self.changed = False
        return self._engine.finish()

    def keep(self, folder: Path) -> None:
        """Keep what was found in a folder, to have it at once the next time."""
        found = _Judged(_VERSION, self._places(), self._engine.finish(), self.seams, self.problems)
        with suppress(OSError), replacing(folder / _NAME) as file:
            file.write(msgspec.msgpack.encode(found))

    def recall(self, folder: Path) -> Verdict | None:
        """What was found the last time, when nothing has been written since; it goes on from there.

        What is judged from there on is judged anew from the beginning.
        """
        try:
            found = msgspec.msgpack.decode((folder / _NAME).read_bytes(), type=_Judged)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        if found.version != _VERSION or found.places.keys() != set(self._found.ranks):
            return None
        tails = {rank: self._found.tail(rank, place) for rank, place in found.places.items()}
        if any(tail.read() or tail.lost for tail in tails.values()):
            for tail in tails.values():
                tail.close()
            return None
        self._recalled, self._tails = True, tails
        self.seams, self.problems, self.changed = found.seams, found.problems, False
        return found.verdict

    def _places(self) -> dict[int, Position]:
        return {rank: tail.position for rank, tail in self._tails.items()}

    def close(self) -> None:
        """Close all files; they are opened again when they are read."""
        for tail in self._tails.values():
            tail.close()


def _placed(seam: Seam, behind: Event) -> PlacedSeam:
    return PlacedSeam(**msgspec.structs.asdict(seam), wall_time=behind.wall_time)
