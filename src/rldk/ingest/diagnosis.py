"""Judge the runs in any source: every event goes to the rules, and every line that cannot be read as well."""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from rldk.alerts import Alert, Engine, rules_for
from rldk.ingest.account import IngestReport, RunReport
from rldk.ingest.options import Options
from rldk.ingest.rows import Run
from rldk.ingest.sources import find_units, local

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rldk.alerts import Rule, Verdict
    from rldk.ingest.sources import Source, Unit
    from rldk.io.event_schema import Event

__all__ = ["Change", "Diagnosis", "diagnose", "diagnoses"]


class Change(NamedTuple):
    """An alert that has changed."""

    step: int
    """The step of the event that changed it; of the last one before, when it was a line that could not be read."""
    alert: Alert


class Diagnosis:
    """The judging of one run, of all its ranks.

    Args:
        runs: the logs of the run, that of the lowest rank first.
        preset: the name of a preset.
        rules: further rules.
    """

    def __init__(self, runs: Sequence[Run], preset: str, rules: Iterable[Rule]) -> None:
        self._runs = runs
        reading = runs[0].reading
        algorithm = str(reading.facts.get("algorithm") or "")
        self._engine = Engine((*rules_for(preset, algorithm), *rules), algorithm=algorithm, semantics=reading.sources)
        self._noted = [0] * len(runs)

    @property
    def run_id(self) -> str:
        """The run."""
        return self._runs[0].report.run_id

    @property
    def source(self) -> str:
        """What the user knows it by."""
        return self._runs[0].report.source

    @property
    def account(self) -> list[RunReport]:
        """What became of the lines of each of its logs."""
        return [run.report for run in self._runs]

    def changes(self) -> Iterator[Change]:
        """Read the run, once; each alert at the moment when it would have fired, got worse or been resolved."""
        step = 0
        for event in self._events():
            for alert in self._problems():
                yield Change(step, alert)
            step = event.step
            for alert in self._engine.add(event):
                yield Change(step, alert)
        for alert in (*self._problems(), *self._engine.settle()):
            yield Change(step, alert)

    def verdict(self) -> Verdict:
        """The verdict, when all was read."""
        return self._engine.verdict()

    def _events(self) -> Iterator[Event]:
        """The events of all ranks; a single log is in the order in which it was written."""
        if len(self._runs) == 1:
            return self._runs[0].written()
        return heapq.merge(*(run.written() for run in self._runs), key=_position)

    def _problems(self) -> Iterator[Alert]:
        """Take note of what could not be read since this was last asked."""
        for index, run in enumerate(self._runs):
            found = run.report.problems
            while self._noted[index] < len(found):
                problem = found[self._noted[index]]
                self._noted[index] += 1
                yield from self._engine.note(problem.problem, problem.path)


def diagnose(
    source: Source,
    *,
    preset: str = "auto",
    rules: Sequence[Rule] = (),
    adapter_hint: str | None = None,
    field_map: Mapping[str, str] | None = None,
    report: IngestReport | None = None,
) -> list[Verdict]:
    """Judge every run in a source; what cannot be read is a finding, and the run is judged on the rest.

    >>> [verdict.health for verdict in diagnose("rldk_logs")]  # doctest: +SKIP
    ['good']

    Args:
        source: what to read; see `rldk.ingest.ingest_runs`, for `adapter_hint` and `field_map` too.
        preset: the name of a preset of rules: auto, dpo, grpo, ppo or sft.
        rules: further rules, as `rldk.alerts.load_rules` reads them from a file.
        adapter_hint: the adapter to read with.
        field_map: for each of RLDK's names the field of the log that holds it.
        report: is filled with the account of every line.

    Raises:
        UnknownFormatError: a file is of no format that is known, or may be of several.
        MissingExtraError: what an address or a compression needs is not installed.
        OSError: something cannot be read.
        ValueError: an argument is wrong.
    """
    options = Options(adapter_hint=adapter_hint, field_map=field_map, on_error="salvage", history="all")
    report = IngestReport() if report is None else report
    verdicts = []
    for each in diagnoses(source, options, preset=preset, rules=rules, report=report):
        deque(each.changes(), maxlen=0)
        verdicts.append(each.verdict())
    return verdicts


def diagnoses(
    source: Source, options: Options, *, preset: str = "auto", rules: Sequence[Rule] = (), report: IngestReport
) -> Iterator[Diagnosis]:
    """Each run of a source, to be judged before the next one is asked for.

    Args:
        source: what to read; see `rldk.ingest.ingest_runs`.
        options: how; with `history="all"`, because the rules want to see what was trained again.
        preset: the name of a preset.
        rules: further rules.
        report: is filled with the account of every line.

    Raises:
        IngestError, UnknownFormatError, MissingExtraError, OSError, ValueError: see `rldk.ingest.ingest_runs`.
    """
    with local(source) as places:
        units, passed_over = find_units(places, options)
        report.passed_over += passed_over
        for group in _runs(units):
            yield Diagnosis([Run(unit, options, report) for unit in group], preset, rules)


def _runs(units: Iterable[Unit]) -> list[list[Unit]]:
    """The units of each run, those of its lower ranks first."""
    found: dict[object, list[Unit]] = {}
    for unit in units:
        key = (unit.log.path.parent, unit.log.run_id) if unit.log else unit.path
        found.setdefault(key, []).append(unit)
    return [sorted(group, key=lambda unit: unit.log.rank if unit.log else 0) for group in found.values()]


def _position(event: Event) -> tuple[int, int, int]:
    return event.attempt, event.step, event.rank
