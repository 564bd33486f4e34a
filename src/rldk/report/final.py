"""Say what became of a run: the final report, made from its events and its manifest."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from rldk.alerts import Alert, Engine, Passed, Story, Unchecked, Verdict, rules_for
from rldk.alerts.findings import Health
from rldk.io.clock import timestamp
from rldk.io.history import Seam, cuts, effective, with_attempt
from rldk.io.manifest import read_manifest
from rldk.io.problems import Problem
from rldk.io.reader import is_live, read_log
from rldk.io.segments import whole_log
from rldk.report.summary import AttemptSummary, CurveSummary, Summary, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from rldk.alerts import Rule
    from rldk.io.event_schema import Event
    from rldk.io.manifest import Manifest
    from rldk.io.opened import Opened
    from rldk.io.segments import Log

__all__ = ["DataQuality", "FinalReport", "Report", "ReportOutcome", "build_report"]

ReportOutcome = Literal["completed", "interrupted", "crashed", "stopped_by_rule", "running", "unknown"]
"""How the last attempt ended; `unknown` when its process is gone and left no manifest to say so."""


class LogProblem(Problem, frozen=True, kw_only=True):
    """A problem, and the file of the log that has it."""

    file: str


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
    unknown: dict[str, int]
    """How often each key occurred whose meaning is not known."""
    problems: list[LogProblem]
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
    seams: list[Seam]
    """Where an attempt took over from the one before."""
    counters: dict[str, int]
    """Events in the log that count, and events that could not be written."""
    health: Health
    """That of the verdict; at least `attention` when events are missing or lines cannot be read."""
    verdict: str
    """The verdict in one sentence."""
    alerts: list[Alert]
    """All findings, resolved ones too, the worst first."""
    stories: list[Story]
    """Findings that are one."""
    passed: list[Passed]
    """What was checked and found fine."""
    unchecked: list[Unchecked]
    """What could not be checked, and why."""
    metrics: list[CurveSummary]
    """Each metric of each curve in a few numbers."""
    data_quality: DataQuality
    schema: int = 1


class Report(NamedTuple):
    """A final report, with the summary and the manifest it was made from."""

    final: FinalReport
    verdict: Verdict
    summary: Summary
    manifest: Manifest
    effective: Callable[[], Iterator[Event]]
    """Reads the events that count."""


class _Reading:
    """The events of a log, read again for each pass, with what could not be read.

    Each pass sees the events that the first one saw, though the log may grow meanwhile and its live file be
    sealed; only what retention removes between two passes is gone in the second.
    """

    def __init__(self, log: Log, deadline: float | None) -> None:
        self._log = log
        self._deadline = deadline
        self._seen: Counter[int | None] | None = None
        """How many events the first pass saw in each file, by its number."""
        self.problems: list[LogProblem] = []

    def events(self) -> Iterator[Event]:
        """The events from the first, whichever pass this is."""
        seen = Counter[int | None]()
        number: int | None = None

        def begin(segment: Opened) -> None:
            nonlocal number
            # A sealed segment that the first pass did not see is what it saw as the live file.
            number = segment.number if self._seen is None or segment.number in self._seen else None

        for count, event in enumerate(read_log(self._log, "salvage", self._found, begin)):
            if self._deadline and count % 1000 == 0 and time.monotonic() > self._deadline:
                raise TimeoutError(f"{self._log.path}: building the derived files took too long")
            if self._seen is not None and seen[number] == self._seen[number]:
                break
            seen[number] += 1
            yield event
        self._seen = self._seen or seen

    def _found(self, path: Path, problem: Problem) -> None:
        if self._seen is None and not (problem.kind == "torn_tail" and is_live(path)):
            self.problems.append(LogProblem(*msgspec.structs.astuple(problem), file=path.name))


class _Judge:
    """Judges a run while it is read.

    Args:
        manifest: what is known of the run.
        rules: the rules.
        problems: the lines that could not be read, which become more.
    """

    def __init__(self, manifest: Manifest, rules: Iterable[Rule], problems: Sequence[LogProblem]) -> None:
        self._engine = Engine(rules, algorithm=manifest.algorithm, semantics=manifest.metrics)
        self._problems = problems
        self._noted = 0

    def add(self, event: Event) -> None:
        """Take in the next event, and before it the lines that could not be read."""
        if self._noted < len(self._problems):
            self._note()
        self._engine.add(event)

    def verdict(self) -> Verdict:
        """The verdict, when all was read."""
        self._note()
        return self._engine.finish()

    def _note(self) -> None:
        for problem in self._problems[self._noted :]:
            self._engine.note(problem, problem.file)
        self._noted = len(self._problems)


def build_report(
    log: Log,
    *,
    deadline: float | None = None,
    verdict: Verdict | None = None,
    preset: str = "auto",
    rules: Sequence[Rule] = (),
) -> Report:
    """Read a log, judge it, and say what became of the run.

    Args:
        log: the log of the run's lowest rank, or a segment of it; all of the log is read.
        deadline: the moment, on the monotonic clock, at which to give up.
        verdict: the verdict of those who have judged the run while it was recorded.
        preset: without one, the name of the preset by which it is judged.
        rules: further rules.

    Raises:
        TimeoutError: the deadline passed.
        OSError: the log cannot be read.
    """
    log = whole_log(log)
    manifest = read_manifest(log, warn=True)
    reading = _Reading(log, deadline)
    judge = _Judge(manifest, () if verdict else (*rules_for(preset, manifest.algorithm), *rules), reading.problems)
    summary = Summary()
    notes: dict[str, int] = {}

    def all_events() -> Iterator[Event]:
        for attempt, event in with_attempt(reading.events()):
            summary.note_attempt(attempt, event)
            if not verdict:
                judge.add(event)
            for note in event.notes:
                code = note.partition(":")[0]
                notes[code] = notes.get(code, 0) + 1
            yield event

    last_steps = cuts(all_events())

    def counting() -> Iterator[Event]:
        return effective(reading.events(), last_steps)

    summarise(counting(), summary)
    found = verdict or judge.verdict()
    final = _final_report(log, summary, manifest, notes, reading.problems, found)
    return Report(final, found, summary, manifest, counting)


def _final_report(  # noqa: PLR0917 - all that a report is made of
    log: Log,
    summary: Summary,
    manifest: Manifest,
    notes: dict[str, int],
    problems: list[LogProblem],
    verdict: Verdict,
) -> FinalReport:
    nonfinite = _counts(summary, "nonfinite")
    outcome, detail = _outcome(log, summary, manifest)
    dropped = _dropped(summary, manifest)
    bad = dropped or [problem for problem in problems if problem.kind != "torn_tail"]
    return FinalReport(
        run_id=log.run_id,
        created=timestamp(time.time()),
        outcome=outcome,
        outcome_detail=detail,
        steps=summary.steps,
        duration_seconds=summary.wall_time,
        attempts=list(summary.attempts.values()),
        seams=summary.seams,
        counters={"events": summary.events, "dropped": dropped, "replaced": summary.replaced},
        health="attention" if bad and verdict.health != "bad" else verdict.health,
        verdict=verdict.sentence,
        alerts=list(verdict.alerts),
        stories=list(verdict.stories),
        passed=list(verdict.passed),
        unchecked=list(verdict.unchecked),
        metrics=[curve.result() for curve in summary.curves.values()],
        data_quality=DataQuality(
            nonfinite=nonfinite,
            null=_counts(summary, "null"),
            duplicates=summary.duplicates,
            replaced=summary.replaced,
            notes=notes,
            unknown=verdict.unknown,
            problems=problems,
        ),
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
