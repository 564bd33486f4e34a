"""Write a file beside the one it replaces, then move it into place."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["replacing"]


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write; it takes the place of `path` when the block ends well, and vanishes when it does not.

    A crash at any moment leaves the old version, and at worst a `.rldk-*` file beside it.

    Raises:
        OSError: its folder cannot be written to, or its disk is full; the first names `path`.
    """
    beside = path.with_name(f".rldk-{secrets.token_hex(8)}")
    try:
        opened = beside.open("xb")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    with opened as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink()
            raise
