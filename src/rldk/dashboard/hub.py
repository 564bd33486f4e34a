"""Hand out what comes to all who listen.

What was read last of each log is kept in a ring, made into text once. Who listens has a place in the ring, and no
queue of its own: who falls behind it is told how much was missed and goes on with the latest, and nobody waits for
anybody. Who begins further back reads the log itself until it has come to the ring.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from itertools import takewhile
from typing import TYPE_CHECKING, Final, NamedTuple

from rldk.dashboard.cursor import BEGINNING, NOW, packed
from rldk.dashboard.frames import encoded, frame, lines
from rldk.errors import RLDKError
from rldk.io.position import START

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

    from rldk.dashboard.cursor import Places
    from rldk.dashboard.entry import Entry
    from rldk.dashboard.foreign import Tail
    from rldk.dashboard.tail import Watcher
    from rldk.dashboard.watched import Watched
    from rldk.ingest.account import PassedOver
    from rldk.io.log_tail import Chunk
    from rldk.io.position import Position

__all__ = ["Hub"]

_RING: Final = 4 * 2**20
"""Bytes that the ring of a log holds: at 1,000 events a second some four seconds."""
_HEARTBEAT: Final = 5.0
_REMEMBERED: Final = 1000
_PATIENCE: Final = 0.05
"""Seconds between two looks for what should be there at any moment."""
_TRIES: Final = 5
"""So often nothing is found in a log before it is believed that nothing is there."""


class _Batch(NamedTuple):
    """Some lines, ready to be sent."""

    start: Position
    end: Position
    text: str
    before: int
    """How many events came before these."""
    events: int
    lost: bool


class _Ring:
    """What was read last of one log."""

    def __init__(self, position: Position) -> None:
        self.end = position
        self.batches: deque[_Batch] = deque()
        self.first = 0
        """The number of the first batch; they are counted from the moment the ring was made."""
        self.events = 0
        self._size = 0

    @property
    def next(self) -> int:
        """The number that the next batch will have."""
        return self.first + len(self.batches)

    def add(self, chunk: Chunk, text: str, events: int, *, lost: bool) -> None:
        """Take in what came, and forget what is too old."""
        self.batches.append(_Batch(chunk.start, chunk.end, text, self.events, events, lost))
        self.end = chunk.end
        self.events += events
        self._size += len(text)
        while self._size > _RING and len(self.batches) > 1:
            self._size -= len(self.batches.popleft().text)
            self.first += 1


class _Feed:
    """How far a listener is in one log."""

    def __init__(self, position: Position | None) -> None:
        self.position = position
        """None is wherever the log ends now."""
        self.tail: Tail | None = None
        self.next: int | None = None
        """The number of the next batch, None while the log itself is read."""
        self.seen = 0
        """How many events came before that batch."""
        self.tries = 0
        self.ring: _Ring | None = None


class Hub:
    """Knows what came last in every run. All but what a `Watcher` calls belongs to one event loop.

    Args:
        server: the name and version of the server.
        folder: what the served folder is called.
        heartbeat: seconds after which a frame is sent when there was none.
    """

    def __init__(self, server: str, folder: str, *, heartbeat: float = _HEARTBEAT) -> None:
        self.watcher: Watcher | None = None
        self.heartbeat = heartbeat
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hello = f'"server":{encoded(server)},"folder":{encoded(folder)},"heartbeat":{heartbeat}'
        self._came = asyncio.Event()
        self._rings: dict[tuple[str, int], _Ring] = {}
        self._entries: dict[str, tuple[int, str]] = {}
        """Each run's entry as JSON, with the number of its last change."""
        self._verdicts: dict[str, tuple[int, str]] = {}
        self._changes = 0
        self._version = 0
        self._recent: deque[tuple[int, tuple[str, int]]] = deque(maxlen=_REMEMBERED)
        """In which rings there was something new, with a number that grows."""
        self._gone: list[tuple[int, str]] = []
        self._listening: dict[str, int] = {}
        self.closing = False

    def attach(self, watcher: Watcher, loop: asyncio.AbstractEventLoop) -> None:
        """Take what a watcher tells, in this event loop."""
        self.watcher, self._loop = watcher, loop

    # What the watcher's thread calls.

    def runs(self, entries: list[Entry], passed_over: list[PassedOver]) -> None:
        """These entries are new or changed."""
        texts = [(entry.id, encoded(entry)) for entry in entries]
        self._post(lambda: self._set(self._entries, texts))

    def gone(self, ids: list[str]) -> None:
        """These runs are not there any more."""
        self._post(lambda: self._forget(ids))

    def begun(self, run: str, places: Mapping[int, Position]) -> None:
        """From these positions on, one for each rank that is new, everything will be told."""

        def begin() -> None:
            # All at once: a run is only live when each of its ranks is.
            for rank, position in places.items():
                self._rings[run, rank] = _Ring(position)
                self._note(run, rank)

        self._post(begin)

    def ended(self, run: str, rank: int) -> None:
        """Nobody listens to this log any more."""
        self._post(lambda: self._rings.pop((run, rank), None))

    def came(self, run: str, rank: int, chunk: Chunk, *, lost: bool) -> None:
        """Lines that were written."""
        text, events = lines(run, rank, chunk)

        def add() -> None:
            if ring := self._rings.get((run, rank)):
                ring.add(chunk, text, events, lost=lost)
                self._note(run, rank)

        self._post(add)

    def judged(self, run: Watched) -> None:
        """There is a new verdict."""
        found = f'"verdict":{encoded(run.verdict)},"seams":{encoded(run.seams)}'
        text = f'"run":"{run.found.id}","progress":{run.judged:.3f},{found}'
        self._post(lambda: self._set(self._verdicts, [(run.found.id, text)]))

    def _post(self, change: Callable[[], object]) -> None:
        def run() -> None:
            change()
            came, self._came = self._came, asyncio.Event()
            came.set()

        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(run)

    # What belongs to the event loop.

    def _set(self, place: dict[str, tuple[int, str]], texts: list[tuple[str, str]]) -> None:
        self._changes += 1
        place.update({run: (self._changes, text) for run, text in texts})

    def _note(self, run: str, rank: int) -> None:
        """Remember that there is something new in a ring."""
        self._version += 1
        self._recent.append((self._version, (run, rank)))

    def _forget(self, ids: list[str]) -> None:
        self._changes += 1
        for run in ids:
            self._entries.pop(run, None)
            self._verdicts.pop(run, None)
            for key in [key for key in self._rings if key[0] == run]:
                del self._rings[key]
            self._gone.append((self._changes, run))

    def close(self) -> None:
        """Let everybody who listens come to an end."""
        self.closing = True
        self._came.set()

    def _listen(self, run: str, change: int) -> None:
        count = self._listening.get(run, 0) + change
        if count:
            self._listening[run] = count
        else:
            self._listening.pop(run, None)
        if self.watcher:
            self.watcher.heard = set(self._listening)
            self.watcher.wake()

    async def listen(
        self, wanted: set[str] | None, places: Places | None, *, listed: set[str] | None = None
    ) -> AsyncGenerator[str]:
        """The frames for one who listens, from some places on, for as long as they are asked for.

        Args:
            wanted: the runs; all of them, and those to come, when not given.
            places: where it stands in each run; a run that is not there is given from its beginning. From now on
                when not given.
            listed: the runs whose entries are given; all of them when not given.
        """
        listener = _Listener(self, wanted, places, listed)
        try:
            async for each in listener.frames():
                yield each
        finally:
            listener.close()


class _Listener:
    """One who listens."""

    def __init__(self, hub: Hub, wanted: set[str] | None, places: Places | None, listed: set[str] | None) -> None:
        self._hub, self._wanted, self._listed = hub, wanted, listed
        self._from, self._now = dict(places or {}), places is None
        self._feeds: dict[tuple[str, int], _Feed] = {}
        self._joined: set[str] = set()
        self._live: set[str] = set()
        self._initial: set[str] | None = None
        """The runs that were there when it began."""
        self._seen = {"entries": 0, "verdicts": 0}
        self._places: Places = {run: dict(ranks) for run, ranks in self._from.items() if not wanted or run in wanted}
        self._text: str | None = None
        self._version = -1
        self._behind: set[tuple[str, int]] = set()
        """The logs of which it has not been told all that is known."""

    def close(self) -> None:
        for run in self._joined:
            self._hub._listen(run, -1)  # noqa: SLF001 - a part of it
        for feed in self._feeds.values():
            if feed.tail:
                feed.tail.close()

    @property
    def _cursor(self) -> str:
        if self._text is None:
            self._text = (
                NOW if self._now and not self._is_placed else packed(self._places) if self._places else BEGINNING
            )
        return self._text

    @property
    def _is_placed(self) -> bool:
        """Whether it is known where every run stands that was there when it began."""
        return self._initial is not None and all(run in self._places for run in self._initial & self._joined)

    def _stand(self, run: str, rank: int, position: Position) -> None:
        self._places.setdefault(run, {})[rank] = position
        self._text = None

    async def frames(self) -> AsyncIterator[str]:
        hub = self._hub
        yield frame("hello", self._cursor, hub._hello)  # noqa: SLF001 - a part of it
        last = time.monotonic()
        while not hub.closing:
            came, sent = hub._came, False  # noqa: SLF001 - a part of it
            for each in self._changed():
                sent = True
                yield each
            async for each in self._news():
                sent = True
                yield each
            if sent:
                last = time.monotonic()
            elif time.monotonic() - last >= hub.heartbeat:
                last = time.monotonic()
                yield frame("heartbeat", self._cursor, f'"time":{time.time():.3f}')
            else:
                rest = last + hub.heartbeat - time.monotonic()
                await self._wait(came, rest if self._settled else min(rest, _PATIENCE))

    @staticmethod
    async def _wait(came: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.0)):
                await came.wait()

    def _is_wanted(self, run: str) -> bool:
        return self._wanted is None or run in self._wanted

    def _changed(self) -> list[str]:
        """Entries and verdicts that have changed."""
        hub = self._hub
        found: list[str] = []
        if self._initial is not None and self._seen["entries"] == hub._changes:  # noqa: SLF001 - a part of it
            return found
        entries = self._newer("entries", hub._entries, self._listed)  # noqa: SLF001 - a part of it
        gone = [run for change, run in hub._gone if change > self._seen["entries"]]  # noqa: SLF001 - a part of it
        if entries or gone or self._initial is None:
            rest = f',"gone":{encoded(gone)}' if gone else ""
            found.append(frame("runs", self._cursor, f'"runs":[{",".join(entries)}]{rest}'))
        found += [frame("alerts", self._cursor, text) for text in self._newer("verdicts", hub._verdicts, self._wanted)]  # noqa: SLF001
        self._seen = dict.fromkeys(self._seen, hub._changes)  # noqa: SLF001 - a part of it
        for run in gone:
            self._leave(run)
        if self._initial is None:
            self._initial = set(hub._entries)  # noqa: SLF001 - a part of it
        for run in hub._entries:  # noqa: SLF001 - a part of it
            if self._is_wanted(run) and run not in self._joined:
                self._joined.add(run)
                hub._listen(run, 1)  # noqa: SLF001 - a part of it
        return found

    def _newer(self, kind: str, place: dict[str, tuple[int, str]], of: set[str] | None) -> list[str]:
        newer = {run: text for run, (change, text) in place.items() if change > self._seen[kind]}
        return [text for run, text in newer.items() if of is None or run in of]

    def _leave(self, run: str) -> None:
        if run in self._joined:
            self._joined.discard(run)
            self._hub._listen(run, -1)  # noqa: SLF001 - a part of it
        for key in [key for key in self._feeds if key[0] == run]:
            del self._feeds[key]
        self._live.discard(run)
        self._places.pop(run, None)
        self._text = None

    @property
    def _settled(self) -> bool:
        """Whether everything that was there has been sent."""
        return self._joined <= self._live

    async def _news(self) -> AsyncIterator[str]:
        rings = self._due()
        self._find_feeds(rings)
        if self._now and not self._is_placed:
            self._version = -1
            return
        for (run, rank), ring in rings.items():
            feed = self._feeds[run, rank]
            if feed.next is None:
                async for each in self._catch_up(run, rank, feed, ring):
                    yield each
            else:
                for each in self._from_ring(run, rank, feed, ring):
                    yield each
            (self._behind.discard if feed.next == ring.next else self._behind.add)((run, rank))
        for run in sorted({run for run, _ in rings} - self._live):
            if all(feed.next is not None for (name, _), feed in self._feeds.items() if name == run):
                self._live.add(run)
                yield frame("live", self._cursor, f'"run":"{run}"')

    def _due(self) -> dict[tuple[str, int], _Ring]:
        """The logs it listens to in which there is something new for it."""
        hub = self._hub
        rings, recent = hub._rings, hub._recent  # noqa: SLF001 - a part of it
        if not self._settled or self._version < 0 or (recent and self._version < recent[0][0] - 1):
            keys = set(rings)
        else:
            newer = takewhile(lambda each: each[0] > self._version, reversed(recent))
            keys = {key for _, key in newer} | self._behind
        self._version = hub._version  # noqa: SLF001 - a part of it
        return {key: rings[key] for key in sorted(keys) if key[0] in self._joined and key in rings}

    def _find_feeds(self, rings: dict[tuple[str, int], _Ring]) -> None:
        for (run, rank), ring in rings.items():
            feed = self._feeds.get((run, rank))
            if feed is None:
                self._feeds[run, rank] = self._feed(run, rank, ring)
            elif feed.ring not in {None, ring}:
                # Nobody listened for a moment.
                feed.next, feed.ring, feed.position = None, None, self._places[run][rank]

    def _feed(self, run: str, rank: int, ring: _Ring) -> _Feed:
        """Where a listener begins in a log: where it stands, where the log ends now, or at its beginning."""
        place = self._from.get(run, {}).get(rank)
        if place is None and (not self._now or run in self._live or run not in (self._initial or ())):
            place = START
        feed = _Feed(place)
        if place is None:
            self._join(feed, ring, ring.next)
            self._stand(run, rank, ring.end)
        return feed

    @staticmethod
    def _join(feed: _Feed, ring: _Ring, number: int) -> None:
        feed.next, feed.ring = number, ring
        at = number - ring.first
        feed.seen = ring.batches[at].before if at < len(ring.batches) else ring.events
        if feed.tail:
            feed.tail.close()
            feed.tail = None

    def _from_ring(self, run: str, rank: int, feed: _Feed, ring: _Ring) -> list[str]:
        """What has come in the ring."""
        found = []
        assert feed.next is not None  # noqa: S101 - for the type checker
        if feed.next < ring.first:
            latest = ring.batches[-1]
            missed, feed.next = latest.before - feed.seen, ring.next - 1
            self._stand(run, rank, latest.start)
            found.append(frame("gap", self._cursor, f'"run":"{run}","rank":{rank},"missed":{missed}'))
        # One batch at a time: while it is sent, the ring goes on.
        if feed.next < ring.next:
            batch = ring.batches[feed.next - ring.first]
            if batch.lost:
                self._stand(run, rank, START)
                found.append(self._reset(run, rank))
            self._stand(run, rank, batch.end)
            feed.next += 1
            feed.seen = batch.before + batch.events
            found.append(frame("events", self._cursor, batch.text))
        return found

    def _reset(self, run: str, rank: int) -> str:
        why = encoded("the log is another one than before")
        return frame("reset", self._cursor, f'"run":"{run}","rank":{rank},"why":{why}')

    async def _catch_up(self, run: str, rank: int, feed: _Feed, ring: _Ring) -> AsyncIterator[str]:
        """Read on in the log itself, up to the ring."""
        assert feed.position is not None  # noqa: S101 - for the type checker
        watched = self._hub.watcher.runs.get(run) if self._hub.watcher else None
        if watched is None:
            return
        if feed.tail is None:
            feed.tail = watched.found.tail(rank, feed.position)
        tail = feed.tail
        try:
            chunk = await asyncio.to_thread(tail.read)
        except (RLDKError, OSError):
            # What is wrong with the log is told in the list of runs.
            self._join(feed, ring, ring.next)
            return
        if tail.lost:
            tail.lost = False
            self._stand(run, rank, START)
            yield self._reset(run, rank)
        start = chunk.start if chunk else tail.position
        number, bound = _bound(ring, start)
        if chunk is None and _key(start) < _key(bound) and feed.tries < _TRIES:
            feed.tries += 1
            return
        if chunk is None or _key(start) >= _key(bound):
            self._join(feed, ring, number)
            self._stand(run, rank, bound if _key(start) >= _key(bound) else start)
            return
        if _key(chunk.end) > _key(bound) and chunk.start.number == bound.number:
            chunk = tail.cut(chunk, bound)
        text, _ = await asyncio.to_thread(lines, run, rank, chunk)
        self._stand(run, rank, chunk.end)
        feed.position = chunk.end
        yield frame("events", self._cursor, text)
        if _key(chunk.end) >= _key(bound):
            self._join(feed, ring, number)


def _key(position: Position) -> tuple[int, int]:
    return position.number, position.byte


def _bound(ring: _Ring, start: Position) -> tuple[int, Position]:
    """Up to where the log itself has to be read, and the number of the batch that begins there."""
    for at, batch in enumerate(ring.batches):
        if _key(batch.start) >= _key(start):
            return ring.first + at, batch.start
    return ring.next, ring.end
