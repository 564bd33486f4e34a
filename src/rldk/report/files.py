"""Build the files that are derived from a run's events; never touch the events."""

from __future__ import annotations

import contextlib
import csv
import io
import tempfile
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from rldk.io.manifest import update_manifest
from rldk.io.replace import replacing
from rldk.io.sealing import describe
from rldk.io.segments import derived_path, whole_log
from rldk.report.final import build_report
from rldk.report.summary import curve_key, points

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rldk.io.event_schema import Event
    from rldk.io.manifest import Manifest
    from rldk.io.segments import Log
    from rldk.report.final import Report
    from rldk.report.summary import Summary

__all__ = ["write_files"]

_LEADING: Final = ("phase", "eval_set", "step", "wall_time", "timestamp", "attempt")


def write_files(log: Log, *, deadline: float | None = None) -> Report:
    """Build a run's derived files anew, each put into place whole.

    They are `metrics.csv`, `metrics.json`, `alerts.json` and `final_report.json`; in the manifest, the live file.

    Raises:
        TimeoutError: the deadline passed; files not yet built are as they were.
        OSError: the log cannot be read, or a file not be written.
    """
    log = whole_log(log)
    report = build_report(log, deadline=deadline)
    with replacing(derived_path(log, "metrics.csv")) as file:
        _write_csv(file, report.effective(), report.summary.columns)
    _write_json(derived_path(log, "metrics.json"), _aggregates(log, report.summary))
    _write_json(derived_path(log, "alerts.json"), {"schema": 1, "checked": [], "alerts": []})
    _write_json(derived_path(log, "final_report.json"), report.final)
    return report._replace(manifest=_enter_live(log))


def _write_json(path: Path, content: object) -> None:
    with replacing(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(content)) + b"\n")


def _aggregates(log: Log, summary: Summary) -> dict[str, Any]:
    curves = [
        {
            "phase": curve.phase,
            "eval_set": curve.eval_set,
            "points": curve.points,
            "first_step": curve.first_step,
            "last_step": curve.last_step,
            "metrics": {name: running.result() for name, running in curve.metrics.items()},
        }
        for curve in summary.curves.values()
    ]
    return {"schema": 1, "run_id": log.run_id, "curves": curves}


def _write_csv(file: IO[bytes], events: Iterable[Event], columns: list[str]) -> None:
    """One row for each point, the rows of each curve together and in the order of their steps."""
    with contextlib.ExitStack() as stack:
        curves: dict[Any, Any] = {}
        for point in points(events):
            if (key := curve_key(point)) not in curves:
                spool = stack.enter_context(tempfile.TemporaryFile())
                text = stack.enter_context(io.TextIOWrapper(spool, encoding="utf-8", newline="", write_through=True))
                curves[key] = csv.writer(text, lineterminator="\n"), text
            curves[key][0].writerow(_row(point, columns))
        # A metric may have the name of a leading column.
        names = [f"metrics.{name}" if name in _LEADING else name for name in columns]
        file.write(_csv_line([*_LEADING, *names]))
        for _, text in curves.values():
            text.flush()
            text.buffer.seek(0)
            while chunk := text.buffer.read(2**20):
                file.write(chunk)


def _csv_line(cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def _row(point: Event, columns: list[str]) -> list[Any]:
    leading = [point.phase, point.eval_set, point.step, point.wall_time, point.timestamp, point.attempt]
    return leading + [_cell(point.metrics.get(name)) for name in columns]


def _cell(value: float | None) -> Any:
    if isinstance(value, float) and value - value != 0:
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124 - NaN
    return value


def _enter_live(log: Log) -> Manifest:
    """Enter the live file in the manifest as it is now; sealed segments are entered by those who seal them."""
    live = [describe(log.path, sealed=False)] if log.path.exists() else []

    def change(manifest: Manifest) -> None:
        manifest.segments = [each for each in manifest.segments if each.sealed] + live

    return update_manifest(log, change)
