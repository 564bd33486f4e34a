"""Run files of W&B, made by hand."""

from __future__ import annotations

import json
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["HEADER", "framed", "history", "message", "run", "run_file", "summary"]

HEADER: Final = b":W&B\xe1\xbe\x00"
_BLOCK: Final = 2**15


def framed(records: Iterable[bytes], header: bytes = b"") -> bytes:
    """Records in the blocks of LevelDB's log, the first of which begins with the header."""
    file = bytearray(header)
    for data in records:
        place, first = 0, True
        while first or place < len(data):
            if _BLOCK - len(file) % _BLOCK < 7:
                file += bytes(_BLOCK - len(file) % _BLOCK)
            piece = data[place : place + _BLOCK - len(file) % _BLOCK - 7]
            place += len(piece)
            kind = {(True, True): 1, (True, False): 2, (False, False): 3, (False, True): 4}[first, place == len(data)]
            file += struct.pack("<IHB", zlib.crc32(piece, zlib.crc32(bytes([kind]))), len(piece), kind) + piece
            first = False
    return bytes(file)


def message(*fields: tuple[int, int | bytes | str | float]) -> bytes:
    """A protobuf message of these fields, by their numbers."""
    made = b""
    for number, value in fields:
        if isinstance(value, int):
            made += _varint(number << 3) + _varint(value)
        elif isinstance(value, float):
            made += _varint(number << 3 | 1) + struct.pack("<d", value)
        else:
            data = value.encode() if isinstance(value, str) else value
            made += _varint(number << 3 | 2) + _varint(len(data)) + data
    return made


def _varint(value: int) -> bytes:
    made = b""
    while value > 0x7F:
        made += bytes([value & 0x7F | 0x80])
        value >>= 7
    return made + bytes([value])


def history(row: dict[str, Any]) -> bytes:
    """A record with a row of the history."""
    return message((2, b"".join(message((1, _item(key, value))) for key, value in row.items())))


def summary(values: dict[str, Any]) -> bytes:
    """A record with new values of the summary."""
    return message((3, b"".join(message((1, _item(key, value))) for key, value in values.items())))


def _item(key: str, value: Any) -> bytes:
    return message((1, key), (16, json.dumps(value)))


def run(run_id: str, **config: Any) -> bytes:
    """A record that says which run it is."""
    items = b"".join(message((1, _item(key, value))) for key, value in config.items())
    return message((1, 1), (17, message((1, run_id), (3, "project"), (4, items), (8, "a name"))))


def run_file(*records: bytes) -> bytes:
    """A run file of these records."""
    return framed(records, HEADER)
