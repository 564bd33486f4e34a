"""Records as LevelDB's log frames them, in blocks of 32 KiB, each piece with a checksum; W&B writes its runs so."""

from __future__ import annotations

import struct
import zlib
from typing import IO, TYPE_CHECKING, Final, Literal, NamedTuple

from rldk.adapters.base import Bad
from rldk.io.compression import DamagedSegmentError, open_segment
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["BLOCK", "MAX_RECORD", "Record", "records"]

BLOCK: Final = 2**15
"""How many bytes a block has; no piece of a record reaches into the next."""

MAX_RECORD: Final = 2**26
"""The largest record in bytes that is put together."""

_PIECE: Final = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_CHECKSUMS: Final = {kind: zlib.crc32(bytes([kind])) for kind in (_FULL, _FIRST, _MIDDLE, _LAST)}
"""The checksum goes over the kind of a piece, then its data."""


class Record(NamedTuple):
    """What is in a record."""

    data: bytes
    number: int
    """From 1; each damaged part of the file counts as one too."""
    byte: int
    """Where its first piece begins in the file, decompressed."""

    def bad(self, path: Path, problem: Problem) -> Bad:
        """What is wrong with the record; where in it cannot be said, as it may be in pieces."""
        return Bad(problem.at(self.number, self.byte), path)


def records(path: Path, header: bytes = b"") -> Iterator[Record | Bad]:
    """The records of a file, compressed or not, each checked against its checksums.

    After a damaged piece it is gone on with the next piece when that is where the damaged one says it is, and
    with the next block otherwise. An unfinished end, or NUL bytes up to it, are a torn tail. Memory is bounded by
    the largest record.

    Args:
        path: the file.
        header: what the first block begins with.

    Raises:
        MissingExtraError: it is compressed with zstd, and `zstandard` is not installed.
        OSError: it cannot be read.
    """
    number, begun = 0, _Begun()
    for piece in _pieces(path, header):
        done = begun.add(piece)
        for each in done:
            number += 1
            if isinstance(each, Record):
                yield each._replace(number=number)
            else:
                yield Bad(each.at(number, 0), path)
    if lost := begun.end():
        yield Bad(lost.at(number + 1, 0), path)


class _Piece(NamedTuple):
    kind: int
    data: bytes
    byte: int
    problem: Problem | None = None
    """What is wrong with it, with its byte counted from the start of the file."""


class _Begun:
    """A record whose last piece has not come."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._byte = 0
        self._open = False
        self._lost = False
        """Whether pieces are passed over, of a record of which something is damaged."""

    def add(self, piece: _Piece) -> list[Record | Problem]:
        """The record that a piece completes, and what it shows to be damaged."""
        if piece.problem:
            # What was begun is lost with the piece, and said with it.
            self._drop()
            return [piece.problem]
        done: list[Record | Problem] = []
        if piece.kind in {_FULL, _FIRST}:
            if self._open:
                done.append(self._unfinished("a new record"))
            self._drop(lost=False)
            if piece.kind == _FULL:
                return [*done, Record(piece.data, 0, piece.byte)]
            self._open, self._byte = True, piece.byte
        elif not self._open:
            if not self._lost:
                expected = "the beginning of a record"
                done.append(Problem("bad_record", expected, "the middle or the end of one", byte=piece.byte))
            self._drop(lost=piece.kind == _MIDDLE)
            return done
        self._parts.append(piece.data)
        self._size += len(piece.data)
        if self._size > MAX_RECORD:
            problem = Problem("bad_record", f"a record of at most {MAX_RECORD} bytes", "a larger one", byte=self._byte)
            self._drop(lost=piece.kind != _LAST)
            return [*done, problem]
        if piece.kind == _LAST:
            record = Record(b"".join(self._parts), 0, self._byte)
            self._drop(lost=False)
            return [*done, record]
        return done

    def end(self) -> Problem | None:
        """What is wrong when the file ends here."""
        if not self._open:
            return None
        return Problem("torn_tail", "the last piece of a record", "the end of the file", byte=self._byte)

    def _drop(self, *, lost: bool = True) -> None:
        self._parts, self._size, self._open, self._lost = [], 0, False, lost

    def _unfinished(self, found: str) -> Problem:
        return Problem("bad_record", "the last piece of a record", found, byte=self._byte)


def _pieces(path: Path, header: bytes) -> Iterator[_Piece]:
    """The pieces of all blocks; where one is damaged, one that says so."""
    start, nul = 0, -1
    with open_segment(path) as file:
        while True:
            try:
                block = _fill(file)
            except DamagedSegmentError as error:
                yield _Piece(0, b"", start, Problem("bad_compression", error.expected, error.found, byte=start))
                return
            for piece in _in_block(block, start, 0 if start else len(header)):
                if piece.problem is _NUL:
                    nul = piece.byte if nul < 0 else nul
                    continue
                if nul >= 0:
                    yield _nul("bad_record", nul)
                    nul = -1
                yield piece
            if len(block) < BLOCK:
                break
            start += BLOCK
    if nul >= 0:
        yield _nul("torn_tail", nul)


_NUL: Final = Problem("bad_record", "a piece of a record", "NUL bytes")


def _nul(kind: Literal["bad_record", "torn_tail"], byte: int) -> _Piece:
    return _Piece(0, b"", byte, Problem(kind, _NUL.expected, _NUL.found, byte=byte))


def _fill(file: IO[bytes]) -> bytes:
    """The next block, shorter at the end of the file."""
    block = b""
    while len(block) < BLOCK and (chunk := file.read(BLOCK - len(block))):
        block += chunk
    return block


def _in_block(block: bytes, start: int, place: int) -> Iterator[_Piece]:
    """The pieces in a block from a place on, to its end or to damage beyond which nobody knows where the next is."""
    while BLOCK - place >= _PIECE.size and place < len(block):
        byte = start + place
        if not block[place] and not block[place:].strip(b"\0"):
            yield _Piece(0, b"", byte, _NUL)
            return
        if len(block) - place < _PIECE.size:
            problem = Problem("torn_tail", f"{_PIECE.size} bytes before a piece", str(len(block) - place), byte=byte)
            yield _Piece(0, b"", byte, problem)
            return
        checksum, size, kind = _PIECE.unpack_from(block, place)
        end = place + _PIECE.size + size
        data = block[place + _PIECE.size : end]
        if end > len(block):
            torn = len(block) < BLOCK and end <= BLOCK and kind in _CHECKSUMS
            expected = f"{size} bytes in a piece" if torn else f"a piece that ends in its block of {BLOCK} bytes"
            found = str(len(data)) if torn else f"one of {size} bytes"
            yield _Piece(0, b"", byte, Problem("torn_tail" if torn else "bad_record", expected, found, byte=byte))
            return
        if not _is_intact(block, place):
            expected = f"the checksum 0x{checksum:08x} of a piece of {size} bytes"
            yield _Piece(0, b"", byte, Problem("bad_checksum", expected, "another: its bytes were changed", byte=byte))
            if not _is_intact(block, end):
                return
        else:
            yield _Piece(kind, data, byte)
        place = end


def _is_intact(block: bytes, place: int) -> bool:
    """Whether a whole piece stands at this place, with the checksum that it should have."""
    if len(block) - place < _PIECE.size:
        return False
    checksum, size, kind = _PIECE.unpack_from(block, place)
    data = block[place + _PIECE.size : place + _PIECE.size + size]
    return kind in _CHECKSUMS and len(data) == size and zlib.crc32(data, _CHECKSUMS[kind]) == checksum
