"""Deliver messages from a thread of its own, so that whoever posts them never waits."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from rldk.io.forks import leave_to_parent_at_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["PATIENCE", "Outbox", "UndeliveredError"]

_log: Final = logging.getLogger(__name__)
_Message = TypeVar("_Message")

_LIMIT: Final = 100
"""How many messages wait at most; an alert changes seldom, so that more of them are no news any more."""

_WAITS: Final = (1.0, 5.0, 25.0)
"""Seconds before each further try."""

PATIENCE: Final = 5.0
"""Seconds that the end of a training waits for what is not yet delivered."""


class UndeliveredError(Exception):
    """A message was not delivered.

    Args:
        why: what went wrong, without anything secret in it.
        again: whether another try may help.
    """

    def __init__(self, why: str, *, again: bool) -> None:
        super().__init__(why)
        self.again = again


class Outbox(Generic[_Message]):
    """A bounded queue of messages, and a thread that delivers them in their order, each tried several times.

    The thread is a daemon and begins with the first message. What cannot be delivered is counted, and a warning
    tells of the first. In a forked child it takes nothing.

    Args:
        deliver: delivers a message, and raises `UndeliveredError` when it cannot.
        name: what it delivers to, as a warning may name it.
        waits: seconds to wait before each further try.
        limit: how many messages may wait.
    """

    def __init__(
        self,
        deliver: Callable[[_Message], None],
        name: str,
        *,
        waits: Sequence[float] = _WAITS,
        limit: int = _LIMIT,
    ) -> None:
        self._deliver = deliver
        self._name = name
        self._waits = waits
        self._limit = limit
        self.lost = 0
        """How many messages were not delivered and will not be."""
        self._begin()
        leave_to_parent_at_fork(self)

    def _begin(self) -> None:
        self._waiting: deque[_Message] = deque()
        self._busy = self._given_up = self._inert = False
        self._hurry = threading.Event()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def leave_to_parent(self) -> None:
        """Give up in a forked child: its parent delivers what waits."""
        self._begin()
        self._inert = True

    def post(self, message: _Message) -> None:
        """Take a message to be delivered; it is lost when too many wait already."""
        if self._inert:
            return
        with self._changed:
            if len(self._waiting) >= self._limit:
                self._lose(f"{self._limit} others wait already")
                return
            self._waiting.append(message)
            self._changed.notify_all()
            if self._thread is None:
                self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=f"rldk: {self._name}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # The system has no more threads, or the interpreter is about to exit.
            self._waiting.clear()
            self._lose(str(error))
        else:
            self._thread = thread

    def flush(self, patience: float = PATIENCE) -> None:
        """Deliver what waits now, without pauses between tries; what is left after so many seconds is lost."""
        with self._changed:
            self._hurry.set()
            if not self._changed.wait_for(lambda: self._given_up or not (self._waiting or self._busy), patience):
                for _ in range(len(self._waiting) + self._busy):
                    self._lose("there was no time left for it at the end")
                self._waiting.clear()
                self._given_up = self._busy
            self._hurry.clear()

    def _work(self) -> None:
        while True:
            self._take_one()

    def _take_one(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            message = self._waiting.popleft()
            self._busy = True
        why = self._try(message)
        with self._changed:
            if why is not None and not self._given_up:
                self._lose(why)
            self._busy = self._given_up = False
            self._changed.notify_all()

    def _try(self, message: _Message) -> str | None:
        """Deliver a message, in several tries; why it could not be delivered, None when it was."""
        why = ""
        for wait in (0.0, *self._waits):
            self._hurry.wait(wait)
            try:
                self._deliver(message)
            except UndeliveredError as error:
                why = str(error)
                if not error.again or self._hurry.is_set():
                    return why
            except Exception as error:  # noqa: BLE001 - the thread has nobody above it, and the next message may do
                return type(error).__name__
            else:
                return None
        return why

    def _lose(self, why: str) -> None:
        self.lost += 1
        if self.lost == 1:
            _log.warning("an alert was not delivered to %s: %s; others that are not are only counted", self._name, why)
