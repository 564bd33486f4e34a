"""Hand out what comes to all who listen.

What was read last of each log is kept in a ring, made into text once. Who listens has a place in the ring, and no
queue of its own: who falls behind it is told how much was missed and goes on with the latest, and nobody waits for
anybody. Who begins further back reads the log itself until it has come to the ring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rldk.dashboard.frames import encoded, lines
from rldk.dashboard.known import Known
from rldk.dashboard.listener import listen

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Callable, Mapping

    from rldk.dashboard.cursor import Places
    from rldk.dashboard.entry import Entry
    from rldk.dashboard.tail import Watcher
    from rldk.dashboard.watched import Watched
    from rldk.ingest.account import PassedOver
    from rldk.io.log_tail import Chunk
    from rldk.io.position import Position

__all__ = ["Hub"]

_HEARTBEAT: Final = 5.0


class Hub:
    """Takes what a `Watcher` tells in its threads, and gives it to those who listen in one event loop.

    Args:
        server: the name and version of the server.
        folder: what the served folder is called.
        heartbeat: seconds after which a frame is sent when there was none.
    """

    def __init__(self, server: str, folder: str, *, heartbeat: float = _HEARTBEAT) -> None:
        hello = f'"server":{encoded(server)},"folder":{encoded(folder)},"heartbeat":{heartbeat}'
        self._known = Known(hello, heartbeat)
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, watcher: Watcher, loop: asyncio.AbstractEventLoop) -> None:
        """Take what a watcher tells, in this event loop."""
        self._known.watcher, self._loop = watcher, loop

    # What the watcher's threads call.

    def runs(self, entries: list[Entry], passed_over: list[PassedOver]) -> None:
        """These entries are new or changed."""
        texts = {entry.id: encoded(entry) for entry in entries}
        self._post(lambda: self._known.put(self._known.entries, texts))

    def gone(self, ids: list[str]) -> None:
        """These runs are not there any more."""
        self._post(lambda: self._known.forget(ids))

    def begun(self, run: str, places: Mapping[int, Position]) -> None:
        """From these positions on, one for each rank that is new, everything will be told."""
        # All at once: a run is only live when each of its ranks is.
        self._post(lambda: self._known.begin(run, places))

    def ended(self, run: str, rank: int) -> None:
        """Nobody listens to this log any more."""
        self._post(lambda: self._known.end((run, rank)))

    def came(self, run: str, rank: int, chunk: Chunk, *, lost: bool) -> None:
        """Lines that were written."""
        text, events = lines(run, rank, chunk)
        self._post(lambda: self._known.add((run, rank), chunk, text, events, lost=lost))

    def judged(self, run: Watched) -> None:
        """There is a new verdict."""
        found = f'"verdict":{encoded(run.verdict)},"seams":{encoded(run.seams)}'
        text = f'"run":"{run.found.id}","progress":{run.judged:.3f},{found}'
        self._post(lambda: self._known.put(self._known.verdicts, {run.found.id: text}))

    def _post(self, change: Callable[[], object]) -> None:
        def run() -> None:
            change()
            self._known.tell()

        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(run)

    # What belongs to the event loop.

    def close(self) -> None:
        """Let everybody who listens come to an end."""
        self._known.close()

    def listen(
        self, wanted: set[str] | None, places: Places | None, *, listed: set[str] | None = None
    ) -> AsyncGenerator[str]:
        """The frames for one who listens, as `rldk.dashboard.listener.listen` gives them."""
        return listen(self._known, wanted, places, listed=listed)
