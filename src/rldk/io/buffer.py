"""Gather events and write them together, for trainings whose steps are too quick for a write each."""

from __future__ import annotations

import threading
from copy import copy
from typing import TYPE_CHECKING

import msgspec

from rldk.io.forks import leave_to_parent_at_fork

if TYPE_CHECKING:
    from rldk.io.event_schema import Event
    from rldk.io.protocol import BatchWriter
    from rldk.io.quantities import Quantity

__all__ = ["BufferWriter"]


class BufferWriter:
    """A writer that holds events back and hands them on together.

    What it holds is lost when the process is killed: at most so many events, or those of so many seconds.
    In a forked child it holds nothing.

    Args:
        size: how many events are handed on together, or after how many seconds they are at the latest.
        to: where the events go.
    """

    def __init__(self, size: Quantity, *, to: BatchWriter) -> None:
        self._to = to
        self._most = int(size.amount) if size.kind == "events" else 0
        self._seconds = size.amount
        self._events: list[Event] = []
        self._mutex = threading.RLock()
        self._timer: threading.Timer | None = None
        leave_to_parent_at_fork(self)

    @property
    def buffered(self) -> int:
        """How many events are held back."""
        return len(self._events)

    def write(self, event: Event) -> bool:
        """Hold an event back, or hand it on together with those held back before it.

        Returns:
            whether the kernel has it, and all before it.

        Raises:
            InvalidEventError, WriteFailedError: as the writer behind does, whichever of the events it is about.
        """
        with self._mutex:
            self._events.append(_copy(event))
            if self._most:
                return len(self._events) >= self._most and self._hand_on()
            return self._timer is None and not self._started() and self._hand_on()

    def _started(self) -> bool:
        """Have what is held back handed on in time; False when no more threads are to be had."""
        timer = threading.Timer(self._seconds, self.flush)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:
            return False
        self._timer = timer
        return True

    def _hand_on(self) -> bool:
        events, self._events = self._events, []
        if self._timer:
            self._timer.cancel()
            self._timer = None
        return self._to.write_all(events) == len(events)

    def flush(self) -> None:
        """Hand on what is held back."""
        with self._mutex:
            if self._events:
                self._hand_on()
        self._to.flush()

    def close(self) -> None:
        """Hand on what is held back, and close the writer behind."""
        self.flush()
        self._to.close()
        self._most = 1

    def leave_to_parent(self) -> None:
        """Forget what is held back: this process is a forked child, and its parent will write it."""
        self._mutex, self._timer = threading.RLock(), None
        self._events, self._most = [], 1


def _copy(event: Event) -> Event:
    """An event that stays as it is when the caller goes on to change its dicts."""
    sections = ("metrics", "rng", "data_slice", "model_info", "notes")
    return msgspec.structs.replace(event, **{name: copy(getattr(event, name)) for name in sections})
