"""Robust statistics, against what they are defined to be."""

from __future__ import annotations

import statistics
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.alerts.statistics import (
    SortedWindow,
    change,
    mad,
    mann_whitney,
    median,
    noise,
    rank_correlation,
    theil_sen,
    trend,
)

_numbers = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60)


def _normal(count: int, seed: int = 1) -> list[float]:
    random = Random(seed)  # noqa: S311 - figures, not secrets
    return [random.gauss(0, 1) for _ in range(count)]


@given(_numbers)
def test_median_is_that_of_the_standard_library(values: list[float]) -> None:
    """The median of any numbers is what `statistics.median` says."""
    assert median(values) == pytest.approx(statistics.median(values))


def test_mad_of_normal_numbers_is_their_standard_deviation() -> None:
    """Scaled, the median deviation of normal numbers is near 1, and a few wild ones do not change that."""
    values = _normal(2001)

    assert mad(values) == pytest.approx(1, abs=0.05)
    assert mad([*values, *[1e9] * 100]) == pytest.approx(1, abs=0.15)


def test_nothing_has_no_spread_but_never_zero() -> None:
    """Scales of constant numbers are tiny and positive, so that one may divide by them."""
    assert mad([5.0] * 9) == 0.005
    assert noise([5.0] * 9) == 0.005
    assert noise([1.0]) == 1e-12
    assert mad([0.0]) == 1e-12


def test_noise_is_not_fooled_by_a_drift() -> None:
    """Noise about a steep line is that about its level."""
    values = [10 * place + value for place, value in enumerate(_normal(500))]

    assert noise([value - 10 * place for place, value in enumerate(values)]) == pytest.approx(1, abs=0.1)
    assert mad(values) > 1000


def test_noise_of_a_coarse_reward() -> None:
    """Where most neighbours are equal, the mean step counts."""
    assert noise([0, 0, 0, 0, 1, 0, 0, 0, 0]) == 0.25


def test_change_finds_where_a_rise_began() -> None:
    """A rise by 2 scales is found some places later, and its beginning is named."""
    values = _normal(100) + [2 + value for value in _normal(50, 2)]

    found = change(values, 0, 1)

    assert found is not None
    assert 97 <= found.place <= 103
    assert found.place < found.sure_at < 115


def test_change_is_not_found_in_noise_nor_in_one_outlier() -> None:
    """Neither noise alone nor a single value, however large, is a lasting change."""
    assert change(_normal(1000), 0, 1) is None
    assert change([0.0] * 50 + [1e9] + [0.0] * 50, 0, 1) is None


@pytest.mark.parametrize("count", [5, 48, 100, 128])
def test_theil_sen_is_the_slope_of_a_line(count: int) -> None:
    """On a line it is the slope exactly, though a fifth of the points lie elsewhere."""
    values = [3.0 * place for place in range(count)]

    assert theil_sen(values) == pytest.approx(3)
    if count > 48:
        return
    assert theil_sen([1e6 if place % 5 == 2 else value for place, value in enumerate(values)]) == pytest.approx(
        3, abs=1e-6 if count > 5 else 1e7
    )


def test_theil_sen_of_one_is_flat() -> None:
    """One point has no slope."""
    assert theil_sen([1.0]) == 0


def test_trend_tells_a_rise_from_noise() -> None:
    """A rise is many standard deviations, noise hardly two, and three points are nothing."""
    rising = [0.1 * place + value for place, value in enumerate(_normal(60))]

    assert trend(rising) > 4
    assert trend([-value for value in rising]) < -4
    assert abs(trend(_normal(60))) < 2.5
    assert trend([1.0, 2.0, 3.0]) == 0


def test_mann_whitney_compares_two_parts() -> None:
    """It is 0 for equal parts and large for parts that do not overlap."""
    assert mann_whitney([1, 1, 1], [1, 1, 1]) == 0
    assert mann_whitney(_normal(20), [value + 5 for value in _normal(20, 3)]) > 5
    assert mann_whitney([], [1.0]) == 0


def test_rank_correlation() -> None:
    """It is 1 for any rise, -1 for any fall, 0 for what is constant."""
    assert rank_correlation([1, 2, 3, 4], [1, 10, 100, 1e9]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 1, 0]) == pytest.approx(-1)
    assert rank_correlation([1, 2, 3], [5, 5, 5]) == 0
    assert rank_correlation([1, 2], [1, 2]) == 0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80))
def test_a_sorted_window_keeps_the_last(values: list[float]) -> None:
    """Its median is that of the last ten values."""
    window = SortedWindow(10)
    for value in values:
        window.add(value)

    assert len(window) == min(len(values), 10)
    assert window.median == pytest.approx(statistics.median(values[-10:]))
    assert window.scale > 0

    window.clear()
    assert len(window) == 0
