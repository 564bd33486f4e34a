"""The rows of a regular log as columns in plain buffers, and the test that it is regular.

Only what needs no second thought becomes columns. What gives None has to be read event by event instead.
"""

from __future__ import annotations

import math
import operator
import sys
from array import array
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from rldk.io.decoder import Head, event, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rldk.io.decoder import Run, Tail
    from rldk.io.event_schema import Number

__all__ = ["STAMP", "Block", "Columns", "Curve", "Gatherer", "Kind", "Layout", "Part", "columns"]

STAMP: Final = len("2026-01-31T23:59:59.000000Z")
"""How many bytes each timestamp has."""

_EXACT: Final = 2**53
"""Up to this size every integer is a double."""
_TAILS: Final = 64
_HIGH: Final = 7 if sys.byteorder == "little" else 0
_SMALL: Final = bytes(byte for byte in range(256) if byte & 0x7F < 0x43)  # noqa: PLR2004 - the exponent of 2**49
"""The byte at `_HIGH` of any double below 2**49."""

_step, _wall_time, _timestamp, _metrics = map(attrgetter, ("step", "wall_time", "timestamp", "metrics"))


class Kind(msgspec.Struct, frozen=True):
    """What all rows with the same tail have in common."""

    run_id: str
    phase: str
    eval_set: str | None
    attempt: int | None
    """None where the event names none; in a regular log it is then the first."""
    rank: int
    seed: int | None
    """`rng.seed`, when that is an integer."""
    resumed_from: int | None
    texts: tuple[str, ...]
    """The keys of `data_slice`, but for `eval_set`, that hold a text or a truth value."""
    left_out: bool
    """Whether a note says that some values could not be kept."""


class Curve(msgspec.Struct):
    """The first and the last step of the rows of one phase, evaluation set and attempt."""

    phase: str
    eval_set: str | None
    attempt: int | None
    first: int
    last: int


class Block(NamedTuple):
    """The values of all rows of a part that have metrics of the same names in the same order."""

    names: tuple[str, ...]
    rows: memoryview
    """int64: the row of the part each row of values belongs to, ascending."""
    values: memoryview
    """float64, `len(rows) * len(names)`, row by row. NaN and infinities are what was logged."""
    nulls: memoryview
    """int64, ascending: the places in `values` where None was logged. They hold NaN."""


class Part(NamedTuple):
    """Successive rows of a log, one for each event."""

    kinds: list[Kind]
    kind: memoryview
    """int32: the place in `kinds` of each row's."""
    step: memoryview
    """int64."""
    wall_time: memoryview
    """float64; NaN where there was none."""
    timestamps: memoryview
    """ASCII, `STAMP` bytes for each row without anything between; empty when the rows have none."""
    blocks: list[Block]


class Columns(NamedTuple):
    """All rows of a log, in the order in which they were written; each is its own point and none was replaced.

    Every buffer is contiguous and native: `numpy.frombuffer(part.step, "i8")` copies nothing.
    """

    parts: list[Part]


class Layout(msgspec.Struct):
    """What has to be known of a part beside its buffers."""

    rows: int
    kinds: list[Kind]
    curves: list[Curve]
    stamped: bool
    blocks: list[tuple[tuple[str, ...], int, int]]
    """Of each block the names, and how many rows and nulls it has."""

    def part(self, buffers: memoryview) -> Part:
        """The part whose buffers follow each other in this one, as `Gatherer.buffers` gives them."""
        rest = [buffers]

        def take(kind: Literal["q", "d", "i", "B"], count: int) -> Any:
            size = count * array(kind).itemsize
            taken, rest[0] = rest[0][:size], rest[0][size:]
            return taken.cast(kind)

        step, wall_time = take("q", self.rows), take("d", self.rows)
        blocks = [
            Block(metrics, take("q", rows), take("d", rows * len(metrics)), take("q", nulls))
            for metrics, rows, nulls in self.blocks
        ]
        kind = take("i", self.rows)
        return Part(self.kinds, kind, step, wall_time, take("B", self.stamped * self.rows * STAMP), blocks)


class _Values:
    """The growing buffers of a block."""

    def __init__(self) -> None:
        self.rows = array("q")
        self.values = array("d")
        self.nulls = array("q")


class Gatherer:
    """Gathers the rows of successive lines."""

    def __init__(self) -> None:
        self._kinds: dict[Kind, int] = {}
        self._curves: dict[tuple[Any, ...], Curve] = {}
        self._curve_of: list[Curve] = []
        self._kind = array("i")
        self._step = array("q")
        self._wall_time = array("d")
        self._timestamps = bytearray()
        self._blocks: dict[tuple[str, ...], _Values] = {}
        self._numbers: dict[int, tuple[Tail, int]] = {}
        """The tails seen last, by their id, and the numbers of their kinds."""
        self._tail: Tail | None = None
        self._slices: dict[Any, int] = {}
        """The kinds of tails that differ from `_tail` in `data_slice` only."""

    def add(self, run: Run) -> bool:
        """Add the lines of a run; False when they, or they and those before, are not regular."""
        heads, first = run.heads, len(self._step)
        if heads[0] is None:
            return False
        self._step.fromlist(steps := list(map(_step, heads)))
        self._wall_time.fromlist([math.nan if head.wall_time is None else head.wall_time for head in heads])
        return (
            self._add_kinds(run.tails, steps)
            and self._add_timestamps(list(map(_timestamp, heads)))
            and (self._add_structs(heads, first) if run.regular else self._add_dict(heads[0].metrics, first))
        )

    def _add_kinds(self, tails: Sequence[Tail], steps: Sequence[int]) -> bool:
        if tails.count(tails[0]) == len(tails):
            number = self._number(tails[0])
            self._kind.fromlist([number] * len(tails))
            return self._follow(number, steps)
        numbers = list(map(self._number, tails))
        self._kind.fromlist(numbers)
        return all(self._follow(number, [step]) for number, step in zip(numbers, steps, strict=True))

    def _follow(self, number: int, steps: Sequence[int]) -> bool:
        """Whether the steps of a kind go on forward on their curve."""
        curve = self._curve_of[number]
        if steps[0] <= curve.last or not all(map(operator.lt, steps, steps[1:])):
            return False
        curve.first, curve.last = steps[0] if curve.first < 0 else curve.first, steps[-1]
        return True

    def _number(self, tail: Tail) -> int:
        """The number of a tail's kind."""
        known = self._numbers.get(id(tail))
        if known:
            return known[1]
        if len(self._numbers) == _TAILS:
            self._numbers.clear()
        number = self._sliced_number(tail)
        self._numbers[id(tail)] = (tail, number)
        return number

    def _sliced_number(self, tail: Tail) -> int:
        before, data_slice = self._tail, tail.data_slice
        if not (before and tail.rng is before.rng and tail.model_info is before.model_info):
            self._tail = tail
            self._slices.clear()
        key = (*data_slice, *map(type, data_slice.values()), data_slice.get("eval_set"), *tail.notes)
        if key not in self._slices:
            self._slices[key] = self._kind_number(_kind(tail))
        return self._slices[key]

    def _kind_number(self, kind: Kind) -> int:
        if kind not in self._kinds:
            self._kinds[kind] = len(self._kinds)
            curve = (kind.phase, kind.eval_set, kind.attempt)
            self._curve_of.append(self._curves.setdefault(curve, Curve(*curve, first=-1, last=-1)))
        return self._kinds[kind]

    def _add_timestamps(self, stamps: list[str | None]) -> bool:
        """Add timestamps, of which all rows must have one, or none."""
        texts = [stamp for stamp in stamps if stamp is not None]
        self._timestamps += "".join(texts).encode()
        return len(self._timestamps) in {0, STAMP * len(self._step)}

    def _add_structs(self, heads: Sequence[Any], first: int) -> bool:
        metrics = list(map(_metrics, heads))
        kinds = list(map(type, metrics))
        if kinds.count(kinds[0]) == len(kinds):
            return self._add_alike(heads[0], metrics, range(first, first + len(heads)))
        found = {kind: [at for at, other in enumerate(kinds) if other is kind] for kind in dict.fromkeys(kinds)}
        return all(
            self._add_alike(heads[places[0]], [metrics[at] for at in places], [first + at for at in places])
            for places in found.values()
        )

    def _add_alike(self, head: Any, metrics: Iterable[Any], rows: Iterable[int]) -> bool:
        block = self._block(names(head) or ())
        values = list(chain.from_iterable(map(msgspec.structs.astuple, metrics)))
        block.rows.extend(rows)
        added = array("d", values)
        block.values += added
        # Most values are small, and that can be seen of many at once.
        return not added.tobytes()[_HIGH::8].translate(None, _SMALL) or not any(map(_is_large, values))

    def _add_dict(self, metrics: dict[str, Number], row: int) -> bool:
        block = self._block(tuple(metrics))
        start = len(block.values)
        block.rows.append(row)
        block.nulls.extend(start + at for at, value in enumerate(metrics.values()) if value is None)
        block.values.extend(math.nan if value is None else value for value in metrics.values())
        return not any(map(_is_large, metrics.values()))

    def _block(self, metrics: tuple[str, ...]) -> _Values:
        if metrics not in self._blocks:
            self._blocks[metrics] = _Values()
        return self._blocks[metrics]

    def layout(self) -> Layout:
        """What has to be known beside `buffers`."""
        blocks = [(metrics, len(block.rows), len(block.nulls)) for metrics, block in self._blocks.items()]
        return Layout(len(self._step), list(self._kinds), list(self._curves.values()), bool(self._timestamps), blocks)

    def buffers(self) -> list[array[Any] | bytearray]:
        """The buffers of the part, the widest first, so that each is aligned."""
        buffers: list[array[Any] | bytearray] = [self._step, self._wall_time]
        for block in self._blocks.values():
            buffers += (block.rows, block.values, block.nulls)
        return [*buffers, self._kind, self._timestamps]


def _kind(tail: Tail) -> Kind:
    known = event(Head(0, None, None, None, {}), tail, None)
    seed = known.rng.get("seed")
    return Kind(
        run_id=known.run_id,
        phase=known.phase,
        eval_set=known.eval_set,
        attempt=known.attempt if "attempt" in known.model_info else None,
        rank=known.rank,
        seed=seed if type(seed) is int else None,
        resumed_from=known.resumed_from,
        texts=tuple(
            name for name, value in known.data_slice.items() if isinstance(value, (str, bool)) and name != "eval_set"
        ),
        left_out=any(note.startswith("left_out:") for note in known.notes),
    )


def _is_large(value: Number) -> bool:
    return type(value) is int and not -_EXACT <= value <= _EXACT


def columns(layouts: Sequence[Layout], parts: list[Part]) -> Columns | None:
    """The parts of a log as one, None when they are not regular together."""
    curves: dict[tuple[Any, ...], Curve] = {}
    for curve in chain.from_iterable(layout.curves for layout in layouts):
        before = curves.setdefault((curve.phase, curve.eval_set, curve.attempt), curve)
        if before is not curve:
            if curve.first <= before.last:
                return None
            before.last = curve.last
    kinds = list(chain.from_iterable(layout.kinds for layout in layouts))
    return Columns(parts) if _is_whole(list(curves.values()), kinds) else None


def _is_whole(curves: Sequence[Curve], kinds: Sequence[Kind]) -> bool:
    """Whether no attempt replaced anything of an earlier one."""
    attempts = {kind.attempt for kind in kinds}
    if attempts == {None}:
        # A step that goes back would be another attempt, on whatever curve of training.
        return sum(curve.phase == "train" for curve in curves) <= 1
    if None in attempts:
        return False
    ends = {attempt: max(curve.last for curve in curves if curve.attempt == attempt) for attempt in attempts}
    return all(
        end <= _began(later, curves, kinds)
        for attempt, end in ends.items()
        for later in attempts
        if attempt < later  # type: ignore[operator]
    )


def _began(attempt: int | None, curves: Iterable[Curve], kinds: Iterable[Kind]) -> float:
    """The last step of earlier attempts that an attempt leaves as it is, or one before that."""
    resumed = {kind.resumed_from for kind in kinds if kind.attempt == attempt}
    trained = [curve.first - 1 for curve in curves if (curve.attempt, curve.phase) == (attempt, "train")]
    return min(
        [*(step for step in resumed if step is not None), *(trained if None in resumed else [])], default=math.inf
    )
