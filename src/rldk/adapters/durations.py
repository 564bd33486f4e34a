"""How long a run has taken, as tools print it: `1 day, 2:03:04` and `1h 2m 3s`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from rldk.io.event_schema import Event

__all__ = ["Elapsed", "Place", "seconds"]

_CLOCK: Final = re.compile(r"(?:(\d{1,6}) days?, )?(\d{1,6}):(\d\d):(\d\d(?:\.\d{1,9})?)")
"""What `str(timedelta)` gives."""
_UNITS: Final = re.compile(r"(?:(\d{1,6})d)? ?(?:(\d{1,6})h)? ?(?:(\d{1,6})m)? ?(?:(\d{1,9}(?:\.\d{1,9})?)s)?")


def seconds(text: object) -> float | None:
    """A duration in seconds, None when the text is none."""
    match = (_CLOCK.fullmatch(text) or _UNITS.fullmatch(text)) if isinstance(text, str) else None
    if not match or not any(match.groups()):
        return None
    days, hours, minutes, rest = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


class Place(NamedTuple):
    """Where a record stands in a log that was continued."""

    attempt: int
    """From 1; one more each time the run was started again."""
    wall_time: float | None
    notes: tuple[str, ...]

    def mark(self, event: Event) -> Event:
        """The event with its attempt, when that is not the first."""
        if self.attempt == 1:
            return event
        return msgspec.structs.replace(event, model_info={**event.model_info, "attempt": self.attempt})


class Elapsed:
    """Seconds since a run began, from times that start again at 0 whenever the run is resumed.

    How long the run was down is not logged. It counts as nothing, and the first record of an attempt says so.
    """

    def __init__(self) -> None:
        self._attempt = 1
        self._before = 0.0
        """What earlier attempts took."""
        self._last: float | None = None
        self._step = -1

    def place(self, step: object, elapsed: float | None) -> Place:
        """The place of the next record.

        Args:
            step: its training step, None when it is at none of its own.
            elapsed: the time it names.
        """
        back = isinstance(step, int) and step < self._step
        again = elapsed is not None and self._last is not None and elapsed < self._last and step != self._step
        notes: tuple[str, ...] = ()
        if back or again:
            self._attempt += 1
            self._before += self._last or 0.0
            notes = (f"resumed: attempt {self._attempt} of this log; the time between attempts is not known",)
        if back or again or elapsed is not None:
            self._last = elapsed
        self._step = step if isinstance(step, int) else self._step
        return Place(self._attempt, None if elapsed is None else self._before + elapsed, notes)
