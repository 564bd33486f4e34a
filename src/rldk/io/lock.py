"""One writer for each log: a lock that the kernel drops when its holder dies."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import msgspec

from rldk.errors import RunLockedError
from rldk.io.clock import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Lock", "alone", "is_held"]

_log: Final = logging.getLogger(__name__)
_PATIENCE: Final = 0.5
"""Seconds to wait for a lock: who tests one, or changes a manifest, holds it for a moment."""


class _Holder(msgspec.Struct):
    pid: int
    host: str
    since: str


class Lock:
    """The exclusive lock of one log, held from construction until `release`.

    It is an flock, so it ends with the process however that dies, and the file says who holds it. On a file
    system without locks the run goes on unlocked: `held` is False.

    Args:
        path: the lock file; made when absent, removed on release.

    Raises:
        RunLockedError: another process, or another writer in this one, holds it.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held = False
        self._take()

    def _take(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self._acquire():
            if time.monotonic() > deadline:
                raise RunLockedError(self.path, _holder(self.path))
            time.sleep(0.02)

    def _acquire(self) -> bool:
        """One try. A lock file that was removed between open and flock locks nothing, so it is tried anew."""
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            return False
        except OSError as error:
            _log.warning("%s: this file system has no locks, so keep to one writer: %s", self.path, error)
            return True
        if not _same_file(self._fd, self.path):
            os.close(self._fd)
            return False
        self.held = True
        holder = _Holder(os.getpid(), socket.gethostname(), timestamp(time.time()))
        with suppress(OSError):
            # On a full disk the lock holds all the same; only who holds it cannot be read.
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, msgspec.json.encode(holder) + b"\n", 0)
        return True

    def is_in_place(self) -> bool:
        """Whether the file is still the one that keeps others away; somebody may have deleted it."""
        return not self.held or _same_file(self._fd, self.path)

    def renew(self) -> None:
        """Take the lock again after its file was deleted.

        Raises:
            RunLockedError: somebody else has taken it meanwhile.
            OSError: the file cannot be made.
        """
        old = self._fd
        try:
            self._take()
        except BaseException:
            self._fd = old
            raise
        os.close(old)

    def release(self) -> None:
        """Give the lock up and remove its file."""
        with suppress(OSError):
            # Where nothing can be removed any more, as on a disk that became read-only, a stale file stays.
            if self.held and _same_file(self._fd, self.path):
                self.path.unlink()
        self.forget()

    def forget(self) -> None:
        """Close this process's handle and leave the lock to whoever else has it: for a forked child."""
        os.close(self._fd)
        self.held = False


def is_held(path: Path) -> bool:
    """Whether some process holds the lock at this moment."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        return _try(fd, fcntl.LOCK_SH) is False
    finally:
        os.close(fd)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder; go on without it where there are no locks, or its holder does not come to an end."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _PATIENCE
        while _try(fd, fcntl.LOCK_EX) is False and time.monotonic() < deadline:
            time.sleep(0.005)
        yield
    finally:
        os.close(fd)


def _try(fd: int, kind: int) -> bool | None:
    """Whether the lock was to be had; None where the file system has no locks."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return False


def _holder(path: Path) -> str:
    try:
        holder = msgspec.json.decode(path.read_bytes(), type=_Holder)
    except (OSError, msgspec.DecodeError):
        return "another process"
    return f"process {holder.pid} on {holder.host} since {holder.since}"
