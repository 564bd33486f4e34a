"""A run that is being watched: its columns, its verdict, its entry in the list."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from rldk.dashboard.charts import Query, Series, clock, join, series
from rldk.dashboard.columns import Columns
from rldk.dashboard.judge import Judge, PlacedSeam
from rldk.dashboard.kept import Kept, keep
from rldk.errors import RLDKError
from rldk.io.log_tail import LogTail, near_end
from rldk.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable

    from rldk.alerts import Verdict
    from rldk.dashboard.catalogue import Found
    from rldk.io.manifest import Manifest, Outcome
    from rldk.io.position import Position

__all__ = ["Entry", "State", "Watched"]

State = Literal["training", "stalled", "finished", "interrupted", "crashed", "unknown"]

_log: Final = logging.getLogger(__name__)
_ENDED: Final[dict[Outcome, State]] = {
    "completed": "finished",
    "interrupted": "interrupted",
    "stopped_by_rule": "interrupted",
    "crashed": "crashed",
}
_NEWEST: Final = 4 * 10**6
"""So many bytes at the end of a log are read first, when there is much more before them."""
_STALLED: Final = 120.0
"""Seconds without an event, or ten times as long as between two events, after which a run is called stalled."""
_VERDICT: Final = 0.5
_PROVISIONAL: Final = 5.0
"""Seconds between two verdicts on a run, and while there is much to be read before the next."""


class Entry(msgspec.Struct, kw_only=True):
    """What the list of runs says of a run."""

    id: str
    name: str
    path: str
    adapter: str
    framework: str | None
    algorithm: str | None
    axis: str
    state: State
    state_detail: str
    steps: tuple[int, int] | None
    total_steps: int | None
    events: int
    attempts: int
    ranks: list[int]
    updated: float
    health: str | None
    verdict: str | None
    alerts: dict[str, int]
    progress: float
    problems: int
    error: str | None


class Watched:
    """A run that is being watched. One thread advances it, others may ask.

    Args:
        found: the run.
        folder: what the cache knows the run by, with its path.
        judged: whether the rules are run.
        clock: the monotonic clock.
        now: the clock that the files' times are of.
    """

    def __init__(
        self,
        found: Found,
        folder: str,
        *,
        judged: bool = True,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.found = found
        self.error: str | None = None
        self.changed = True
        """Whether the entry may be another one than before."""
        self.verdict: Verdict | None = None
        self._key = f"{folder}\n{found.path}\n{found.lowest}"
        self._clock, self._now = clock, now
        self._lock = threading.Lock()
        self._manifest: Manifest | None = None
        self._entry: Entry | None = None
        self._verdict_at = 0.0
        self._judged = False
        self._wants_judge = judged
        self._judge: Judge | None = None
        self._axis = _axis(found)
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

    def entry(self) -> Entry:
        """What the list of runs says of it."""
        found, columns = self.found, self.columns
        updated = self._updated()
        self._manifest = manifest = found.manifest
        state, detail = self._state(updated, manifest)
        info = columns.facts
        attempts = manifest.attempts if manifest else []
        seen = len(columns.resumed_from)
        return Entry(
            id=found.id,
            name=found.name,
            path=found.path,
            adapter=found.unit.adapter.name,
            framework=(manifest.framework if manifest else None) or _text(info.get("framework")),
            algorithm=(manifest.algorithm if manifest else None) or _text(info.get("algorithm")),
            axis=self._axis,
            state=state,
            state_detail=detail,
            steps=_steps(self.newest or columns, columns),
            total_steps=_total_steps(manifest),
            events=columns.events,
            attempts=max(seen, len(attempts)),
            ranks=found.ranks,
            updated=updated,
            health=self.verdict.health if self.verdict else None,
            verdict=self.verdict.sentence if self.verdict else None,
            alerts=self._alerts(),
            progress=round(self.progress, 3),
            problems=columns.problems,
            error=self.error,
        )

    def _updated(self) -> float:
        try:
            return self.found.updated()
        except (OSError, RLDKError):
            return 0.0

    def _alerts(self) -> dict[str, int]:
        counts = {"critical": 0, "warning": 0, "info": 0}
        for alert in self.verdict.alerts if self.verdict else ():
            counts[alert.severity] += alert.state == "firing"
        return counts

    def _state(self, updated: float, manifest: Manifest | None) -> tuple[State, str]:
        quiet = self._now() - updated
        last = manifest.attempts[-1] if manifest and manifest.attempts else None
        if self.found.is_held:
            if quiet > max(_STALLED, 10 * self._pace()):
                return "stalled", "a process holds the log and writes nothing"
            return "training", "a process is writing the log"
        if last and last.outcome:
            return _ENDED[last.outcome], last.outcome_detail
        if last:
            return "crashed", "its process ended without a word"
        if not self.found.logs and quiet < _STALLED:
            return "training", "the log has grown a moment ago"
        return "unknown", "nothing says how it ended"

    def _pace(self) -> float:
        """Seconds between two events of training, as far as the log says."""
        for view in self.columns.view([]):
            if view.phase == "train" and view.rows > 1:
                pieces = list(view.pieces())
                span = pieces[-1].walls[-1] - pieces[0].walls[0]
                return span / view.rows if span == span else 0.0  # noqa: PLR0124 - it may be NaN
        return 0.0

    def details(self) -> dict[str, Any]:
        """What is told of a run alone: its curves, what its metrics mean, its seams."""
        curves = []
        for view in self.columns.view([]):
            steps = [step for piece in view.pieces() for step in (piece.steps[0], piece.steps[-1])]
            curves.append(
                {
                    "phase": view.phase,
                    "eval_set": view.eval_set,
                    "points": view.rows,
                    "steps": [steps[0], steps[-1]] if steps else None,
                    "metrics": view.metrics,
                }
            )
        sources = {source.canonical: source for source in self.found.sources.values()}
        return {
            "curves": curves,
            "metrics": {name: _meaning(name, sources) for name in self.metrics},
            "seams": self.seams,
            "problems": self._judge.problems if self._judge else [],
        }

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


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _steps(newest: Columns, columns: Columns) -> tuple[int, int] | None:
    ends: list[int] = []
    for each in (columns, newest):
        for view in each.view([]):
            if view.phase == "train" and view.rows:
                pieces = list(view.pieces())
                ends += [pieces[0].steps[0], pieces[-1].steps[-1]]
    return (ends[0], ends[-1]) if ends else None


def _total_steps(manifest: Manifest | None) -> int | None:
    """How many steps the trainer plans, when it says so."""
    for attempt in reversed(manifest.attempts if manifest else []):
        for place in (attempt.facts, attempt.trainer):
            for name in ("total_steps", "max_steps"):
                value = place.get(name)
                if type(value) is int and value > 0:
                    return value
    return None


def _meaning(name: str, sources: dict[str, Any]) -> dict[str, Any]:
    stem = f"{name.partition('/')[0]}/<f>" if name.startswith("reward_component") else name
    metric = METRICS.get(stem)
    return {
        "unit": metric.unit if metric else None,
        "meaning": metric.meaning if metric else None,
        "source": sources.get(name),
    }
