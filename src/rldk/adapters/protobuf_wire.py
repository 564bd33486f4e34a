"""The wire format of Protocol Buffers: the fields of a message, read strictly, without knowing its schema."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BYTES", "FIXED32", "FIXED64", "VARINT", "Field", "WireError", "fields"]

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

_NAMES: Final = {VARINT: "a varint", FIXED64: "8 bytes", BYTES: "bytes with their length", FIXED32: "4 bytes"}
_SIZES: Final = {FIXED64: 8, FIXED32: 4}
_HIGHEST: Final = 2**29 - 1
"""The highest number a field can have."""
_MAX_VARINT: Final = 10
"""How many bytes a varint of 64 bits has at most."""
_MORE: Final = 0x80
"""The bit of a byte that says that the varint goes on."""

_double: Final = struct.Struct("<d").unpack
_single: Final = struct.Struct("<f").unpack


class WireError(ValueError):
    """Bytes that are no message, or a field that has another wire type than its schema says.

    Args:
        byte: where, counted as the caller of `fields` counts.
        expected: what should have stood there.
        found: what stood there.
    """

    def __init__(self, byte: int, expected: str, found: str) -> None:
        super().__init__(byte, expected, found)
        self.byte = byte
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return f"byte {self.byte}: expected {self.expected}, found {self.found}"


class Field(NamedTuple):
    """A field of a message; its methods read it as its schema says, and raise WireError where it cannot be that."""

    number: int
    wire_type: int
    value: int | bytes
    """The number of a varint, without sign; otherwise its bytes."""
    byte: int
    """Where its value begins."""

    def integer(self) -> int:
        """The value of an int32, int64, bool or enum field."""
        return _signed(self._of(VARINT))  # type: ignore[arg-type]

    def integers(self) -> Iterator[int]:
        """The values of a repeated int32, int64, bool or enum field: this one, or those packed together."""
        if self.wire_type != BYTES:
            yield self.integer()
            return
        content, place = self.content(), 0
        while place < len(content):
            value, place = _varint(content, place, self.byte)
            yield _signed(value)

    def double(self) -> float:
        """The value of a double field."""
        value: float = _double(self._of(FIXED64))[0]  # type: ignore[arg-type]
        return value

    def single(self) -> float:
        """The value of a float field, as the double that is exactly equal to it."""
        value: float = _single(self._of(FIXED32))[0]  # type: ignore[arg-type]
        return value

    def content(self) -> bytes:
        """The value of a bytes field, of packed numbers or of a message."""
        return self._of(BYTES)  # type: ignore[return-value]

    def text(self) -> str:
        """The value of a string field."""
        try:
            return self.content().decode()
        except UnicodeDecodeError as error:
            raise WireError(self.byte + error.start, "UTF-8", f"the byte 0x{error.object[error.start]:02x}") from error

    def fields(self) -> Iterator[Field]:
        """The fields of a message field."""
        return fields(self.content(), self.byte)

    def _of(self, wire_type: int) -> int | bytes:
        if self.wire_type != wire_type:
            expected = f"{_NAMES[wire_type]} in field {self.number}"
            raise WireError(self.byte, expected, _NAMES[self.wire_type])
        return self.value


def fields(message: bytes, byte: int = 0) -> Iterator[Field]:
    """The fields of a message, in the order in which they stand.

    Args:
        message: its bytes.
        byte: where its first byte stands, for the positions of fields and errors.

    Raises:
        WireError: it is no message; raised where its damage begins, when the fields before it have been taken.
    """
    place, end = 0, len(message)
    while place < end:
        key, start = _varint(message, place, byte)
        number, wire_type = key >> 3, key & 7
        if not 0 < number <= _HIGHEST:
            raise WireError(byte + place, f"a field number from 1 to {_HIGHEST}", str(number))
        if wire_type == VARINT:
            value, place = _varint(message, start, byte)
            yield Field(number, wire_type, value, byte + start)
            continue
        if wire_type == BYTES:
            size, start = _varint(message, start, byte)
        elif wire_type in _SIZES:
            size = _SIZES[wire_type]
        else:
            raise WireError(byte + place, "a field of wire type 0, 1, 2 or 5", f"wire type {wire_type}")
        if size > end - start:
            raise WireError(byte + start, f"{size} bytes in field {number}", f"{end - start} until the message ends")
        place = start + size
        yield Field(number, wire_type, message[start:place], byte + start)


def _signed(value: int) -> int:
    return value if value < 2**63 else value - 2**64


def _varint(message: bytes, place: int, byte: int) -> tuple[int, int]:
    """A number, and where what follows it begins."""
    if place < len(message) and message[place] < _MORE:
        return message[place], place + 1
    value = shift = 0
    for index in range(place, min(place + _MAX_VARINT, len(message))):
        piece = message[index]
        value |= (piece & 0x7F) << shift
        if piece < _MORE:
            if value >= 2**64:
                raise WireError(byte + place, "a number of 64 bits", "a larger one")
            return value, index + 1
        shift += 7
    found = "the end of the message" if len(message) - place < _MAX_VARINT else f"more than {_MAX_VARINT} bytes"
    raise WireError(byte + place, "a whole varint", found)
