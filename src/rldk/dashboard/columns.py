"""The events of a run as columns: appended to as the log grows, kept on disk, and read back from there.

Rows are gathered in memory and, some thousands at a time, appended to one file as a block for each curve. A block
is never changed again. Beside the values of a column it holds the least and the greatest of every 64 of them, so
that a million points are thinned without being read.
"""

from __future__ import annotations

import threading
from array import array
from itertools import groupby
from math import inf, isfinite, nan
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec

from rldk.io.decoder import LineDecoder, event, names
from rldk.io.history import Cuts
from rldk.io.position import START, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rldk.dashboard.kept import Kept
    from rldk.io.decoder import Tail
    from rldk.io.log_tail import Chunk

__all__ = ["NODE", "Block", "Column", "Columns", "Curve", "CurveKey", "Span", "View"]

NODE: Final = 16
"""So many values of a column have their least and their greatest kept beside them."""
_FULL: Final = 8192
"""So many rows are gathered before they are written."""

CurveKey: TypeAlias = tuple[str, str | None]
"""Phase and evaluation set."""


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


class _Gathered:
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
        """A copy of a column."""
        if name not in self.columns:
            return None
        values = self.columns[name] + array("d", [nan]) * (len(self.steps) - len(self.columns[name]))
        return Column(values, (), (), self.bad.get(name, array("H"))[:], whole=_is_whole(values))


def _is_whole(values: Sequence[float]) -> bool:
    total = sum(values)
    return bool(total - total == 0) or all(value - value == 0 for value in values)


class _Kind(NamedTuple):
    """What a line is part of."""

    curve: int
    attempt: int


class Columns:
    """The columns of one log.

    One thread may add to them while others look at them.

    Args:
        keeper: opens the place where they are kept; told whether it is to be made when it is not there. In memory
            alone when not given.
    """

    def __init__(self, keeper: Callable[[bool], Kept | None] = lambda _: None) -> None:
        self._lock = threading.Lock()
        self._keeper = keeper
        self._kept = kept = keeper(False)  # noqa: FBT003
        self._decoder = LineDecoder()
        self.curves: list[Curve] = []
        self._places: dict[CurveKey, int] = {}
        self._gathered: list[_Gathered] = []
        self._waiting = 0
        self._cuts = Cuts()
        self._begun: set[int] = set()
        """The attempts of which is known where they began."""
        self._implied, self._last_step = 1, -1
        self._last_kind: tuple[Tail | None, _Kind] = (None, _Kind(0, 0))
        self.events = 0
        self.problems = 0
        self.position = START
        self.resumed_from: dict[int, int | None] = {}
        self.facts: dict[str, Any] = {}
        """What the last line said of the model and the trainer."""
        if kept:
            self._load(kept)

    def add(self, chunk: Chunk) -> None:
        """Take in the next lines."""
        with self._lock:
            if chunk.problem:
                self.problems += 1
            for run in self._decoder.runs(chunk.text):
                self._add_run(run.heads, run.tails, regular=run.regular)
            self.position = chunk.end
            if self._waiting >= _FULL:
                self._flush()

    def _add_run(self, heads: list[Any], tails: list[Any], *, regular: bool) -> None:
        if not regular:
            self._add_line(heads[0], tails[0])
            return
        at = 0
        for (_, _), group in groupby(zip(heads, tails, strict=True), lambda pair: (id(pair[1]), type(pair[0].metrics))):
            some = [head for head, _ in group]
            self._add_group(some, tails[at])
            at += len(some)

    def _add_line(self, head: Any, tail: Any) -> None:
        if head is None:
            self.problems += 1
            return
        kind = self._kind(head, tail)
        self._gathered[kind.curve].add_one(head.step, head.wall_time, head.metrics)
        self._note(kind, 1, head.metrics)

    def _add_group(self, heads: list[Any], tail: Tail) -> None:
        """Add successive regular lines with one tail and the same metrics."""
        if "attempt" not in tail.model_info:
            for head in heads:
                kind = self._kind(head, tail)
                metrics = dict(zip(names(head) or (), msgspec.structs.astuple(head.metrics), strict=True))
                self._gathered[kind.curve].add_one(head.step, head.wall_time, metrics)
                self._note(kind, 1, metrics)
            return
        kind = self._kind(heads[0], tail)
        if kind.attempt not in self._begun:
            for head in heads[1:]:
                self._kind(head, tail)
        given = names(heads[0]) or ()
        columns = zip(*(msgspec.structs.astuple(head.metrics) for head in heads), strict=True)
        rows = dict(zip(given, columns, strict=True)) if given else {}
        steps, walls = zip(*map(_place, heads), strict=True)
        self._gathered[kind.curve].add(steps, walls, rows)
        self._note(kind, len(heads), dict.fromkeys(given))

    def _note(self, kind: _Kind, rows: int, metrics: dict[str, Any]) -> None:
        """Count rows that were gathered."""
        curve = self.curves[kind.curve]
        if not curve.spans or curve.spans[-1].attempt != kind.attempt:
            curve.spans.append(Span(kind.attempt, curve.rows, curve.rows))
        curve.rows += rows
        curve.spans[-1].end = curve.rows
        if not metrics.keys() <= curve.metrics.keys():
            curve.metrics.update(dict.fromkeys(metrics))
        self.events += rows
        self._waiting += rows

    def _kind(self, head: Any, tail: Tail) -> _Kind:
        """What a line is part of; where attempts begin is learned by this."""
        if tail is self._last_kind[0] and self._last_kind[1].attempt in self._begun:
            return self._last_kind[1]
        info = tail.model_info
        phase, eval_set = str(info.get("phase") or "train"), tail.data_slice.get("eval_set")
        attempt = int(info.get("attempt") or 1)
        if "attempt" not in info:
            if phase == "train":
                self._implied += head.step < self._last_step
                self._last_step = head.step
            attempt = self._implied
        if attempt not in self._begun:
            of = event(head, tail, names(head))
            self._cuts.add(attempt, of)
            if of.resumed_from is not None or phase == "train":
                self._begun.add(attempt)
            self.resumed_from[attempt] = of.resumed_from
            self.facts = dict(info)
        kind = _Kind(self._place((phase, None if eval_set is None else str(eval_set))), attempt)
        if "attempt" in info:
            self._last_kind = tail, kind
        return kind

    def _place(self, key: CurveKey) -> int:
        if key not in self._places:
            self._places[key] = len(self.curves)
            self.curves.append(Curve(*key))
            self._gathered.append(_Gathered())
        return self._places[key]

    @property
    def metrics(self) -> list[str]:
        """The names of all metrics, in the order in which they first came."""
        with self._lock:
            return list(dict.fromkeys(name for curve in self.curves for name in curve.metrics))

    @property
    def folder(self) -> Path | None:
        """Where what is known of the log is kept; None while nothing is."""
        return self._kept.folder if self._kept else None

    def view(self, metrics: Sequence[str]) -> list[View]:
        """Every curve as it is now, with these metrics."""
        with self._lock:
            last_steps = self._cuts.last_steps
            return [
                View(curve, gathered, metrics, last_steps, self._kept)
                for curve, gathered in zip(self.curves, self._gathered, strict=True)
            ]

    @property
    def last_steps(self) -> dict[int, int]:
        """For each attempt that a later one branched off from: its last step that still counts."""
        with self._lock:
            return self._cuts.last_steps

    def _flush(self) -> None:
        """Write what was gathered."""
        self._kept = self._kept or self._keeper(True)  # noqa: FBT003
        if self._kept is None:
            return
        blocks = []
        for index, (curve, gathered) in enumerate(zip(self.curves, self._gathered, strict=True)):
            if gathered.steps:
                block = self._write(self._kept, index, gathered)
                curve.blocks.append(block)
                curve.first = curve.rows
                blocks.append(block)
                self._gathered[index] = _Gathered()
        self._waiting = 0
        self._kept.commit(
            _Record(
                self.position,
                blocks,
                [(each.phase, each.eval_set, each.spans, list(each.metrics)) for each in self.curves],
                self._cuts._attempts,  # noqa: SLF001 - its state
                sorted(self._begun),
                self.resumed_from,
                (self._implied, self._last_step),
                (self.events, self.problems),
                self.facts,
            )
        )

    @staticmethod
    def _write(kept: Kept, index: int, gathered: _Gathered) -> Block:
        rows = len(gathered.steps)
        steps = kept.append(gathered.steps.tobytes() + gathered.walls.tobytes())
        columns = {}
        for name in gathered.columns:
            column = gathered.column(name)
            assert column is not None  # noqa: S101 - for the type checker
            lows, highs = _nodes(column)
            bad = array("q", column.bad)
            values = column.values
            assert isinstance(values, array)  # noqa: S101 - for the type checker
            offset = kept.append(values.tobytes() + lows.tobytes() + highs.tobytes() + bad.tobytes())
            columns[name] = Stored(offset, len(bad), column.whole)
        return Block(index, rows, steps, _is_whole(gathered.walls), columns)

    def _load(self, kept: Kept) -> None:
        """Take in what was kept."""
        record: _Record | None = None
        blocks: list[Block] = []
        for record in kept.records(_Record):
            blocks += record.blocks
        if record is None:
            return
        for phase, eval_set, spans, metrics in record.curves:
            place = self._place((phase, eval_set))
            self.curves[place].spans, self.curves[place].metrics = spans, dict.fromkeys(metrics)
            self.curves[place].rows = self.curves[place].first = spans[-1].end if spans else 0
        for block in blocks:
            self.curves[block.curve].blocks.append(block)
        self._cuts._attempts.update(record.cuts)  # noqa: SLF001 - its state
        self._begun = set(record.begun)
        self.resumed_from = dict(record.resumed_from)
        self._implied, self._last_step = record.implied
        self.events, self.problems = record.counts
        self.facts = record.facts
        self.position = record.position

    def forget(self) -> None:
        """Remove what is kept: the log is another one."""
        with self._lock:
            if self._kept:
                self._kept.clear()
                self._kept.close()

    def close(self) -> None:
        """Leave what is kept to others."""
        with self._lock:
            if self._kept:
                self._kept.close()


class _Record(msgspec.Struct, array_like=True):
    """What was written last, and all else that is needed to go on behind it."""

    position: Position
    blocks: list[Block]
    curves: list[tuple[str, str | None, list[Span], list[str]]]
    cuts: dict[int, int | None]
    begun: list[int]
    resumed_from: dict[int, int | None]
    implied: tuple[int, int]
    counts: tuple[int, int]
    facts: dict[str, Any]


_place: Final = attrgetter("step", "wall_time")


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
        gathered: _Gathered,
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
        self._last = Piece(curve.first, gathered.steps[:], walls, _is_whole(walls), columns)

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
        rows, size = block.rows, 8 * block.rows
        columns = {name: _column(memory, rows, block.columns[name]) for name in self._wanted if name in block.columns}
        steps = memory[block.steps : block.steps + size].cast("q")
        walls = memory[block.steps + size : block.steps + 2 * size].cast("d")
        return Piece(begin, steps, walls, block.timed, columns)


def _column(memory: memoryview, rows: int, stored: Stored) -> Column:
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
