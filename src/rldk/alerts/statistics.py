"""Robust statistics of short sequences, in plain Python.

Everything here is asked of at most a few hundred numbers at a time; what is remembered of a long run, so that
this is enough, is in `rldk.alerts.series`.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, insort
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Change",
    "SortedWindow",
    "change",
    "mad",
    "mann_whitney",
    "median",
    "noise",
    "rank_correlation",
    "theil_sen",
    "trend",
]

_TO_SIGMA: Final = 1.4826
"""What the median deviation of normal numbers has to be multiplied with to be their standard deviation."""

_LEAST: Final = 1e-12
_OF_MEDIAN: Final = 1e-3
"""A scale is not taken to be smaller than this, nor than this share of the median: nearly constant is constant."""

_PAIRED: Final = 48
"""Of so many points at most are all pairs looked at."""


def median(values: Sequence[float]) -> float:
    """The median of at least one number."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    # Halved one by one, so that the sum of two is not beyond the largest double.
    return ordered[middle] if len(ordered) % 2 else ordered[middle - 1] / 2 + ordered[middle] / 2


def mad(values: Sequence[float], centre: float | None = None) -> float:
    """The median deviation from the median, scaled to be a standard deviation, and never quite 0."""
    centre = median(values) if centre is None else centre
    found = _TO_SIGMA * median([abs(value - centre) for value in values])
    return max(found, _LEAST, _OF_MEDIAN * abs(centre))


def noise(values: Sequence[float]) -> float:
    """The standard deviation about a level that may drift, by the differences of neighbours; never quite 0."""
    if len(values) < 2:  # noqa: PLR2004 - a difference takes two
        return _LEAST
    steps = [abs(after - before) for before, after in itertools.pairwise(values)]
    found = _TO_SIGMA * median(steps) / math.sqrt(2)
    if found == 0:
        # Most neighbours are equal, as the values of a coarse reward are.
        found = sum(steps) / len(steps)
    return max(found, _LEAST, _OF_MEDIAN * abs(median(values)))


class Change(NamedTuple):
    """A lasting change of level."""

    place: int
    """Where it began."""
    sure_at: int
    """Where it could be told from chance."""
    size: float
    """How much of it there is, in steps of the scale."""


def change(
    values: Sequence[float], centre: float, scale: float, *, slack: float = 0.5, limit: float = 8.0
) -> Change | None:
    """The first lasting rise above a level, by a one-sided CUSUM: S <- max(0, S + z - slack), found at S > limit.

    Args:
        values: the values in their order; with opposite signs of values and centre, a fall is found.
        centre: the level.
        scale: the standard deviation about it.
        slack: how far above the level, in scales, is still no rise.
        limit: 8 is reached by a rise of 1 scale in 16 values.
    """
    total, began = 0.0, 0
    for index, value in enumerate(values):
        if total == 0:
            began = index
        # One value alone cannot be a lasting change.
        total = max(0.0, total + min((value - centre) / scale, limit / 2) - slack)
        if total > limit:
            return Change(began, index, total)
    return None


def theil_sen(values: Sequence[float]) -> float:
    """The median slope between two values, per place; of long sequences, between means of neighbours."""
    thin, stride = _thinned(values)
    slopes = [
        (thin[later] - thin[earlier]) / (later - earlier)
        for earlier in range(len(thin))
        for later in range(earlier + 1, len(thin))
    ]
    return median(slopes) / stride if slopes else 0.0


def _thinned(values: Sequence[float]) -> tuple[list[float], int]:
    stride = -(-len(values) // _PAIRED)
    if stride <= 1:
        return list(values), 1
    groups = [values[start : start + stride] for start in range(0, len(values) - stride + 1, stride)]
    return [sum(group) / stride for group in groups], stride


def trend(values: Sequence[float]) -> float:
    """How surely values rise (positive) or fall, in standard deviations: the test of Mann and Kendall."""
    thin, _ = _thinned(values)
    count = len(thin)
    if count < 4:  # noqa: PLR2004 - fewer can come in any order by chance
        return 0.0
    score = 0
    for earlier, value in enumerate(thin):
        for later in range(earlier + 1, count):
            score += (thin[later] > value) - (thin[later] < value)
    variance = count * (count - 1) * (2 * count + 5) / 18
    return (score - (score > 0) + (score < 0)) / math.sqrt(variance)


def mann_whitney(before: Sequence[float], after: Sequence[float]) -> float:
    """How surely the values after are above those before, in standard deviations."""
    if not before or not after:
        return 0.0
    ordered = sorted(before)
    wins = 0.0
    for value in after:
        left = bisect_left(ordered, value)
        ties = 0
        while left + ties < len(ordered) and ordered[left + ties] == value:
            ties += 1
        wins += left + ties / 2
    one, other = len(before), len(after)
    return (wins - one * other / 2) / math.sqrt(one * other * (one + other + 1) / 12)


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's: 1 when both rise together, -1 when one falls as the other rises, 0 when nothing can be said."""
    if len(one) < 3:  # noqa: PLR2004 - two points always lie on a line
        return 0.0
    first, second = _ranks(one), _ranks(other)
    middle = (len(one) - 1) / 2
    over = sum((left - middle) * (right - middle) for left, right in zip(first, second, strict=True))
    size = sum((left - middle) ** 2 for left in first) * sum((right - middle) ** 2 for right in second)
    return over / math.sqrt(size) if size > 0 else 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            ranks[place] = (start + end) / 2
        start = end + 1
    return ranks


class SortedWindow:
    """The last numbers of a stream in order, so that their median and quantiles are at hand.

    Args:
        size: how many are kept.
    """

    __slots__ = ("_arrived", "_ordered", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._arrived: deque[float] = deque()
        self._ordered: list[float] = []

    def __len__(self) -> int:
        return len(self._ordered)

    def add(self, value: float) -> None:
        """Take in the next number; the oldest gives way."""
        if len(self._arrived) == self._size:
            oldest = self._arrived.popleft()
            del self._ordered[bisect_left(self._ordered, oldest)]
        self._arrived.append(value)
        insort(self._ordered, value)

    def clear(self) -> None:
        """Forget all."""
        self._arrived.clear()
        self._ordered.clear()

    @property
    def median(self) -> float:
        """The median of what is kept."""
        ordered = self._ordered
        middle = len(ordered) // 2
        return ordered[middle] if len(ordered) % 2 else ordered[middle - 1] / 2 + ordered[middle] / 2

    @property
    def scale(self) -> float:
        """Their standard deviation by the quartiles, which is as robust as the median deviation; never quite 0."""
        ordered = self._ordered
        quarter = len(ordered) // 4
        spread = (ordered[-1 - quarter] - ordered[quarter]) / 1.349
        return max(spread, _LEAST, _OF_MEDIAN * abs(self.median))
