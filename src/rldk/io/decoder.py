"""Decode the lines of one log fast, by remembering what does not change between them.

A line RLDK wrote is a head that differs from step to step (`step` to `metrics`) and a tail that seldom does
(`rng` to `notes`). A tail seen once is known by its bytes; a head is decoded into a Struct made for exactly
its metrics. Whatever does not fit is decoded the plain way by `rldk.io.codec`, which has the last word.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from rldk.errors import InvalidLineError
from rldk.io.codec import decode
from rldk.io.event_schema import INT_MAX, MAX_LINE, TIMESTAMP, Event, Integer, Section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Head", "LineDecoder", "Tail", "event"]

_TAIL: Final = b',"rng":{'
_SHAPES: Final = 8
"""How many tails are remembered: train, eval and final of a few evaluation sets."""

_is_timestamp: Final = TIMESTAMP.fullmatch

Count = Annotated[int, Meta(ge=0, le=INT_MAX)]


class Head(msgspec.Struct, gc=False):
    """What differs from step to step. `metrics` is a dict, or a Struct with a field for each name in `names`."""

    step: int
    wall_time: float | None
    timestamp: str | None
    seq: int | None
    metrics: Any
    names: tuple[str, ...] | None = None


class Tail(msgspec.Struct, frozen=True, eq=False):
    """What seldom differs from step to step."""

    rng: Section
    data_slice: Section
    model_info: Section
    notes: list[str]


class _Shape(NamedTuple):
    tail_bytes: bytes
    size: int
    tail: Tail
    names: tuple[str, ...]
    colons: int
    decode: Callable[[bytes], Any]


class LineDecoder:
    """Decodes the lines of one log; keeps a few shapes, so its memory does not grow with the log."""

    def __init__(self) -> None:
        self._shapes: list[_Shape] = []
        self._heads: dict[tuple[str, ...], Callable[[bytes], Any]] = {}

    def parts(self, text: bytes) -> Iterator[tuple[int, int, Any, Any, tuple[str, ...] | None]]:
        r"""The lines of a text, each taken apart.

        Every member of a head is required. So a line that decodes, has no colon spelled as `\u003a` and just as
        many colons as its members need repeats no key; msgspec alone would pass over a repeated one.

        Args:
            text: whole lines, each with its newline.

        Yields:
            where the line starts and ends in the text, its head, its tail, and the names of its metrics when
            the head holds them as a Struct. The same tail object stands for the same bytes, so what is derived
            from a tail can be kept. A line that is no event has None for its head, and the error for its tail.
        """
        find, endswith, count = text.find, text.endswith, text.count
        start, size = 0, len(text)
        shapeless = b"\\u" in text or size > MAX_LINE
        while start < size:
            end = find(b"\n", start)
            for tail_bytes, size_of_tail, tail, names, colons, decode_head in () if shapeless else self._shapes:
                if endswith(tail_bytes, start, end):
                    cut = end - size_of_tail
                    if count(b":", start, cut) == colons:
                        try:
                            head = decode_head(text[start:cut] + b"}")
                        except (msgspec.DecodeError, UnicodeDecodeError):
                            continue
                        if _is_timestamp(head.timestamp):
                            yield start, end, head, tail, names
                            break
            else:
                yield start, end, *self._learn(text[start:end])
            start = end + 1

    def _learn(self, line: bytes) -> tuple[Head | None, Tail | InvalidLineError, None]:
        try:
            event = decode(line)
        except InvalidLineError as error:
            return None, error, None
        tail = Tail(event.rng, event.data_slice, event.model_info, event.notes)
        at = line.find(_TAIL)
        if at > 0 and _regular(line[:at], event):
            names = tuple(event.metrics)
            shape = _Shape(line[at:], len(line) - at, tail, names, line.count(b":", 0, at), self._decoder(names))
            # A head with other fields would leave this tail with some of a regular head's own.
            with suppress(msgspec.DecodeError):
                shape.decode(line[:at] + b"}")
                self._shapes = [shape, *self._shapes[: _SHAPES - 1]]
        return Head(event.step, event.wall_time, event.timestamp, event.seq, event.metrics), tail, None

    def _decoder(self, names: tuple[str, ...]) -> Callable[[bytes], Any]:
        if names not in self._heads:
            if len(self._heads) == _SHAPES:
                self._heads.clear()
            self._heads[names] = msgspec.json.Decoder(_head_type(names)).decode
        return self._heads[names]


def event(head: Any, tail: Tail, names: tuple[str, ...] | None) -> Event:
    """The event of which these are the parts."""
    metrics = head.metrics if names is None else dict(zip(names, msgspec.structs.astuple(head.metrics), strict=True))
    return Event(
        step=head.step,
        wall_time=head.wall_time,
        timestamp=head.timestamp,
        seq=head.seq,
        metrics=metrics,
        rng=dict(tail.rng),
        data_slice=dict(tail.data_slice),
        model_info=dict(tail.model_info),
        notes=list(tail.notes),
    )


def _regular(head: bytes, event: Event) -> bool:
    """Whether a head is of the plain kind that shapes are made from: those with escapes, nulls and gaps are not."""
    return (
        b"\\" not in head
        and None not in (event.wall_time, event.timestamp, event.seq)
        and all(type(value) in {float, int} and value - value == 0 for value in event.metrics.values())  # type: ignore[operator]
    )


def _head_type(names: tuple[str, ...]) -> type[msgspec.Struct]:
    fields = {f"metric_{index}": name for index, name in enumerate(names)}
    metrics = msgspec.defstruct(
        "Metrics", [(field, Integer | float) for field in fields], rename=fields, forbid_unknown_fields=True, gc=False
    )
    return msgspec.defstruct(
        "RegularHead",
        [
            ("step", Count),
            ("wall_time", Annotated[float, Meta(ge=0, lt=INT_MAX + 1)]),
            ("timestamp", str),
            ("seq", Count),
            ("metrics", metrics),
        ],
        forbid_unknown_fields=True,
        gc=False,
    )
