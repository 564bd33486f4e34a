"""Move bytes that a crash left without a newline out of a log, losing none of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rldk.io.reader import whole_size
from rldk.io.sync import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["move_torn_tail"]


def move_torn_tail(fd: int, path: Path, attempt: int) -> tuple[int, Path]:
    """Cut a log back to its whole lines, its torn tail saved in `{path}.{attempt}.torn` first.

    Args:
        fd: the log, open for reading and writing.
        path: where the log is.
        attempt: the attempt that is about to write; it names the file the tail is added to.

    Returns:
        how many bytes were moved, 0 when there was no torn tail, and where to.
    """
    torn = path.with_name(f"{path.name}.{attempt}.torn")
    with open(fd, "rb", buffering=0, closefd=False) as file:
        size = whole_size(file)
        file.seek(size)
        tail = file.read()
    if tail:
        with torn.open("ab") as saved:
            saved.write(tail)
            saved.flush()
            os.fsync(saved.fileno())
        sync_folder(path.parent)
        os.ftruncate(fd, size)
        os.fsync(fd)
    return len(tail), torn
