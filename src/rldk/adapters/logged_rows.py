"""What a logger wrote at once, whether as a row, a line of JSON or a table: one record like another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rldk.adapters.base import Aside, Bad, Parsed
from rldk.adapters.console_tables import Table
from rldk.adapters.csv_rows import Comment, Row
from rldk.adapters.foreign_json import JsonLine
from rldk.adapters.phases import EMPTY
from rldk.adapters.records import number
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from rldk.adapters.base import Item
    from rldk.io.event_schema import Event

__all__ = ["Found", "Logged", "items", "logged", "seconds_of"]

Found: TypeAlias = Row | Comment | JsonLine | Table | Aside | Bad
"""What `csv_rows`, `json_lines` and `tables` give."""


class Logged(NamedTuple):
    """A record."""

    values: dict[str, Any]
    bad: Callable[[Path, Problem], Bad]
    """Says what is wrong with it."""
    lines: int


def logged(found: Iterable[Found]) -> Iterator[Logged | Aside | Bad]:
    """The records among what was found; comments are set aside."""
    for each in found:
        if isinstance(each, Row):
            yield Logged(dict(each.numbers()), each.bad, each.lines)
        elif isinstance(each, Table):
            values = {key: number(text) for key, text in each.cells.items() if text}
            yield Logged(dict(values), each.bad, each.lines)
        elif isinstance(each, JsonLine):
            yield Logged(dict(each.members), each.line.bad, 1)
        else:
            yield Aside("comment") if isinstance(each, Comment) else each


def items(record: Logged, path: Path, events: list[Event | Problem]) -> Iterator[Item]:
    """The items of a record that was made into these events; bad when one of them could not be made."""
    problem = next((event for event in events if isinstance(event, Problem)), None)
    if problem:
        yield record.bad(path, problem)
    elif not events:
        yield EMPTY._replace(lines=record.lines)
    for index, event in enumerate(events if problem is None else ()):
        if not isinstance(event, Problem):
            yield Parsed(event, 0 if index else record.lines)


def seconds_of(values: Mapping[str, Any], names: Iterable[str]) -> float | None:
    """The first of these times that is one, in seconds since training began."""
    found = (value for name in names if isinstance(value := values.get(name), (int, float)))
    return next((float(each) for each in found if 0 <= each < math.inf), None)
