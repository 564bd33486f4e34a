"""Write the events of any log as RLDK logs."""

from __future__ import annotations

import errno
from collections import Counter, deque
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from rldk.errors import RunNotFoundError
from rldk.ingest.account import IngestReport
from rldk.ingest.ingest import runs_of
from rldk.ingest.options import Options
from rldk.ingest.sources import find_units, local
from rldk.io.codec import LineEncoder
from rldk.io.event_schema import SCHEMA_VERSION
from rldk.io.replace import replacing
from rldk.io.segments import check_run_id, log_path

if TYPE_CHECKING:
    import os

    from rldk.ingest.rows import Row, Run
    from rldk.ingest.sources import Source
    from rldk.io.event_schema import Event

__all__ = ["convert"]


def convert(
    source: Source, output: str | os.PathLike[str], *, report: IngestReport | None = None, **options: Any
) -> list[Path]:
    """Write every event of a source, those that were trained again included, as RLDK logs.

    Each attempt of each rank gets its own dense `seq`. A file is put into place whole, and never over another.

    Args:
        source: what to read; see `rldk.ingest.ingest_runs`.
        output: the file to write, for a single run; or a folder, for a file `{run_id}_events.jsonl` of each run.
        report: is filled with the account of every line.
        options: how to read: `adapter_hint`, `field_map`, `on_error` and `filters` of `rldk.ingest.ingest_runs`.

    Returns:
        the files that were written; a run without events gets none.

    Raises:
        FileExistsError: a file is there already.
        RunNotFoundError: the output is one file, and the source holds several runs.
        IngestError, UnknownFormatError, MissingExtraError, OSError, ValueError: see `rldk.ingest.ingest_runs`.
    """
    target, asked = Path(output), Options(history="all", **options)
    report = IngestReport() if report is None else report
    if not target.is_dir():
        _check_new(target)
    with local(source) as places:
        units, passed_over = find_units(places, asked)
        report.passed_over += passed_over
        if not target.is_dir() and len(units) > 1:
            raise RunNotFoundError(Path(places[0][1]), [unit.shown for unit in units])
        if asked.on_error == "collect":
            # All that is wrong is known before anything is written. A filter may remember what it has seen.
            for run in runs_of(units, msgspec.structs.replace(asked, filters=()), report):
                deque(run.rows(), maxlen=0)
            report.runs.clear()
        return [path for run in runs_of(units, asked, report) if (path := _write(run, target))]


def _check_new(path: Path) -> None:
    if path.exists():
        raise FileExistsError(errno.EEXIST, "it is there already, and is not written over", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "No such folder", str(path.parent))


def _write(run: Run, target: Path) -> Path | None:
    """Write the log of a run, and say where; None when it has no events."""
    rows = run.rows()
    first = next(rows, None)
    if first is None:
        return None
    path = target
    if target.is_dir():
        path = log_path(target, check_run_id(first.event.run_id), first.event.rank)
        _check_new(path)
    encoder, numbers = LineEncoder({"schema": SCHEMA_VERSION}), Counter[tuple[int, int]]()
    with replacing(path) as file:
        for row in chain([first], rows):
            event = _stamped(row)
            key = (row.attempt, event.rank)
            file.write(encoder.encode(event, numbers[key]))
            numbers[key] += 1
    return path


def _stamped(row: Row) -> Event:
    info = row.event.model_info
    if "attempt" in info and "rank" in info:
        return row.event
    return msgspec.structs.replace(row.event, model_info={"rank": 0, "attempt": row.attempt, **info})
