"""The rows of a curve: those of which attempts it has, and how it is at one moment, on disk and in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec

from rldk.dashboard.blocks import Block, Column, is_whole, steps_and_walls, stored_column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rldk.dashboard.gathered import Gathered
    from rldk.dashboard.kept import Kept

__all__ = ["Curve", "CurveKey", "Piece", "Span", "View"]

CurveKey: TypeAlias = tuple[str, str | None]
"""Phase and evaluation set."""


class Span(msgspec.Struct, array_like=True):
    """The rows of one attempt in a curve."""

    attempt: int
    begin: int
    end: int


class Curve(msgspec.Struct):
    """The rows of one phase and evaluation set, those that a later attempt replaced among them."""

    phase: str
    eval_set: str | None
    spans: list[Span] = []
    blocks: list[Block] = []
    metrics: dict[str, None] = {}
    """Their names, in the order in which they first came."""
    rows: int = 0
    first: int = 0
    """The row of the curve that the gathered rows begin with."""


class Piece(NamedTuple):
    """Successive rows of a curve."""

    begin: int
    """The row of the curve that it begins with."""
    steps: Sequence[int]
    walls: Sequence[float]
    timed: bool
    columns: dict[str, Column]


class View:
    """A curve as it is at one moment; what is on disk is read when it is asked for."""

    def __init__(
        self,
        curve: Curve,
        gathered: Gathered,
        metrics: Sequence[str],
        last_steps: dict[int, int],
        kept: Kept | None,
    ) -> None:
        self.phase, self.eval_set = curve.phase, curve.eval_set
        self.rows = curve.rows
        self.metrics = list(curve.metrics)
        self.spans = [Span(span.attempt, span.begin, span.end) for span in curve.spans]
        self.last_steps = last_steps
        self._wanted = [name for name in metrics if name in curve.metrics]
        self._blocks = list(curve.blocks)
        self._kept = kept
        columns = {name: column for name in self._wanted if (column := gathered.column(name))}
        walls = gathered.walls[:]
        self._last = Piece(curve.first, gathered.steps[:], walls, is_whole(walls), columns)

    def pieces(self) -> Iterator[Piece]:
        """The curve from its first row to its last."""
        begin = 0
        for block in self._blocks:
            assert self._kept is not None  # noqa: S101 - where else should it be
            yield self._stored(self._kept.map(), begin, block)
            begin += block.rows
        if self._last.steps:
            yield self._last

    def _stored(self, memory: memoryview, begin: int, block: Block) -> Piece:
        names = [name for name in self._wanted if name in block.columns]
        columns = {name: stored_column(memory, block.rows, block.columns[name]) for name in names}
        steps, walls = steps_and_walls(memory, block)
        return Piece(begin, steps, walls, block.timed, columns)
