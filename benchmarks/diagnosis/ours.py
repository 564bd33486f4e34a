"""Judge synthetic runs with RLDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rldk.alerts import Engine
from rldk.ingest import ingest_events

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.diagnosis.runs import Run

__all__ = ["Judged", "judge", "judge_file"]


class Judged(NamedTuple):
    """What was said of a run."""

    alarms: dict[str, int]
    """Of each rule or detector that warned, the step at which it first did."""


def judge(run: Run) -> Judged:
    """Every rule that warned of a run, while it went on or at its end."""
    engine = Engine(algorithm=run.algorithm)
    alarms: dict[str, int] = {}
    for event in run.events():
        for alert in engine.add(event):
            if alert.state == "firing" and alert.severity != "info":
                alarms.setdefault(alert.rule, event.step)
    for alert in engine.settle():
        if alert.state == "firing" and alert.severity != "info":
            alarms.setdefault(alert.rule, run.steps - 1)
    return Judged(alarms)


def judge_file(path: Path) -> Judged:
    """The same of a log in a file, read as `rldk diagnose` reads it."""
    engine = Engine()
    alarms: dict[str, int] = {}
    last = 0
    for event in ingest_events(path, history="all"):
        last = event.step
        for alert in engine.add(event):
            if alert.state == "firing" and alert.severity != "info":
                alarms.setdefault(alert.rule, event.step)
    for alert in engine.settle():
        if alert.state == "firing" and alert.severity != "info":
            alarms.setdefault(alert.rule, last)
    return Judged(alarms)
