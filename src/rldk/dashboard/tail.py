"""The threads that read all runs of a folder: one for their columns and verdicts, one for what comes to listeners."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from rldk.dashboard.catalogue import Catalogue, Found
from rldk.dashboard.entry import entry_of
from rldk.dashboard.kept import trim
from rldk.dashboard.watched import Watched
from rldk.errors import RLDKError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from rldk.dashboard.entry import Entry
    from rldk.dashboard.foreign import Tail
    from rldk.ingest.account import PassedOver
    from rldk.io.log_tail import Chunk
    from rldk.io.position import Position

__all__ = ["Listener", "Watcher"]

_QUICK: Final = 0.025
"""Seconds between two looks at a log that somebody listens to and that grows: so many frames are sent."""
_SLOW: Final = 0.2
_IDLE: Final = 1.0
"""The longest time between two looks at a log: at one that somebody listens to, and at others."""
_SLICE: Final = 0.02
"""Seconds that the backlog of all runs may take before those who listen come again."""
_GIVE_WAY: Final = 0.5
"""Seconds that the backlog waits at most for those who ask."""
_LOOK: Final = 0.5
"""Seconds between two looks for runs."""
_WHOLE: Final = 5.0
"""Seconds between two looks at runs that do not grow: somebody may have sealed them."""
_TRIM: Final = 600.0


class Listener(Protocol):
    """Is told what comes. It is called by the threads that read, and must not take long."""

    def runs(self, entries: list[Entry], passed_over: list[PassedOver]) -> None:
        """These entries are new or changed."""
        ...

    def gone(self, ids: list[str]) -> None:
        """These runs are not there any more."""
        ...

    def begun(self, run: str, places: Mapping[int, Position]) -> None:
        """From these positions on, one for each rank that is new, everything will be told."""
        ...

    def ended(self, run: str, rank: int) -> None:
        """Nothing more will be told of this log."""
        ...

    def came(self, run: str, rank: int, chunk: Chunk, *, lost: bool) -> None:
        """Lines that were written; `lost` when they are the first of another log than before."""
        ...

    def judged(self, run: Watched) -> None:
        """There is a new verdict."""
        ...


class _Live:
    """The end of a log that somebody listens to."""

    def __init__(self, tail: Tail) -> None:
        self.tail = tail
        self.pause = _QUICK
        self.due = 0.0


class Watcher:
    """Reads all runs of a folder, in threads of its own once it is started.

    Args:
        root: the folder, or a file.
        listener: is told what comes; nobody when not given.
        judged: whether the rules are run.
        only: whether a run is to be watched.
        clock: the monotonic clock.
    """

    def __init__(
        self,
        root: Path,
        listener: Listener | None = None,
        *,
        judged: bool = True,
        only: Callable[[Found], bool] = lambda _: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.catalogue = Catalogue(root)
        self.runs: dict[str, Watched] = {}
        self.ready = threading.Event()
        """Set when the folder was looked through for the first time."""
        self.error: str | None = None
        """Why the folder cannot be read."""
        self.heard: set[str] = set()
        """The runs that somebody listens to; replaced as a whole by who knows."""
        self._root = str(root.resolve())
        self.listener = listener
        self._judged, self._only, self._clock = judged, only, clock
        self._live: dict[tuple[str, int], _Live] = {}
        self._due: dict[str, tuple[float, float]] = {}
        """For each run when it is read again, and after how long the time after that."""
        self._looked = self._trimmed = self._told = self._whole = -_TRIM
        self._look_again = _LOOK
        self._entries: dict[str, Entry] = {}
        self._verdicts: dict[str, object] = {}
        self._passed_over: list[PassedOver] | None = None
        self._asking = 0
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(each,), name=f"rldk-{each.__name__}", daemon=True)
            for each in (self.turn, self.listen)
        ]

    def start(self) -> None:
        """Begin to read."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the thread, and close everything."""
        self._stop.set()
        self._wake.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        for live in self._live.values():
            live.tail.close()
        for run in self.runs.values():
            run.close()

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Let somebody who asks go before what can wait. To be entered in one thread only."""
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1

    def wake(self) -> None:
        """Look at once: somebody has begun to listen."""
        self._wake.set()

    def _run(self, turn: Callable[[], float]) -> None:
        while not self._stop.is_set():
            self._wake.wait(turn())

    def turn(self) -> float:
        """Go on with columns and verdicts as far as they are due; in how many seconds something will be due again."""
        now = self._clock()
        if now - self._looked >= self._look_again:
            self._look()
        due = self._read()
        self._tell()
        if now - self._trimmed > _TRIM:
            self._trimmed = now
            trim()
        return max(0.0, min(due, self._looked + self._look_again - self._clock()))

    def _look(self) -> None:
        """Look for runs."""
        began = self._clock()
        try:
            new = self.catalogue.look()
            self.error = None
        except (OSError, RLDKError) as error:
            new, self.error = False, str(error)
        if new:
            self._take_in({run.id: run for run in self.catalogue.runs.values() if self._only(run)})
        self._looked = self._clock()
        self._look_again = max(_LOOK, 20 * (self._looked - began))

    def _take_in(self, found: dict[str, Found]) -> None:
        """Watch these runs, and no others."""
        runs = dict(self.runs)
        gone = [run_id for run_id in runs if run_id not in found]
        for run_id in gone:
            runs.pop(run_id).close()
            self._entries.pop(run_id, None)
        for run_id, each in found.items():
            if run_id in runs:
                runs[run_id].look(each)
            else:
                runs[run_id] = Watched(each, self._root, judged=self._judged)
                self._due[run_id] = (0.0, _QUICK)
        # The other thread has the old one, or this one.
        self.runs = runs
        if gone and self.listener:
            self.listener.gone(gone)

    def listen(self) -> float:
        """Read what came for those who listen; in how many seconds to come again."""
        wait, listener, heard, runs = _IDLE, self.listener, self.heard, self.runs
        if listener is None:
            return wait
        self._wake.clear()
        for key in [key for key in self._live if key[0] not in heard or key[0] not in runs]:
            self._live.pop(key).tail.close()
            listener.ended(*key)
        for run_id in heard & runs.keys():
            found = runs[run_id].found
            if places := {rank: self._hear(found, rank) for rank in found.ranks if (run_id, rank) not in self._live}:
                listener.begun(run_id, places)
        now = self._clock()
        for (run_id, rank), live in self._live.items():
            if live.due <= now:
                came = self._take(run_id, rank, live, listener)
                live.pause = _QUICK if came else min(live.pause * 1.2, _SLOW)
                live.due = now + live.pause
            wait = min(wait, max(0.0, live.due - now))
        return wait

    def _hear(self, found: Found, rank: int) -> Position:
        """Begin at the end of a log, and say where that is."""
        tail = found.tail(rank)
        try:
            tail.to_end()
        except (OSError, RLDKError):
            # What is wrong with it is told in the list of runs.
            tail.close()
        self._live[found.id, rank] = _Live(tail)
        return tail.position

    def _take(self, run_id: str, rank: int, live: _Live, listener: Listener) -> bool:
        """Tell what came in a log; whether there was anything."""
        came = False
        try:
            for _ in range(8):
                if (chunk := live.tail.read()) is None:
                    break
                came = True
                listener.came(run_id, rank, chunk, lost=live.tail.lost)
                live.tail.lost = False
        except (OSError, RLDKError):
            live.tail.close()
        return came

    def _read(self) -> float:
        """Go on with the columns and verdicts; in how many seconds to come again."""
        end = self._clock() + _GIVE_WAY
        while self._asking and self._clock() < end:
            self._stop.wait(_QUICK)
        now, wait = self._clock(), _IDLE
        due = [run_id for run_id in self.runs if self._due[run_id][0] <= now]
        # Those that were written last are read first.
        for run_id in due:
            run = self.runs[run_id]
            more = run.advance(self._clock() + _SLICE / max(1, min(len(due), 4)))
            pause = 0.0 if more else _QUICK if run.changed else min(max(self._due[run_id][1], _QUICK) * 1.3, _IDLE)
            if pause == _IDLE:
                run.rest()
            self._due[run_id] = (self._clock() + pause, pause)
            if self._clock() - now > _SLICE:
                break
        for run_id in self.runs:
            wait = min(wait, self._due[run_id][0] - now)
        return max(wait, 0.0)

    def _tell(self) -> None:
        """Tell of entries and verdicts that have changed."""
        now = self._clock()
        if now - self._told < _LOOK / 2:
            return
        whole = now - self._whole > _WHOLE or not self.ready.is_set()
        self._told = now
        self._whole = now if whole else self._whole
        changed = []
        for run_id, run in self.runs.items():
            if not (run.changed or whole or run_id not in self._entries or self._is_open(run_id)):
                continue
            run.changed = False
            entry = entry_of(run)
            if entry != self._entries.get(run_id):
                self._entries[run_id] = entry
                changed.append(entry)
            if self.listener and run.verdict is not None and run.verdict is not self._verdicts.get(run_id):
                self._verdicts[run_id] = run.verdict
                self.listener.judged(run)
        self.ready.set()
        if self.listener and (changed or self.catalogue.passed_over != self._passed_over):
            self._passed_over = self.catalogue.passed_over
            self.listener.runs(changed, self.catalogue.passed_over)

    def _is_open(self, run_id: str) -> bool:
        """Whether a run may end at any moment."""
        return self._entries[run_id].state in {"training", "stalled"}

    @property
    def entries(self) -> list[Entry]:
        """The list of runs, the most recently written first."""
        return sorted(self._entries.copy().values(), key=lambda entry: -entry.updated)
