"""Event files of TensorBoard, made by hand."""

from __future__ import annotations

import struct

from rldk.adapters.tfrecord import crc32c, masked

BEGAN = 1_700_000_000.0
"""When the runs made here began, in seconds since 1970: 2023-11-14T22:13:20Z."""


def varint(value: int) -> bytes:
    """A number of Protocol Buffers."""
    value %= 2**64
    pieces = []
    while value >= 0x80:
        pieces.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*pieces, value])


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, of text or of a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def number(field_number: int, value: int) -> bytes:
    """A field of a number."""
    return varint(field_number << 3) + varint(value)


def single(field_number: int, value: float) -> bytes:
    """A field of a float."""
    return varint(field_number << 3 | 5) + struct.pack("<f", value)


def double(field_number: int, value: float) -> bytes:
    """A field of a double."""
    return varint(field_number << 3 | 1) + struct.pack("<d", value)


def record(data: bytes) -> bytes:
    """A record with its length and checksums."""
    length = struct.pack("<Q", len(data))
    return length + checksum(length) + data + checksum(data)


def checksum(data: bytes) -> bytes:
    """The checksum of bytes as a record holds it."""
    return struct.pack("<I", masked(crc32c(data)))


def event(step: int, *values: bytes, after: float | None = None) -> bytes:
    """An event with these values, so many seconds after the beginning; as many as there are steps when not given."""
    time = double(1, BEGAN + (step if after is None else after))
    return time + number(2, step) + field(5, b"".join(field(1, value) for value in values))


def scalar(tag: str, value: float) -> bytes:
    """A value as most writers write it."""
    return field(1, tag.encode()) + single(2, value)


def tensor(tag: str, *content: bytes, plugin: str = "scalars") -> bytes:
    """A value that is a tensor, shown by a plugin."""
    metadata = field(9, field(1, field(1, plugin.encode()))) if plugin else b""
    return field(1, tag.encode()) + field(8, b"".join(content)) + metadata


def header(after: float = 0.0) -> bytes:
    """The first event of a file."""
    return double(1, BEGAN + after) + field(3, b"brain.Event:2")


def event_file(*events: bytes) -> bytes:
    """A whole file with these events behind its header."""
    return b"".join(map(record, (header(), *events)))


def scalars(*points: tuple[int, str, float]) -> list[bytes]:
    """For each step, tag and value an event of its own."""
    return [event(step, scalar(tag, value)) for step, tag, value in points]
