"""Decode the lines of one log fast, by remembering what does not change between them.

A line RLDK wrote is a head that differs from step to step (`step` to `metrics`) and a tail that seldom does
(`rng` to `notes`). A tail seen once is known by its bytes; a head is decoded into a Struct made for exactly
its metrics. Whatever does not fit is decoded the plain way by `rldk.io.codec`, which has the last word.
"""

from __future__ import annotations

import re
from contextlib import suppress
from io import BytesIO
from itertools import islice, repeat, takewhile
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from rldk.errors import InvalidLineError
from rldk.io.codec import decode
from rldk.io.event_schema import INT_MAX, MAX_LINE, TIMESTAMP, Event, Integer, Number, Section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    _Decode = Callable[[bytes], Any]

__all__ = ["Head", "LineDecoder", "Run", "Tail", "event", "names"]

_TAIL: Final = re.compile(rb'"rng"\s*:\s*\{')
_SLICED: Final = re.compile(rb'(.*?,\s*"data_slice"\s*:\s*)(\{[^{}]*\})(\s*,\s*"model_info"\s*:\s*\{.*)', re.DOTALL)
_SHAPES: Final = 8
"""How many tails are remembered: train, eval and final of a few evaluation sets."""
_REPEATS: Final = 8
"""So often in a row the same `data_slice` has to come to be part of a tail that is remembered."""

_STAMP: Final = len("2026-01-31T23:59:59.000000Z")
_timestamp: Final = attrgetter("timestamp")
_is_timestamp: Final = TIMESTAMP.fullmatch
_are_timestamps: Final = re.compile(f"(?:{TIMESTAMP.pattern})*").fullmatch

_NO_HEAD: Final = (KeyError, msgspec.DecodeError, UnicodeDecodeError)
_decode_section: Final = msgspec.json.Decoder(Section).decode

Count = Annotated[int, Meta(ge=0, le=INT_MAX)]


class Head(msgspec.Struct, gc=False):
    """What differs from step to step. `metrics` is a dict here; a regular head has a Struct in its place."""

    step: int
    wall_time: float | None
    timestamp: str | None
    seq: int | None
    metrics: dict[str, Number]


class Tail(msgspec.Struct, frozen=True, eq=False):
    """What seldom differs from step to step."""

    rng: Section
    data_slice: Section
    model_info: Section
    notes: list[str]


class Run(NamedTuple):
    """Successive regular lines of a text; or one line by itself, which is not regular, or not yet known to be.

    A regular line has a wall_time, and its head holds the metrics as a Struct, see `names`. A line that is no
    event has None for its head, and the error for its tail.
    """

    start: int
    """Where the first line begins in the text."""
    heads: list[Any]
    tails: list[Any]
    """The same tail object stands for the same bytes, so what is derived from a tail can be kept."""
    regular: bool


class _Decoders(dict[int, "_Decode"]):
    r"""What decodes the heads that were seen before a tail, by how many colons they have.

    Every member of a head is required. So a text that decodes, has no colon spelled as `\u003a` and just as many
    colons as its members need repeats no key; msgspec alone would pass over a repeated one. For that a timestamp
    must have two of them, which is left to `_stamped`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._all: dict[int, list[_Decode]] = {}

    def add(self, colons: int, decode_head: _Decode) -> None:
        """Know how to decode heads of so many colons."""
        if len(self) == _SHAPES:
            self.clear()
            self._all.clear()
        found = self._all.setdefault(colons, [])
        if decode_head not in found:
            found[_SHAPES - 1 :] = [decode_head]
            self[colons] = _first_of(found) if len(found) > 1 else decode_head


class _Shape(NamedTuple):
    """A tail that is known, and what decodes the heads that were seen before it."""

    tail_bytes: bytes
    """With the newline."""
    size: int
    colons: int
    """In the tail."""
    tail: Tail
    decoders: _Decoders


class _Sliced:
    """A tail that is known but for its `data_slice`.

    Args:
        front: the bytes before `data_slice`, which begin the tail.
        back: those after it, with the newline.
        tail: with one `data_slice` or another.
    """

    def __init__(self, front: bytes, back: bytes, tail: Tail) -> None:
        self.front = front
        self.back = back
        self.decoders = _Decoders()
        self._tail = tail
        self._last = b""
        self._repeats = 0

    def parts(self, line: bytes) -> tuple[Any, Tail] | None:
        """The regular head of a line that ends in `back`, and its tail; None when it is not like that."""
        end = len(line) - len(self.back)
        cut = line.rfind(self.front, 0, end)
        data_slice = self._slice(line[cut + len(self.front) : end]) if cut > 0 else None
        if data_slice is None:
            return None
        text = line[:cut] + b"}"
        try:
            head = self.decoders[text.count(b":")](text)
        except _NO_HEAD:
            return None
        return head, Tail(self._tail.rng, data_slice, self._tail.model_info, self._tail.notes)

    def _slice(self, text: bytes) -> Section | None:
        """The section that is this text, when it is a plain one, and has not come many times in a row."""
        self._repeats = self._repeats + 1 if text == self._last else 0
        self._last = text
        if self._repeats == _REPEATS:
            return None
        try:
            section = _decode_section(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return section if b"\\" not in text and text.count(b":") == len(section) else None


class LineDecoder:
    """Decodes the lines of one log; keeps a few shapes, so its memory does not grow with the log."""

    def __init__(self) -> None:
        self._shapes: list[_Shape] = []
        self._sliced: list[_Sliced] = []
        self._heads: dict[tuple[Any, ...], _Decode] = {}

    def parts(self, text: bytes) -> Iterator[tuple[int, int, Any, Any, tuple[str, ...] | None]]:
        """The lines of a text, each taken apart.

        Args:
            text: whole lines, each with its newline.

        Yields:
            where the line starts and ends in the text, its head, its tail, and what `names` says of the head.
        """
        for run in self.runs(text):
            start = run.start
            for head, tail in zip(run.heads, run.tails, strict=True):
                end = text.index(b"\n", start)
                yield start, end, head, tail, names(head)
                start = end + 1

    def runs(self, text: bytes) -> Iterator[Run]:
        """The lines of a text, taken apart, as many together as are regular.

        Args:
            text: whole lines, each with its newline.
        """
        lines = BytesIO(text).readlines()
        # Looking for one byte is twenty times faster than looking for two.
        shapeless = (b"\\" in text and b"\\u" in text) or len(text) > MAX_LINE
        if not shapeless and (run := self._alike(text, lines)):
            yield run
            return
        at = start = 0
        while at < len(lines):
            heads, tails = ([], []) if shapeless else self._regular(lines, at)
            if heads:
                yield Run(start, heads, tails, regular=True)
                start += sum(map(len, lines[at : at + len(heads)]))
                at += len(heads)
            if at < len(lines):
                yield self._learn(lines[at], start)
                start += len(lines[at])
                at += 1

    def _alike(self, text: bytes, lines: list[bytes]) -> Run | None:
        """All the lines of a text, when they are regular and of one known shape, as in a long log most are.

        The colons are counted together: no line that decodes has fewer than its members need, so when there are
        just as many as all of them need, none has more.
        """
        shape = next((shape for shape in self._shapes if text.endswith(shape.tail_bytes)), None)
        if shape is None or not all(map(bytes.endswith, lines, repeat(shape.tail_bytes))):
            return None
        count, size = len(lines), shape.size
        colons, rest = divmod(text.count(b":") - count * shape.colons, count)
        if rest:
            return None
        try:
            heads = list(map(shape.decoders[colons], [line[:-size] + b"}" for line in lines]))
        except _NO_HEAD:
            return None
        return Run(0, heads, [shape.tail] * count, regular=True) if len(_stamped(heads)) == count else None

    def _regular(self, lines: list[bytes], at: int) -> tuple[list[Any], list[Tail]]:
        """The heads and tails of the lines from here on, as far as they are of shapes that are known."""
        heads: list[Any] = []
        tails: list[Tail] = []
        tail_bytes = b"no line"
        for line in islice(lines, at, None):
            if not line.endswith(tail_bytes):
                shape = next((shape for shape in self._shapes if line.endswith(shape.tail_bytes)), None)
                if shape is None:
                    parts = self._parts(line)
                    if parts is None:
                        break
                    heads.append(parts[0])
                    tails.append(parts[1])
                    continue
                tail_bytes, size, _, tail, decoders = shape
            text = line[:-size] + b"}"
            try:
                heads.append(decoders[text.count(b":")](text))
            except _NO_HEAD:
                break
            tails.append(tail)
        heads = _stamped(heads)
        return heads, tails[: len(heads)]

    def _parts(self, line: bytes) -> tuple[Any, Tail] | None:
        found = (sliced.parts(line) for sliced in self._sliced if line.endswith(sliced.back))
        return next(filter(None, found), None)

    def _learn(self, line: bytes, start: int) -> Run:
        try:
            event = decode(line[:-1])
        except InvalidLineError as error:
            return Run(start, [None], [error], regular=False)
        head = Head(event.step, event.wall_time, event.timestamp, event.seq, event.metrics)
        tail = Tail(event.rng, event.data_slice, event.model_info, event.notes)
        if _is_plain(event) and (match := _TAIL.search(line)):
            self._remember(line, line.rfind(b",", 0, match.start()), event, tail)
        return Run(start, [head], [tail], regular=False)

    def _remember(self, line: bytes, at: int, event: Event, tail: Tail) -> None:
        """Know this tail, which begins here in the line, and how to decode the head before it."""
        if at < 0 or b"\\" in line[:at]:
            return
        decode_head = self._decoder(tuple(event.metrics), event.timestamp is not None, event.seq is not None)
        # A head with other fields would leave this tail with some of a regular head's own.
        with suppress(msgspec.DecodeError):
            decode_head(line[:at] + b"}")
            self._shape(line[at:], tail).decoders.add(line.count(b":", 0, at), decode_head)

    def _shape(self, tail_bytes: bytes, tail: Tail) -> _Shape:
        """The shape of a tail, which becomes known by this."""
        shape = next((shape for shape in self._shapes if shape.tail_bytes == tail_bytes), None)
        if shape is None:
            sliced = self._slice(tail_bytes, tail)
            decoders = sliced.decoders if sliced else _Decoders()
            shape = _Shape(tail_bytes, len(tail_bytes), tail_bytes.count(b":"), tail, decoders)
            self._shapes = [shape, *self._shapes[: _SHAPES - 1]]
        return shape

    def _slice(self, tail_bytes: bytes, tail: Tail) -> _Sliced | None:
        """What is known of all tails that differ from this one in `data_slice` only."""
        match = _SLICED.fullmatch(tail_bytes)
        if match is None or b"\\" in tail_bytes:
            return None
        front, _, back = match.groups()
        sliced = next((each for each in self._sliced if (each.front, each.back) == (front, back)), None)
        if sliced is None:
            sliced = _Sliced(front, back, tail)
            self._sliced = [sliced, *self._sliced[: _SHAPES - 1]]
        return sliced

    def _decoder(self, *shape: Any) -> _Decode:
        if shape not in self._heads:
            if len(self._heads) == _SHAPES:
                self._heads.clear()
            self._heads[shape] = msgspec.json.Decoder(_head_type(*shape)).decode
        return self._heads[shape]


def _first_of(decoders: Sequence[_Decode]) -> _Decode:
    """Decodes with the first that can."""

    def decode_head(text: bytes) -> Any:
        for each in decoders[:-1]:
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                return each(text)
        return decoders[-1](text)

    return decode_head


def _stamped(heads: list[Any]) -> list[Any]:
    """The heads up to the first that has a timestamp which is none."""
    stamps: list[str] = list(map(_timestamp, heads))
    if None in stamps:
        stamps = [stamp for stamp in stamps if stamp is not None]
    # A pattern goes over many timestamps at once faster than over each.
    if not stamps or (_are_timestamps("".join(stamps)) and set(map(len, stamps)) == {_STAMP}):
        return heads
    return list(takewhile(lambda head: head.timestamp is None or _is_timestamp(head.timestamp), heads))


def names(head: Any) -> tuple[str, ...] | None:
    """The names of the metrics of a head, when it holds them as a Struct, in their order."""
    return getattr(head.metrics, "__struct_encode_fields__", None) if head else None


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


def _is_plain(event: Event) -> bool:
    """Whether an event has no null in its head that counts, and no number that is not finite."""
    return event.wall_time is not None and all(
        type(value) in {float, int} and value - value == 0  # type: ignore[operator]
        for value in event.metrics.values()
    )


def _head_type(names: tuple[str, ...], has_timestamp: bool, has_seq: bool) -> type[msgspec.Struct]:  # noqa: FBT001
    fields = {f"metric_{index}": name for index, name in enumerate(names)}
    metrics = msgspec.defstruct(
        "Metrics", [(field, Integer | float) for field in fields], rename=fields, forbid_unknown_fields=True, gc=False
    )
    fields_of_head: list[Any] = [("step", Count), ("wall_time", Annotated[float, Meta(ge=0, lt=INT_MAX + 1)])]
    fields_of_head += [("timestamp", str)] * has_timestamp + [("seq", Count)] * has_seq + [("metrics", metrics)]
    # What a head does not have is no field, not even an optional one: each of its members is required.
    absent = dict.fromkeys(["timestamp"] * (not has_timestamp) + ["seq"] * (not has_seq))
    return msgspec.defstruct("RegularHead", fields_of_head, namespace=absent, forbid_unknown_fields=True, gc=False)
