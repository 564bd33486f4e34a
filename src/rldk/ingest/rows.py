"""The events of one run as they count: replaced ones left out, those of one point merged, each line accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from rldk.adapters.base import Aside, Bad, FormatAdapter, Parsed, Reading, forgiven
from rldk.adapters.records import fit, run_name
from rldk.errors import IngestError, InvalidLineError
from rldk.ingest.account import Found, IngestReport, RunReport
from rldk.io.column_names import apart
from rldk.io.history import Cuts, curve_key, cuts, merged, with_attempt
from rldk.io.reader import problem
from rldk.io.segments import Log, is_log, whole_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rldk.adapters.base import Adapter, Item, Mode
    from rldk.ingest.options import Options
    from rldk.ingest.sources import Unit
    from rldk.io.event_schema import Event

__all__ = ["COUNTS", "LEADING", "TEXTS", "Row", "Run", "column_name"]

TEXTS: Final = ("run_id", "phase", "eval_set", "timestamp")
"""The columns of text that every table has."""

COUNTS: Final = ("step", "attempt", "rank", "seed")
"""The columns of integers that every table has."""

LEADING: Final = ("run_id", "phase", "eval_set", "step", "wall_time", "timestamp", "attempt", "rank", "seed")
"""The first columns of every table; after them comes `rewound`, when all history is given."""

_TAKEN: Final = frozenset({*LEADING, "rewound", "nonfinite"})


def column_name(metric: str) -> str:
    """The column of a metric: its own name, or `metrics.NAME` where that means something else."""
    return apart(metric, _TAKEN)


class Row(NamedTuple):
    """An event that is given, and its place in the run."""

    place: int
    """The how manieth of the run it is; events of several curves may be given a little out of this order."""
    attempt: int
    rewound: bool
    """Whether a later attempt has replaced it."""
    event: Event
    lines: int


def _plain_items(adapter: Adapter, path: Path, mode: Mode) -> Iterator[Item]:
    """What an adapter gives that accounts for no lines: its events, and what it stops at."""
    try:
        yield from map(Parsed, adapter.events(path, mode))
    except InvalidLineError as error:
        yield Bad(problem(error).at(error.line, 0), error.path or path)


def _run_at(source: str) -> tuple[Path, str]:
    """What all ranks of a run have in common, and no other run has: the folder of its logs, and its run id there."""
    path = Path(source)
    return (path.parent, whole_log(Log(path, "", 0)).run_id) if is_log(path) else (path, "")


class Run:
    """One run, to be read once or twice.

    Args:
        unit: where it is.
        options: how it is read.
        report: the account, to which this run's is added.
    """

    def __init__(self, unit: Unit, options: Options, report: IngestReport) -> None:
        self._unit = unit
        self._options = options
        self._all = report
        self._taken = {run.run_id: _run_at(run.source) for run in report.runs}
        self._run_ids: dict[str, str] = {}
        """The run id that events are given, by the one they have."""
        self.reading = self._read()
        self.report = self._new_report()
        report.runs.append(self.report)

    def _read(self) -> Reading:
        adapter = self._unit.adapter
        if isinstance(adapter, FormatAdapter):
            return adapter.read(self._unit.path)
        return Reading(_plain_items(adapter, self._unit.path, self._options.mode), "step", {})

    def _new_report(self) -> RunReport:
        run_id = self._unit.log.run_id if self._unit.log else run_name(self._unit.path)
        return RunReport(run_id, self._unit.shown, self._unit.adapter.name, self.reading.axis, self.reading.unit)

    def cuts(self) -> dict[int, int]:
        """Read the run as far as its events are given, only to see where later attempts cut off earlier ones."""
        return cuts(self._given())

    def _given(self) -> Iterator[Event]:
        for item in self._read().items:
            if isinstance(item, Parsed):
                yield item.event
            elif isinstance(item, Bad) and self._stops(item):
                return

    def _stops(self, bad: Bad) -> bool:
        """Whether reading ends at something bad, in peace or not."""
        return self._options.mode == "stop_at_first_bad" or not forgiven(bad, self._options.mode)

    def rows(self) -> Iterator[Row]:
        """The events that count, or all with those that do not marked; reads the run twice."""
        yield from self._rows(self.cuts(), Cuts())

    def written(self) -> Iterator[Event]:
        """Every event that is given, as it was written; reads the run once, so that none is known to be replaced."""
        for row in self._counted({}, Cuts()):
            self.report.note_event(row.event)
            yield row.event

    @property
    def log(self) -> Log | None:
        """RLDK's own log, when all of its effective history is asked for as it was written."""
        plain = self._options.history == "effective" and not self._options.filters
        return self._unit.log if plain else None

    def named(self, run_id: str) -> str:
        """What the run is called, whose events have this run id."""
        return self._run_ids.get(run_id) or self._distinct(run_id)

    def gather(self, take: Callable[[Row], None], forget: Callable[[], None]) -> None:
        """Hand over the same rows, reading the run only once when no attempt replaced another.

        With filters, which may remember what they have seen, it is always read twice.

        Args:
            take: is given each row.
            forget: is called when all that was taken has to be forgotten, because it is given again.
        """
        if self._options.filters:
            for row in self.rows():
                take(row)
            return
        found = Cuts()
        for row in self._rows({}, found):
            take(row)
        if cuts := found.last_steps:
            forget()
            self.reading = self._read()
            self.report = self._all.runs[-1] = self._new_report()
            self._run_ids.clear()
            for row in self._rows(cuts, Cuts()):
                take(row)

    def _rows(self, cuts: dict[int, int], found: Cuts) -> Iterator[Row]:
        counted = self._counted(cuts, found)
        for row in counted if self._options.history == "all" else self._merged(counted):
            self.report.note_event(row.event)
            yield row

    def _counted(self, cuts: dict[int, int], found: Cuts) -> Iterator[Row]:
        """Every event that is given, or merged into one that is."""
        report, keep_all = self.report, self._options.history == "all"
        lines: list[int] = []
        for place, (attempt, event) in enumerate(with_attempt(self._events(lines))):
            found.add(attempt, event)
            rewound = event.step > cuts.get(attempt, event.step)
            if rewound and not keep_all:
                report.rewound += lines[0]
                continue
            kept = self._filtered(self._named(event, attempt))
            if kept is None:
                report.filtered += lines[0]
                continue
            report.parsed += lines[0]
            yield Row(place, attempt, rewound, kept, lines[0])

    def _events(self, lines: list[int]) -> Iterator[Event]:
        """The events as the source has them; `lines` says what the last one was made of."""
        report, options = self.report, self._options
        for item in self.reading.items:
            if options.progress:
                options.progress(item.lines)
            if isinstance(item, Parsed):
                report.lines += item.lines
                lines[:] = [item.lines]
                yield item.event
            elif isinstance(item, Aside):
                report.note_aside(item)
            elif self._ends(item):
                return

    def _ends(self, bad: Bad) -> bool:
        """Count what cannot be read; whether reading ends there.

        Raises:
            IngestError: it ends everything.
        """
        path = self._unit.shown_path(bad.path)
        self.report.note_bad(bad, path)
        if not forgiven(bad, self._options.mode):
            raise IngestError(self._all, [str(Found(path, bad.problem))]) from bad.problem.error(Path(path))
        return self._options.mode == "stop_at_first_bad"

    def _named(self, event: Event, attempt: int) -> Event:
        """The event under a run id that no other source has, and with an attempt it may not have named itself."""
        run_id = self.named(event.run_id)
        if (run_id, attempt) == (event.run_id, event.attempt):
            return event
        info = {**event.model_info, "run_id": run_id, "attempt": attempt}
        return msgspec.structs.replace(event, model_info=info)

    def _distinct(self, run_id: str) -> str:
        """The run id for all events that have this one."""
        named = self._unclaimed(run_id)
        if not self._run_ids:
            self.report.run_id = named
        self._run_ids[run_id] = named
        return named

    def _unclaimed(self, run_id: str) -> str:
        """The run id, with names of folders before it until no other source has it; other ranks may have it."""
        mine = _run_at(self._unit.shown)
        parents = [fit(parent.name) for parent in self._unit.path.absolute().parents if parent.name]
        names = (f"{'-'.join(reversed(parents[:count]))}-{run_id}" for count in range(1, len(parents) + 1))
        numbered = (f"{run_id}-{number}" for number in range(2, len(self._taken) + 3))
        return next(name for name in (run_id, *names, *numbered) if self._taken.get(name, mine) == mine)

    def _filtered(self, event: Event) -> Event | None:
        for each in self._options.filters:
            kept = each(event)
            if kept is None:
                return None
            event = kept
        return event

    def _merged(self, rows: Iterable[Row]) -> Iterator[Row]:
        """One row for each point of a curve, given when the curve goes on."""
        pending: dict[tuple[int, str, str | None], Row] = {}
        for row in rows:
            key = (row.event.rank, *curve_key(row.event))
            before = pending.get(key)
            if before and (before.event.step, before.attempt) == (row.event.step, row.attempt):
                self.report.parsed -= row.lines
                self.report.duplicate += row.lines
                pending[key] = before._replace(event=merged(before.event, row.event))
                continue
            if before:
                yield before
            pending[key] = row
        yield from pending.values()
