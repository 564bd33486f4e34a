"""A strict JSON parser that remembers where each value stands; used only to explain a line already refused."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rldk.io.problems import Kind

__all__ = ["MAX_DEPTH", "Node", "ScanError", "scan"]

MAX_DEPTH: Final = 8
"""Objects and lists nested deeper than this are refused."""

_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_NUMBER: Final = re.compile(rb"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
# Possessive: to be able to go back, the engine would keep a hundred bytes for each byte of a string.
_STRING: Final = re.compile(rb'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"')
_WORD: Final = re.compile(rb"-?[A-Za-z]+")
_CONSTANTS: Final[dict[bytes, bool | None]] = {b"true": True, b"false": False, b"null": None}
_NONFINITE: Final = {b"NaN", b"-NaN", b"Infinity", b"-Infinity", b"nan", b"inf", b"-inf"}
_PYTHON: Final = {b"NaN": math.nan, b"Infinity": math.inf, b"-Infinity": -math.inf}
"""What Python's own encoder writes, though it is no JSON."""


class Member(NamedTuple):
    """A key of an object, where it stands, and its value."""

    key: str
    start: int
    value: Node


class Node(NamedTuple):
    """A value and the byte it begins at. Objects keep every member, so that a repeated key can be seen."""

    value: int | float | bool | str | list[Node] | tuple[Member, ...] | None
    start: int
    text: str

    @property
    def members(self) -> tuple[Member, ...] | None:
        """The members of an object, None for anything else."""
        return self.value if isinstance(self.value, tuple) else None

    @property
    def kind(self) -> str:
        """The name of the type as JSON calls it, with integers told apart."""
        names = {bool: "boolean", int: "integer", float: "float", str: "string", list: "list", tuple: "object"}
        return "null" if self.value is None else names[type(self.value)]

    def walk(self) -> Iterator[Node]:
        """This node and every node inside it."""
        yield self
        if isinstance(self.value, tuple):
            for member in self.value:
                yield from member.value.walk()
        elif isinstance(self.value, list):
            for item in self.value:
                yield from item.walk()


class ScanError(ValueError):
    """The line is no JSON; `problem` says where and why."""

    def __init__(self, kind: Kind, byte: int, expected: str, found: str) -> None:
        super().__init__(kind, byte, expected, found)
        self.problem = Problem(kind=kind, expected=expected, found=found, byte=byte)


def scan(line: bytes, *, bare: bool = False) -> Node:
    """Parse one JSON document.

    Args:
        line: the document.
        bare: whether NaN, Infinity and -Infinity are taken for numbers, as Python writes and reads them.

    Raises:
        ScanError: at the first byte that is not JSON, or not JSON this project accepts.
    """
    if line.startswith(b"\xef\xbb\xbf"):
        raise ScanError("byte_order_mark", 0, "JSON", "a UTF-8 byte order mark")
    try:
        line.decode()
    except UnicodeDecodeError as error:
        found = f"byte 0x{line[error.start]:02x} ({error.reason})"
        raise ScanError("invalid_utf8", error.start, "UTF-8", found) from None
    node, end = _value(line, _skip(line, 0), 0, bare)
    end = _skip(line, end)
    if end != len(line):
        raise ScanError("bad_json", end, "the end of the line", _excerpt(line, end))
    return node


def _skip(line: bytes, at: int) -> int:
    match = _SPACE.match(line, at)
    return match.end() if match else at


def _value(line: bytes, at: int, depth: int, bare: bool) -> tuple[Node, int]:  # noqa: FBT001 - as deep as it goes
    first = line[at : at + 1]
    if first in {b"{", b"["}:
        if depth == MAX_DEPTH:
            raise ScanError("too_deep", at, f"at most {MAX_DEPTH} levels", f"level {depth + 1}")
        return (_object if first == b"{" else _list)(line, at, depth + 1, bare)
    if first == b'"':
        text, end = _string(line, at)
        return Node(text, at, _excerpt(line, at, end)), end
    if number := _NUMBER.match(line, at):
        return _number(line, number), number.end()
    return _word(line, at, bare)


def _number(line: bytes, match: re.Match[bytes]) -> Node:
    at, end = match.span()
    text = _excerpt(line, at, end)
    if match[1] or match[2]:
        value = float(match[0])
        if value in {float("inf"), float("-inf")}:
            raise ScanError("number_out_of_range", at, "a double", text)
        return Node(value, at, text)
    if len(match[0]) > 20 or not -(2**63) <= int(match[0]) < 2**63:  # noqa: PLR2004 - the length keeps int() cheap
        raise ScanError("number_out_of_range", at, "an integer of 64 bits", text)
    return Node(int(match[0]), at, text)


def _word(line: bytes, at: int, bare: bool) -> tuple[Node, int]:  # noqa: FBT001 - as above
    word = match[0] if (match := _WORD.match(line, at)) else b""
    if word in _CONSTANTS:
        return Node(_CONSTANTS[word], at, word.decode()), at + len(word)
    if bare and word in _PYTHON:
        return Node(_PYTHON[word], at, word.decode()), at + len(word)
    if word in _NONFINITE:
        expected = "null, with the value spelled out in `nonfinite`"
        raise ScanError("bare_nonfinite", at, expected, word.decode())
    raise ScanError("bad_json", at, "a value", _excerpt(line, at))


def _string(line: bytes, at: int) -> tuple[str, int]:
    match = _STRING.match(line, at)
    if match is None:
        raise ScanError("bad_json", at, "a string", _excerpt(line, at))
    text: str = json.loads(match[0])
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ScanError("lone_surrogate", at, "whole characters", _excerpt(line, at, match.end())) from None
    return text, match.end()


def _object(line: bytes, at: int, depth: int, bare: bool) -> tuple[Node, int]:  # noqa: FBT001 - as above
    members: list[Member] = []
    start, at = at, _skip(line, at + 1)
    while line[at : at + 1] != b"}":
        if members:
            at = _skip(line, _expect(line, at, b",", "`,` or `}`"))
        key_start = at
        key, at = _string(line, at)
        at = _skip(line, _expect(line, _skip(line, at), b":", "`:`"))
        value, at = _value(line, at, depth, bare)
        members.append(Member(key, key_start, value))
        at = _skip(line, at)
    return Node(tuple(members), start, "an object"), at + 1


def _list(line: bytes, at: int, depth: int, bare: bool) -> tuple[Node, int]:  # noqa: FBT001 - as above
    items: list[Node] = []
    start, at = at, _skip(line, at + 1)
    while line[at : at + 1] != b"]":
        if items:
            at = _skip(line, _expect(line, at, b",", "`,` or `]`"))
        item, at = _value(line, at, depth, bare)
        items.append(item)
        at = _skip(line, at)
    return Node(items, start, "a list"), at + 1


def _expect(line: bytes, at: int, token: bytes, expected: str) -> int:
    if line[at : at + 1] != token:
        raise ScanError("bad_json", at, expected, _excerpt(line, at))
    return at + 1


def _excerpt(line: bytes, at: int, end: int | None = None) -> str:
    if at >= len(line):
        return "the end of the line"
    text = line[at : at + 40 if end is None else end]
    shown = text.decode(errors="replace")
    return shown if len(shown) <= 40 else shown[:37] + "..."  # noqa: PLR2004 - a message stays on one line
