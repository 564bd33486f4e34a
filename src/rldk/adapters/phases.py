"""Records that hold training and evaluation beside each other, told apart by what stands before their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rldk.adapters.base import Aside, Parsed
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rldk.adapters.base import Item
    from rldk.adapters.lines import Line
    from rldk.io.event_schema import Event

__all__ = ["EMPTY", "Part", "line_items", "parts"]

EMPTY = Aside("a step without metrics")
"""What becomes of a record that holds nothing beside its step."""


class Part(NamedTuple):
    """What one phase has in a record."""

    phase: str
    metrics: dict[str, Any]


def parts(record: Mapping[str, Any], stripped: tuple[str, ...], kept: tuple[str, ...] = ()) -> list[Part]:
    """The parts of a record that hold anything, training before evaluation.

    Args:
        record: keys and values.
        stripped: what stands before a key of an evaluation, and is taken away unless two keys would become one.
        kept: what stands before a key of an evaluation, and is part of its name.
    """
    train: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}
    for key, value in record.items():
        prefix = next((prefix for prefix in stripped if key.startswith(prefix) and key != prefix), "")
        if prefix:
            name = key.removeprefix(prefix)
            evaluation[key if name in evaluation else name] = value
        elif key.startswith(kept):
            evaluation[key] = value
        else:
            train[key] = value
    return [part for part in (Part("train", train), Part("eval", evaluation)) if part.metrics]


def line_items(line: Line, path: Path, events: list[Event | Problem], lines: int = 1) -> Iterator[Item]:
    """The items of a record that was made into these events; bad when one of them could not be made.

    Args:
        line: the line it begins on.
        path: the file.
        events: its events, or what keeps one from being made.
        lines: how many lines it takes.
    """
    problem = next((event for event in events if isinstance(event, Problem)), None)
    if problem:
        yield line.bad(path, problem)._replace(lines=lines)
        return
    if not events:
        yield EMPTY._replace(lines=lines)
    for index, event in enumerate(events):
        if not isinstance(event, Problem):
            yield Parsed(event, 0 if index else lines)
