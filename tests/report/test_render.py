"""How numbers and curves are shown on a terminal."""

from __future__ import annotations

import pytest

from rldk.report.render import duration, number, sparkline


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([], ""),
        ([3.0], "▁"),
        ([1.0, 1.0, 1.0], "▁▁▁"),
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], "▁▂▃▄▅▆▇█"),
        ([-1e308, 1e308, 0.0], "▁█▅"),
        ([1.7e308, 1.7e308, -1.7e308], "██▁"),
    ],
)
def test_a_sparkline_spans_from_lowest_to_highest(values: list[float], bars: str) -> None:
    """One bar for each value, even where sums and differences are beyond the largest double."""
    assert sparkline(values) == bars


def test_a_long_curve_is_drawn_in_its_width() -> None:
    """A bar is the mean of its share, so a curve of any length has the shape of the whole."""
    assert sparkline([float(value // 100) for value in range(800)], width=8) == "▁▂▃▄▅▆▇█"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (119.7, "2 min 00 s"),
        (3599.6, "1 h 00 min"),
        (26_000.0, "7 h 13 min"),
    ],
)
def test_a_duration_never_has_sixty_seconds(seconds: float, text: str) -> None:
    """The seconds are rounded before they are taken apart."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0, "0"), (123_456_789, "123456789"), (10**12, "1e+12"), (0.00012345, "0.0001234")]
)
def test_numbers_are_shown_to_four_digits(value: float | None, text: str) -> None:
    """Whole numbers stay whole as long as they are short; nothing is shown as 0 that was not measured."""
    assert number(value) == text
