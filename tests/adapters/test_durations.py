"""Durations as tools print them, and the time of a run that was resumed."""

from __future__ import annotations

import pytest

from rldk.adapters.durations import Elapsed, Place, seconds
from tests.samples import an_event

NOTE = "resumed: attempt 2 of this log; the time between attempts is not known"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:01:03", 63.0),
        ("27:00:01", 97201.0),
        ("1 day, 2:03:04", 93784.0),
        ("3 days, 17:51:32", 323492.0),
        ("0:00:01.500000", 1.5),
        ("5s", 5.0),
        ("1m 2s", 62.0),
        ("1d 2h 3m 4s", 93784.0),
        ("1d 5s", 86405.0),
        ("", None),
        (" ", None),
        ("-1 day, 23:59:59", None),
        ("soon", None),
        ("9" * 5000 + "s", None),
        (12, None),
        (None, None),
    ],
)
def test_a_duration_is_read_in_seconds(text: object, expected: float | None) -> None:
    """As `str(timedelta)` and ms-swift write it; anything else is none."""
    assert seconds(text) == expected


def test_the_time_goes_on_over_a_resume() -> None:
    """A later step with an earlier time is of another attempt, which goes on where the one before ended."""
    elapsed = Elapsed()

    places = [elapsed.place(step, time) for step, time in ((10, 5.0), (20, 9.0), (30, 4.0), (40, 8.0))]

    assert places == [Place(1, 5.0, ()), Place(1, 9.0, ()), Place(2, 13.0, (NOTE,)), Place(2, 17.0, ())]


def test_a_step_that_goes_back_is_of_another_attempt() -> None:
    """Whether or not there is a time."""
    elapsed = Elapsed()

    places = [elapsed.place(step, None) for step in (10, 20, 15)]

    assert places == [Place(1, None, ()), Place(1, None, ()), Place(2, None, (NOTE,))]


def test_ranks_that_write_one_step_are_no_resume() -> None:
    """Their clocks differ a little."""
    elapsed = Elapsed()

    assert [elapsed.place(10, time) for time in (5.0, 4.9)] == [Place(1, 5.0, ()), Place(1, 4.9, ())]


def test_an_event_of_a_later_attempt_is_marked() -> None:
    """One of the first stays as it is."""
    event = an_event()

    assert Place(1, None, ()).mark(event) is event
    assert Place(2, None, ()).mark(event).attempt == 2
