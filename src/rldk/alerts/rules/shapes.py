"""The shapes that many rules look for in a metric: a level that grew or fell for good, and single values far off."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from rldk.alerts.rules.wording import number
from rldk.alerts.statistics import SortedWindow, change, mann_whitney

if TYPE_CHECKING:
    from rldk.alerts.record import Record
    from rldk.alerts.series import Series

__all__ = ["Level", "Spikes", "Streak", "fallen", "grown", "since"]

_SURE: Final = 3.0
"""So many standard deviations apart must beginning and end be; a run is looked at some hundred times."""

_TINY: Final = 1e-12
_WINDOW: Final = 50
_FAR: Final = 6.0
_ENOUGH: Final = 20
_HIGHEST: Final = 700.0
"""The exponential of more is beyond the largest double."""


class Level(NamedTuple):
    """A level at the end of a run against the one at its beginning."""

    before: float
    now: float
    step: int
    """Since when."""
    z: float
    """How sure it is, in standard deviations."""

    @property
    def ratio(self) -> float:
        """How many times the one before; beginnings next to nothing count as tiny."""
        return self.now / max(abs(self.before), _TINY)


def grown(series: Series, factor: float) -> Level | None:
    """The level when it is so many times that of the beginning, and surely above it."""
    before, now = series.baseline, series.level
    if now <= 0 or now < factor * max(before, 0.0) or now - before < 3 * series.noise:
        return None
    z = mann_whitney(series.head(), _late(series))
    return Level(before, now, since(series, 1), z) if z > _least(series) else None


def fallen(series: Series, factor: float) -> Level | None:
    """The level when it is below this share of that of the beginning, and surely so; for what is never negative."""
    before, now = series.baseline, series.level
    if before <= 0 or now > factor * before:
        return None
    z = mann_whitney(_late(series), series.head())
    return Level(before, now, since(series, -1), z) if z > _least(series) else None


def _late(series: Series) -> list[float]:
    """Enough of the end for a test."""
    tail = series.tail()
    return tail if len(tail) >= 8 else series.values[-8:]  # noqa: PLR2004 - with fewer, nothing is sure


def _least(series: Series) -> float:
    # The test cannot be surer than its numbers allow: all above all is 2.7 for 5 against 5, 3.4 for 8 against 8.
    return _SURE if len(series.head()) >= 8 else 2.3  # noqa: PLR2004 - as above


def since(series: Series, sign: int) -> int:
    """The step at which a metric began to leave the level of its beginning, upwards or downwards."""
    values = series.values
    found = change([sign * value for value in values], sign * series.baseline, series.spread)
    return series.step_at(found.place if found else max(len(values) - len(series.tail()), 0))


class Spike(NamedTuple):
    """A value far above what came before it."""

    place: int
    """The how manieth point."""
    step: int
    value: float
    usual: float


class Spikes:
    """Finds single values of a positive metric that are far above the last fifty, on the scale of logarithms.

    Args:
        metric: the metric.
        ratio: how many times the median of the last fifty a spike must be.
        floor: below this nothing is a spike.
    """

    def __init__(self, metric: str, ratio: float, floor: float = 0.0) -> None:
        self.metric = metric
        self._ratio = ratio
        self._floor = floor
        self._window = SortedWindow(_WINDOW)
        self._limit = math.inf
        self._usual = 0.0
        self._waiting = 0
        self._n = 0
        self.found: deque[Spike] = deque(maxlen=16)
        self.total = 0
        self.n = 0

    def look(self, record: Record) -> bool:
        """Take in the last event; whether it was a spike."""
        if record.cut_to is not None:
            self._forget(record.cut_to)
        series = record.train.get(self.metric)
        if series is None or series.last_step != record.step or record.phase != "train" or series.n == self._n:
            return False
        self._n = series.n
        self.n += 1
        value = series.last
        spike = value > self._limit
        if spike:
            self.found.append(Spike(self.n, record.step, value, self._usual))
            self.total += 1
        if value > 0:
            self._window.add(math.log(value))
        self._waiting -= 1
        if self._waiting <= 0:
            self._measure(series)
        return spike

    def _measure(self, series: Series) -> None:
        self._waiting = 1 if len(self._window) < _WINDOW else 5
        if len(self._window) < _ENOUGH:
            return
        centre = self._window.median
        self._usual = math.exp(min(centre, _HIGHEST))
        by_chance = centre + _FAR * self._window.scale
        limit = math.exp(min(by_chance, _HIGHEST))
        # What is large only beside the silence at the end of a run does no harm.
        self._limit = max(limit, self._ratio * self._usual, self._floor, 3 * series.baseline)

    def _forget(self, last_step: int) -> None:
        while self.found and self.found[-1].step > last_step:
            self.found.pop()
            self.total -= 1
        self._window.clear()
        self._limit, self._n = math.inf, 0

    @property
    def persistent(self) -> bool:
        """Whether three of the last five values were spikes."""
        return len(self.found) > 2 and self.n - self.found[-3].place < 5  # noqa: PLR2004 - it says so

    def recurring(self, times: float, within: int = 300) -> bool:
        """Whether there were three so many times the usual, within so many points up to now."""
        large = [spike for spike in self.found if spike.value >= times * max(spike.usual, _TINY)]
        return len(large) > 2 and self.n - large[-3].place < within  # noqa: PLR2004 - it says so

    @property
    def largest(self) -> Spike:
        """The largest of the last ones."""
        return max(self.found, key=lambda spike: spike.value)

    def told(self) -> str:
        """The largest, as part of a sentence."""
        worst = self.largest
        return f"{self.metric} {number(worst.value)} at step {worst.step}, usually {number(worst.usual)}"


class Streak:
    """Counts how many of the latest values of a metric, one after the other, are the same."""

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.count = 0
        self.first_step = 0
        self.pairs = self.equal = 0
        self._n = 0
        self._value: float | None = None

    def look(self, record: Record) -> int:
        """Take in the last event; how many values have been the same."""
        series = record.train.get(self.metric)
        if record.cut_to is not None:
            self.count, self._value, self._n = 0, None, 0
        if series is None or series.n == self._n or record.phase != "train":
            return self.count
        self._n = series.n
        value = series.last
        before = self._value
        same = before is not None and abs(value - before) <= 1e-6 * max(abs(value), abs(before))
        self.pairs += before is not None
        if same:
            self.count += 1
        else:
            # Pairs inside a streak that has ended tell how often values are equal by chance.
            self.equal += max(self.count - 1, 0)
            self.count, self.first_step = 1, record.step
        self._value = value
        return self.count

    def by_chance(self) -> float:
        """How likely so long a streak is, when values are as often equal as they were before it."""
        others = self.pairs - (self.count - 1)
        share = (self.equal + 1) / (max(others, 0) + 4)
        return float(min(share, 0.95) ** max(self.count - 1, 0))
