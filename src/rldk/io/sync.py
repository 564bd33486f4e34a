"""Force what was written to the disk every so often, without holding up who writes."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Syncer", "sync_folder"]

_PATIENCE: Final = 0.1
"""Seconds that closing waits for the last sync. One that takes longer goes on; the kernel ends it even when the
process exits meanwhile."""


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk: without it a new file may be gone after a power cut.

    On a file system that cannot do that, as some of those on a network, it does nothing.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in {errno.EBADF, errno.EINVAL}:
            raise
    finally:
        os.close(fd)


class _Followed:
    """A file to be synced, by a descriptor of our own: whoever writes may close its."""

    def __init__(self, fd: int) -> None:
        self.fd = os.dup(fd)
        self.size = -1


class Syncer:
    """Syncs one file after another in a thread of its own. It holds no events, so it can lose none.

    A file is never synced before the one it followed: a power cut takes the end of a log, not its middle.

    Args:
        folder: the folder of the files.
        period: seconds between two syncs.
        failed: told of the error when the disk did not take what was written; that file is given up, because
            a sync that is tried again succeeds though the data is lost.
    """

    def __init__(self, folder: Path, period: float, failed: Callable[[OSError], None]) -> None:
        self._folder = folder
        self._period = period
        self._failed = failed
        self._files: list[_Followed] = []
        self._mutex = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rldk-sync", daemon=True)
        self._thread.start()

    def follow(self, fd: int) -> None:
        """Sync this file from now on; the one before for the last time."""
        with self._mutex:
            self._files.append(_Followed(fd))

    def _run(self) -> None:
        while not self._stopping.wait(self._period):
            self._sync()
        self._sync()
        self._let_go(len(self._files))

    def _sync(self) -> None:
        with self._mutex:
            files = list(self._files)
        done = 0
        try:
            for file in files:
                self._sync_file(file)
                done += file is not files[-1]
        except OSError as error:
            done += 1
            self._failed(error)
        self._let_go(done)

    def _sync_file(self, file: _Followed) -> None:
        size = os.fstat(file.fd).st_size
        if size == file.size:
            return
        os.fdatasync(file.fd)
        if file.size < 0:
            # A folder that is gone is for the writer to notice.
            with suppress(FileNotFoundError):
                sync_folder(self._folder)
        file.size = size

    def _let_go(self, count: int) -> None:
        """Close the first files."""
        with self._mutex:
            for _ in range(count):
                # What closing could complain of, the sync has told.
                with suppress(OSError):
                    os.close(self._files.pop(0).fd)

    def close(self) -> None:
        """Sync a last time, and wait for it a moment."""
        self._stopping.set()
        self._thread.join(_PATIENCE)

    def leave_to_parent(self) -> None:
        """Close the files: in a forked child there is no thread to do it."""
        self._mutex = threading.Lock()
        self._let_go(len(self._files))
