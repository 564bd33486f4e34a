"""Build the files that are derived from a run's events; never touch the events."""

from __future__ import annotations

import contextlib
import csv
import io
import tempfile
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from rldk.io.column_names import apart
from rldk.io.history import curve_key
from rldk.io.manifest import update_manifest
from rldk.io.replace import replacing
from rldk.io.sealing import describe
from rldk.io.segments import derived_path, whole_log
from rldk.io.values import spelled
from rldk.report.final import build_report
from rldk.report.summary import points

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from rldk.alerts import Rule, Verdict
    from rldk.io.event_schema import Event
    from rldk.io.manifest import Manifest
    from rldk.io.segments import Log
    from rldk.report.final import Report

__all__ = ["write_alerts", "write_files"]

_LEADING: Final = ("phase", "eval_set", "step", "wall_time", "timestamp", "attempt")
_SPOOL: Final = 2**16
"""So many bytes of a curve's rows are held in memory."""


def write_files(
    log: Log,
    *,
    deadline: float | None = None,
    verdict: Verdict | None = None,
    preset: str = "auto",
    rules: Sequence[Rule] = (),
) -> Report:
    """Build a run's derived files anew, each put into place whole.

    They are `metrics.csv`, `metrics.json`, `alerts.json` and `final_report.json`; in the manifest, the live file.
    For the arguments see `rldk.report.final.build_report`.

    Raises:
        TimeoutError: the deadline passed; files not yet built are as they were.
        OSError: the log cannot be read, or a file not be written.
    """
    log = whole_log(log)
    report = build_report(log, deadline=deadline, verdict=verdict, preset=preset, rules=rules)
    with replacing(derived_path(log, "metrics.csv")) as file:
        _write_csv(file, report.effective(), report.summary.columns)
    metrics = {"schema": 1, "run_id": log.run_id, "curves": report.final.metrics}
    _write_json(derived_path(log, "metrics.json"), metrics)
    write_alerts(log, report.verdict)
    _write_json(derived_path(log, "final_report.json"), report.final)
    return report._replace(manifest=_enter_live(log))


def write_alerts(log: Log, verdict: Verdict) -> None:
    """Write a run's `alerts.json`: the rules that could judge it, and what they have found.

    Raises:
        OSError: it cannot be written.
    """
    checked = sorted({each.rule for each in verdict.passed} | {alert.rule for alert in verdict.alerts})
    content = {"schema": 1, "checked": checked, "alerts": verdict.alerts}
    _write_json(derived_path(log, "alerts.json"), content)


def _write_json(path: Path, content: object) -> None:
    with replacing(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(content)) + b"\n")


def _write_csv(file: IO[bytes], events: Iterable[Event], columns: list[str]) -> None:
    """One row for each point, the rows of each curve together and in the order of their steps."""
    with contextlib.ExitStack() as stack:
        curves: dict[Any, Any] = {}
        for point in points(events):
            if (key := curve_key(point)) not in curves:
                # A file is opened only for what is large, since there may be more curves than files can be open.
                spool = stack.enter_context(tempfile.SpooledTemporaryFile(_SPOOL))
                text = stack.enter_context(io.TextIOWrapper(spool, encoding="utf-8", newline="", write_through=True))
                curves[key] = csv.writer(text, lineterminator="\n"), text
            curves[key][0].writerow(_row(point, columns))
        file.write(_csv_line([*_LEADING, *(apart(name, _LEADING) for name in columns)]))
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
    values = map(point.metrics.get, columns)
    return leading + [spelled(value) if isinstance(value, float) else value for value in values]


def _enter_live(log: Log) -> Manifest:
    """Enter the live file in the manifest as it is now; sealed segments are entered by those who seal them."""
    live = [describe(log.path, sealed=False)] if log.path.exists() else []

    def change(manifest: Manifest) -> None:
        manifest.segments = [each for each in manifest.segments if each.sealed] + live

    return update_manifest(log, change)
