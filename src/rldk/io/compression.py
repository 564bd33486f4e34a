"""Compress sealed segments so that no crash loses one, and read them so that no damage goes unseen."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import zlib
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, cast

from rldk.errors import MissingExtraError
from rldk.io.sync import sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rldk.io.segments import Compression

__all__ = ["DamagedSegmentError", "Stopped", "check_available", "compress", "never", "open_segment"]

_CHUNK: Final = 2**20
_PIECE: Final = 512
"""How many compressed bytes are decompressed at a time: 16 MiB at most come of them, whoever made them."""
_JOINED: Final = 2**18
_GZIP: Final = 31
"""zlib's number for gzip with the largest window."""
_SWOLLEN: Final = 2**26
_RATIO: Final = 200
"""A compressed segment may grow to so many bytes, or to so many times its size; events are never that much alike."""


class DamagedSegmentError(OSError):
    """A compressed segment that cannot be decompressed to its end."""

    def __init__(self, path: Path, expected: str, found: str) -> None:
        super().__init__(str(path), found)
        self.path = path
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, found {self.found}"


class _Format(NamedTuple):
    name: str
    decoder: Callable[[], Any]
    """Makes what decompresses one frame."""
    encoder: Callable[[int], Any]
    """Makes what compresses so many bytes."""
    error: type[Exception]


def _format(compression: str) -> _Format:
    if compression == "gz":
        # No file name and no time are in the header: the same bytes are always compressed to the same bytes.
        return _Format(
            "gzip", partial(zlib.decompressobj, _GZIP), lambda _: zlib.compressobj(6, wbits=_GZIP), zlib.error
        )
    try:
        zstandard = import_module("zstandard")
    except ImportError as error:
        raise MissingExtraError("zstandard", "zstd") from error
    compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
    decoder = zstandard.ZstdDecompressor().decompressobj
    return _Format("zstd", decoder, lambda size: compressor.compressobj(size=size), zstandard.ZstdError)


def check_available(compression: Compression) -> None:
    """Do nothing when this compression can be had here.

    Raises:
        MissingExtraError: it is zstd, and `zstandard` is not installed.
    """
    _format(compression)


def open_segment(path: Path, *, opener: Callable[[str, int], int] | None = None, capped: bool = False) -> IO[bytes]:
    """Open a segment for reading from its beginning: plain, or compressed when its name ends in `.gz` or `.zst`.

    All frames of a compressed file are read. Memory is bounded, whatever it grows to. What can be decompressed
    of a damaged one is given, then `read` raises `DamagedSegmentError`; damage to the last frame may be noticed
    only at its end. A compressed file cannot be sought in.

    Args:
        path: the segment.
        opener: opens the file itself, as for the built-in `open`; by it, links can be refused.
        capped: whether one that grows to what no log of its size does is damaged from there on.

    Raises:
        MissingExtraError: it is compressed with zstd, and `zstandard` is not installed.
        OSError: it cannot be opened.
    """
    if path.suffix in {".gz", ".zst"}:
        file = open(path, "rb", opener=opener)  # noqa: SIM115 - Path.open takes no opener
        try:
            most = max(_SWOLLEN, _RATIO * os.fstat(file.fileno()).st_size) if capped else None
            return cast("IO[bytes]", _Decompressed(path, _format(path.suffix[1:]), file, most))
        except MissingExtraError:
            file.close()
            raise
    return open(path, "rb", buffering=0, opener=opener)


class _Decompressed(io.RawIOBase):
    """What is in a compressed file, up to a number of bytes."""

    def __init__(self, path: Path, form: _Format, file: IO[bytes], most: int | None) -> None:
        self._path = path
        self._format = form
        self._file = file
        self._most = most
        self._chunks = self._joined()
        self._chunk = b""
        self._given = 0

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
        """Give the next bytes, fewer than asked for where that is convenient."""
        if self._given == len(self._chunk):
            self._chunk, self._given = next(self._chunks, b""), 0
        count = min(len(buffer), len(self._chunk) - self._given)
        buffer[:count] = memoryview(self._chunk)[self._given : self._given + count]
        self._given += count
        return count

    def _joined(self) -> Iterator[bytes]:
        """The bytes in chunks of some size; what comes before damage is given before it is raised."""
        parts: list[bytes] = []
        size = 0
        try:
            for part in self._capped():
                parts.append(part)
                size += len(part)
                if size >= _JOINED:
                    yield b"".join(parts)
                    parts, size = [], 0
        except DamagedSegmentError:
            if size:
                yield b"".join(parts)
            raise
        if size:
            yield b"".join(parts)

    def _capped(self) -> Iterator[bytes]:
        left = self._most
        for part in self._parts():
            if left is not None and (left := left - len(part)) < 0:
                raise DamagedSegmentError(self._path, f"at most {self._most} bytes in a file of this size", "more")
            yield part

    def _parts(self) -> Iterator[bytes]:
        decoder, end = None, 0
        while piece := self._file.read(_PIECE):
            end += len(piece)
            while piece:
                decoder = decoder or self._format.decoder()
                try:
                    yield decoder.decompress(piece)
                except self._format.error as error:
                    raise self._damaged(f"damage before byte {end}: {error}") from error
                piece = decoder.unused_data
                decoder = None if decoder.eof else decoder
        if not end:
            raise self._damaged("an empty file")
        if decoder:
            raise self._damaged(f"the end of the file in the middle of it, at byte {end}")

    def _damaged(self, found: str) -> DamagedSegmentError:
        return DamagedSegmentError(self._path, f"whole {self._format.name} data", found)


class Stopped(Exception):  # noqa: N818 - it ends the work, it is no error
    """The work was called off."""


def never() -> bool:
    """Whether to stop: no."""
    return False


def compress(path: Path, compression: Compression, *, stop: Callable[[], bool] = never) -> Path | None:
    """Put a compressed file in the place of a sealed segment, which nobody writes to any more.

    The compressed file is written beside it, read back and compared, and moved into place; only then the plain
    one is removed. A crash at any moment leaves a good one: the plain, the compressed, or both.

    Args:
        path: the segment.
        compression: how.
        stop: asked every MiB; when it says yes, nothing has been done.

    Returns:
        where the compressed segment is, None when `stop` said yes.

    Raises:
        MissingExtraError: `zstandard` is not installed.
        OSError: it could not be done; the plain segment is there.
    """
    compressed = path.with_name(f"{path.name}.{compression}")
    # Its name ends as that of the compressed file, by which it is read back.
    beside = path.with_name(f".rldk-{compressed.name}")
    form = _format(compression)
    beside.unlink(missing_ok=True)
    try:
        written = _write(path, beside, form, stop)
        _read_back(beside, written, stop)
        beside.rename(compressed)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, Stopped):
            return None
        raise
    sync_folder(path.parent)
    path.unlink()
    sync_folder(path.parent)
    return compressed


def _write(path: Path, beside: Path, form: _Format, stop: Callable[[], bool]) -> bytes:
    """Write the compressed file with the mode and times of the plain one; the SHA-256 of what is in it."""
    with path.open("rb") as plain, beside.open("xb") as file:
        status = os.fstat(plain.fileno())
        encoder = form.encoder(status.st_size)

        def compressing() -> Iterator[bytes]:
            for chunk in _chunks(plain, stop):
                if plain.tell() > status.st_size:
                    break
                file.write(encoder.compress(chunk))
                yield chunk

        written = _digest(compressing())
        if plain.tell() != status.st_size:
            raise OSError(errno.EBUSY, "the segment is still being written", str(path))
        file.write(encoder.flush())
        file.flush()
        os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))
        os.utime(file.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
        os.fsync(file.fileno())
    return written


def _read_back(path: Path, written: bytes, stop: Callable[[], bool]) -> None:
    with open_segment(path) as file:
        if _digest(_chunks(file, stop)) != written:
            raise OSError(errno.EIO, "what was read back is not what was written", str(path))


def _chunks(file: IO[bytes], stop: Callable[[], bool]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        if stop():
            raise Stopped
        yield chunk


def _digest(chunks: Iterator[bytes]) -> bytes:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()
