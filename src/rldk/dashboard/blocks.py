"""How successive rows of a curve lie in a file of numbers, where they are looked at without being read.

A block is never changed again. Beside the values of a column it holds the least and the greatest of every few of
them, so that a million points are thinned without being looked at one by one.
"""

from __future__ import annotations

from array import array
from math import inf, isfinite
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rldk.dashboard.kept import Kept

__all__ = ["NODE", "Block", "Column", "Stored", "append", "is_whole", "steps_and_walls", "stored_column"]

NODE: Final = 16
"""So many values of a column have their least and their greatest kept beside them."""


class Column(NamedTuple):
    """A metric in a block. A value that is absent or None is NaN, and so is one that is NaN; `bad` tells which is."""

    values: array[float] | memoryview[float]
    lows: Sequence[float]
    """The least finite value of every `NODE` values; empty when there are too few for that to pay."""
    highs: Sequence[float]
    bad: Sequence[int]
    """The rows with NaN, Infinity or -Infinity."""
    whole: bool
    """Whether every value is finite."""


class Stored(msgspec.Struct, array_like=True, frozen=True):
    """Where a column is in the file."""

    offset: int
    bad: int
    """How many of its rows are not finite."""
    whole: bool


class Block(msgspec.Struct, array_like=True, frozen=True):
    """Where successive rows of a curve are in the file."""

    curve: int
    rows: int
    steps: int
    """Offset of the steps, which the times follow."""
    timed: bool
    """Whether every row has a time."""
    columns: dict[str, Stored]


def is_whole(values: Sequence[float]) -> bool:
    """Whether every value is finite."""
    total = sum(values)
    return bool(total - total == 0) or all(value - value == 0 for value in values)


def append(kept: Kept, column: Column) -> Stored:
    """Append a column to what is kept."""
    lows, highs = _nodes(column)
    bad = array("q", column.bad)
    offset = kept.append(column.values.tobytes() + lows.tobytes() + highs.tobytes() + bad.tobytes())
    return Stored(offset, len(bad), column.whole)


def _nodes(column: Column) -> tuple[array[float], array[float]]:
    """The least and the greatest finite value of every `NODE` values; infinite, the wrong way round, where none is."""
    lows, highs = array("d"), array("d")
    for begin in range(0, len(column.values), NODE):
        part: Iterable[float] = column.values[begin : begin + NODE]
        if not column.whole:
            part = list(filter(isfinite, part))
        lows.append(min(part, default=inf))
        highs.append(max(part, default=-inf))
    return lows, highs


def stored_column(memory: memoryview, rows: int, stored: Stored) -> Column:
    """A column of so many rows as it lies in the file."""
    nodes = -(-rows // NODE)
    lows = stored.offset + 8 * rows
    highs, bad = lows + 8 * nodes, lows + 16 * nodes
    return Column(
        memory[stored.offset : lows].cast("d"),
        memory[lows:highs].cast("d"),
        memory[highs:bad].cast("d"),
        memory[bad : bad + 8 * stored.bad].cast("q"),
        stored.whole,
    )


def steps_and_walls(memory: memoryview, block: Block) -> tuple[memoryview[int], memoryview[float]]:
    """The steps and the times of a block as they lie in the file."""
    middle, end = block.steps + 8 * block.rows, block.steps + 16 * block.rows
    return memory[block.steps : middle].cast("q"), memory[middle:end].cast("d")
