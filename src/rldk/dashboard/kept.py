"""Keep the columns of a run in the user's cache folder: a file of numbers that is only appended to, and its index."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import shutil
import tempfile
import threading
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from rldk.ingest.cache import cached

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Kept", "keep", "trim"]

_KIND: Final = "charts"
_VERSION: Final = 2
_LARGEST: Final = 4 * 10**9
"""How many bytes all runs together may be kept."""
_HEADER: Final = 8
"""Bytes before each record of the index: its length and its checksum."""

_T = TypeVar("_T")


class Kept:
    """A folder that one process appends to: numbers, and records that say where they are.

    What was appended counts when it was committed. It is derived from the log and may be removed at any time.

    Args:
        folder: the folder; it exists, and nobody else uses it.
        lock: a descriptor that is closed in the end.
        passing: whether the folder goes in the end.
    """

    def __init__(self, folder: Path, lock: int = -1, *, passing: bool = False) -> None:
        self.folder = folder
        self._lock, self._passing = lock, passing
        self._mapping = threading.Lock()
        self._map: mmap.mmap | None = None
        self._data = os.open(folder / "numbers", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._index = os.open(folder / "index", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._end = self._committed = 0

    def records(self, kind: type[_T]) -> Iterator[_T]:
        """The records that were committed, as far as they are whole; what is behind them is cut off."""
        text = os.pread(self._index, os.fstat(self._index).st_size, 0)
        size = os.fstat(self._data).st_size
        at = 0
        while len(text) >= at + _HEADER:
            length, checksum = (int.from_bytes(text[at + i : at + i + 4], "little") for i in (0, 4))
            packed = text[at + _HEADER : at + _HEADER + length]
            if len(packed) < length or zlib.crc32(packed) != checksum:
                break
            try:
                end, record = msgspec.msgpack.decode(packed, type=tuple[int, kind])  # type: ignore[valid-type]
            except (msgspec.DecodeError, UnicodeDecodeError):
                break
            if end > size:
                break
            self._end, at = end, at + _HEADER + length
            yield record
        os.ftruncate(self._index, at)
        os.ftruncate(self._data, self._end)
        os.lseek(self._index, at, os.SEEK_SET)

    def clear(self) -> None:
        """Forget everything."""
        os.ftruncate(self._index, 0)
        os.lseek(self._index, 0, os.SEEK_SET)
        # What is mapped must not become shorter under those who read it.
        self._end = os.fstat(self._data).st_size

    def append(self, numbers: bytes) -> int:
        """Append numbers of eight bytes; where they begin."""
        begin, rest = self._end, memoryview(numbers)
        while rest:
            count = os.pwrite(self._data, rest, self._end)
            self._end += count
            rest = rest[count:]
        return begin

    def commit(self, record: object) -> None:
        """Make what was appended count, with a record that says where it is."""
        os.fdatasync(self._data)
        packed = msgspec.msgpack.encode((self._end, record))
        os.write(self._index, len(packed).to_bytes(4, "little") + zlib.crc32(packed).to_bytes(4, "little") + packed)
        self._committed = self._end

    def map(self) -> memoryview:
        """All that was appended, mapped into memory."""
        with self._mapping:
            if self._map is None or len(self._map) < self._end:
                if self._data < 0:
                    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(self.folder))
                # Those who still read the old one keep it.
                self._map = mmap.mmap(self._data, self._end, prot=mmap.PROT_READ)
            return memoryview(self._map)

    def close(self) -> None:
        """Close the files and leave the folder to others."""
        with self._mapping:
            for each in (self._data, self._index, self._lock):
                if each >= 0:
                    os.close(each)
            self._data = self._index = self._lock = -1
        if self._passing:
            shutil.rmtree(self.folder, ignore_errors=True)


def keep(name: str, create: bool = True) -> Kept | None:  # noqa: FBT001, FBT002 - it is handed on as it is
    """Where the columns of a run are kept; None where nothing can be kept, or nothing is and nothing shall be.

    While another process keeps the same run, they go into a folder that is removed in the end.
    """
    key = hashlib.sha256(f"{_VERSION}:{name}".encode(errors="surrogateescape")).hexdigest()[:32]
    try:
        folder = cached(key, _KIND)
        if not create and not folder.exists():
            return None
        folder.mkdir(exist_ok=True, mode=0o700)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return Kept(Path(tempfile.mkdtemp(prefix="passing-", dir=folder.parent)), passing=True) if create else None
        os.utime(folder)
        return Kept(folder, lock)
    except OSError:
        return None


def trim(largest: int = _LARGEST) -> None:
    """Remove what was used longest ago, until no more is kept than may be; what is in use stays."""
    found = []
    with suppress(OSError):
        for folder in cached("any", _KIND).parent.iterdir():
            with suppress(OSError):
                size = sum(each.stat().st_size for each in folder.iterdir())
                found.append((-folder.stat().st_mtime, size, folder))
    total = 0
    for _, size, folder in sorted(found):
        total += size
        if total > largest and not _is_used(folder):
            shutil.rmtree(folder, ignore_errors=True)
            total -= size


def _is_used(folder: Path) -> bool:
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
