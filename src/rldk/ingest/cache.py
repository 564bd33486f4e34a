"""The folder where what was computed from logs is kept, which may be removed at any time."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["cached", "trim"]

_LARGEST: Final = 2 * 10**9
"""How many bytes may be kept."""


def cached(name: str, kind: str = "tables") -> Path:
    """Where a file of the cache is, or is to be; its folder is made.

    It lies in `RLDK_CACHE_DIR` when that is set, otherwise in `rldk` in the user's cache folder; there, in a
    folder for its kind.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    folder = Path(os.environ.get("RLDK_CACHE_DIR") or Path(base) / "rldk") / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def trim(newest: Path) -> None:
    """Remove the oldest files beside a file of the cache until there are no more than 2 GB with it."""
    found = []
    for path in newest.parent.glob(f"*{newest.suffix}"):
        # Another process may trim as well.
        with suppress(FileNotFoundError):
            found.append((path != newest, -path.stat().st_mtime, path.stat().st_size, path))
    total = 0
    for is_other, _, size, path in sorted(found):
        total += size
        if is_other and total > _LARGEST:
            path.unlink(missing_ok=True)
