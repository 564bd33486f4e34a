"""The events of a run as columns: appended to as the log grows, kept on disk, and read back from there.

Rows are gathered in memory and, some thousands at a time, appended to one file as a block for each curve.
"""

from __future__ import annotations

import threading
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from rldk.dashboard.blocks import Block
from rldk.dashboard.curves import Curve, CurveKey, Span, View
from rldk.dashboard.gathered import Gathered
from rldk.io.decoder import LineDecoder, event, names
from rldk.io.history import Cuts
from rldk.io.position import START, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rldk.dashboard.kept import Kept
    from rldk.io.decoder import Tail
    from rldk.io.log_tail import Chunk

__all__ = ["Columns"]

_FULL: Final = 8192
"""So many rows are gathered before they are written."""


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
        self._gathered: list[Gathered] = []
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
            self._gathered.append(Gathered())
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
                block = gathered.write(self._kept, index)
                curve.blocks.append(block)
                curve.first = curve.rows
                blocks.append(block)
                self._gathered[index] = Gathered()
        self._waiting = 0
        self._kept.commit(
            _Record(
                self.position,
                blocks,
                [(each.phase, each.eval_set, each.spans, list(each.metrics)) for each in self.curves],
                self._cuts.began,
                sorted(self._begun),
                self.resumed_from,
                (self._implied, self._last_step),
                (self.events, self.problems),
                self.facts,
            )
        )

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
        self._cuts = Cuts(record.cuts)
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
