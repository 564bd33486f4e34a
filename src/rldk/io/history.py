"""Which events of a run still count after resumes and restarts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rldk.io.event_schema import Event

__all__ = ["cuts", "effective", "with_attempt"]


def with_attempt(events: Iterable[Event]) -> Iterator[tuple[int, Event]]:
    """Each event with its attempt: the one it names, else one more each time a train step goes back."""
    implied, last_step = 1, -1
    for event in events:
        if "attempt" in event.model_info:
            yield event.attempt, event
            continue
        if event.phase == "train":
            implied += event.step < last_step
            last_step = event.step
        yield implied, event


def cuts(events: Iterable[Event]) -> dict[int, int]:
    """For each attempt that a later one branched off from: its last step that still counts.

    An attempt that resumed from step r takes the place of everything earlier attempts did after r. One that
    does not say where it resumed is taken to replace everything from its own first train step on.
    """
    attempts: dict[int, int | None] = {}
    for attempt, event in with_attempt(events):
        if attempts.get(attempt) is None:
            began = event.step - 1 if event.phase == "train" else None
            attempts[attempt] = began if event.resumed_from is None else event.resumed_from
    later = {
        attempt: [start for other, start in attempts.items() if other > attempt and start is not None]
        for attempt in attempts
    }
    return {attempt: min(starts) for attempt, starts in later.items() if starts}


def effective(events: Iterable[Event], last_steps: Mapping[int, int]) -> Iterator[Event]:
    """The events that no later attempt has replaced.

    Args:
        events: all events of a rank, in the order they were written.
        last_steps: what `cuts` found in the same events.
    """
    for attempt, event in with_attempt(events):
        if event.step <= last_steps.get(attempt, math.inf):
            yield event
