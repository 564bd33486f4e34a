"""Where a listener stands in every run it listens to, as an opaque text."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, TypeAlias

import msgspec

from rldk.io.position import BEGINNING, Position

__all__ = ["BEGINNING", "NOW", "Places", "packed", "unpacked"]

NOW: Final = "now"
"""The cursor of one who began with what is to come, and has not been told yet where that begins."""

Places: TypeAlias = dict[str, dict[int, Position]]
"""For each run, and each rank of it, the position in its log."""

_decode: Final = msgspec.msgpack.Decoder(list[tuple[bytes, list[tuple[int, int, int, int, int]]]]).decode


def packed(places: Places) -> str:
    """The cursor of these places."""
    runs = [(bytes.fromhex(run), [(rank, *ranks[rank]) for rank in sorted(ranks)]) for run, ranks in places.items()]
    return urlsafe_b64encode(msgspec.msgpack.encode(runs)).rstrip(b"=").decode()


def unpacked(cursor: str) -> Places | None:
    """What a cursor stands for: no place at all is the beginning of every run, None is now.

    Raises:
        ValueError: it is none.
    """
    if cursor in {BEGINNING, NOW}:
        return {} if cursor == BEGINNING else None
    try:
        runs = _decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise ValueError(f"from: expected the cursor of a frame, or {BEGINNING}, found {cursor[:40]!r}") from error
    return {run.hex(): {rank: Position(*place) for rank, *place in ranks} for run, ranks in runs}
