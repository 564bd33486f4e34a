"""What is known of all runs at this moment, and who listens to which of them."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from itertools import takewhile
from typing import TYPE_CHECKING, Final, TypeAlias

from rldk.dashboard.ring import Ring

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rldk.dashboard.catalogue import Found
    from rldk.dashboard.tail import Watcher
    from rldk.io.log_tail import Chunk
    from rldk.io.position import Position

__all__ = ["Key", "Known", "Texts"]

_REMEMBERED: Final = 1000

Key: TypeAlias = tuple[str, int]
"""The log of a run and a rank."""

Texts: TypeAlias = dict[str, tuple[int, str]]
"""Something of each run as JSON, with the number of its last change."""


class Known:
    """What those who listen are told from. All of it belongs to one event loop.

    Args:
        hello: what everybody is told first, as members of a frame.
        heartbeat: seconds after which a frame is sent when there was none.
    """

    def __init__(self, hello: str, heartbeat: float) -> None:
        self.hello, self.heartbeat = hello, heartbeat
        self.watcher: Watcher | None = None
        self.closing = False
        """Whether all who listen shall come to an end."""
        self.came = asyncio.Event()
        """Set as soon as there is anything new; what is new after that sets another one."""
        self.rings: dict[Key, Ring] = {}
        self.entries: Texts = {}
        self.verdicts: Texts = {}
        self.gone: list[tuple[int, str]] = []
        """The runs that went, each with the number of that change."""
        self.changes = 0
        """The number of the last change to entries and verdicts."""
        self.version = 0
        """The number of the last news in a ring."""
        self._recent: deque[tuple[int, Key]] = deque(maxlen=_REMEMBERED)
        """In which rings there was something new, with a number that grows."""
        self._listening: Counter[str] = Counter()

    def tell(self) -> None:
        """Let all who wait look for what is new."""
        came, self.came = self.came, asyncio.Event()
        came.set()

    def close(self) -> None:
        """Let everybody who listens come to an end."""
        self.closing = True
        self.tell()

    def put(self, into: Texts, texts: Mapping[str, str]) -> None:
        """Take in entries or verdicts that are new or have changed."""
        self.changes += 1
        into.update({run: (self.changes, text) for run, text in texts.items()})

    def forget(self, runs: list[str]) -> None:
        """These runs are not there any more."""
        self.changes += 1
        for run in runs:
            self.entries.pop(run, None)
            self.verdicts.pop(run, None)
            for key in [key for key in self.rings if key[0] == run]:
                del self.rings[key]
            self.gone.append((self.changes, run))

    def begin(self, run: str, places: Mapping[int, Position]) -> None:
        """Begin a ring for each of these ranks of a run."""
        for rank, position in places.items():
            self.rings[run, rank] = Ring(position)
            self._note((run, rank))

    def end(self, key: Key) -> None:
        """Give up a ring."""
        self.rings.pop(key, None)

    def add(self, key: Key, chunk: Chunk, text: str, events: int, *, lost: bool) -> None:
        """Take in lines of a log, when it has a ring."""
        if ring := self.rings.get(key):
            ring.add(chunk, text, events, lost=lost)
            self._note(key)

    def _note(self, key: Key) -> None:
        self.version += 1
        self._recent.append((self.version, key))

    def newer(self, version: int) -> set[Key] | None:
        """The rings in which something is new since a version; None when it is not remembered so far back."""
        if version < 0 or (self._recent and version < self._recent[0][0] - 1):
            return None
        return {key for _, key in takewhile(lambda each: each[0] > version, reversed(self._recent))}

    def found(self, run: str) -> Found | None:
        """The run itself, while it is watched."""
        watched = self.watcher.runs.get(run) if self.watcher else None
        return watched.found if watched else None

    def join(self, run: str) -> None:
        """Somebody more listens to a run."""
        self._listening[run] += 1
        self._hear()

    def leave(self, run: str) -> None:
        """Somebody listens to a run no more."""
        self._listening[run] -= 1
        self._hear()

    def _hear(self) -> None:
        # Of a run to which nobody listens nothing is left.
        self._listening = +self._listening
        if self.watcher:
            self.watcher.heard = set(self._listening)
            self.watcher.wake()
