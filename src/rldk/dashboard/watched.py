"""A run that is being watched: what was read of it, and what the rules say of it so far."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from rldk.dashboard.charts import Query, Series, clock, join, series
from rldk.dashboard.columns import Columns
from rldk.dashboard.judge import Judge, PlacedSeam
from rldk.dashboard.kept import Kept, keep
from rldk.errors import RLDKError
from rldk.io.log_tail import LogTail, near_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from rldk.alerts import Verdict
    from rldk.dashboard.catalogue import Found
    from rldk.io.position import Position

__all__ = ["Watched"]

_log: Final = logging.getLogger(__name__)
_NEWEST: Final = 4 * 10**6
"""So many bytes at the end of a log are read first, when there is much more before them."""
_VERDICT: Final = 0.5
_PROVISIONAL: Final = 5.0
"""Seconds between two verdicts on a run, and while there is much to be read before the next."""


class Watched:
    """A run that is being watched. One thread advances it, others may ask.

    Args:
        found: the run.
        folder: what the cache knows the run by, with its path.
        judged: whether the rules are run.
        clock: the monotonic clock.
    """

    def __init__(
        self,
        found: Found,
        folder: str,
        *,
        judged: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.found = found
        self.error: str | None = None
        self.changed = True
        """Whether the entry may be another one than before."""
        self.verdict: Verdict | None = None
        self._key = f"{folder}\n{found.path}\n{found.lowest}"
        self._clock = clock
        self._lock = threading.Lock()
        self._verdict_at = 0.0
        self._judged = False
        self._wants_judge = judged
        self._judge: Judge | None = None
        self.axis = _axis(found)
        self._begin()

    def _begin(self) -> None:
        keeper: Callable[[bool], Kept | None] = partial(keep, self._key) if self.found.logs else lambda _: None
        self.columns = Columns(keeper)
        self._tail = self.found.tail(min(self.found.ranks), self.columns.position)
        self._total, self._read = self._size(), self.columns.position.byte
        self.newest: Columns | None = None
        self._newest_from: Position | None = None
        self._begun = self._done = False

    def _size(self) -> int:
        """How many bytes its files have."""
        total = 0
        try:
            for path in self.found.files():
                total += path.stat().st_size
        except (OSError, RLDKError):
            return total
        return total

    def look(self, found: Found) -> None:
        """Take in what the catalogue found anew."""
        self.found = found
        if self._judge:
            self._judge.look(found)
        self.changed = True

    def advance(self, until: float) -> bool:
        """Read on until a moment; whether there may be more."""
        try:
            return self._advance(until)
        except (RLDKError, OSError, UnicodeError) as error:
            if str(error) != self.error:
                self.error, self.changed = str(error), True
            return False

    def _advance(self, until: float) -> bool:
        if not self._begun:
            self._begun = True
            self._read_newest()
        more = True
        while more and self._clock() < until:
            chunk = self._tail.read()
            if self._tail.lost:
                self._restart()
                return True
            more = chunk is not None
            if chunk:
                self.columns.add(chunk)
                self._read += max(chunk.end.byte - chunk.start.byte, 0)
                self.changed = True
        if not more:
            self.changed |= not self._done
            self._done, self.newest = True, None
        elif self.newest and self._newest_from and self.columns.position >= self._newest_from:
            self.newest = None
        judging = not more and self._go_on_judging(until)
        return more or judging

    def _go_on_judging(self, until: float) -> bool:
        """Run the rules until a moment; whether there may be more to do."""
        if not self._wants_judge:
            return False
        try:
            judge = self._judge = self._judge or self._new_judge()
            more = judge.advance(max(until, self._clock() + 0.002))
            if judge.changed and self._clock() - self._verdict_at > (_PROVISIONAL if more else _VERDICT):
                self._verdict_at = self._clock()
                self.verdict, self.changed = judge.verdict(), True
                if not more and (folder := self.columns.folder) and not self.found.is_held:
                    judge.keep(folder)
        except (RLDKError, OSError, UnicodeError):
            raise
        except Exception as error:  # noqa: BLE001 - who watches decides
            # Rules may be a user's own: one that fails must not keep anybody from seeing the curves.
            _log.exception("%s: the rules failed", self.found.path)
            self.error, self._wants_judge = f"the rules failed: {type(error).__name__}: {error}", False
            return False
        self._judged = not more and not judge.changed
        return more

    def _new_judge(self) -> Judge:
        judge = Judge(self.found, clock=self._clock)
        if (folder := self.columns.folder) and (verdict := judge.recall(folder)):
            self.verdict, self.changed = verdict, True
        return judge

    def _restart(self) -> None:
        """Begin anew: the log is another one than before."""
        self._tail.close()
        with self._lock:
            self.columns.forget()
            self._begin()
            self.changed = True

    def _read_newest(self) -> None:
        """Read the end of a long log before all else."""
        log = self.found.lowest
        if log is None or self._size() - self._read < 2 * _NEWEST:
            return
        place = near_end(log, _NEWEST, links=False)
        if place is None or place <= self.columns.position:
            return
        tail, newest = LogTail(log, place, links=False), Columns()
        while (chunk := tail.read()) and not tail.lost:
            newest.add(chunk)
        tail.close()
        self.newest, self._newest_from = newest, place

    @property
    def progress(self) -> float:
        """The share of the log that has been read into the columns."""
        if self._done or not self._total:
            return 1.0
        position = self.columns.position
        before = self._before(position.number) if self.found.logs else 0
        return min(0.999, (before + position.byte) / self._total)

    def _before(self, number: int) -> int:
        """About how many bytes are in the segments before one."""
        return max(0, number - 1) * self._total // max(1, len(self.found.files()))

    @property
    def judged(self) -> float:
        """The share of the log that the rules have seen; 1 when there is a verdict on all of it."""
        if self._judged or not self._wants_judge:
            return 1.0
        return 0.0 if self._judge is None else min(0.999, self._judge.read_bytes / max(1, self._total))

    @property
    def seams(self) -> list[PlacedSeam]:
        """Where attempts took over from the ones before."""
        return list(self._judge.seams) if self._judge else []

    @property
    def problems(self) -> list[dict[str, Any]]:
        """What is wrong in its log, as far as the rules have seen it."""
        return self._judge.problems if self._judge else []

    def series(self, query: Query) -> list[Series]:
        """The curves that are asked for."""
        with self._lock:
            columns, newest = self.columns, self.newest
        found = series(columns, query)
        return join(found, series(newest, query)) if newest else found

    def clock(self, query: Query) -> list[tuple[int, float]]:
        """Steps of training and their times."""
        with self._lock:
            columns, newest = self.columns, self.newest
        return clock(columns, query) + (clock(newest, query) if newest else [])

    @property
    def metrics(self) -> list[str]:
        """The names of all metrics, in the order in which they first came."""
        newest = self.newest
        return list(dict.fromkeys(self.columns.metrics + (newest.metrics if newest else [])))

    def close(self) -> None:
        """Close what is open."""
        self._tail.close()
        if self._judge:
            self._judge.close()
        self.columns.close()

    def rest(self) -> None:
        """Close the files of a run that does not grow; they are opened again when they are read."""
        self._tail.close()
        if self._judge:
            self._judge.close()


def _axis(found: Found) -> str:
    try:
        return found.axis
    except (RLDKError, OSError):
        return "step"
