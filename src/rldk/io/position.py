"""Places between the lines of a log, and the cursors that stand for those of a run."""

from __future__ import annotations

import binascii
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BEGINNING", "HEAD", "START", "Position", "cursor_of", "head_of", "positions_of"]

BEGINNING: Final = "0"
"""The cursor before the first event."""

HEAD: Final = 4096
"""So much of a first line makes its checksum."""


class Position(NamedTuple):
    """A place between two lines of a log; it means the same when the file was sealed or compressed meanwhile."""

    number: int
    """Of the segment that it is in, or of what the live file will be when it is sealed."""
    byte: int
    """How many bytes of the uncompressed file are before it."""
    line: int
    """How many lines of the file are before it."""
    head: int
    """A checksum of the first line of the file, by which it is known again; 0 before that line."""


START: Final = Position(0, 0, 0, 0)
"""The beginning of every log."""


def head_of(text: bytes) -> int:
    """The checksum by which a file is known that begins like this."""
    return zlib.crc32(text[:HEAD].partition(b"\n")[0]) or 1


def cursor_of(positions: Mapping[int, Position]) -> str:
    """The cursor of a run whose ranks stand there."""
    packed = msgspec.msgpack.encode([(rank, *positions[rank]) for rank in sorted(positions)])
    return urlsafe_b64encode(packed).rstrip(b"=").decode()


def positions_of(cursor: str) -> dict[int, Position]:
    """What a cursor stands for.

    Raises:
        ValueError: it is none.
    """
    if cursor == BEGINNING:
        return {}
    try:
        packed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        found = msgspec.msgpack.decode(packed, type=list[tuple[int, int, int, int, int]])
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise ValueError(f"cursor: expected one that came with an event, or {BEGINNING}, found {cursor!r}") from error
    return {rank: Position(*place) for rank, *place in found}
