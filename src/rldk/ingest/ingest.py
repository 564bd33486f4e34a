"""Turn whatever training runs left behind into events, or one table, with every line accounted for."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rldk.adapters.records import PLACES
from rldk.errors import IngestError
from rldk.ingest.account import IngestReport
from rldk.ingest.options import Options
from rldk.ingest.rows import Run
from rldk.ingest.sources import find_units, local

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pandas as pd
    import pyarrow as pa

    from rldk.ingest.account import RunReport
    from rldk.ingest.options import OnError
    from rldk.ingest.rows import Row
    from rldk.ingest.sources import Source, Unit
    from rldk.ingest.table import Table
    from rldk.io.event_schema import Event
    from rldk.io.filters import Filter
    from rldk.io.reader import History

__all__ = [
    "ingest_events",
    "ingest_rows",
    "ingest_runs",
    "ingest_table",
    "runs_of",
    "table_of",
    "to_arrow",
    "to_parquet",
]

_log: Final = logging.getLogger("rldk.ingest")


def ingest_events(
    source: Source,
    adapter_hint: str | None = None,
    field_map: Mapping[str, str] | None = None,
    on_error: OnError = "abort",
    history: History = "effective",
    *,
    filters: Sequence[Filter] = (),
    report: IngestReport | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Event]:
    """The events of all runs in a source, one run after the other, in memory that does not grow with them.

    Takes the arguments of `ingest_runs`. A source is read twice, the first time to see which of its steps were
    trained again.

    Raises:
        IngestError, UnknownFormatError, MissingExtraError, OSError, ValueError: see `ingest_runs`.
    """
    options = Options(
        adapter_hint=adapter_hint,
        field_map=field_map,
        on_error=on_error,
        history=history,
        filters=filters,
        progress=progress,
    )
    return (row.event for row in ingest_rows(source, options, report))


def ingest_rows(source: Source, options: Options, report: IngestReport | None = None) -> Iterator[Row]:
    """The same events, each with its place in the run, and whether a later attempt has replaced it."""
    for run in _runs(source, options, IngestReport() if report is None else report):
        yield from run.rows()


def _runs(source: Source, options: Options, report: IngestReport) -> Iterator[Run]:
    """Each run of a source, to be read before the next one is asked for."""
    with local(source) as places:
        units, passed_over = find_units(places, options)
        report.passed_over += passed_over
        yield from runs_of(units, options, report)


def runs_of(units: Iterable[Unit], options: Options, report: IngestReport) -> Iterator[Run]:
    """The same of runs that were found already."""
    for unit in units:
        run = Run(unit, options, report)
        yield run
        _tell(run.report)
        _tell_unused(run, options)
    _finish(report, options)


def ingest_runs(
    source: Source,
    adapter_hint: str | None = None,
    field_map: Mapping[str, str] | None = None,
    on_error: OnError = "abort",
    history: History = "effective",
    *,
    filters: Sequence[Filter] = (),
    report: IngestReport | None = None,
    progress: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """All runs in a source as one table: a row for each point of a curve, a column for each metric.

    The columns `run_id`, `phase`, `eval_set` and `timestamp` are strings, `step`, `attempt`, `rank` and `seed`
    are Int64, `wall_time` and the metrics float64; what is absent, or None, is NaN or NA there, and only
    `to_arrow` tells None from NaN. A metric that is an integer throughout and too large for a float64 is Int64.
    `attrs["rldk"]` has the report, the units and meanings of the metrics, what is known of each run, and which
    columns had to be rounded: those in which integers beyond 2**53 stand beside fractions.

    Args:
        source: a file, a folder, a pattern, an address that `fsspec` knows, or several of these. Files that end
            in .gz or .zst are decompressed.
        adapter_hint: the adapter to read with, instead of the one that recognises the format; of a folder, only
            what it recognises.
        field_map: for each of RLDK's names the field of the log that holds it: `{"step": "trainer.iteration"}`.
        on_error: what to do about a line that cannot be read. `abort` stops at the first. `collect` reads on, to
            say all that is wrong, and then stops. `salvage` keeps what can be read, `tolerate_torn_tail` all but
            an unfinished end, `stop_at_first_bad` what comes before it.
        history: `effective` leaves out steps that were trained again after a resume, and merges events of one
            point. `all` gives every event of every rank, with a column `rewound` for those replaced.
        filters: each may leave an event out, or parts of it; see `rldk.io.filters`.
        report: is filled with the account of every line; a copy is in `attrs` anyway.
        progress: told how many lines were read, again and again.

    Raises:
        IngestError: a line cannot be read. The first is its cause; its `report` has all that were found.
        UnknownFormatError: a file is of no format that is known, or may be of several.
        MissingExtraError: pandas, or what an address or a compression needs, is not installed.
        OSError: something cannot be read.
        ValueError: an argument is wrong.
    """
    options = Options(
        adapter_hint=adapter_hint,
        field_map=field_map,
        on_error=on_error,
        history=history,
        filters=filters,
        progress=progress,
    )
    return ingest_table(source, options, report).frame()


def to_arrow(source: Source, **options: Any) -> pa.Table:
    """The same table for Arrow, in which NaN and null are two things; takes the arguments of `ingest_runs`."""
    return ingest_table(source, Options(**options)).arrow()


def to_parquet(source: Source, path: str | os.PathLike[str], **options: Any) -> None:
    """Write the table of `to_arrow` to a Parquet file, put into place whole, and never over what is read."""
    asked = Options(**options, output=Path(path))
    ingest_table(source, asked).write_parquet(Path(path))


def ingest_table(source: Source, options: Options, report: IngestReport | None = None) -> Table:
    """All runs in a source, ready to become a table; see `ingest_runs`."""
    report = IngestReport() if report is None else report
    return table_of(_runs(source, options, report), options, report)


def table_of(runs: Iterable[Run], options: Options, report: IngestReport) -> Table:
    """The same of runs that were found already."""
    from rldk.ingest.table import Table  # noqa: PLC0415 - it needs pandas, which events do without

    table = Table(report, rewound=options.history == "all")
    for run in runs:
        table.add(run)
    return table


def _tell(report: RunReport) -> None:
    _log.info("%s: %d events of run %s, read as %s", report.source, report.events, report.run_id, report.adapter)
    if not report.events:
        _log.warning("%s: no events in %d %ss", report.source, report.lines, report.unit)
    elif report.duplicate > report.parsed:
        advice = "is another field the step? then say so with step=FIELD in the field map"
        counts = f"{report.duplicate} of {report.lines} {report.unit}s"
        _log.warning("%s: %s repeat a step; %s", report.source, counts, advice)
    elif report.rewound > report.parsed:
        counts = f"{report.rewound} of {report.lines} {report.unit}s"
        advice = 'history="all", on the command line --all-history, gives them too'
        _log.warning("%s: %s are of steps that were trained again; %s", report.source, counts, advice)


def _tell_unused(run: Run, options: Options) -> None:
    """Warn of metrics that the field map names and the log does not have."""
    for name, field in (options.field_map or {}).items():
        if name not in PLACES and field not in run.reading.sources and run.report.events:
            _log.warning("%s: no record has the field %r, which the field map calls %s", run.report.source, field, name)


def _finish(report: IngestReport, options: Options) -> None:
    """Say how much was read; with `collect`, stop when something is wrong.

    Raises:
        IngestError: something is.
    """
    _log.info("%d events in total, of %d runs", report.events, len(report.runs))
    problems = list(report.problems)
    if problems and options.on_error == "collect":
        first = problems[0]
        more = sum(run.more_problems for run in report.runs)
        raise IngestError(report, [str(each) for each in problems], more) from first.problem.error(Path(first.path))
