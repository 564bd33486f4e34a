"""How numbers and curves are shown on a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from rldk.io.history import Seam
from rldk.io.segments import run_log
from rldk.report.final import build_report
from rldk.report.render import render_report, sparkline
from rldk.report.words import duration, number
from tests.runs import make_event, write_attempt

if TYPE_CHECKING:
    from pathlib import Path


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


@pytest.mark.parametrize(
    ("seam", "line"),
    [
        (
            Seam(2, 10, 16, 11, {"loss": (0.41, 0.43), "reward_mean": (0.5, 0.48)}, 245.0),
            "attempt 2 went on after step 10 of 16, 4 min 05 s later: loss 0.41 -> 0.43, reward_mean 0.5 -> 0.48",
        ),
        (
            Seam(3, 16, 16, 17, {"lr": (1e-6, 0.00012345)}, None),
            "attempt 3 went on after step 16: lr 1e-06 -> 0.0001234",
        ),
        (Seam(2, 10, 16, 11, {}, 0.0), "attempt 2 went on after step 10 of 16, 0.0 s later"),
        (Seam(2, None, 16, 1, {}, None), "attempt 2 began at step 1, the one before had reached step 16"),
        (Seam(2, 1, 1, 2, {"loss": (None, math.nan)}, None), "attempt 2 went on after step 1: loss - -> nan"),
    ],
)
def test_a_seam_is_a_line(tmp_path: Path, seam: Seam, line: str) -> None:
    """Where the attempt took over, how much later, and each value that both sides have; below the facts of the run."""
    report = build_report(run_log(write_attempt(tmp_path, [make_event(1)])))
    report.final.seams = [seam]
    console = Console(width=120)
    with console.capture() as printed:
        console.print(render_report(report))

    assert f"\nsteps 1 to 1, 1 event, 1 attempt, 1.0 s\n{line}\n" in printed.get()


def test_each_seam_of_a_run_is_shown(tmp_path: Path) -> None:
    """Those of three attempts are two lines, in their order."""
    for resumed_from in (0, 2, 1):
        events = [make_event(resumed_from + step, metrics={"loss": resumed_from + step / 10}) for step in (1, 2, 3)]
        path = write_attempt(tmp_path, events, resumed_from)
    console = Console(width=120)
    with console.capture() as printed:
        console.print(render_report(build_report(run_log(path))))

    assert (
        "attempt 2 went on after step 2 of 3, 0.0 s later: loss 0.2 -> 2.1\n"
        "attempt 3 went on after step 1 of 5: loss 0.1 -> 1.1\n"
    ) in printed.get()
