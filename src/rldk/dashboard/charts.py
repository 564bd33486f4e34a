"""Thin columns to what a screen can show, so that no spike and no NaN is lost."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from itertools import compress, groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from rldk.dashboard.blocks import NODE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rldk.dashboard.blocks import Column
    from rldk.dashboard.columns import Columns
    from rldk.dashboard.curves import Piece, Span, View

__all__ = ["Axis", "Query", "Series", "clock", "join", "series"]

Axis = Literal["step", "wall_time"]

_MANY: Final = 4 * NODE
"""With so many rows in a bucket, it ends with a node, and few of its values are looked at."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be drawn."""

    metrics: tuple[str, ...]
    points: int = 1000
    """Buckets of equal width, into which the range is divided."""
    x: Axis = "step"
    low: float = -math.inf
    high: float = math.inf
    phase: str | None = None
    eval_set: str | None = None
    rewound: bool = False
    """Whether what later attempts replaced is given, too."""


class Series(msgspec.Struct, kw_only=True):
    """A metric over a curve, thinned. Of each bucket: the first value, the least, the greatest and the last."""

    metric: str
    phase: str
    eval_set: str | None
    attempt: int | None
    """Set when a later attempt replaced it."""
    rewound: bool
    points: int = 0
    """How many finite values are in the range."""
    thinned: bool = False
    x: list[float | None] = []
    y: list[float | None] = []
    nonfinite: list[tuple[float, str, int]] = []
    """For each bucket and each of NaN, Infinity and -Infinity: the first x, which, and how many."""


class _Slice(NamedTuple):
    """Successive rows of a piece that are in one bucket."""

    piece: int
    bucket: int
    begin: int
    end: int


_piece: Final = attrgetter("piece")


def series(columns: Columns, query: Query) -> list[Series]:
    """The series of a run, those that count first."""
    found: list[Series] = []
    for view in columns.view(query.metrics):
        if query.phase not in {None, view.phase} or query.eval_set not in {None, view.eval_set}:
            continue
        found += _of_curve(view, query)
    return sorted(found, key=lambda each: each.rewound)


def clock(columns: Columns, query: Query) -> list[tuple[int, float]]:
    """Steps of training and their times, both in order, as many as are asked for: they turn one axis into the other."""
    found: list[tuple[int, float]] = []
    for view in columns.view([]):
        if view.phase != "train":
            continue
        pieces = list(view.pieces())
        parts = [part for span in view.spans for part in _divided(span, pieces, view.last_steps)]
        ranges = [each for begin, end, rewound in parts if not rewound for each in _in_range(pieces, begin, end, query)]
        apart = -(-sum(end - begin for _, begin, end in ranges) // query.points) or 1
        for at, begin, end in ranges:
            for row in [*range(begin, end, apart), end - 1]:
                step, wall = pieces[at].steps[row], pieces[at].walls[row]
                if (not found and wall - wall == 0) or (found and step > found[-1][0] and wall >= found[-1][1]):
                    found.append((step, wall))
    return found


def join(before: list[Series], after: list[Series]) -> list[Series]:
    """Series and how they go on behind a part that has not been read."""
    found = {(each.metric, each.phase, each.eval_set, each.attempt): each for each in before}
    for each in after:
        first = found.setdefault((each.metric, each.phase, each.eval_set, each.attempt), each)
        if first is not each:
            gap: list[float | None] = [None] if first.x and each.x else []
            first.x, first.y = first.x + gap + each.x, first.y + gap + each.y
            first.nonfinite += each.nonfinite
            first.points += each.points
            first.thinned |= each.thinned
    return list(found.values())


def _of_curve(view: View, query: Query) -> Iterator[Series]:
    pieces = list(view.pieces())
    rows = [(span.attempt, *part) for span in view.spans for part in _divided(span, pieces, view.last_steps)]
    counting = [(begin, end) for _, begin, end, rewound in rows if not rewound]
    yield from _some(view, pieces, counting, None, query)
    if query.rewound:
        for attempt, begin, end, rewound in rows:
            if rewound:
                yield from _some(view, pieces, [(begin, end)], attempt, query)


def _divided(span: Span, pieces: list[Piece], last_steps: dict[int, int]) -> Iterator[tuple[int, int, bool]]:
    """The rows of an attempt that count, and those that a later one replaced."""
    last = last_steps.get(span.attempt)
    cut = span.end if last is None else _row_after(span, pieces, last)
    if span.begin < cut:
        yield span.begin, cut, False
    if cut < span.end:
        yield cut, span.end, True


def _row_after(span: Span, pieces: list[Piece], step: int) -> int:
    """The first row of an attempt behind a step; steps do not go back within an attempt."""
    for piece, begin, end in _within(pieces, span.begin, span.end):
        if piece.steps[end - 1] > step:
            return piece.begin + bisect_right(piece.steps, step, begin, end)
    return span.end


def _within(pieces: list[Piece], begin: int, end: int) -> Iterator[tuple[Piece, int, int]]:
    """The pieces that have some of these rows of the curve, with where these are in them."""
    for piece in pieces:
        low, high = max(begin - piece.begin, 0), min(end - piece.begin, len(piece.steps))
        if low < high:
            yield piece, low, high


def _some(
    view: View, pieces: list[Piece], rows: list[tuple[int, int]], attempt: int | None, query: Query
) -> Iterator[Series]:
    """The series over some rows of a curve."""
    ranges = [each for begin, end in rows for each in _in_range(pieces, begin, end, query)]
    total = sum(end - begin for _, begin, end in ranges)
    if not total:
        return
    xs = [_xs(piece, query.x) for piece in pieces]
    thin = total > 4 * query.points
    slices = (
        list(_slices(xs, ranges, query, total)) if thin else [_Slice(at, -1, low, high) for at, low, high in ranges]
    )
    for name in query.metrics:
        columns = [piece.columns.get(name) for piece in pieces]
        if any(columns[at] for at, _, _ in ranges):
            yield _one(_named(view, name, attempt), xs, columns, slices, thin=thin)


def _named(view: View, metric: str, attempt: int | None) -> Series:
    return Series(metric=metric, phase=view.phase, eval_set=view.eval_set, attempt=attempt, rewound=attempt is not None)


def _xs(piece: Piece, axis: Axis) -> Sequence[float]:
    return piece.steps if axis == "step" else piece.walls


def _in_range(pieces: list[Piece], begin: int, end: int, query: Query) -> Iterator[tuple[int, int, int]]:
    """Of some rows of the curve those in the range that is asked for: the piece, and where they are in it."""
    for at, piece in enumerate(pieces):
        low, high = max(begin - piece.begin, 0), min(end - piece.begin, len(piece.steps))
        if low >= high:
            continue
        xs = _xs(piece, query.x)
        if query.x == "wall_time" and not piece.timed:
            timed = [row for row in range(low, high) if xs[row] == xs[row] and query.low <= xs[row] <= query.high]
            yield from ((at, row, row + 1) for row in timed)
            continue
        if query.low > -math.inf:
            low = bisect_left(xs, query.low, low, high)
        if query.high < math.inf:
            high = bisect_right(xs, query.high, low, high)
        if low < high:
            yield at, low, high


def _slices(
    xs: list[Sequence[float]], ranges: list[tuple[int, int, int]], query: Query, total: int
) -> Iterator[_Slice]:
    """The rows, divided at the bounds of the buckets.

    Where a bucket has very many rows, at the nearest node: by an eighth of a bucket at most.
    """
    lowest = query.low if query.low > -math.inf else min(xs[at][begin] for at, begin, _ in ranges)
    highest = query.high if query.high < math.inf else max(xs[at][end - 1] for at, _, end in ranges)
    width = (highest - lowest) / query.points or 1.0
    many = total >= _MANY * query.points
    for at, begin, end in ranges:
        places, row = xs[at], begin
        while row < end:
            within = min(max(row, row - row % NODE + NODE // 2 - 1), end - 1) if many else row
            bucket = min(int((places[within] - lowest) / width), query.points - 1)
            bound = lowest + (bucket + 1) * width if bucket < query.points - 1 else math.inf
            after = max(bisect_left(places, bound, within, end), within + 1)
            if many and after < end:
                after = min(end, (after + NODE // 2) // NODE * NODE)
            yield _Slice(at, bucket, row, after)
            row = after


def _one(
    found: Series,
    xs: list[Sequence[float]],
    columns: list[Column | None],
    slices: list[_Slice],
    *,
    thin: bool,
) -> Series:
    found.x, found.y, found.nonfinite, found.thinned = [], [], [], thin
    marks: dict[tuple[int, str], tuple[float, int]] = {}
    points = _Points(found, thin=thin)
    for at, group in groupby(slices, _piece):
        column = columns[at]
        if column is None:
            continue
        places, values = xs[at], _Values(column)
        choose = values.extremes if thin else values.finite
        for each in group:
            if column.bad:
                _mark(marks, each, column, places, thin=thin)
            chosen = choose(each.begin, each.end)
            points.add(each.bucket, [places[row] for row in chosen], values.of(chosen))
            found.points += values.count(each.begin, each.end)
    points.end()
    found.nonfinite = sorted((first, kind, count) for (_, kind), (first, count) in marks.items())
    return found


def _mark(
    marks: dict[tuple[int, str], tuple[float, int]],
    rows: _Slice,
    column: Column,
    places: Sequence[float],
    *,
    thin: bool,
) -> None:
    """Take note of the values that are not finite."""
    for row in column.bad[bisect_left(column.bad, rows.begin) : bisect_left(column.bad, rows.end)]:
        key = (rows.bucket if thin else row, _spelled(column.values[row]))
        first, count = marks.get(key, (places[row], 0))
        marks[key] = first, count + 1


class _Points:
    """Gathers the points of a bucket, whose rows may be in several pieces, and gives them to a series."""

    def __init__(self, series: Series, *, thin: bool) -> None:
        self._series = series
        self._thin = thin
        self._bucket = -2
        self._x: list[float | None] = []
        self._y: list[Any] = []

    def add(self, bucket: int, x: list[float | None], y: list[float]) -> None:
        """Add points, which come behind those there are."""
        if bucket == self._bucket:
            self._x += x
            self._y += y
        else:
            self.end()
            self._bucket, self._x, self._y = bucket, x, y

    def end(self) -> None:
        """Give of the bucket the first point, the least, the greatest and the last."""
        x, y = self._x, self._y
        if self._thin and len(y) > 4:  # noqa: PLR2004 - these four
            rows = sorted({0, y.index(min(y)), y.index(max(y)), len(y) - 1})
            x, y = [x[row] for row in rows], [y[row] for row in rows]
        self._series.x += x
        self._series.y += y


class _Values:
    """The values of a column."""

    def __init__(self, column: Column) -> None:
        self._whole = column.whole
        self._lows, self._highs = list(column.lows), list(column.highs)
        values = column.values
        # An array is quicker to look at than what lies in the file, and quicker to make than a list.
        self._values: array[float] = values if isinstance(values, array) else array("d", bytes(values))

    def of(self, rows: Iterable[int]) -> list[float]:
        """The values of some rows."""
        values = self._values
        return [values[row] for row in rows]

    def count(self, begin: int, end: int) -> int:
        """How many of successive values are finite."""
        return end - begin if self._whole else sum(map(math.isfinite, self._values[begin:end]))

    def finite(self, begin: int, end: int) -> Sequence[int]:
        """The rows of finite values."""
        rows = range(begin, end)
        return rows if self._whole else list(compress(rows, map(math.isfinite, self._values[begin:end])))

    def extremes(self, begin: int, end: int) -> list[int]:
        """The rows of the first finite value, the least, the greatest and the last, in their order."""
        if end - begin < _MANY or not self._lows:
            return self._extremes(self.finite(begin, end))
        first, last = -(-begin // NODE), end // NODE
        rows = self._extremes_of_nodes(first, last)
        if begin % NODE or end % NODE:
            rows = self._extremes([*self.finite(begin, first * NODE), *rows, *self.finite(last * NODE, end)])
        return rows

    def _extremes(self, rows: Sequence[int]) -> list[int]:
        if not rows:
            return []
        values = list(self._values[rows[0] : rows[-1] + 1]) if isinstance(rows, range) else self.of(rows)
        return sorted({rows[0], rows[values.index(min(values))], rows[values.index(max(values))], rows[-1]})

    def _extremes_of_nodes(self, first: int, last: int) -> list[int]:
        """The same of whole nodes, of which few values are looked at."""
        lows, highs = self._lows[first:last], self._highs[first:last]
        low, high = min(lows), max(highs)
        if low > high:
            return []
        begin, end = first * NODE, last * NODE - 1
        if not self._whole:
            nodes = [node * NODE for node, least in enumerate(lows, first) if least < math.inf]
            begin, end = self.finite(nodes[0], nodes[0] + NODE)[0], self.finite(nodes[-1], nodes[-1] + NODE)[-1]
        find = self._values.index
        lowest, highest = find(low, (first + lows.index(low)) * NODE), find(high, (first + highs.index(high)) * NODE)
        return sorted({begin, lowest, highest, end})


def _spelled(value: float) -> str:
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124 - so is NaN known
