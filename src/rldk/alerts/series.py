"""What is remembered of a metric: its last values, and all of its history in at most 128 means."""

from __future__ import annotations

from collections import deque
from typing import Final

from rldk.alerts.statistics import mad, median, noise

__all__ = ["RECENT", "Series"]

RECENT: Final = 64
"""How many of the last values are kept one by one."""

_BLOCKS: Final = 128
"""So many means are kept at most; then each two become one."""

_FIRST: Final = 10
"""A baseline is of this many values, or a tenth of all if that is more: facts about a start need a start."""


class Series:
    """The finite values of one metric on one curve.

    As long as there are fewer than 128, every value is there; later, means over stretches of equal length, which
    double when the memory is full. So whatever is asked of it costs the same for any length of run, and a part of
    the end can be forgotten when a later attempt replaces it.
    """

    __slots__ = (
        "_cache",
        "_cached",
        "_count",
        "_ends",
        "_first",
        "_means",
        "_starts",
        "_total",
        "first",
        "last",
        "last_step",
        "n",
        "name",
        "odd",
        "recent",
        "steps",
        "stride",
        "zeros",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self._begin()
        self.odd = 0
        """How many of its latest values, one after the other, were NaN, infinite or null."""

    def _begin(self) -> None:
        self.n = self.zeros = 0
        self.first, self.last, self.last_step = 0.0, 0.0, -1
        self.recent: deque[float] = deque(maxlen=RECENT)
        self.steps: deque[int] = deque(maxlen=RECENT)
        self.stride = 1
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._means: list[float] = []
        self._total, self._count, self._first = 0.0, 0, 0
        self._cache: dict[str, list[float]] = {}
        self._cached = -1

    def add(self, step: int, value: float) -> None:
        """Take in the next value; one of the same step as the last takes its place."""
        self.odd = 0
        if step == self.last_step:
            self._replace(value)
            return
        if not self.n:
            self.first = value
        self.n += 1
        self.last, self.last_step = value, step
        self.recent.append(value)
        self.steps.append(step)
        if value == 0:
            self.zeros += 1
        if self.stride == 1:
            self._means.append(value)
            self._starts.append(step)
            self._ends.append(step)
            if len(self._means) == _BLOCKS:
                self._halve()
            return
        if not self._count:
            self._first = step
        self._total += value
        self._count += 1
        if self._count >= self.stride:
            self._close()

    def _replace(self, value: float) -> None:
        self.zeros += (value == 0) - (self.last == 0)
        self.recent[-1] = value
        if self.stride == 1:
            self._means[-1] = value
        elif self._count:
            self._total += value - self.last
        self.last = value
        self._cached = -1

    def _close(self) -> None:
        self._means.append(self._total / self._count)
        self._starts.append(self._first)
        self._ends.append(self.last_step)
        self._total, self._count = 0.0, 0
        if len(self._means) == _BLOCKS:
            self._halve()

    def _halve(self) -> None:
        self._means = [self._means[at] / 2 + self._means[at + 1] / 2 for at in range(0, _BLOCKS, 2)]
        self._starts, self._ends = self._starts[::2], self._ends[1::2]
        self.stride *= 2

    def cut(self, last_step: int) -> None:
        """Forget what came after a step. A mean over steps on both sides of it is forgotten, too."""
        if self.last_step <= last_step:
            return
        if not self._starts or self._starts[0] > last_step:
            self._begin()
            return
        while self._ends and self._ends[-1] > last_step:
            for each in (self._means, self._starts, self._ends):
                each.pop()
        while self.steps and self.steps[-1] > last_step:
            self.steps.pop()
            self.recent.pop()
        self._recall()
        # What is kept one by one fills the gap of the mean that had to go.
        begun = self._ends[-1] if self._ends else -1
        rest = [(step, value) for step, value in zip(self.steps, self.recent, strict=True) if step > begun]
        self._total, self._count = sum(value for _, value in rest), len(rest)
        self._first = rest[0][0] if rest else 0
        self.n = len(self._means) * self.stride + self._count
        self.zeros = min(self.zeros, self.n)
        self.last_step = self.steps[-1] if self.steps else begun
        self.last = self.recent[-1] if self.recent else (self._means[-1] if self._means else 0.0)
        self.odd, self._cached = 0, -1
        if not self.n:
            self._begin()

    def _recall(self) -> None:
        """Have the last values at hand again that a cut has left: every one while each is there, or one mean."""
        if self._ends and (self.stride == 1 or not self.recent):
            count = RECENT if self.stride == 1 else 1
            self.recent.clear()
            self.steps.clear()
            self.recent.extend(self._means[-count:])
            self.steps.extend(self._ends[-count:])

    @property
    def values(self) -> list[float]:
        """All history: every value, or means of neighbours."""
        if self._cached != self.n:
            self._cache.clear()
            self._cached = self.n
        if "values" not in self._cache:
            part = [self._total / self._count] if self._count * 2 >= self.stride > 1 else []
            self._cache["values"] = self._means + part
        return self._cache["values"]

    def step_at(self, index: int) -> int:
        """The first step that the value at this place of `values` stands for."""
        return self._starts[index] if index < len(self._starts) else self._first

    def place_of(self, step: int) -> int:
        """The place in `values` of the first value that stands for this step or a later one."""
        return next((place for place, end in enumerate(self._ends) if end >= step), len(self.values))

    def _number(self, name: str) -> float:
        values = self.values
        if name not in self._cache:
            self._cache[name] = [self._compute(name, values)]
        return self._cache[name][0]

    def _compute(self, name: str, values: list[float]) -> float:
        if name == "baseline":
            return median(self.head())
        if name == "spread":
            return max(mad(self.head()), noise(values))
        if name == "noise":
            return noise(values)
        return median(self.tail())

    def head(self, share: float = 0.1) -> list[float]:
        """The beginning: the first ten values, or a share of all if that is more."""
        values = self.values
        return values[: max(-(-_FIRST // self.stride), round(len(values) * share), 1)]

    def tail(self, share: float = 0.1) -> list[float]:
        """The end: the last five values, or a share of all if that is more."""
        values = self.values
        count = round(len(values) * share)
        if self.stride > 1 or count >= _FIRST // 2:
            return values[-max(count, 1) :]
        return list(self.recent)[-_FIRST // 2 :]

    @property
    def baseline(self) -> float:
        """The median of the beginning."""
        return self._number("baseline")

    @property
    def spread(self) -> float:
        """How far values lie from the baseline by chance."""
        return self._number("spread")

    @property
    def noise(self) -> float:
        """How far neighbours in `values` lie apart by chance."""
        return self._number("noise")

    @property
    def level(self) -> float:
        """The median of the end."""
        return self._number("level")
