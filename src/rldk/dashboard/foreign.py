"""Follow the logs of other tools, which cannot be read from the middle: what has grown is read again."""

from __future__ import annotations

import time
import zlib
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from rldk.adapters.base import Aside, Bad, FormatAdapter, Item, Parsed
from rldk.errors import InvalidEventError, InvalidLineError
from rldk.ingest.sources import unit_files
from rldk.io.codec import encode
from rldk.io.history import with_attempt
from rldk.io.log_tail import Chunk
from rldk.io.position import START, Position
from rldk.io.problems import Problem
from rldk.io.reader import problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rldk.ingest.sources import Unit
    from rldk.io.event_schema import Event

__all__ = ["ForeignTail", "Tail"]

_AT_ONCE: Final = 256
"""Events in a chunk."""
_REST: Final = 10
"""Reading a log again may take one part in so many of the time."""


class Tail(Protocol):
    """Reads a log from a position on, as `rldk.io.log_tail.LogTail` does."""

    position: Position
    lost: bool

    def read(self) -> Chunk | None:
        """The next whole lines; None when there are none at this moment."""
        ...

    def to_end(self) -> None:
        """Go behind the last whole line that there is now."""
        ...

    def cut(self, chunk: Chunk, end: Position) -> Chunk:
        """The part of a chunk that is before a position, where a line begins."""
        ...

    def close(self) -> None:
        """Close what is open; a later `read` opens it again."""
        ...


class ForeignTail:
    """Gives the events of a foreign log as lines of RLDK's own.

    In its positions `byte` counts what was given, events and problems. A torn end is held back, as it may be
    finished. When less is there than was given, the log is another one: `lost` says so, and it is given anew.

    Args:
        unit: the log.
        position: where to begin.
        clock: measures how long reading takes.
    """

    def __init__(self, unit: Unit, position: Position = START, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.unit = unit
        self.position = position
        self.lost = False
        self._clock = clock
        self._items: Iterator[tuple[bytes, Problem | None, Path]] | None = None
        self._given = 0
        self._seen: Any = None
        self._began = 0.0
        self._not_before = 0.0

    def close(self) -> None:
        """Stop reading; what was not given yet is given the next time."""
        if self._items is not None:
            self._items, self._seen = None, None

    def to_end(self) -> None:
        """Go behind the last event that there is now."""
        while self.read():
            pass

    def cut(self, chunk: Chunk, end: Position) -> Chunk:
        """The part of a chunk that is before a position."""
        count = end.byte - chunk.start.byte
        text = b"".join(line + b"\n" for line in chunk.text.split(b"\n")[:count])
        return chunk._replace(text=text, end=end)

    def read(self) -> Chunk | None:
        """The next events; None when there are none at this moment.

        Raises:
            RLDKError: the log cannot be read at all.
            OSError: a file cannot be read.
        """
        if self._items is None and not self._begin():
            return None
        chunk = self._next()
        if chunk is None and self._given < self.position.byte:
            self._restart()
            return self.read()
        return chunk

    def _begin(self) -> bool:
        """Begin to read the log anew, when it has changed and it is time."""
        if self._clock() < self._not_before:
            return False
        seen = [(str(path), *_facts(path)) for path in unit_files(self.unit)]
        if seen == self._seen:
            return False
        self._seen, self._given, self._began = seen, 0, self._clock()
        self._items = self._lines()
        return True

    def _restart(self) -> None:
        self.lost, self.position, self._items, self._seen = True, START, None, None

    def _next(self) -> Chunk | None:
        """The next events or the next problem, behind what was given."""
        assert self._items is not None  # noqa: S101 - for the type checker
        start, head = self.position, self.position.head
        lines: list[bytes] = []
        for line, found, path in self._items:
            self._given += 1
            if self._given == 1:
                first = zlib.crc32(line) or 1
                if start.byte and first != head:
                    self._restart()
                    return self.read()
                head = first
            if self._given <= start.byte:
                continue
            if found and lines:
                # It is given the next time.
                self._given -= 1
                self._items = chain([(line, found, path)], self._items)
                break
            if found:
                return self._chunk(Chunk(path, start, START, b"", found), 1, head)
            lines.append(line)
            if len(lines) == _AT_ONCE:
                break
        else:
            self._items = None
            self._not_before = self._clock() + _REST * (self._clock() - self._began)
        return self._chunk(Chunk(self.unit.path, start, START, b"".join(lines)), len(lines), head) if lines else None

    def _chunk(self, chunk: Chunk, count: int, head: int) -> Chunk:
        """Give this, and stand behind it."""
        self.position = Position(0, chunk.start.byte + count, chunk.start.line + count, head)
        return chunk._replace(end=self.position)

    def _lines(self) -> Iterator[tuple[bytes, Problem | None, Path]]:
        """Each event as a line, or what is wrong."""
        bad: list[Bad] = []

        def events() -> Iterator[Event]:
            for item in self._read():
                if isinstance(item, Parsed):
                    yield item.event
                elif isinstance(item, Bad) and item.problem.kind != "torn_tail":
                    bad.append(item)

        for attempt, event in with_attempt(events()):
            yield from ((b"", each.problem, each.path) for each in bad)
            bad.clear()
            info = {**event.model_info, "attempt": attempt}
            try:
                yield encode(msgspec.structs.replace(event, model_info=info)), None, self.unit.path
            except InvalidEventError as error:
                yield b"", Problem("bad_value", error.expected, error.found, error.field), self.unit.path
        yield from ((b"", each.problem, each.path) for each in bad)

    def _read(self) -> Iterator[Item]:
        adapter, path = self.unit.adapter, self.unit.path
        if isinstance(adapter, FormatAdapter):
            yield from (item for item in adapter.read(path).items if not isinstance(item, Aside))
            return
        try:
            yield from map(Parsed, adapter.events(path))
        except InvalidLineError as error:
            yield Bad(problem(error).at(error.line, 0), error.path or path)


def _facts(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns
