"""JSON as other tools write it: strict, but for the NaN and Infinity that Python's own encoder leaves bare."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from rldk.adapters.base import HEAD, Aside, Bad
from rldk.adapters.lines import numbered, read_whole
from rldk.io.event_schema import INT_MAX, INT_MIN, MAX_LINE
from rldk.io.json_scan import MAX_DEPTH, ScanError, scan
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rldk.adapters.lines import Line
    from rldk.io.json_scan import Node

__all__ = [
    "Document",
    "JsonElement",
    "JsonLine",
    "decode",
    "document",
    "json_elements",
    "json_lines",
    "json_records",
    "listed",
    "objects",
]

_decode: Final = msgspec.json.Decoder().decode
_UNSURE: Final = -(2**62)
_CUT: Final = {"bad_json", "invalid_utf8"}
"""What is wrong with a line that was cut short, though it was right before."""
_BOM: Final = b"\xef\xbb\xbf"
_BLANKS: Final = re.compile(r"[ \t\r\n]*")
_raw_decode: Final = json.JSONDecoder().raw_decode


class JsonLine(NamedTuple):
    """A line that is a JSON object."""

    line: Line
    members: dict[str, Any]


def json_lines(path: Path) -> Iterator[JsonLine | Aside | Bad]:
    """The lines of a file of JSON objects, one on each line; blank lines are aside.

    A last line without newline is taken when it is whole JSON, and is torn otherwise.
    """
    for line in numbered(path):
        if isinstance(line, Bad):
            yield line
        elif not line.text.strip():
            yield Aside("blank line") if line.whole or line.text == b"" else line.torn(path)
        else:
            value = decode(line.text)
            if isinstance(value, Problem):
                yield line.torn(path) if not line.whole and value.kind in _CUT else line.bad(path, value)
            elif isinstance(value, dict):
                yield JsonLine(line, value)
            else:
                yield line.bad(path, Problem("not_an_object", "an object", _kind(value)))


def _kind(value: object) -> str:
    return {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}.get(type(value), "a number")


def decode(text: bytes) -> Any:
    """The value of a JSON text, or the problem that keeps it from having one; bytes are counted from its start.

    Refused as in RLDK's own logs are repeated keys, halves of surrogate pairs, integers beyond 64 bits, floats
    beyond the largest double and more than eight levels.
    """
    if len(text) >= MAX_LINE:
        expected = f"at most {MAX_LINE} bytes, newline included"
        return Problem("line_too_long", expected, f"{len(text)} bytes")
    return _checked(text)


def _checked(text: bytes) -> Any:
    try:
        value = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    else:
        if b"\\u" not in text and text.count(b":") == _colons(value):
            return value
    try:
        root = scan(text, bare=True)
    except ScanError as error:
        return error.problem
    return _repeated(root) or _plain(root)


def _colons(value: Any, depth: int = MAX_DEPTH) -> int:
    """How many colons the text of a value has when no object in it repeats a key; below 0 when only a scan can tell."""
    if isinstance(value, str):
        return value.count(":")
    if isinstance(value, dict):
        inner = sum(key.count(":") + _colons(item, depth - 1) for key, item in value.items())
        return len(value) + inner if depth else _UNSURE
    if isinstance(value, list):
        return sum(_colons(item, depth - 1) for item in value) if depth else _UNSURE
    return _UNSURE if type(value) is int and not INT_MIN <= value <= INT_MAX else 0


def _repeated(root: Node) -> Problem | None:
    for node in root.walk():
        seen: set[str] = set()
        for member in node.members or ():
            if member.key in seen:
                return Problem("duplicate_key", "each key once", f"{member.key!r} again", byte=member.start)
            seen.add(member.key)
    return None


def _plain(node: Node) -> Any:
    if node.members is not None:
        return {member.key: _plain(member.value) for member in node.members}
    if isinstance(node.value, list):
        return [_plain(item) for item in node.value]
    return node.value


class Document(NamedTuple):
    """A file that is one JSON value."""

    path: Path
    text: bytes
    value: Any

    def bad(self, problem: Problem, *keys: str | int, records: int = 1) -> Bad:
        """A problem with the value that these keys and indices lead to, said with its line and byte."""
        node = _scanned(self.text)
        for key in keys:
            node = _inner(node, key)
        return _placed(self.path, self.text, problem, node.start, records)


@lru_cache(maxsize=1)
def _scanned(text: bytes) -> Node:
    """Where everything stands in a document; kept, because a document with one bad record often has many."""
    return scan(text, bare=True)


def _inner(node: Node, key: str | int) -> Node:
    """What a key or an index leads to in an object or a list; the node itself where it leads nowhere."""
    if isinstance(key, int):
        return node.value[key] if isinstance(node.value, list) and key < len(node.value) else node
    return next((member.value for member in node.members or () if member.key == key), node)


def _placed(path: Path, text: bytes, problem: Problem, byte: int, records: int = 1) -> Bad:
    line = text.count(b"\n", 0, byte + problem.byte) + 1
    return Bad(problem.at(line, byte), path, records)


def document(path: Path) -> Document | Bad:
    """The JSON value that a whole file is, compressed or not."""
    text = read_whole(path)
    if isinstance(text, Bad):
        return text
    skipped = len(_BOM) if text.startswith(_BOM) else 0
    value = _checked(text[skipped:])
    if isinstance(value, Problem):
        torn = value.byte >= len(text[skipped:].rstrip())
        if torn:
            value = Problem("torn_tail", value.expected, value.found, byte=value.byte)
        return _placed(path, text, value, skipped)
    return Document(path, text[skipped:], value)


class Element(NamedTuple):
    """Where an element of a list stands."""

    document: Document
    place: int

    def bad(self, _: Path, problem: Problem) -> Bad:
        """What is wrong with it."""
        return self.document.bad(problem, self.place)


class JsonElement(NamedTuple):
    """An element of a list that is a JSON object."""

    line: Element
    members: dict[str, Any]


def json_elements(path: Path) -> Iterator[JsonElement | Bad]:
    """The elements of a file that is one JSON list of objects."""
    found = document(path)
    if isinstance(found, Bad):
        yield found
    elif not isinstance(found.value, list):
        yield found.bad(Problem("wrong_type", "a list of objects", "something else"))
    else:
        for place, value in enumerate(found.value):
            if isinstance(value, dict):
                yield JsonElement(Element(found, place), value)
            else:
                yield found.bad(Problem("not_an_object", "an object", _kind(value)), place)


def json_records(path: Path, head: bytes) -> Iterator[JsonLine | JsonElement | Aside | Bad]:
    """The objects of a file that begins with this, whether they stand in a list or each on a line."""
    yield from json_elements(path) if listed(head) else json_lines(path)


def listed(head: bytes) -> list[dict[str, Any]]:
    """The objects that a JSON list begins with, as far as a head holds them whole; none of anything else."""
    found: list[dict[str, Any]] = []
    text = head.removeprefix(_BOM).decode(errors="replace")
    at, mark = 0, "["
    while text.startswith(mark, at := _after_blanks(text, at)):
        try:
            value, at = _raw_decode(text, _after_blanks(text, at + 1))
        except (ValueError, RecursionError):
            break
        if not isinstance(value, dict):
            break
        found.append(value)
        mark = ","
    return found


def _after_blanks(text: str, at: int) -> int:
    blanks = _BLANKS.match(text, at)
    return blanks.end() if blanks else at


def objects(head: bytes) -> list[dict[str, Any]]:
    """The objects on the first lines of a head, up to the first that holds none; a last line that is cut is not one.

    Lines before the first object, as a banner or what is left of a line, are passed over when nothing but objects
    follows: two at least, and more of them than of those lines.
    """
    found: list[dict[str, Any]] = []
    passed = 0
    *lines, last = head.removeprefix(_BOM).split(b"\n")
    for text in [line for line in [*lines, *([last] if not lines or len(head) < HEAD else [])] if line.strip()]:
        value = decode(text) if text.lstrip().startswith(b"{") else None
        if isinstance(value, dict):
            found.append(value)
        elif not found:
            passed += 1
        elif passed:
            return []
        else:
            break
    return found if not passed or len(found) > max(passed, 1) else []
