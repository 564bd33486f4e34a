"""Records as TensorFlow frames them: each with its length, and checksums of both."""

from __future__ import annotations

import io
import struct
from functools import cache
from typing import IO, TYPE_CHECKING, Final, NamedTuple, cast

from rldk.adapters.base import Bad
from rldk.io.compression import DamagedSegmentError, open_segment
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["MAX_RECORD", "Record", "crc32c", "masked", "records", "whole_records"]

MAX_RECORD: Final = 2**26
"""The largest record in bytes that is read; what it holds is seldom a thousandth of that."""

_CHUNK: Final = 2**18
_HEADER: Final = struct.Struct("<QI")
_CHECKSUM: Final = struct.Struct("<I")
_POLYNOMIAL: Final = 0x82F63B78

_words: Final = struct.Struct("<I").iter_unpack


class Record(NamedTuple):
    """What is in a record."""

    data: bytes
    number: int
    """From 1."""
    byte: int
    """Where its data begins in the file, decompressed."""

    def bad(self, path: Path, problem: Problem) -> Bad:
        """What is wrong with the record, said with the byte counted from its data's start."""
        return Bad(problem.at(self.number, self.byte), path)


def records(path: Path) -> Iterator[Record | Bad]:
    """The records of a file, compressed or not, each checked against its checksums.

    A record whose length is intact is passed over when its data is damaged. Where the length itself is damaged
    nobody knows where the next record begins, and what follows cannot be read. An unfinished last record, or
    NUL bytes up to the end, are a torn tail.

    Raises:
        MissingExtraError: it is compressed with zstd, and `zstandard` is not installed.
        OSError: it cannot be read.
    """
    with io.BufferedReader(cast("io.RawIOBase", open_segment(path)), _CHUNK) as file:
        byte = number = 0
        while True:
            number += 1
            try:
                frame = _frame(file)
            except DamagedSegmentError as error:
                frame = _Frame(b"", 0, Problem("bad_compression", error.expected, error.found))
            if frame is None:
                return
            if frame.problem:
                yield Bad(frame.problem.at(number, byte), path)
                if not frame.size:
                    return
            else:
                yield Record(frame.data, number, byte + _HEADER.size)
            byte += frame.size


def whole_records(head: bytes) -> Iterator[bytes]:
    """What is in the records at the beginning of a file that are whole and undamaged."""
    file = io.BytesIO(head)
    while (frame := _frame(file)) and frame.size:
        if not frame.problem:
            yield frame.data


class _Frame(NamedTuple):
    data: bytes
    size: int
    """How many bytes it takes in the file; 0 when nobody knows where the next begins."""
    problem: Problem | None = None
    """What is wrong with it, with the byte counted from its start."""


def _frame(file: IO[bytes]) -> _Frame | None:
    """The next record; None at the end of the file."""
    header = _read(file, _HEADER.size)
    if not header:
        return None
    if len(header) < _HEADER.size:
        return _torn(f"{_HEADER.size} bytes of length and checksum", len(header))
    length, checksum = _HEADER.unpack(header)
    if checksum != (own := masked(crc32c(header[:8]))):
        return _lost(file, header, own)
    if length > MAX_RECORD:
        rest = _count(file, length + _CHECKSUM.size)
        problem = Problem("bad_record", f"a record of at most {MAX_RECORD} bytes", f"one of {length} bytes")
        return _Frame(b"", _HEADER.size + rest, problem)
    return _body(file, length)


def _body(file: IO[bytes], length: int) -> _Frame:
    """What follows a length that is intact."""
    data = _read(file, length)
    ending = _read(file, _CHECKSUM.size)
    if len(ending) < _CHECKSUM.size:
        return _torn(f"{length + _CHECKSUM.size} bytes of data and checksum", len(data) + len(ending))
    size = _HEADER.size + length + _CHECKSUM.size
    (checksum,) = _CHECKSUM.unpack(ending)
    if checksum != (own := masked(crc32c(data))):
        expected = f"data whose checksum is 0x{checksum:08x}, as the record says"
        problem = Problem("bad_checksum", expected, f"0x{own:08x}: its bytes were changed", byte=_HEADER.size)
        return _Frame(b"", size, problem)
    return _Frame(data, size)


def _torn(expected: str, found: int) -> _Frame:
    what = f"{found} until the file ends: it was cut short, or is still being written"
    return _Frame(b"", 0, Problem("torn_tail", expected, what))


def _lost(file: IO[bytes], header: bytes, own: int) -> _Frame:
    """What to say of a length that cannot be trusted, after looking at all that follows."""
    empty, rest = not header.strip(b"\0"), len(header)
    while chunk := file.read(_CHUNK):
        empty = empty and not chunk.strip(b"\0")
        rest += len(chunk)
    if empty:
        found = f"{rest} NUL bytes until the file ends: the disk lost what was written, as after a power cut"
        return _Frame(b"", 0, Problem("torn_tail", "a record", found))
    _, checksum = _HEADER.unpack(header)
    expected = f"a length whose checksum is 0x{checksum:08x}, as the record says"
    found = (
        f"0x{own:08x}: where the next record begins is not known, "
        f"and the last {rest} bytes of the file cannot be read in any mode"
    )
    return _Frame(b"", 0, Problem("bad_checksum", expected, found))


def _read(file: IO[bytes], size: int) -> bytes:
    """So many bytes, fewer at the end of the file; no more memory is taken than there are bytes."""
    if size <= _CHUNK:
        return file.read(size)
    content = bytearray()
    while len(content) < size and (chunk := file.read(min(size - len(content), _CHUNK))):
        content += chunk
    return bytes(content)


def _count(file: IO[bytes], size: int) -> int:
    """Read over so many bytes; how many there were."""
    count = 0
    while count < size and (chunk := file.read(min(size - count, _CHUNK))):
        count += len(chunk)
    return count


def masked(crc: int) -> int:
    """A checksum as TensorFlow stores it, so that a checksum of bytes that hold checksums stays a good one."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """The checksum CRC-32C of some bytes."""
    single, low, high = _tables()
    crc = 0xFFFFFFFF
    end = len(data) & ~3
    for (word,) in _words(memoryview(data)[:end]):
        crc ^= word
        crc = low[crc & 0xFFFF] ^ high[crc >> 16]
    for byte in data[end:]:
        crc = single[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


@cache
def _tables() -> tuple[list[int], list[int], list[int]]:
    """What a byte, and what the lower and the upper half of a word make of a checksum."""
    single = list(range(256))
    for _ in range(8):
        single = [crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0) for crc in single]

    def shifted(table: list[int]) -> list[int]:
        return [single[crc & 0xFF] ^ crc >> 8 for crc in table]

    high = shifted(shifted(list(range(2**16))))
    return single, shifted(shifted(high)), high
