"""The file that a log grows in: whole lines are added at its end, or nothing."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LiveFile"]

_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class LiveFile:
    """Appends lines, and can bring the file back to whole lines after a write that failed or was interrupted.

    Args:
        path: the file, made when absent.
        seq: the seq of the next event.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, seq: int) -> None:
        self.fd = os.open(path, _FLAGS, 0o666)
        status = os.fstat(self.fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self.fd)
            raise OSError(errno.EINVAL, "expected an ordinary file, found a pipe or a device", str(path))
        self.at = (status.st_size, seq)
        """The size with the last whole line, and the seq of the event after it. One value, so that nothing
        that interrupts the process can come between the two."""
        self.pending = 0
        """The length of the lines whose write has not been seen to end."""
        self._seq_after = seq
        self.number = 0
        """The number it is sealed under, for whoever seals it."""

    def append(self, lines: bytes | bytearray, seq_after: int) -> None:
        """Add lines, with one `write(2)` when the kernel takes them at once.

        Args:
            lines: whole lines.
            seq_after: the seq of the event after them.

        Raises:
            OSError: it could not be done; `settle` undoes what there is of it.
        """
        size = self.at[0]
        self._seq_after = seq_after
        self.pending = length = len(lines)
        done = os.write(self.fd, lines)
        if done < length:
            self._append_rest(lines, done)
        self.at = (size + length, seq_after)
        self.pending = 0

    def _append_rest(self, lines: bytes | bytearray, done: int) -> None:
        """Write what the kernel did not take at once, as on a nearly full disk."""
        while done < len(lines):
            count = os.write(self.fd, lines[done:])
            if not count:
                raise OSError(errno.EIO, "the kernel took no bytes")
            done += count

    def settle(self) -> None:
        """Bring the file back to whole lines; lines that are there in full stay and count as written.

        A file that somebody has cut stays as it is, shorter than `at` says.

        Raises:
            OSError: it cannot be cut back, or somebody else wrote to it.
        """
        if not self.pending:
            return
        size = self.at[0]
        there = os.fstat(self.fd).st_size
        if there - size > self.pending:
            raise OSError(errno.EIO, "another process wrote to the file")
        if there - size == self.pending:
            self.at = (there, self._seq_after)
        elif there > size:
            os.ftruncate(self.fd, size)
        self.pending = 0

    def is_at(self, path: Path) -> bool:
        """Whether this file is still the one at a path: neither deleted nor moved by anybody."""
        try:
            return os.path.samestat(os.fstat(self.fd), path.stat(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return False

    def close(self) -> None:
        """Close it; its number is forgotten first, because the next file opened may be given the same."""
        fd, self.fd, self.pending = self.fd, -1, 0
        if fd >= 0:
            os.close(fd)
