"""Events to lines and lines to events, exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf, isfinite, nan
from operator import itemgetter
from typing import Any, Final

import msgspec

from rldk.errors import InvalidEventError
from rldk.io.checks import check_metrics, check_position, check_sections
from rldk.io.event_schema import INT_MAX, MAX_LINE, RULES, SCHEMA_VERSION, TIMESTAMP, Event, Number, Primitive
from rldk.io.explain import explain
from rldk.io.problems import Problem
from rldk.io.values import spelled

__all__ = ["LineEncoder", "colons", "decode", "encode"]

_encode: Final = msgspec.json.Encoder().encode
_encode_into: Final = msgspec.json.Encoder().encode_into
_decode: Final = msgspec.json.Decoder(Event).decode
_as_float: Final = float.conjugate
"""A float as it is. What is no float it refuses, and Python has nothing quicker that does."""
_is_timestamp: Final = TIMESTAMP.fullmatch
_NEWLINE: Final = ord("\n")
_LONGEST: Final = 32
"""No number is longer than this, nor is a timestamp."""
_VALUES: Final = {"NaN": nan, "Infinity": inf, "-Infinity": -inf}


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
    """A line, in the order it is written: what differs from step to step, then what seldom does, encoded before."""

    step: int
    wall_time: float | None
    timestamp: str | None = None
    seq: int | None = None
    metrics: Mapping[str, Number] | None = None
    nonfinite: Mapping[str, str] | None = None
    tail: msgspec.Raw = msgspec.field(name="rng", default=msgspec.Raw())
    """`rng`, and with it all the members that follow."""


class LineEncoder:
    """Encodes the events of one writer, and encodes what does not change between them only once.

    Sections count as unchanged when Python calls them equal, so a 1 that turns into a True is still written
    as the 1 it was. Not for use by several threads at once.

    Args:
        stamps: what the writer knows better than the event; replaces those keys of every `model_info`.
    """

    def __init__(self, stamps: Mapping[str, Primitive] | None = None) -> None:
        self._stamps = dict(stamps or {})
        self._sections: tuple[Any, ...] = ()
        self._values: Callable[[Any], Iterable[Any]] = tuple
        self._count = -1
        self._tail = msgspec.Raw()
        self._line = bytearray()

    def encode(self, event: Event, seq: int | None = None) -> bytearray:
        """The event as one line, its newline included; the buffer is good until the next call.

        Args:
            event: what to encode; metrics must be plain numbers or None, NaN and infinities among them.
            seq: the sequence number to give it; None keeps the event's own.

        Raises:
            InvalidEventError: the event holds something the schema does not allow.
        """
        if seq is None:
            seq = event.seq
        step, wall_time, timestamp, metrics = event.step, event.wall_time, event.timestamp, event.metrics
        # One test of everything, in one place, is what makes this cost no more than the encoding itself.
        try:
            if (
                (event.rng, event.data_slice, event.model_info, event.notes, event.nonfinite) == self._sections
                and len(metrics) == self._count
                and type(step) is type(seq) is int
                and type(wall_time) is float
                # It picks the metrics by their names, refuses what is no float, and sees NaN and infinities.
                and isfinite(sum(map(_as_float, self._values(metrics)), wall_time))
                and 0 <= step <= INT_MAX
                and wall_time >= 0
                and _is_timestamp(timestamp)  # type: ignore[arg-type]
            ):
                line = self._line
                _encode_into(_Line(step, wall_time, timestamp, seq, metrics, None, self._tail), line)
                line.append(_NEWLINE)
                return line
        except (KeyError, RuntimeError, TypeError, ValueError):
            # Not what it was, and perhaps no event at all: an array cannot even be compared. What it is is told below.
            pass
        return self._encode_with_care(event, seq)

    def _encode_with_care(self, event: Event, seq: int | None) -> bytearray:
        check_position(event, seq)
        check_metrics(event)
        model_info = check_sections(event, self._stamps)
        sections = {"data_slice": event.data_slice, "model_info": model_info, "notes": event.notes}
        tail = msgspec.Raw(_encode(event.rng) + b"," + _encode(sections)[1:-1])
        line = _Line(event.step, event.wall_time, event.timestamp, seq, *_split(event.metrics), tail)
        # Until all of it is remembered, nothing is: an interrupt may come in between.
        self._sections = ()
        names = tuple(event.metrics)
        self._count, self._values = len(names), _getter(names)
        self._tail = tail
        _encode_into(line, self._line)
        self._line.append(_NEWLINE)
        size = len(self._line)
        if size > MAX_LINE:
            raise InvalidEventError("$", f"a line of at most {MAX_LINE} bytes", f"one of {size}")
        if size + _LONGEST * (len(names) + 4) < MAX_LINE:
            # A later line that is like this one cannot be too long.
            self._sections = (dict(event.rng), dict(event.data_slice), dict(event.model_info), list(event.notes), {})
        return self._line


def _getter(names: tuple[str, ...]) -> Callable[[Any], Iterable[Any]]:
    """What picks the values of these names out of a dict; it fails when one is not there."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda metrics: [metrics[name] for name in names]


def _split(metrics: Mapping[str, Number]) -> tuple[dict[str, Number], dict[str, str] | None]:
    """The metrics with null for what JSON cannot hold, and how to spell what was lost by that."""
    lost = (name for name, value in metrics.items() if value is not None and value - value != 0)
    nonfinite = {name: str(spelled(metrics[name])) for name in lost}  # type: ignore[arg-type]
    finite = {name: None if name in nonfinite else value for name, value in metrics.items()}
    return finite, nonfinite or None


def encode(event: Event) -> bytes:
    """The event as one line, its newline included.

    Raises:
        InvalidEventError: the event holds something the schema does not allow.
    """
    return bytes(LineEncoder().encode(event))


def decode(line: bytes) -> Event:
    """The event of one line, with or without its newline. Strict: nothing is guessed, nothing passed over.

    Raises:
        InvalidLineError: the line is no event of this schema; `byte` counts from the start of the line.
    """
    if len(line) + (not line.endswith(b"\n")) > MAX_LINE:
        raise explain(line)[0].error()
    try:
        event = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problems = explain(line) or [Problem("bad_json", "an event", str(error))]
        raise problems[0].error() from None
    if (b"\\u" in line or line.count(b":") != colons(event) or not _holds(event)) and (problems := explain(line)):
        raise problems[0].error()
    return _restore(event) if event.nonfinite else event


def _restore(event: Event) -> Event:
    metrics = event.metrics | {name: _VALUES[text] for name, text in event.nonfinite.items()}
    return msgspec.structs.replace(event, metrics=metrics, nonfinite={})


def _holds(event: Event) -> bool:
    """Whether the rules hold that types alone cannot say."""
    info, metrics = event.model_info, event.metrics
    return (
        (event.wall_time or 0.0) <= INT_MAX
        and "run_id" in info
        and all(rule.holds(info[name]) for name, rule in RULES.items() if name in info)
        and info.get("schema", SCHEMA_VERSION) == SCHEMA_VERSION
        and (event.timestamp is None or TIMESTAMP.fullmatch(event.timestamp) is not None)
        and all(metrics.get(name, 0) is None for name in event.nonfinite)
    )


def colons(event: Event) -> int:
    r"""How many colons the line of an event has when no object in it repeats a key.

    One for each member of each object, and those inside the strings. A line without `\u`, which could spell a
    colon, that decodes to this event and has more of them repeats a key: decoders pass over that without a word.
    """
    sections: tuple[dict[str, Any], ...] = (
        event.metrics,
        event.nonfinite,
        event.rng,
        event.data_slice,
        event.model_info,
    )
    optional = (event.timestamp is not None) + (event.seq is not None) + bool(event.nonfinite)
    texts = [text for section in sections for item in section.items() for text in item if type(text) is str]
    strings = "".join((*texts, *event.notes, event.timestamp or ""))
    return 7 + optional + sum(map(len, sections)) + strings.count(":")
