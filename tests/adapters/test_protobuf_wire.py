"""Messages are read field by field, and what is none is refused with its place."""

from __future__ import annotations

import random
import struct

import pytest

from rldk.adapters.protobuf_wire import BYTES, FIXED32, FIXED64, VARINT, Field, WireError, fields
from tests.adapters.event_file import double, field, number, single, varint


def test_every_wire_type_is_read() -> None:
    """A message gives its fields in their order, each with its wire type, its value and where that begins."""
    message = number(1, 300) + double(2, 0.5) + field(3, b"abc") + single(4, 0.25)

    assert list(fields(message)) == [
        Field(1, VARINT, 300, 1),
        Field(2, FIXED64, struct.pack("<d", 0.5), 4),
        Field(3, BYTES, b"abc", 14),
        Field(4, FIXED32, struct.pack("<f", 0.25), 18),
    ]


def test_values_are_read_as_the_schema_says() -> None:
    """Signs, widths and texts are those of the field's type."""
    message = number(1, -2) + double(2, 0.1) + single(3, 0.5) + field(4, "ü".encode()) + field(5, number(6, 7))
    negative, wide, narrow, text, inner = fields(message)

    assert (negative.integer(), wide.double(), narrow.single(), text.text()) == (-2, 0.1, 0.5, "ü")
    assert [each.integer() for each in inner.fields()] == [7]


def test_repeated_numbers_may_be_packed() -> None:
    """A repeated field gives the same numbers packed together and one by one."""
    (packed,) = fields(field(1, varint(1) + varint(-1) + varint(300)))
    (alone,) = fields(number(1, 5))

    assert list(packed.integers()) == [1, -1, 300]
    assert list(alone.integers()) == [5]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b"\x08", "byte 101: expected a whole varint, found the end of the message"),
        (b"\x08" + b"\xff" * 10, "byte 101: expected a whole varint, found more than 10 bytes"),
        (b"\x08" + b"\xff" * 9 + b"\x7f", "byte 101: expected a number of 64 bits, found a larger one"),
        (b"\x00\x01", "byte 100: expected a field number from 1 to 536870911, found 0"),
        (b"\x0b", "byte 100: expected a field of wire type 0, 1, 2 or 5, found wire type 3"),
        (b"\x0a\x05ab", "byte 102: expected 5 bytes in field 1, found 2 until the message ends"),
        (b"\x09\x00", "byte 101: expected 8 bytes in field 1, found 1 until the message ends"),
    ],
)
def test_what_is_no_message_is_refused_with_its_place(message: bytes, said: str) -> None:
    """Damage is said with its byte, counted from where the caller says the message begins."""
    with pytest.raises(WireError) as caught:
        list(fields(message, 100))

    assert str(caught.value) == said


def test_a_field_of_another_type_is_refused() -> None:
    """A field whose wire type is not that of its schema is refused, and so is text that is no UTF-8."""
    (found,) = fields(field(1, b"\xff"))

    with pytest.raises(WireError, match="byte 2: expected a varint in field 1, found bytes with their length"):
        found.integer()
    with pytest.raises(WireError, match="byte 2: expected UTF-8, found the byte 0xff"):
        found.text()


def test_random_bytes_are_read_or_refused() -> None:
    """Whatever the bytes are, they are fields or a WireError."""
    chance = random.Random(7)  # noqa: S311 - bytes, no secrets
    for _ in range(2000):
        try:
            list(fields(chance.randbytes(chance.randrange(40))))
        except WireError as error:
            assert error.expected  # noqa: PT017 - most of these are damaged, some are not
