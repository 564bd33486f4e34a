"""Say everything that is wrong with a line, and at which byte."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from rldk.io.event_schema import MAX_LINE, RULES, SCHEMA_VERSION, TIMESTAMP
from rldk.io.json_scan import ScanError, scan
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rldk.io.json_scan import Member, Node

__all__ = ["explain", "explain_foreign"]

_REQUIRED: Final = ("step", "wall_time", "metrics", "rng", "data_slice", "model_info", "notes")
_SECTIONS: Final = ("rng", "data_slice", "model_info")
_SPELLED: Final = {"NaN", "Infinity", "-Infinity"}


def explain(line: bytes) -> list[Problem]:
    """Everything that keeps a line from being an event, in the order it stands; empty when nothing does.

    The bytes are counted from the start of the line. A line that is not JSON has one problem: where it stops
    being JSON.
    """
    return _explain(line, lambda members: (*_missing(members), *_fields(members), *_relations(members)))


def _explain(line: bytes, check: Callable[[tuple[Member, ...]], Iterable[Problem]]) -> list[Problem]:
    """What is wrong with a line of any kind, then with the members of its object, as `check` tells."""
    if no_line := _no_line(line):
        return [no_line]
    try:
        root = scan(line)
    except ScanError as error:
        return [error.problem]
    if root.members is None:
        return [_wrong(root, "$", "an object", "not_an_object")]
    found = [*_duplicates(root), *check(root.members)]
    return sorted(found, key=attrgetter("byte"))


def _no_line(line: bytes) -> Problem | None:
    """What is wrong with a line that need not be parsed to see that."""
    size = len(line) + (not line.endswith(b"\n"))
    if size > MAX_LINE:
        return Problem("line_too_long", f"at most {MAX_LINE} bytes, newline included", f"{size} bytes")
    if not line.strip():
        return Problem("blank_line", "an event", f"{size - 1} bytes of white space" if size > 1 else "nothing")
    return None


def _duplicates(root: Node) -> Iterator[Problem]:
    """Every key that an object repeats, at its second place."""
    for node in root.walk():
        seen: set[str] = set()
        for member in node.members or ():
            if member.key in seen:
                yield Problem("duplicate_key", "each key once", f"{member.key!r} again", byte=member.start)
            seen.add(member.key)


def explain_foreign(line: bytes, step_names: tuple[str, ...]) -> list[Problem]:
    """Everything that keeps a line from being a JSON record of one step, whoever wrote it.

    A record is an object with a step, a number, under one of `step_names`. Its other values are primitives,
    or lists or objects of primitives.
    """
    return _explain(line, lambda members: (*_foreign_step(members, step_names), *_nested(members)))


def _foreign_step(members: tuple[Member, ...], names: tuple[str, ...]) -> Iterator[Problem]:
    steps = [member for member in members if member.key in names]
    if not steps:
        yield Problem("missing_field", "a step, as " + " or ".join(names), "nothing", field="$.step")
    for member in steps:
        if member.value.kind not in {"integer", "float"}:
            yield _wrong(member.value, f"$.{member.key}", "a number")


def _nested(members: tuple[Member, ...]) -> Iterator[Problem]:
    for member in members:
        inner = member.value.members or ()
        items = member.value.value if isinstance(member.value.value, list) else [each.value for each in inner]
        for item in items:
            if item.kind in {"object", "list"}:
                expected = "a number, a string, true, false or null"
                yield _wrong(item, f"$.{member.key}", expected, "non_primitive")


def _missing(members: tuple[Member, ...]) -> Iterator[Problem]:
    present = {member.key for member in members}
    for name in _REQUIRED:
        if name not in present:
            yield Problem("missing_field", f"the field {name!r}", "nothing", field=f"$.{name}")


def _fields(members: tuple[Member, ...]) -> Iterator[Problem]:
    for member in members:
        name, node, where = member.key, member.value, f"$.{member.key}"
        if name == "step":
            yield from _integer(node, where)
        elif name == "seq":
            yield from _integer(node, where) if node.value is not None else ()
        elif name == "wall_time":
            yield from _wall_time(node, where)
        elif name == "timestamp":
            yield from _timestamp(node, where)
        elif name == "metrics":
            yield from _entries(node, where, {"integer", "float", "null"}, "a number or null")
        elif name == "nonfinite":
            yield from _nonfinite(node, where)
        elif name in _SECTIONS:
            expected = "a number, a string, true, false or null"
            yield from _entries(node, where, {"integer", "float", "boolean", "string", "null"}, expected)
            yield from _rules(node) if name == "model_info" else ()
        elif name == "notes":
            yield from _notes(node, where)
        else:
            known = ", ".join((*_REQUIRED, "timestamp", "seq", "nonfinite"))
            yield Problem("unknown_field", f"one of {known}", repr(name), field=where, byte=member.start)


def _integer(node: Node, where: str) -> Iterator[Problem]:
    if node.kind != "integer":
        yield _wrong(node, where, "an integer")
    elif node.value < 0:  # type: ignore[operator]
        yield Problem("bad_value", "an integer >= 0", node.text, field=where, byte=node.start)


def _wall_time(node: Node, where: str) -> Iterator[Problem]:
    if node.kind not in {"integer", "float", "null"}:
        yield _wrong(node, where, "a number or null")
    elif node.value is not None and node.value < 0:  # type: ignore[operator]
        yield Problem("bad_value", "a number >= 0", node.text, field=where, byte=node.start)


def _timestamp(node: Node, where: str) -> Iterator[Problem]:
    if node.kind not in {"string", "null"}:
        yield _wrong(node, where, "a string")
    elif isinstance(node.value, str) and not TIMESTAMP.fullmatch(node.value):
        yield Problem("bad_value", "2026-01-31T23:59:59.000000Z", node.text, field=where, byte=node.start)


def _entries(node: Node, where: str, kinds: set[str], expected: str) -> Iterator[Problem]:
    if node.members is None:
        yield _wrong(node, where, "an object")
    for member in node.members or ():
        if member.value.kind not in kinds:
            nested = member.value.kind in {"object", "list"}
            kind = "non_primitive" if nested else "wrong_type"
            yield _wrong(member.value, f"{where}[{member.key!r}]", expected, kind)


def _nonfinite(node: Node, where: str) -> Iterator[Problem]:
    yield from _entries(node, where, {"string"}, '"NaN", "Infinity" or "-Infinity"')
    for member in node.members or ():
        value = member.value
        if isinstance(value.value, str) and value.value not in _SPELLED:
            expected = '"NaN", "Infinity" or "-Infinity"'
            yield Problem("bad_value", expected, value.text, field=f"{where}[{member.key!r}]", byte=value.start)


def _rules(node: Node) -> Iterator[Problem]:
    present = {member.key: member.value for member in node.members or ()}
    if "run_id" not in present and node.members is not None:
        field = "$.model_info.run_id"
        yield Problem("missing_field", RULES["run_id"].expected, "nothing", field=field, byte=node.start)
    for name, rule in RULES.items():
        value = present.get(name)
        if value and (value.value is not None or name == "run_id") and not rule.holds(value.value):
            field = f"$.model_info.{name}"
            yield Problem("bad_value", rule.expected, value.text, field=field, byte=value.start)
    schema = present.get("schema")
    if schema and schema.kind == "integer" and schema.value > SCHEMA_VERSION:  # type: ignore[operator]
        expected = f"schema {SCHEMA_VERSION} or lower: upgrade rldk to read this log"
        yield Problem("newer_schema", expected, schema.text, field="$.model_info.schema", byte=schema.start)


def _notes(node: Node, where: str) -> Iterator[Problem]:
    if not isinstance(node.value, list):
        yield _wrong(node, where, "a list")
        return
    for index, item in enumerate(node.value):
        if item.kind != "string":
            nested = item.kind in {"object", "list"}
            yield _wrong(item, f"{where}[{index}]", "a string", "non_primitive" if nested else "wrong_type")


def _relations(members: tuple[Member, ...]) -> Iterator[Problem]:
    """Every entry of `nonfinite` whose metric is not null."""
    fields = {member.key: member.value for member in members}
    nonfinite, metrics = (fields.get(name) for name in ("nonfinite", "metrics"))
    if nonfinite is None or metrics is None or metrics.members is None:
        return
    values = {member.key: member.value for member in metrics.members}
    for member in nonfinite.members or ():
        value = values.get(member.key)
        if value is None or value.value is not None:
            found = "no such metric" if value is None else value.text
            field = f"$.nonfinite[{member.key!r}]"
            yield Problem("nonfinite_mismatch", "null in metrics", found, field=field, byte=member.start)


def _wrong(node: Node, where: str, expected: str, kind: str = "wrong_type") -> Problem:
    found = node.text if node.kind in {"object", "list", "null"} else f"{node.kind} {node.text}"
    return Problem(kind, expected, found, field=where, byte=node.start)  # type: ignore[arg-type]
