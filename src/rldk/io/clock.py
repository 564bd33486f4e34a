"""The time of a run: seconds that never go back, and the instant they stand for."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rldk.io.event_schema import Event

__all__ = ["Clock", "RunClock", "SystemClock", "timestamp"]


class Clock(Protocol):
    """Where time comes from; a test hands in its own."""

    def monotonic(self) -> float:
        """Seconds that never go back, from any origin."""
        ...

    def time(self) -> float:
        """Seconds since 1970 by the wall clock, which may be set back."""
        ...


class SystemClock:
    """The clocks of the machine."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)


class RunClock:
    """Tells how long a run has been going on, over all its attempts.

    It starts at 0, or where the earlier attempts got to: at their last event, or at the wall-clock time since
    the run began when that is later, so that downtime counts. From there on it follows the monotonic clock.

    Args:
        past: the last event of the earlier attempts of this rank, None for a new run.
        clock: where time comes from.
    """

    def __init__(self, past: Event | None = None, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._earlier = _elapsed(past, self._clock.time())
        self._began = self._clock.monotonic()

    def now(self) -> tuple[float, str]:
        """Seconds since the run began, and the instant as a timestamp."""
        return self._earlier + (self._clock.monotonic() - self._began), timestamp(self._clock.time())


def _elapsed(past: Event | None, now: float) -> float:
    if past is None or past.wall_time is None:
        return 0.0
    if past.timestamp is None:
        return past.wall_time
    try:
        then = datetime.fromisoformat(past.timestamp).timestamp()
    except ValueError:
        # The form is right and the day is not, as 30 February.
        return past.wall_time
    return max(past.wall_time, now - then + past.wall_time)


def timestamp(seconds: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC with microseconds and Z."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
