"""Rows of a curve that are in memory only, until there are enough of them to be written."""

from __future__ import annotations

from array import array
from math import nan
from typing import TYPE_CHECKING, Any

from rldk.dashboard.blocks import Block, Column, append, is_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rldk.dashboard.kept import Kept

__all__ = ["Gathered"]


class Gathered:
    """Rows of a curve that are in memory only."""

    def __init__(self) -> None:
        self.steps = array("q")
        self.walls = array("d")
        self.columns: dict[str, array[float]] = {}
        self.bad: dict[str, array[int]] = {}

    def add(self, steps: Sequence[int], walls: Sequence[float], columns: Mapping[str, Sequence[float]]) -> None:
        """Add rows that are all finite."""
        before = len(self.steps)
        self.steps.extend(steps)
        self.walls.extend(walls)
        for name, values in columns.items():
            column = self.columns.get(name)
            if column is None:
                column = self.columns[name] = array("d")
            if len(column) < before:
                column.extend([nan] * (before - len(column)))
            column.extend(values)

    def add_one(self, step: int, wall: float | None, metrics: dict[str, Any]) -> None:
        """Add any row."""
        row = len(self.steps)
        for name, value in metrics.items():
            if value is not None and value - value != 0:
                self.bad.setdefault(name, array("H")).append(row)
        values = {name: [nan if value is None else float(value)] for name, value in metrics.items()}
        self.add([step], [nan if wall is None else wall], values)

    def column(self, name: str) -> Column | None:
        """A copy of a column; None when no row has it."""
        return self._column(name) if name in self.columns else None

    def _column(self, name: str) -> Column:
        values = self.columns[name] + array("d", [nan]) * (len(self.steps) - len(self.columns[name]))
        return Column(values, (), (), self.bad.get(name, array("H"))[:], whole=is_whole(values))

    def write(self, kept: Kept, curve: int) -> Block:
        """Append the rows to what is kept, as those of the curve with a number."""
        steps = kept.append(self.steps.tobytes() + self.walls.tobytes())
        columns = {name: append(kept, self._column(name)) for name in self.columns}
        return Block(curve, len(self.steps), steps, is_whole(self.walls), columns)
