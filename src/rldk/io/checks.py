"""What an event must be before it is encoded; the encoder itself would let some of it pass."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rldk.errors import InvalidEventError
from rldk.io.event_schema import INT_MAX, INT_MIN, RULES, TIMESTAMP
from rldk.io.values import type_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rldk.io.event_schema import Event, Primitive

__all__ = ["check_metrics", "check_position", "check_sections"]


def check_position(event: Event, seq: int | None) -> None:
    """Check step, wall_time, timestamp and seq.

    Raises:
        InvalidEventError: naming the first that is wrong.
    """
    wall_time = event.wall_time
    if type(event.step) is not int or not 0 <= event.step <= INT_MAX:
        raise InvalidEventError("$.step", "an integer >= 0", _shown(event.step))
    if wall_time is not None and not _is_time(wall_time):
        raise InvalidEventError("$.wall_time", "a finite number >= 0", _shown(wall_time))
    if event.timestamp is not None and not (type(event.timestamp) is str and TIMESTAMP.fullmatch(event.timestamp)):
        raise InvalidEventError("$.timestamp", "2026-01-31T23:59:59.000000Z", _shown(event.timestamp))
    if seq is not None and (type(seq) is not int or not 0 <= seq <= INT_MAX):
        raise InvalidEventError("$.seq", "an integer >= 0", _shown(seq))


def _is_time(value: object) -> bool:
    return (type(value) is float and 0 <= value < math.inf) or (type(value) is int and 0 <= value <= INT_MAX)


def check_metrics(event: Event) -> None:
    """Check that every metric has a name that can be written and a plain number or None.

    Raises:
        InvalidEventError: naming the first that has not.
    """
    _check_type("$.metrics", event.metrics, dict)
    for name, value in event.metrics.items():
        where = f"$.metrics[{name!r}]"
        _check_text(where, name)
        if value is None or type(value) is float:
            continue
        if type(value) is not int:
            raise InvalidEventError(where, "an int, a float or None", type_name(value))
        _check_integer(where, value)
    if event.nonfinite:
        raise InvalidEventError("$.nonfinite", "nothing: put the value itself in metrics", _shown(event.nonfinite))


def check_sections(event: Event, stamps: Mapping[str, Primitive]) -> dict[str, Primitive]:
    """Check rng, data_slice, model_info and notes.

    Args:
        event: the event.
        stamps: what its writer adds to `model_info`.

    Returns:
        the complete `model_info`.

    Raises:
        InvalidEventError: naming the first entry that is wrong.
    """
    for section in ("rng", "data_slice", "model_info"):
        _check_type(f"$.{section}", getattr(event, section), dict)
    model_info = {**event.model_info, **stamps}
    for section, entries in (("rng", event.rng), ("data_slice", event.data_slice), ("model_info", model_info)):
        for name, value in entries.items():
            _check_primitive(f"$.{section}[{name!r}]", name, value)
    if "run_id" not in model_info:
        raise InvalidEventError("$.model_info.run_id", RULES["run_id"].expected, "nothing")
    for name, rule in RULES.items():
        value = model_info.get(name)
        if (value is not None or name == "run_id") and not rule.holds(value):
            raise InvalidEventError(f"$.model_info.{name}", rule.expected, _shown(value))
    _check_notes(event.notes)
    return model_info


def _check_type(where: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise InvalidEventError(where, f"a {kind.__name__}", type_name(value))


def _check_notes(notes: Iterable[object]) -> None:
    _check_type("$.notes", notes, list)
    for index, note in enumerate(notes):
        _check_text(f"$.notes[{index}]", note)


def _check_primitive(where: str, name: object, value: object) -> None:
    _check_text(where, name)
    kind = type(value)
    if kind is str:
        _check_text(where, value)
    elif kind is int:
        _check_integer(where, value)  # type: ignore[arg-type]
    elif kind is float:
        if not math.isfinite(value):  # type: ignore[arg-type]
            raise InvalidEventError(where, "a finite number; only metrics can be otherwise", _shown(value))
    elif kind is not bool and value is not None:
        raise InvalidEventError(where, "an int, float, bool, str or None", type_name(value))


def _check_integer(where: str, value: int) -> None:
    if not INT_MIN <= value <= INT_MAX:
        raise InvalidEventError(where, "an integer of 64 bits", f"one of {value.bit_length() + 1} bits")


def _check_text(where: str, text: object) -> None:
    if type(text) is not str:
        raise InvalidEventError(where, "a string", type_name(text))
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidEventError(ascii(where)[1:-1], "whole characters", "half of a surrogate pair") from None


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - a message stays on one line
