"""Real logs and what is known of them, without a server and without threads: a test says what comes when."""

from __future__ import annotations

import asyncio
import json
import math
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any

from rldk.dashboard.catalogue import Catalogue
from rldk.dashboard.frames import lines
from rldk.dashboard.known import Known
from rldk.dashboard.tail import Watcher
from rldk.dashboard.watched import Watched

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

    from rldk.dashboard.foreign import Tail


class Stage:
    """A folder with runs, whose entries are known by the names of the runs."""

    def __init__(self, watcher: Watcher, heartbeat: float) -> None:
        self.watcher = watcher
        self.known = Known('"server":"test"', heartbeat)
        self.known.watcher = watcher
        self.ids = {run.found.name: run_id for run_id, run in watcher.runs.items()}
        self.known.put(self.known.entries, {run_id: f'"{name}"' for name, run_id in sorted(self.ids.items())})
        self._tails: dict[tuple[str, int], Tail] = {}

    def begin(self, name: str, *ranks: int) -> None:
        """Begin rings at the ends of logs."""
        run_id = self.ids[name]
        for rank in ranks:
            if (name, rank) in self._tails:
                self._tails[name, rank].close()
            tail = self._tails[name, rank] = self.watcher.runs[run_id].found.tail(rank)
            tail.to_end()
        self.known.begin(run_id, {rank: self._tails[name, rank].position for rank in ranks})
        self.known.tell()

    def read(self, name: str, rank: int = 0) -> None:
        """Take what was written in a log into its ring."""
        tail, run_id = self._tails[name, rank], self.ids[name]
        chunk = tail.read()
        assert chunk
        self.known.add((run_id, rank), chunk, *lines(run_id, rank, chunk), lost=tail.lost)
        tail.lost = False
        self.known.tell()

    def close(self) -> None:
        """Close all logs."""
        for tail in self._tails.values():
            tail.close()
        self.watcher.stop()


@contextmanager
def stage(folder: Path, heartbeat: float = 60.0) -> Iterator[Stage]:
    """The runs that are in a folder now."""
    watcher = Watcher(folder)
    watcher.turn()
    found = Stage(watcher, heartbeat)
    try:
        yield found
    finally:
        found.close()


def watched(folder: Path, *, judged: bool = True) -> list[Watched]:
    """The runs in a folder, read to their ends, and judged if they are to be."""
    catalogue = Catalogue(folder)
    catalogue.look()
    runs = [Watched(found, str(folder), judged=judged) for found in catalogue.runs.values()]
    for run in runs:
        while run.advance(math.inf):
            pass
        run.close()
    return runs


async def take(frames: AsyncGenerator[str], count: int) -> list[dict[str, Any]]:
    """The next frames."""
    async with asyncio.timeout(10):
        return [json.loads(await anext(frames)) for _ in range(count)]


def taken(frames: AsyncGenerator[str], count: int) -> list[dict[str, Any]]:
    """The first frames, in an event loop of their own; nobody listens afterwards."""

    async def run() -> list[dict[str, Any]]:
        async with aclosing(frames):
            return await take(frames, count)

    return asyncio.run(run())


def told(found: list[dict[str, Any]]) -> list[Any]:
    """What frames say, in short: the steps of events, the entries, what was missed, else the type."""
    short = {
        "events": lambda frame: [event["step"] for event in frame["events"]],
        "runs": lambda frame: {name: frame[name] for name in ("runs", "gone") if name in frame},
        "gap": lambda frame: {"missed": frame["missed"]},
    }
    return [short.get(frame["type"], lambda frame: frame["type"])(frame) for frame in found]
