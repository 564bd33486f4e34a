"""Find the files of a log and open them at a position, while its writer seals, compresses and removes them."""

from __future__ import annotations

import errno
import os
import stat
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from rldk.io.compression import open_segment
from rldk.io.position import HEAD, head_of
from rldk.io.sealing import next_number
from rldk.io.segments import COMPRESSIONS, has_segments, sealed_numbers, sealed_path, segment_number

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.io.position import Position
    from rldk.io.segments import Log

__all__ = ["LogFile", "LogFiles"]

_CHUNK: Final = 2**18
_ABSENT: Final = {errno.ENOENT, errno.ELOOP, errno.ENXIO}
"""The errors where there is nothing to be read: no file, or a link where none may be."""


class LogFile(NamedTuple):
    """A file of a log, open for reading."""

    path: Path
    number: int
    """Of the segment that it is, or of what the live file will be when it is sealed."""
    handle: IO[bytes]
    live: bool
    """Whether it was opened as the live file, to which lines are added."""

    @property
    def size(self) -> int:
        """How many bytes it has now, as it is on the disk."""
        return os.fstat(self.handle.fileno()).st_size

    def is_in_place(self) -> bool:
        """Whether it is still what is at its path."""
        try:
            return os.path.samestat(os.fstat(self.handle.fileno()), self.path.stat())
        except FileNotFoundError:
            return False


class LogFiles:
    """The files of one log, which whoever is given one closes.

    Args:
        log: the log; its files need not exist yet.
        links: whether files may be symbolic links; one that may not is as if it were not there.
    """

    def __init__(self, log: Log, *, links: bool = True) -> None:
        self._log = log
        self._opener = None if links else _no_links

    def at(self, position: Position) -> LogFile | None:
        """The file that a position is in, open there; None when it is not there any more."""
        if not position.byte:
            return None
        file = self._sealed(position.number, position.byte) or self.live(position.byte)
        if file is None or self._is_known(file, position):
            return file and file._replace(number=position.number)
        file.handle.close()
        return None

    def after(self, number: int) -> LogFile | None:
        """The first file of the log behind the segment of this number, open at its beginning; None without one."""
        while True:
            live = self.live()
            later = [each for each in sealed_numbers(self._log) if each > number]
            if later:
                if live:
                    live.handle.close()
                if file := self._sealed(later[0]):
                    return file
                # Retention removed it, or it may not be read.
                number = later[0]
                continue
            if live is None:
                return None
            if not has_segments(self._log):
                if live.number > number:
                    return live
                live.handle.close()
                return None
            following = next_number(self._log)
            if live.is_in_place():
                return live._replace(number=max(following, number + 1))
            live.handle.close()

    def live(self, byte: int = 0) -> LogFile | None:
        """The live file, open at a byte, or the single file that the log is; its number is 1 unless its name has one.

        Returns:
            None when there is none.
        """
        path = self._log.path
        if (handle := self._open(path)) is None:
            return None
        number = segment_number(path.name)
        if number is not None or path.suffix in {".gz", ".zst"}:
            return LogFile(path, number or 1, _from(byte, handle), live=False)
        handle.seek(byte)
        return LogFile(path, 1, handle, live=True)

    def is_removed(self, number: int) -> bool:
        """Whether retention removed the segment of this number, so that the next one follows."""
        return has_segments(self._log) and number not in sealed_numbers(self._log) and number < next_number(self._log)

    def is_sealed(self, number: int) -> bool:
        """Whether the segment of this number was sealed, though it may have been removed since."""
        if not has_segments(self._log):
            return False
        there = any(sealed_path(self._log, number, each).exists() for each in (None, *COMPRESSIONS))
        return there or number < next_number(self._log)

    def _sealed(self, number: int, byte: int = 0) -> LogFile | None:
        for compression in (None, *COMPRESSIONS) if has_segments(self._log) else ():
            path = sealed_path(self._log, number, compression)
            if handle := self._open(path):
                return LogFile(path, number, _from(byte, handle), live=False)
        return None

    def _open(self, path: Path) -> IO[bytes] | None:
        try:
            return open_segment(path, opener=self._opener, capped=True)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise

    def _is_known(self, file: LogFile, position: Position) -> bool:
        """Whether a file is the one that a position is of, and reaches that far."""
        if file.live and file.size < position.byte:
            return False
        try:
            with open_segment(file.path, opener=self._opener) as again:
                return head_of(again.read(HEAD) or b"") == position.head
        except OSError:
            return False


def _from(byte: int, handle: IO[bytes]) -> IO[bytes]:
    """A file to which nothing is added, from a byte on."""
    if handle.seekable():
        handle.seek(byte)
        return handle
    while byte > 0 and (chunk := handle.read(min(byte, _CHUNK))):
        byte -= len(chunk)
    return handle


def _no_links(path: str, flags: int) -> int:
    """Open a file, and nothing that only leads to one or waits for somebody."""
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), path)
