"""Follow the log of a run while it is written: every line once, across rotation, compression, resumes and ranks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from rldk.errors import InvalidLineError
from rldk.io.compression import never
from rldk.io.decoder import LineDecoder, event
from rldk.io.log_tail import LogTail
from rldk.io.position import BEGINNING, START, Position, cursor_of, positions_of
from rldk.io.reader import problem
from rldk.io.segments import find_logs, run_log, segment_number, whole_log

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

    from rldk.io.event_schema import Event
    from rldk.io.log_tail import Chunk
    from rldk.io.problems import Problem

__all__ = ["Followed", "Follower", "follow"]

_QUICK: Final = 0.005
_SLOW: Final = 0.1
"""Seconds between two looks at a log: at one that grows, and at one that has not grown for long."""
_LOOK: Final = 1.0
"""Seconds between two looks for logs of further ranks."""


class Followed(NamedTuple):
    """A line of a run: its event, or what is wrong with it."""

    item: Event | Problem
    path: Path
    """The file it was read from, which may be sealed or compressed by now."""
    rank: int
    positions: Mapping[int, Position]
    """Where each rank's log stands behind this line."""

    @property
    def cursor(self) -> str:
        """Where to go on behind this line, as an opaque text."""
        return cursor_of(self.positions)


class Follower:
    """Reads a run from a cursor on, rank by rank, and finds further ranks when they begin.

    Args:
        path: a folder with one run, or a log, or any single file; see `follow`.
        cursor: where to begin.
        links: whether files may be symbolic links.
        clock: tells when to look for further ranks.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        cursor: str = BEGINNING,
        *,
        links: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._links, self._clock = Path(path), links, clock
        self._from = positions_of(cursor)
        self._run_id = run_log(self._path).run_id if self._path.is_dir() else None
        self._tails: dict[int, LogTail] = {}
        self._decoders: dict[int, LineDecoder] = {}
        self._looked = -_LOOK
        self.look()

    def look(self) -> None:
        """Look for logs of further ranks."""
        self._looked = self._clock()
        if self._run_id is None:
            logs = [whole_log(run_log(self._path))] if segment_number(self._path.name) is None else []
            logs = logs or [run_log(self._path)]
        else:
            logs = [each for each in find_logs(self._path) if each.run_id == self._run_id]
        for log in logs:
            if log.rank not in self._tails:
                self._tails[log.rank] = LogTail(log, self._from.get(log.rank, START), links=self._links)
                self._decoders[log.rank] = LineDecoder()

    @property
    def lost(self) -> bool:
        """Whether a log was not the one that the cursor was of, and is read from its beginning."""
        return any(tail.lost for tail in self._tails.values())

    @property
    def positions(self) -> dict[int, Position]:
        """Where each rank's log stands."""
        return {rank: tail.position for rank, tail in self._tails.items()}

    def close(self) -> None:
        """Close all files."""
        for tail in self._tails.values():
            tail.close()

    def poll(self) -> Iterator[Followed]:
        """What has been written since: nothing, or some lines of each rank; then ask again."""
        if self._run_id is not None and self._clock() - self._looked >= _LOOK:
            self.look()
        for rank, tail in list(self._tails.items()):
            if chunk := tail.read():
                yield from self._lines(rank, chunk)

    def _lines(self, rank: int, chunk: Chunk) -> Iterator[Followed]:
        places = {**self._from, **self.positions}
        if chunk.problem:
            yield Followed(chunk.problem, chunk.path, rank, places)
            return
        start = chunk.start
        head = start.head or chunk.end.head
        for number, (begin, end, first, rest, names) in enumerate(self._decoders[rank].parts(chunk.text), 1):
            place = Position(chunk.end.number, start.byte + end + 1, start.line + number, head)
            item: Event | Problem
            if isinstance(rest, InvalidLineError):
                item = problem(rest).at(start.line + number, start.byte + begin)
            else:
                item = event(first, rest, names)
            yield Followed(item, chunk.path, rank, {**places, rank: place})


def follow(
    path: str | os.PathLike[str],
    cursor: str = BEGINNING,
    *,
    until: Callable[[], bool] = never,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Followed]:
    """Every line of a run, as soon as it is written, and on through rotation, compression and resumes.

    Each line is given once: its event, or what is wrong with it. Events that a later attempt replaces are among
    them, since nobody knows of it yet. The ranks of a folder are given side by side. An unfinished line is
    held back. The files are only read, and looked at every 5 ms while they grow, every 100 ms when they do not.

    Args:
        path: a folder with one run, or a log, by the path of its live file, or any single file.
        cursor: where to go on: the `cursor` of the last line that came; from the beginning when not given.
        until: asked when nothing is left to read; the following ends when it says yes.
        sleep: waits for so many seconds.

    Raises:
        ValueError: the cursor is none.
        RunNotFoundError: the folder holds no run, or several.
        MissingExtraError: a segment is compressed with zstd, and `zstandard` is not installed.
        OSError: a file cannot be read.
    """
    follower = Follower(path, cursor)
    pause = _QUICK
    try:
        while True:
            before = pause
            for line in follower.poll():
                pause = 0.0
                yield line
            if pause == 0.0:
                pause = _QUICK
                continue
            if until():
                return
            sleep(before)
            pause = min(before * 1.2, _SLOW)
    finally:
        follower.close()
