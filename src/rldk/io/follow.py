"""Follow the log of a run while it is written: every line once, across rotation, compression, resumes and ranks."""

from __future__ import annotations

import binascii
import errno
import io
import os
import stat
import time
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from rldk.errors import InvalidLineError
from rldk.io.compression import DamagedSegmentError, never, open_segment
from rldk.io.decoder import LineDecoder, event
from rldk.io.event_schema import MAX_LINE, Event
from rldk.io.problems import Problem
from rldk.io.reader import Block, blocks, damage, problem
from rldk.io.sealing import next_number
from rldk.io.segments import (
    COMPRESSIONS,
    Log,
    find_logs,
    has_segments,
    run_log,
    sealed_path,
    sealed_segments,
    segment_number,
    whole_log,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "BEGINNING",
    "START",
    "Chunk",
    "Followed",
    "Follower",
    "LogTail",
    "Position",
    "cursor_of",
    "follow",
    "near_end",
    "positions_of",
]

BEGINNING: Final = "0"
"""The cursor before the first event."""

_CHUNK: Final = 2**18
_HEAD: Final = 4096
"""So much of a first line makes its checksum."""
_QUICK: Final = 0.005
_SLOW: Final = 0.1
"""Seconds between two looks at a log: at one that grows, and at one that has not grown for long."""
_LOOK: Final = 1.0
"""Seconds between two looks for logs of further ranks."""
_SWOLLEN: Final = 2**26
_RATIO: Final = 200
"""A compressed segment may grow to so many bytes, or to so many times its size; events are never that much alike."""


class Position(NamedTuple):
    """A place between two lines of a log; it means the same when the file was sealed or compressed meanwhile."""

    number: int
    """Of the segment that it is in, or of what the live file will be when it is sealed."""
    byte: int
    """How many bytes of the uncompressed file are before it."""
    line: int
    """How many lines of the file are before it."""
    head: int
    """A checksum of the first line of the file, by which it is known again; 0 before that line."""


START: Final = Position(0, 0, 0, 0)
"""The beginning of every log."""


class Chunk(NamedTuple):
    """Some successive lines of a file, each with its newline; or one that cannot be read, and why."""

    path: Path
    start: Position
    end: Position
    text: bytes
    problem: Problem | None = None


class _File(NamedTuple):
    """The file of a log that is being read."""

    path: Path
    number: int
    handle: IO[bytes]
    live: bool
    blocks: Iterator[Block]


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
        self._opener = None if links else _no_links
        self._file: _File | None = None
        self._last = position.number - 1
        """The number of the last segment that was read to its end."""
        self._seen = -1
        """The size of the live file when it was last found to hold no further line."""
        self._resuming = position.number > 0

    def to_end(self) -> None:
        """Go behind the last whole line that there is now."""
        self.close()
        self._last, self._resuming = max(self._numbers(), default=-1), False
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
        while True:
            if self._file is None and not self._open():
                return None
            file = self._file
            assert file is not None  # noqa: S101 - for the type checker
            if not file.live:
                if (block := next(file.blocks, None)) is not None:
                    return self._sealed(file, block)
                self._end(file)
                continue
            if (chunk := self._growing(file)) is not None:
                return chunk
            if not self._moved(file):
                return None
            # What was written before it was moved may have been written after it was read.
            if (chunk := self._growing(file)) is not None:
                return chunk
            if (chunk := self._give_up(file)) is not None:
                return chunk

    def _open(self) -> bool:
        """Open the file that comes next, at the position; whether there is one."""
        resuming, self._resuming = self._resuming, False
        if resuming and (file := self._resumed()):
            self._file = file
            return True
        if resuming and self.position.byte:
            if self._is_gone(self.position):
                self._last = self.position.number
            else:
                self.lost, self._last, self.position = True, -1, START
        if (file := self._after(self._last)) is None:
            return False
        self._file = file
        self.position = Position(file.number, 0, 0, 0)
        return True

    def _resumed(self) -> _File | None:
        """The file that the position is in, open there; None when it is not there any more."""
        wanted = self.position
        if not wanted.byte:
            return None
        file = self._open_sealed(wanted.number, wanted.byte) or self._live(wanted.byte)
        if file is None or self._is_known(file, wanted):
            return file and file._replace(number=wanted.number)
        file.handle.close()
        return None

    def _is_gone(self, position: Position) -> bool:
        """Whether retention removed the segment that a position is in, so that the next one follows."""
        log, number = self.log, position.number
        return has_segments(log) and number not in self._numbers() and number < next_number(log)

    def _is_known(self, file: _File, wanted: Position) -> bool:
        """Whether a file is the one that a position is of, and reaches that far."""
        if file.live and os.fstat(file.handle.fileno()).st_size < wanted.byte:
            return False
        try:
            with open_segment(file.path, opener=self._opener) as again:
                return _head(again.read(_HEAD) or b"") == wanted.head
        except (OSError, DamagedSegmentError):
            return False

    def _after(self, number: int) -> _File | None:
        """The first file of the log behind the segment of this number."""
        while True:
            live = self._live(0)
            later = [each for each in self._numbers() if each > number]
            if later:
                if live:
                    live.handle.close()
                if file := self._open_sealed(later[0], 0):
                    return file
                # Retention removed it, or it may not be read.
                number = later[0]
                continue
            if live is None:
                return None
            if not has_segments(self.log):
                if live.number > number:
                    return live
                live.handle.close()
                return None
            following = next_number(self.log)
            if _is_at(live.handle, self.log.path):
                return live._replace(number=max(following, number + 1))
            live.handle.close()

    def _numbers(self) -> list[int]:
        # A segment that is compressed while the folder is listed may be in neither form; the next list has it.
        lists = [sealed_segments(self.log) for _ in range(2)] if has_segments(self.log) else []
        return sorted({each.number for listed in lists for each in listed})

    def _live(self, byte: int) -> _File | None:
        try:
            handle = open_segment(self.log.path, opener=self._opener)
        except OSError as error:
            if _is_absent(error):
                return None
            raise
        number = segment_number(self.log.path.name)
        if number is not None or self.log.path.suffix in {".gz", ".zst"}:
            return self._begun(self.log.path, number or 1, handle, byte)
        handle.seek(byte)
        return _File(self.log.path, 1, handle, live=True, blocks=iter(()))

    def _open_sealed(self, number: int, byte: int) -> _File | None:
        for compression in (None, *COMPRESSIONS) if has_segments(self.log) else ():
            path = sealed_path(self.log, number, compression)
            try:
                handle = open_segment(path, opener=self._opener)
            except OSError as error:
                if _is_absent(error):
                    continue
                raise
            return self._begun(path, number, handle, byte)
        return None

    def _begun(self, path: Path, number: int, handle: IO[bytes], byte: int) -> _File:
        """A file to which nothing is added, read up to a byte."""
        if handle.seekable():
            handle.seek(byte)
        else:
            most = max(_SWOLLEN, _RATIO * os.fstat(handle.fileno()).st_size)
            handle = io.BufferedReader(_Capped(path, handle, most), _CHUNK)
            _pass_over(handle, byte)
        return _File(path, number, handle, live=False, blocks=blocks(handle))

    def _sealed(self, file: _File, block: Block) -> Chunk:
        if not block.damage:
            return self._chunk(file, block.text)
        found = damage(block).at(self.position.line + 1, self.position.byte)
        return self._chunk(file, block.text, found, len(block.text) + block.skipped)

    def _growing(self, file: _File) -> Chunk | None:
        """Whole lines of the live file; None when there are none now."""
        size = os.fstat(file.handle.fileno()).st_size
        if size == self._seen:
            return None
        text = self._pread(file, size)
        end = text.rfind(b"\n") + 1
        if end == 0:
            if len(text) < MAX_LINE:
                self._seen = size
                return None
            return self._too_long(file, text, size)
        return self._chunk(file, text[:end])

    def _pread(self, file: _File, size: int) -> bytes:
        """What is behind the position: some of it, or so much more that a line of it may be whole."""
        fd, text = file.handle.fileno(), b""
        while len(text) < MAX_LINE and b"\n" not in text and self.position.byte + len(text) < size:
            more = os.pread(fd, max(_CHUNK, len(text)), self.position.byte + len(text))
            if not more:
                break
            text += more
        return text

    def _too_long(self, file: _File, text: bytes, size: int) -> Chunk | None:
        """The problem with a line that is too long to be read, when it has come to its end."""
        at = self.position.byte + len(text)
        while more := os.pread(file.handle.fileno(), _CHUNK, at):
            newline = more.find(b"\n") + 1
            at += newline or len(more)
            if newline:
                length = at - self.position.byte
                found = Problem("line_too_long", f"at most {MAX_LINE} bytes, newline included", f"{length} bytes")
                return self._chunk(file, b"", found.at(self.position.line + 1, self.position.byte), length)
        self._seen = size
        return None

    def _chunk(self, file: _File, text: bytes, found: Problem | None = None, size: int | None = None) -> Chunk:
        """Give these lines, and stand behind them."""
        before = self.position
        lines = text.count(b"\n") if found is None else 1
        head = before.head if before.byte else _head(text)
        behind = before.byte + (len(text) if size is None else size)
        self.position = Position(file.number, behind, before.line + lines, head)
        self._seen = -1
        return Chunk(file.path, before, self.position, b"" if found else text, found)

    def _moved(self, file: _File) -> bool:
        """Whether the live file is not the live one any more, or is shorter than what was read of it."""
        return not _is_at(file.handle, self.log.path) or (os.fstat(file.handle.fileno()).st_size < self.position.byte)

    def _give_up(self, file: _File) -> Chunk | None:
        """Leave a file that was the live one; the problem with its end when that is an unfinished line."""
        fd, byte = file.handle.fileno(), self.position.byte
        size = os.fstat(fd).st_size
        sealed = any(sealed_path(self.log, file.number, each).exists() for each in (None, *COMPRESSIONS))
        replaced = size < byte or (has_segments(self.log) and not sealed and next_number(self.log) <= file.number)
        if replaced or not has_segments(self.log):
            # Written anew under the same name, as `rldk repair` does: it goes on when it begins with the same line.
            self._end(file)
            self._resuming = self.position.number > 0
            return None
        torn = size - byte
        if not torn:
            self._end(file)
            return None
        found = Problem("torn_tail", "a newline at the end of the last line", f"{torn} bytes without one")
        chunk = self._chunk(file, b"", found.at(self.position.line + 1, byte), torn)
        self._end(file)
        return chunk

    def _end(self, file: _File) -> None:
        file.handle.close()
        self._file, self._last, self._seen = None, file.number, -1


class _Capped(io.RawIOBase):
    """What is in a compressed file, up to a number of bytes that no log of this size grows to."""

    def __init__(self, path: Path, file: IO[bytes], most: int) -> None:
        self._path, self._file, self._left, self._most = path, file, most, most

    def fileno(self) -> int:
        """The number of the compressed file."""
        return self._file.fileno()

    def close(self) -> None:
        """Close the compressed file."""
        self._file.close()
        super().close()

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Give the next bytes.

        Raises:
            DamagedSegmentError: there are too many.
        """
        count: int = self._file.readinto(buffer)  # type: ignore[attr-defined]
        self._left -= count
        if self._left < 0:
            raise DamagedSegmentError(self._path, f"at most {self._most} bytes in a file of this size", "more")
        return count


def _no_links(path: str, flags: int) -> int:
    """Open a file, and nothing that only leads to one or waits for somebody."""
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), path)


def _is_absent(error: OSError) -> bool:
    """Whether there is nothing to be read: no file, or a link where none may be."""
    return error.errno in {errno.ENOENT, errno.ELOOP, errno.ENXIO}


def _pass_over(file: IO[bytes], count: int) -> None:
    while count > 0 and (chunk := file.read(min(count, _CHUNK))):
        count -= len(chunk)


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _head(text: bytes) -> int:
    """The checksum by which a file is known that begins like this."""
    return zlib.crc32(text[:_HEAD].partition(b"\n")[0]) or 1


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


def cursor_of(positions: Mapping[int, Position]) -> str:
    """The cursor of a run whose ranks stand there."""
    packed = msgspec.msgpack.encode([(rank, *positions[rank]) for rank in sorted(positions)])
    return urlsafe_b64encode(packed).rstrip(b"=").decode()


def positions_of(cursor: str) -> dict[int, Position]:
    """What a cursor stands for.

    Raises:
        ValueError: it is none.
    """
    if cursor == BEGINNING:
        return {}
    try:
        packed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        found = msgspec.msgpack.decode(packed, type=list[tuple[int, int, int, int, int]])
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise ValueError(f"cursor: expected one that came with an event, or {BEGINNING}, found {cursor!r}") from error
    return {rank: Position(*place) for rank, *place in found}


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


def near_end(log: Log, size: int, *, links: bool = True) -> Position | None:
    """The position of a line about so many bytes before the end of the live file; None when there is none.

    Lines before it are not counted: its `line` is 0.
    """
    try:
        with open_segment(log.path, opener=None if links else _no_links) as file:
            if not file.seekable() or not has_segments(log):
                return None
            head = _head(file.read(_HEAD))
            begin = file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            if begin:
                begin += file.read(min(size, MAX_LINE)).find(b"\n") + 1
            number = next_number(log)
            return Position(number, begin, 0, head) if begin and _is_at(file, log.path) else None
    except OSError:
        return None
