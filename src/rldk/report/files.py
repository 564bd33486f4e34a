"""Build the files that are derived from a run's events; never touch the events."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import itertools
import tempfile
import time
from typing import IO, TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from rldk.io.clock import timestamp
from rldk.io.history import cuts, effective, with_attempt
from rldk.io.manifest import Segment, read_manifest, write_manifest
from rldk.io.problems import Problem
from rldk.io.reader import is_live, read_events
from rldk.io.replace import replacing
from rldk.io.segments import derived_path
from rldk.report.summary import AttemptSummary, Summary, curve_key, points, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from rldk.io.event_schema import Event
    from rldk.io.manifest import Manifest
    from rldk.io.segments import Log

__all__ = ["FinalReport", "Report", "build_report", "write_files"]

_LEADING: Final = ("phase", "eval_set", "step", "wall_time", "timestamp", "attempt")

ReportOutcome = Literal["completed", "interrupted", "crashed", "running", "unknown"]
"""How the last attempt ended; `unknown` when its process is gone and left no manifest to say so."""


class DataQuality(msgspec.Struct):
    """What has to be known before the numbers are believed."""

    nonfinite: dict[str, int]
    """How often each metric was NaN or infinite."""
    null: dict[str, int]
    """How often the trainer said None for each metric."""
    duplicates: int
    """Events merged into an earlier one of the same point."""
    replaced: int
    """Events left out because a later attempt replaced them."""
    notes: dict[str, int]
    """How often each kind of note was made, by its code."""
    problems: list[Problem]
    """Lines of the log that could not be read."""


class FinalReport(msgspec.Struct):
    """What became of a run: the content of `{run_id}_final_report.json`."""

    run_id: str
    created: str
    outcome: ReportOutcome
    outcome_detail: str
    steps: tuple[int, int] | None
    """First and last step of training."""
    duration_seconds: float
    """From the beginning of the run to its last event, downtime included."""
    attempts: list[AttemptSummary]
    counters: dict[str, int]
    """Events in the log that count, and events that could not be written."""
    health: Literal["good", "attention"]
    """`attention` when values were not finite, events are missing or lines cannot be read."""
    data_quality: DataQuality
    alerts: list[Any]
    schema: int = 1


class Report(NamedTuple):
    """A final report, with the summary and the manifest it was made from."""

    final: FinalReport
    summary: Summary
    manifest: Manifest
    effective: Callable[[], Iterator[Event]]
    """Reads the events that count."""


class _Reading:
    """The events of a log, read again for each pass, with what could not be read.

    Each pass sees the events that the first one saw, though the log may grow meanwhile.
    """

    def __init__(self, log: Log, deadline: float | None) -> None:
        self._path = log.path
        self._deadline = deadline
        self._count: int | None = None
        self.problems: list[Problem] = []

    def events(self) -> Iterator[Event]:
        count = 0
        found = read_events(self._path, mode="salvage", history="all", on_problem=self._found)
        for event in itertools.islice(found, self._count):
            if self._deadline and count % 1000 == 0 and time.monotonic() > self._deadline:
                raise TimeoutError(f"{self._path}: building the derived files took too long")
            count += 1
            yield event
        self._count = count

    def _found(self, _path: Path, problem: Problem) -> None:
        if self._count is None:
            self.problems.append(problem)


def build_report(log: Log, *, deadline: float | None = None) -> Report:
    """Read a log and say what became of the run.

    Args:
        log: the log of the run's lowest rank.
        deadline: the moment, on the monotonic clock, at which to give up.

    Raises:
        TimeoutError: the deadline passed.
        OSError: the log cannot be read.
    """
    reading = _Reading(log, deadline)
    summary = Summary()
    notes: dict[str, int] = {}

    def all_events() -> Iterator[Event]:
        for attempt, event in with_attempt(reading.events()):
            summary.note_attempt(attempt, event)
            for note in event.notes:
                code = note.partition(":")[0]
                notes[code] = notes.get(code, 0) + 1
            yield event

    last_steps = cuts(all_events())

    def counting() -> Iterator[Event]:
        return effective(reading.events(), last_steps)

    summarise(counting(), summary)
    manifest = read_manifest(log)
    return Report(_final_report(log, summary, notes, reading.problems, manifest), summary, manifest, counting)


def _final_report(
    log: Log, summary: Summary, notes: dict[str, int], problems: list[Problem], manifest: Manifest
) -> FinalReport:
    nonfinite = _counts(summary, "nonfinite")
    outcome, detail = _outcome(log, summary, manifest)
    dropped = _dropped(summary, manifest)
    bad = nonfinite or dropped or [problem for problem in problems if problem.kind != "torn_tail"]
    return FinalReport(
        run_id=log.run_id,
        created=timestamp(time.time()),
        outcome=outcome,
        outcome_detail=detail,
        steps=summary.steps,
        duration_seconds=summary.wall_time,
        attempts=list(summary.attempts.values()),
        counters={"events": summary.events, "dropped": dropped, "replaced": summary.replaced},
        health="attention" if bad else "good",
        data_quality=DataQuality(
            nonfinite=nonfinite,
            null=_counts(summary, "null"),
            duplicates=summary.duplicates,
            replaced=summary.replaced,
            notes=notes,
            problems=problems,
        ),
        alerts=[],
    )


def _counts(summary: Summary, field: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for curve in summary.curves.values():
        for name, running in curve.metrics.items():
            if count := getattr(running, field):
                found[name] = found.get(name, 0) + count
    return found


def _dropped(summary: Summary, manifest: Manifest) -> int:
    """Events that could not be written: as the notes in the log say, or as the writer said at its end if that is more.

    What was dropped last has no note, because no event came after it to carry one.
    """
    said = {attempt.attempt: attempt.counters.get("dropped", 0) for attempt in manifest.attempts}
    attempts = said.keys() | summary.dropped.keys()
    return sum(max(said.get(attempt, 0), summary.dropped.get(attempt, 0)) for attempt in attempts)


def _outcome(log: Log, summary: Summary, manifest: Manifest) -> tuple[ReportOutcome, str]:
    last = max(summary.attempts, default=0)
    attempt = next((each for each in reversed(manifest.attempts) if each.attempt >= last), None)
    if attempt and attempt.outcome:
        return attempt.outcome, attempt.outcome_detail
    if is_live(log.path):
        return "running", "a process is writing the log"
    if attempt:
        return "crashed", "its process ended without a word"
    return "unknown", "no manifest says how it ended"


def write_files(log: Log, *, deadline: float | None = None) -> Report:
    """Build a run's derived files anew, each put into place whole.

    They are `metrics.csv`, `metrics.json`, `alerts.json`, `final_report.json`, and the segments of the manifest.

    Raises:
        TimeoutError: the deadline passed; files not yet built are as they were.
        OSError: the log cannot be read, or a file not be written.
    """
    report = build_report(log, deadline=deadline)
    with replacing(derived_path(log, "metrics.csv")) as file:
        _write_csv(file, report.effective(), report.summary.columns)
    _write_json(derived_path(log, "metrics.json"), _aggregates(log, report.summary))
    _write_json(derived_path(log, "alerts.json"), {"schema": 1, "checked": [], "alerts": []})
    _write_json(derived_path(log, "final_report.json"), report.final)
    segments = [_segment(log, report.summary)]
    # Read anew, because a writer at work may have put more into it since.
    manifest = read_manifest(log)
    manifest.segments = segments
    write_manifest(log, manifest)
    return report._replace(manifest=manifest)


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
        file.write(_csv_line([*_LEADING, *columns]))
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


def _segment(log: Log, summary: Summary) -> Segment:
    size, digest = 0, hashlib.sha256()
    with log.path.open("rb") as file:
        while chunk := file.read(2**20):
            size += len(chunk)
            digest.update(chunk)
    attempts = [each for each in summary.attempts.values() if each.first_step is not None]
    return Segment(
        file=log.path.name,
        sealed=False,
        events=sum(each.events for each in summary.attempts.values()),
        bytes=size,
        first_step=attempts[0].first_step if attempts else None,
        last_step=attempts[-1].last_step if attempts else None,
        sha256=digest.hexdigest(),
    )
