"""Write a file beside the one it replaces, then move it into place."""

from __future__ import annotations

import os
import tempfile
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
    """
    handle, name = tempfile.mkstemp(prefix=".rldk-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())  # noqa: PTH101 - mkstemp makes files only their owner can read
        os.replace(name, path)  # noqa: PTH105 - a plain string from mkstemp
    except BaseException:
        os.unlink(name)  # noqa: PTH108 - a plain string from mkstemp
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
