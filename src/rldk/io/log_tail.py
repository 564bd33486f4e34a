"""Read one log from a position on, while it is written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from rldk.io.event_schema import MAX_LINE
from rldk.io.log_files import LogFiles
from rldk.io.position import HEAD, START, Position, head_of
from rldk.io.problems import Problem
from rldk.io.reader import blocks, damage
from rldk.io.sealing import next_number
from rldk.io.segments import has_segments, sealed_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rldk.io.log_files import LogFile
    from rldk.io.reader import Block
    from rldk.io.segments import Log

__all__ = ["Chunk", "LogTail", "near_end"]

_CHUNK: Final = 2**18


class Chunk(NamedTuple):
    """Some successive lines of a file, each with its newline; or one that cannot be read, and why."""

    path: Path
    start: Position
    end: Position
    text: bytes
    problem: Problem | None = None


class LogTail:
    """Reads one log from a position on, and knows where it stands. Not for several threads at once.

    A line without a newline is held back while it may be finished. Memory is bounded by the longest line allowed.

    Args:
        log: the log; its files need not exist yet.
        position: where to begin. When the file that it means is gone, or is another one, reading begins at the
            first line there is, and `lost` says so.
        links: whether files may be symbolic links; one that may not is read as if it were not there.
    """

    def __init__(self, log: Log, position: Position = START, *, links: bool = True) -> None:
        self.log = log
        self.position = position
        self.lost = False
        self._files = LogFiles(log, links=links)
        self._file: LogFile | None = None
        """The file that is being read."""
        self._blocks: Iterator[Block] = iter(())
        """What is left of it when it is not the live one."""
        self._last = position.number - 1
        """The number of the last segment that was read to its end."""
        self._seen = -1
        """The size of the live file when it was last found to hold no further line."""
        self._resuming = position.number > 0

    def to_end(self) -> None:
        """Go behind the last whole line that there is now."""
        self.close()
        self._last, self._resuming = max(sealed_numbers(self.log), default=-1), False
        self.position = Position(self._last + 1, 0, 0, 0) if self._last > 0 else START
        while self.read():
            pass

    def cut(self, chunk: Chunk, end: Position) -> Chunk:
        """The part of a chunk that is before a position, where a line begins."""
        return chunk._replace(text=chunk.text[: end.byte - chunk.start.byte], end=end)

    def close(self) -> None:
        """Close the file that is being read; a later `read` opens it again."""
        if self._file:
            self._file.handle.close()
            self._file = None
            self._resuming = self.position.number > 0
            self._seen = -1

    def read(self) -> Chunk | None:
        """The next lines that are whole, about 256 KiB of them; None when there are none at this moment.

        Raises:
            MissingExtraError: a segment is compressed with zstd, and `zstandard` is not installed.
            OSError: a file cannot be read.
        """
        while file := self._file or self._open():
            chunk = self._of_live(file) if file.live else self._of_sealed(file)
            if chunk or self._file:
                return chunk
        return None

    def _open(self) -> LogFile | None:
        """Open the file that comes next, at the position; None when there is none."""
        resuming, self._resuming = self._resuming, False
        file = self._files.at(self.position) if resuming else None
        if file is None:
            if resuming and self.position.byte:
                self._go_behind_missing()
            if file := self._files.after(self._last):
                self.position = Position(file.number, 0, 0, 0)
        if file:
            self._file, self._blocks = file, blocks(file.handle)
        return file

    def _go_behind_missing(self) -> None:
        """Go on behind the file that the position was in, when it was removed; from the beginning, when it is lost."""
        if self._files.is_removed(self.position.number):
            self._last = self.position.number
        else:
            self.lost, self._last, self.position = True, -1, START

    def _of_sealed(self, file: LogFile) -> Chunk | None:
        """The next lines of a file to which nothing is added; None when it has come to its end."""
        if (block := next(self._blocks, None)) is None:
            self._end(file)
            return None
        if not block.damage:
            return self._chunk(file, block.text)
        return self._chunk(file, block.text, damage(block), len(block.text) + block.skipped)

    def _of_live(self, file: LogFile) -> Chunk | None:
        """The next lines of the live file; None when there are none now, or when it has come to its end."""
        if chunk := self._growth(file):
            return chunk
        if file.is_in_place() and file.size >= self.position.byte:
            return None
        # What was written before it was moved may have been written after it was read.
        return self._growth(file) or self._give_up(file)

    def _growth(self, file: LogFile) -> Chunk | None:
        """Whole lines of the live file; None when there are none now."""
        fd, byte, size = file.handle.fileno(), self.position.byte, file.size
        if size == self._seen:
            return None
        text = _read_line(fd, byte, size)
        if whole := text.rfind(b"\n") + 1:
            return self._chunk(file, text[:whole])
        if len(text) >= MAX_LINE and (end := _end_of_line(fd, byte + len(text))):
            length = end - byte
            found = Problem("line_too_long", f"at most {MAX_LINE} bytes, newline included", f"{length} bytes")
            return self._chunk(file, b"", found, length)
        self._seen = size
        return None

    def _give_up(self, file: LogFile) -> Chunk | None:
        """Leave a file that was the live one; the problem with its end when that is an unfinished line."""
        chunk = None
        torn = file.size - self.position.byte
        if torn < 0 or not self._files.is_sealed(file.number):
            # Written anew under the same name, as `rldk repair` does: it goes on when it begins with the same line.
            self._resuming = self.position.number > 0
        elif torn:
            found = Problem("torn_tail", "a newline at the end of the last line", f"{torn} bytes without one")
            chunk = self._chunk(file, b"", found, torn)
        self._end(file)
        return chunk

    def _chunk(self, file: LogFile, text: bytes, found: Problem | None = None, size: int | None = None) -> Chunk:
        """Give these lines, or what is wrong with one of so many bytes, and stand behind them."""
        before = self.position
        lines = text.count(b"\n") if found is None else 1
        head = before.head if before.byte else head_of(text)
        behind = before.byte + (len(text) if size is None else size)
        self.position = Position(file.number, behind, before.line + lines, head)
        self._seen = -1
        if found is None:
            return Chunk(file.path, before, self.position, text)
        return Chunk(file.path, before, self.position, b"", found.at(before.line + 1, before.byte))

    def _end(self, file: LogFile) -> None:
        file.handle.close()
        self._file, self._last, self._seen = None, file.number, -1


def _read_line(fd: int, byte: int, size: int) -> bytes:
    """What a file of some size has behind a byte: some of it, or so much more that a line of it may be whole."""
    text = b""
    while len(text) < MAX_LINE and b"\n" not in text and byte + len(text) < size:
        more = os.pread(fd, max(_CHUNK, len(text)), byte + len(text))
        if not more:
            break
        text += more
    return text


def _end_of_line(fd: int, byte: int) -> int | None:
    """The byte behind the next newline; None when the file has none behind this byte."""
    while more := os.pread(fd, _CHUNK, byte):
        if newline := more.find(b"\n") + 1:
            return byte + newline
        byte += len(more)
    return None


def near_end(log: Log, size: int, *, links: bool = True) -> Position | None:
    """The position of a line about so many bytes before the end of the live file; None when there is none.

    Lines before it are not counted: its `line` is 0.
    """
    try:
        if (live := LogFiles(log, links=links).live()) is None:
            return None
        with live.handle as file:
            if not has_segments(log):
                return None
            head = head_of(file.read(HEAD))
            begin = file.seek(max(0, live.size - size))
            if begin:
                begin += file.read(min(size, MAX_LINE)).find(b"\n") + 1
            number = next_number(log)
            return Position(number, begin, 0, head) if begin and live.is_in_place() else None
    except OSError:
        return None
