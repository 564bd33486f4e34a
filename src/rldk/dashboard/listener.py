"""One who listens: where it stands in each log, and the frames that it is due."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from rldk.dashboard.cursor import BEGINNING, NOW, packed
from rldk.dashboard.frames import encoded, frame, lines
from rldk.dashboard.ring import place
from rldk.errors import RLDKError
from rldk.io.position import START

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from rldk.dashboard.cursor import Places
    from rldk.dashboard.foreign import Tail
    from rldk.dashboard.known import Key, Known, Texts
    from rldk.dashboard.ring import Ring
    from rldk.io.position import Position

__all__ = ["listen"]

_PATIENCE: Final = 0.05
"""Seconds between two looks for what should be there at any moment."""
_TRIES: Final = 5
"""So often nothing is found in a log before it is believed that nothing is there."""


async def listen(
    known: Known, wanted: set[str] | None, places: Places | None, *, listed: set[str] | None = None
) -> AsyncGenerator[str]:
    """The frames for one who listens, from some places on, for as long as they are asked for.

    Args:
        known: what there is to be told.
        wanted: the runs; all of them, and those to come, when not given.
        places: where it stands in each run; a run that is not there is given from its beginning. From now on
            when not given.
        listed: the runs whose entries are given; all of them when not given.
    """
    listener = _Listener(known, wanted, places, listed)
    try:
        async for each in listener.frames():
            yield each
    finally:
        listener.close()


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
        self.ring: Ring | None = None

    def join(self, ring: Ring, number: int) -> None:
        """Go on in a ring, with the batch of this number."""
        self.next, self.ring = number, ring
        self.seen = ring.before(number)
        self.close()

    def close(self) -> None:
        """Close the log, if it is being read."""
        if self.tail:
            self.tail.close()
            self.tail = None


class _Listener:
    """One who listens. It belongs to the event loop of what is known."""

    def __init__(self, known: Known, wanted: set[str] | None, places: Places | None, listed: set[str] | None) -> None:
        self._known, self._wanted, self._listed = known, wanted, listed
        self._from, self._now = dict(places or {}), places is None
        self._feeds: dict[Key, _Feed] = {}
        self._joined: set[str] = set()
        self._live: set[str] = set()
        self._initial: set[str] | None = None
        """The runs that were there when it began."""
        self._changes = 0
        """The last change to entries and verdicts that it was told of."""
        self._places: Places = {run: dict(ranks) for run, ranks in self._from.items() if not wanted or run in wanted}
        self._text: str | None = None
        self._version = -1
        self._behind: set[Key] = set()
        """The logs of which it has not been told all that is known."""

    def close(self) -> None:
        """Listen to nothing any more."""
        for run in self._joined:
            self._known.leave(run)
        for feed in self._feeds.values():
            feed.close()

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
        """All that it is due, and a heartbeat when that is nothing for too long."""
        known = self._known
        yield frame("hello", self._cursor, known.hello)
        last = time.monotonic()
        while not known.closing:
            came, sent = known.came, False
            for each in self._changed():
                sent = True
                yield each
            async for each in self._news():
                sent = True
                yield each
            if sent:
                last = time.monotonic()
            elif time.monotonic() - last >= known.heartbeat:
                last = time.monotonic()
                yield frame("heartbeat", self._cursor, f'"time":{time.time():.3f}')
            else:
                rest = last + known.heartbeat - time.monotonic()
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
        known = self._known
        found: list[str] = []
        if self._initial is not None and self._changes == known.changes:
            return found
        entries = self._newer(known.entries, self._listed)
        gone = [] if self._initial is None else [run for change, run in known.gone if change > self._changes]
        if entries or gone or self._initial is None:
            rest = f',"gone":{encoded(gone)}' if gone else ""
            found.append(frame("runs", self._cursor, f'"runs":[{",".join(entries)}]{rest}'))
        found += [frame("alerts", self._cursor, text) for text in self._newer(known.verdicts, self._wanted)]
        self._changes = known.changes
        for run in gone:
            self._leave(run)
        if self._initial is None:
            self._initial = set(known.entries)
        for run in known.entries:
            if self._is_wanted(run) and run not in self._joined:
                self._joined.add(run)
                known.join(run)
        return found

    def _newer(self, texts: Texts, of: set[str] | None) -> list[str]:
        """What it has not been told of some runs."""
        newer = {run: text for run, (change, text) in texts.items() if change > self._changes}
        return [text for run, text in newer.items() if of is None or run in of]

    def _leave(self, run: str) -> None:
        if run in self._joined:
            self._joined.discard(run)
            self._known.leave(run)
        for key in [key for key in self._feeds if key[0] == run]:
            self._feeds.pop(key).close()
        self._live.discard(run)
        self._places.pop(run, None)
        self._text = None

    @property
    def _settled(self) -> bool:
        """Whether everything that was there has been sent."""
        return self._joined <= self._live

    async def _news(self) -> AsyncIterator[str]:
        """What came in the logs."""
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

    def _due(self) -> dict[Key, Ring]:
        """The logs it listens to in which there is something new for it."""
        rings = self._known.rings
        newer = self._known.newer(self._version) if self._settled else None
        keys = set(rings) if newer is None else newer | self._behind
        self._version = self._known.version
        return {key: rings[key] for key in sorted(keys) if key[0] in self._joined and key in rings}

    def _find_feeds(self, rings: dict[Key, Ring]) -> None:
        for (run, rank), ring in rings.items():
            feed = self._feeds.get((run, rank))
            if feed is None:
                self._feeds[run, rank] = self._feed(run, rank, ring)
            elif feed.ring not in {None, ring}:
                # Nobody listened for a moment.
                feed.next, feed.ring, feed.position = None, None, self._places[run][rank]

    def _feed(self, run: str, rank: int, ring: Ring) -> _Feed:
        """Where a listener begins in a log: where it stands, where the log ends now, or at its beginning."""
        position = self._from.get(run, {}).get(rank)
        if position is None and (not self._now or run in self._live or run not in (self._initial or ())):
            position = START
        feed = _Feed(position)
        if position is None:
            feed.join(ring, ring.next)
            self._stand(run, rank, ring.end)
        return feed

    def _from_ring(self, run: str, rank: int, feed: _Feed, ring: Ring) -> list[str]:
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

    async def _catch_up(self, run: str, rank: int, feed: _Feed, ring: Ring) -> AsyncIterator[str]:
        """Read on in the log itself, up to the ring."""
        assert feed.position is not None  # noqa: S101 - for the type checker
        log = self._known.found(run)
        if log is None:
            return
        if feed.tail is None:
            feed.tail = log.tail(rank, feed.position)
        tail = feed.tail
        try:
            chunk = await asyncio.to_thread(tail.read)
        except (RLDKError, OSError):
            # What is wrong with the log is told in the list of runs.
            feed.join(ring, ring.next)
            return
        if tail.lost:
            tail.lost = False
            self._stand(run, rank, START)
            yield self._reset(run, rank)
        start = chunk.start if chunk else tail.position
        number, bound = ring.bound(start)
        if chunk is None and place(start) < place(bound) and feed.tries < _TRIES:
            feed.tries += 1
            return
        if chunk is None or place(start) >= place(bound):
            feed.join(ring, number)
            self._stand(run, rank, bound if place(start) >= place(bound) else start)
            return
        if place(chunk.end) > place(bound) and chunk.start.number == bound.number:
            chunk = tail.cut(chunk, bound)
        text, _ = await asyncio.to_thread(lines, run, rank, chunk)
        self._stand(run, rank, chunk.end)
        feed.position = chunk.end
        yield frame("events", self._cursor, text)
        if place(chunk.end) < place(bound):
            return
        if number >= ring.first:
            feed.join(ring, number)
        else:
            # While this was sent the ring went on: the log is read on, from behind what was cut off.
            feed.close()
