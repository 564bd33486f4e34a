"""What stands in a record of a TensorBoard event file: numbers under tags, and much that is none."""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from rldk.adapters.protobuf_wire import BYTES, Field, WireError, fields
from rldk.io.event_schema import INT_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Logged", "Other", "Scalar", "logged"]

_NO_TIME: Final = 0.0
"""What a record without a time holds."""

_SESSIONS: Final = {1: "start", 2: "stop", 3: "checkpoint"}
_KINDS: Final = {3: "histogram", 4: "image", 5: "histogram", 6: "audio"}
"""What a value can be beside a number and a tensor, by its field."""

_PLAIN_PLUGINS: Final = ("", "scalars")
"""Who shows numbers; a tensor of any other plugin is none, even if it has but one element."""

_STRING: Final = 7
_BOOL: Final = 10
_UINT64: Final = 23
_TENSOR_CONTENT: Final = 4


class Scalar(NamedTuple):
    """A number under its tag."""

    tag: str
    value: float | int


class Other(NamedTuple):
    """Something under a tag that is no number."""

    kind: str
    """`text`, `histogram`, `image`, and so on."""
    tag: str


class Logged(NamedTuple):
    """A record of an event file."""

    wall_time: float
    """Seconds since 1970, 0.0 when it does not say."""
    step: int
    values: list[Scalar | Other]
    what: str
    """What the record is when it holds no values."""


def logged(data: bytes, plugins: dict[str, str], byte: int = 0) -> Logged:
    """What a record holds.

    Args:
        data: its bytes, an `Event` of TensorFlow.
        plugins: which plugin shows each tag so far; a tag may say so only the first time.
        byte: where they stand, for the positions of errors.

    Raises:
        WireError: it is no such event.
    """
    wall_time, step = _NO_TIME, 0
    values: list[Scalar | Other] = []
    what = "a record without values"
    for field in fields(data, byte):
        if field.number == 1:
            wall_time = field.double()
        elif field.number == 2:  # noqa: PLR2004 - the numbers are those of event.proto
            step = field.integer()
        elif field.number == 5:  # noqa: PLR2004
            values += [_value(each, plugins) for each in field.fields() if each.number == 1]
        elif field.number in _RECORDS:
            what = _RECORDS[field.number](field)
    return Logged(wall_time, step, values, what)


def _session(field: Field) -> str:
    status = next((each.integer() for each in field.fields() if each.number == 1), 0)
    return f"session log, {_SESSIONS.get(status, 'unspecified')}"


_RECORDS: Final[dict[int, Callable[[Field], str]]] = {
    3: lambda field: f"header, {field.text()}",
    4: lambda _: "graph",
    6: lambda _: "log message",
    7: _session,
    8: lambda _: "run metadata",
    9: lambda _: "graph",
}
"""What a record can be beside values, by its field."""


def _value(value: Field, plugins: dict[str, str]) -> Scalar | Other:
    tag, plugin = "", ""
    content: Field | None = None
    for field in value.fields():
        if field.number == 1:
            tag = field.text()
        elif field.number == 9:  # noqa: PLR2004 - the numbers are those of summary.proto
            plugin = _plugin(field)
        elif field.number in _CONTENTS:
            content = field
    plugin = plugin or plugins.get(tag, "")
    if plugin:
        plugins[tag] = plugin
    if content is None:
        return Other(plugin or "value without content", tag)
    if content.number in _KINDS:
        return Other(_KINDS[content.number], tag)
    if content.number == _TENSOR:
        return _tensor(content, tag, plugin)
    return Scalar(tag, content.single())


_TENSOR: Final = 8
_CONTENTS: Final = (2, *_KINDS, _TENSOR)


def _plugin(metadata: Field) -> str:
    """The plugin that shows a value, as its metadata says."""
    for field in metadata.fields():
        if field.number == 1:
            for each in field.fields():
                if each.number == 1:
                    return each.text()
    return ""


class _Type(NamedTuple):
    """How the elements of a tensor are stored."""

    field: int
    """The field they stand in, one by one or packed."""
    code: str
    """How `struct` calls one of them among the bytes of a whole tensor."""


_FLOAT_FIELDS: Final = (5, 6)
_TYPES: Final = {
    1: _Type(5, "<f"),
    2: _Type(6, "<d"),
    3: _Type(7, "<i"),
    4: _Type(7, "<B"),
    5: _Type(7, "<h"),
    6: _Type(7, "<b"),
    9: _Type(10, "<q"),
    _BOOL: _Type(11, "<?"),
    14: _Type(13, "<H"),
    17: _Type(7, "<H"),
    19: _Type(13, "<H"),
    22: _Type(16, "<I"),
    _UINT64: _Type(17, "<Q"),
}
"""Each type of numbers that a tensor can have, by its number in TensorFlow's types.proto."""

_BITS: Final[dict[int, Callable[[int], float]]] = {
    14: lambda bits: struct.unpack("<f", struct.pack("<I", (bits & 0xFFFF) << 16))[0],  # bfloat16
    19: lambda bits: struct.unpack("<e", struct.pack("<H", bits & 0xFFFF))[0],  # half
}
"""Floats that are stored as the integer of their bits."""


def _tensor(tensor: Field, tag: str, plugin: str) -> Scalar | Other:
    kind, size = 0, 1
    parts: list[Field] = []
    for field in tensor.fields():
        if field.number == 1:
            kind = field.integer()
        elif field.number == 2:  # noqa: PLR2004 - the numbers are those of tensor.proto
            size = _size(field)
        else:
            parts.append(field)
    if kind == _STRING:
        return Other("text" if plugin in _PLAIN_PLUGINS else plugin, tag)
    if plugin not in _PLAIN_PLUGINS:
        return Other(plugin, tag)
    if kind not in _TYPES or size != 1:
        if plugin:
            expected = f"a tensor of one number under {tag!r}, which is shown as a scalar"
            raise WireError(tensor.byte, expected, f"one of {size} elements of type {kind}")
        return Other("tensor", tag)
    return Scalar(tag, _number(parts, kind, tensor.byte, tag))


def _size(shape: Field) -> int:
    """How many elements a tensor of this shape has; -1 for more than there can be."""
    size = 1
    for dimension in shape.fields():
        if dimension.number == 2:  # noqa: PLR2004 - the numbers are those of tensor_shape.proto
            size *= next((each.integer() for each in dimension.fields() if each.number == 1), 0)
            if not 0 <= size <= INT_MAX:
                return -1
    return size


def _number(parts: list[Field], kind: int, byte: int, tag: str) -> float | int:
    numbers = [*islice((number for field in parts for number in _elements(field, _TYPES[kind])), 2)]
    if len(numbers) != 1:
        raise WireError(byte, f"one number under {tag!r}", "several" if numbers else "none")
    if kind in _BITS:
        return _BITS[kind](int(numbers[0]))
    number = int(numbers[0]) if kind == _BOOL else numbers[0]
    if kind == _UINT64 and not 0 <= number <= INT_MAX:
        raise WireError(byte, f"a number of at most {INT_MAX} under {tag!r}", str(int(number) % 2**64))
    return number


def _elements(field: Field, kind: _Type) -> Iterable[float | int]:
    """The elements in a field of a tensor, none when it holds something else."""
    if field.number == _TENSOR_CONTENT:
        return _unpacked(field, kind.code)
    if field.number != kind.field:
        return []
    if field.number in _FLOAT_FIELDS:
        if field.wire_type == BYTES:
            return _unpacked(field, kind.code)
        return [field.single() if kind.code == "<f" else field.double()]
    return field.integers()


def _unpacked(field: Field, code: str) -> list[float | int]:
    content, size = field.content(), struct.calcsize(code)
    if len(content) != size:
        raise WireError(field.byte, f"one element of {size} bytes", f"{len(content)} bytes")
    return [*struct.unpack(code, content)]
