"""The time of a run: it follows the monotonic clock, and includes the time between attempts."""

from __future__ import annotations

import re
import time

import pytest

from rldk.io.clock import RunClock, SystemClock, timestamp
from tests.samples import an_event

MIDNIGHT = 1_769_817_600.0
"""2026-01-31T00:00:00Z."""


class _Clock:
    """A clock that a test sets."""

    def __init__(self, monotonic: float, now: float) -> None:
        self.seconds = monotonic
        self.now = now

    def monotonic(self) -> float:
        return self.seconds

    def time(self) -> float:
        return self.now


def test_a_new_run_begins_at_zero() -> None:
    """Seconds are those of the monotonic clock since then, the timestamp is the wall clock's."""
    clock = _Clock(5000.0, MIDNIGHT)
    run = RunClock(clock=clock)
    first = run.now()
    clock.seconds, clock.now = 5002.5, MIDNIGHT + 2.75

    assert first == (0.0, "2026-01-31T00:00:00.000000Z")
    assert run.now() == (2.5, "2026-01-31T00:00:02.750000Z")


def test_a_wall_clock_that_is_set_does_not_move_the_run() -> None:
    """Setting the machine's clock changes the timestamps, not the seconds."""
    clock = _Clock(10.0, MIDNIGHT)
    run = RunClock(clock=clock)
    clock.seconds, clock.now = 12.0, MIDNIGHT - 3600.0

    assert run.now() == (2.0, "2026-01-30T23:00:00.000000Z")


@pytest.mark.parametrize(
    ("wall_time", "stamp", "now", "goes_on_at"),
    [
        pytest.param(100.0, "2026-01-31T00:00:00.000000Z", MIDNIGHT + 50.0, 150.0, id="downtime counts"),
        pytest.param(100.0, "2026-01-31T00:00:00.000000Z", MIDNIGHT, 100.0, id="no downtime"),
        pytest.param(100.0, "2026-01-31T00:00:00.000000Z", MIDNIGHT - 70.0, 100.0, id="the wall clock was set back"),
        pytest.param(100.0, None, MIDNIGHT, 100.0, id="an event without timestamp"),
        pytest.param(100.0, "2026-02-30T00:00:00.000000Z", MIDNIGHT, 100.0, id="a day that there is not"),
        pytest.param(None, "2026-01-31T00:00:00.000000Z", MIDNIGHT, 0.0, id="an event without time"),
    ],
)
def test_a_resumed_run_goes_on_where_it_was_or_later(
    wall_time: float | None, stamp: str | None, now: float, goes_on_at: float
) -> None:
    """Downtime by the wall clock counts; time never goes back, whatever was done to that clock."""
    clock = _Clock(7.0, now)
    run = RunClock(an_event(wall_time=wall_time, timestamp=stamp), clock)
    began = run.now()[0]
    clock.seconds += 4.0

    assert began == goes_on_at
    assert run.now()[0] == goes_on_at + 4.0


def test_time_is_never_negative() -> None:
    """Rounding in the origin does not put an event before the beginning."""
    clock = _Clock(0.1, MIDNIGHT)
    run = RunClock(an_event(wall_time=1e17, timestamp=None), clock)
    clock.seconds = 0.0

    assert run.now()[0] >= 0.0
    assert RunClock(clock=_Clock(-5.0, MIDNIGHT)).now()[0] == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (MIDNIGHT + 0.5, "2026-01-31T00:00:00.500000Z"),
        (MIDNIGHT - 1e-6, "2026-01-30T23:59:59.999999Z"),
    ],
)
def test_a_timestamp_always_has_microseconds(seconds: float, text: str) -> None:
    """All timestamps have one length, so they sort as they follow each other."""
    assert timestamp(seconds) == text


def test_the_clocks_of_the_machine_are_used_by_default() -> None:
    """A run's clock needs no argument."""
    wall_time, stamp = RunClock().now()

    assert 0.0 <= wall_time < 5.0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", stamp)
    assert abs(SystemClock().time() - time.time()) < 5.0
    assert abs(SystemClock().monotonic() - time.monotonic()) < 5.0
