"""What is remembered of a metric."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.alerts.series import RECENT, Series

if TYPE_CHECKING:
    from collections.abc import Sequence


def _series(count: int, start: int = 0) -> Series:
    series = Series("loss")
    for step in range(start, start + count):
        series.add(step, float(step))
    return series


def test_short_runs_are_kept_whole() -> None:
    """Below 128 values each one is there."""
    series = _series(127)

    assert series.values == [float(step) for step in range(127)]
    assert (series.n, series.stride, series.first, series.last, series.last_step) == (127, 1, 0, 126, 126)


@pytest.mark.parametrize("count", [128, 1000, 4097])
def test_long_runs_become_means(count: int) -> None:
    """There are never more than 128 means, each of as many values, and they cover the run in order."""
    series = _series(count)

    assert len(series.values) <= 128
    assert series.values == sorted(series.values)
    assert series.values[0] == (series.stride - 1) / 2
    assert series.step_at(1) == series.stride
    assert abs(series.baseline - count / 20) <= max(series.stride, 10)
    assert series.level > 0.9 * count
    assert len(series.recent) == RECENT


def test_memory_does_not_grow_with_the_run() -> None:
    """What a series holds after a hundred thousand values is what it held after a thousand, give or take a few."""

    def held(series: Series) -> int:
        return sum(sys.getsizeof(each) for each in (series.values, series.recent, series.steps))

    assert held(_series(100_000)) < 1.5 * held(_series(1000))


def test_a_value_of_the_same_step_replaces_the_last() -> None:
    """A point that is logged twice counts once, with its later value."""
    series = _series(10)

    series.add(9, 5.0)

    assert series.n == 10
    assert series.values[-1] == series.last == 5


def test_zeros_are_counted() -> None:
    """Exact zeros are counted, those replaced are not."""
    series = Series("loss")
    for step, value in enumerate((0.0, 1.0, 0.0)):
        series.add(step, value)
    series.add(2, 3.0)

    assert series.zeros == 1


@given(st.integers(1, 700), st.integers(0, 700))
def test_what_is_cut_is_forgotten(count: int, last: int) -> None:
    """After a cut no value of a later step is left, and of the earlier ones no more than one mean is missing."""
    series = _series(count)
    stride = series.stride

    series.cut(last)

    kept = min(count, last + 1)
    assert all(value <= last for value in (*series.values, *series.recent))
    assert series.last_step <= last
    assert kept - stride < series.n <= kept


def test_a_run_goes_on_after_a_cut() -> None:
    """What is logged anew behind a cut takes the place of what was cut."""
    series = _series(100)
    series.cut(49)

    for step in range(50, 100):
        series.add(step, -1.0)

    assert series.values == [float(step) for step in range(50)] + [-1.0] * 50


@pytest.mark.parametrize(("count", "last", "recent"), [(100, 9, range(10)), (100, 79, range(16, 80)), (1000, 9, [3.5])])
def test_the_last_values_before_a_cut_are_at_hand(count: int, last: int, recent: Sequence[float]) -> None:
    """However much was cut, there are last values: those that are left, or the last mean where none is known."""
    series = _series(count)

    series.cut(last)

    assert list(series.recent) == [*recent]
    assert (series.last, series.last_step) == (recent[-1], series.steps[-1])
    assert series.level >= 3.5


def test_a_value_of_the_step_that_was_cut_to_replaces_the_last() -> None:
    """The step from which a run was resumed may be logged again, however far it went back."""
    series = _series(100)
    series.cut(9)

    series.add(9, 5.0)

    assert (series.n, series.last, series.values[-1], series.recent[-1]) == (10, 5, 5, 5)


def test_everything_can_be_cut() -> None:
    """A run that begins anew has no history."""
    series = _series(300, start=5)
    series.cut(4)

    assert (series.n, series.values, series.last_step) == (0, [], -1)


def test_places_and_steps() -> None:
    """A step is found in the mean that stands for it."""
    series = _series(1000)

    place = series.place_of(500)

    assert series.step_at(place) <= 500 < series.step_at(place) + series.stride
    assert series.place_of(10**9) == len(series.values)
