"""Show runs on a terminal while they train."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Literal

import msgspec
import pytest
from rich.console import Console

from rldk.alerts import Alert
from rldk.dashboard.entry import entry_of
from rldk.dashboard.screen import pace, remaining, screen
from rldk.io.manifest import Attempt, Manifest
from rldk.io.segments import run_log
from rldk.io.writer import open_writer
from tests.dashboard.stage import watched
from tests.runs import eval_event, make_event, write_attempt, write_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rldk.dashboard.watched import Watched

pytestmark = pytest.mark.usefixtures("cache")


def shown(runs: Sequence[Watched], width: int = 80, height: int = 24) -> list[str]:
    """The lines on a terminal of this size."""
    console = Console(width=width, height=height, no_color=True)
    with console.capture() as captured:
        console.print(screen(runs, width, height))
    return [line.rstrip() for line in captured.get().splitlines()]


def write(folder: Path, run_id: str, updated: float) -> None:
    """A run with one event, written at this time."""
    writer = open_writer(folder, run_id=run_id)
    writer.write(make_event(0))
    writer.close()
    os.utime(writer.path, (updated, updated))


def plan(folder: Path, steps: int) -> None:
    """Let the manifest say how many steps the trainer plans."""
    attempt = Attempt(attempt=1, started="2026-01-31T23:59:59.000000Z", trainer={"max_steps": steps})
    write_manifest(run_log(folder / "r_events.jsonl"), Manifest(run_id="r", attempts=[attempt]))


def test_no_run() -> None:
    """Without a run it is said that they appear."""
    assert shown([]) == ["no run yet; they appear here as they begin"]


def test_a_run(folder: Path) -> None:
    """Its state, where it is, and each metric's last value, extremes and curve; important ones and training first."""
    events = [make_event(step, metrics={"own": 2.0, "loss": 8.0 - step}) for step in range(8)]
    write_attempt(folder, [*events, eval_event(7, "math", metrics={"accuracy": 0.5})])
    write_attempt(folder, [make_event(8, metrics={"loss": 0.0})], resumed_from=7)

    assert shown(watched(folder, judged=False)) == [
        "r  unknown  nothing says how it ended",
        "step 8, 10 events, 2 attempts",
        "                                 last        min        max",
        "loss                                0          0          8 █▇▆▅▅▄▃▂▁",
        "own                                 2          2          2 ▁▁▁▁▁▁▁▁",
        "math: accuracy                    0.5        0.5        0.5",
    ]


def test_a_last_value_that_is_not_finite(folder: Path) -> None:
    """It is called by its name while it is the last, and afterwards counted beside the last that is finite."""
    values = {"now": [1.0, math.nan], "before": [math.inf, 1.0], "always": [-math.inf, -math.inf]}
    write_attempt(
        folder, [make_event(row, metrics={name: each[row] for name, each in values.items()}) for row in range(2)]
    )

    assert [line.split() for line in shown(watched(folder))[-3:]] == [
        ["now", "NaN", "1", "1"],
        ["before", "1", "1!", "1", "1"],
        ["always", "-Infinity", "-", "-"],
    ]


def test_a_low_and_narrow_terminal(folder: Path) -> None:
    """At least four metrics are shown, long names are cut, and no line is wider than the terminal."""
    metrics = {f"a_metric_with_a_very_long_name_{number}": 1.0 for number in range(9)}
    write_attempt(folder, [make_event(step, metrics=metrics) for step in range(3)])
    runs = watched(folder)
    runs[0].error = "something that takes far more words to say than there is room for in a line of this terminal"
    lines = shown(runs, 72, 1)

    assert lines[2] == "something that takes far more words to say than there is room for in a …"
    assert [line.split()[0] for line in lines[4:]] == ["a_metric_with_a_very_long…"] * 4
    assert max(map(len, lines)) <= 72


def test_numbers_are_never_cut(folder: Path) -> None:
    """On a narrow terminal the extremes are left out, then the course, and names are cut: a number is never."""
    events = [make_event(step, metrics={"reward_mean_of_the_answers": -0.0012345 * step}) for step in range(1, 4)]
    write_attempt(folder, events)
    runs = watched(folder)

    assert [shown(runs, width)[2:] for width in (80, 40, 20)] == [
        [
            "                                 last        min        max",
            "reward_mean_of_the_answers  -0.003703  -0.003703  -0.001234 █▅▁",
        ],
        ["                          last", "reward_mean_of_the…  -0.003703 █▅▁"],
        ["               last", "reward_…  -0.003703"],
    ]


def test_others_in_a_line_each(folder: Path) -> None:
    """The run that was written last is shown; of the others four, and how many more there are."""
    for number in range(7):
        write(folder, f"r{number}", updated=1000.0 + number)
    lines = shown(watched(folder))

    assert lines[0] == "r6  unknown  nothing says how it ended"
    assert lines[-5:] == [
        *(f"unknown  r{number}, step 0" for number in (5, 4, 3, 2)),
        "and 2 more",
    ]


def alert(number: int, state: Literal["firing", "resolved"] = "firing") -> Alert:
    """A finding of a rule."""
    return Alert(
        rule="rule",
        severity="warning",
        state=state,
        first_step=0,
        last_step=0,
        fired_step=0,
        message=f"message {number}",
        advice="",
        confidence=1.0,
    )


def test_alerts(folder: Path) -> None:
    """Those that are firing stand above the metrics, four of them; of another run they are counted."""
    write(folder, "old", updated=1000.0)
    write(folder, "new", updated=2000.0)
    runs = watched(folder)
    for run in runs:
        assert run.verdict
        alerts = (alert(9, "resolved"), *map(alert, range(6)))
        run.verdict = msgspec.structs.replace(run.verdict, alerts=alerts)
    lines = shown(runs)

    assert lines[2:7] == [*(f"warning: message {number}" for number in range(4)), "and 2 more alerts"]
    assert lines[-1] == "unknown  old, step 0, 6 warning"


def test_no_metrics(folder: Path) -> None:
    """A run that has logged no metric says so."""
    write_attempt(folder, [make_event(0, metrics={})])

    assert shown(watched(folder)) == ["r  unknown  nothing says how it ended", "step 0, 1 event", "no metrics yet"]


@pytest.fixture
def growing(folder: Path) -> Iterator[Path]:
    """A run of 101 steps that a writer still holds: the first 37 took a second each, the others half of one."""
    writer = open_writer(folder, run_id="r")
    for step in range(101):
        writer.write(make_event(step, wall_time=float(step) if step <= 36 else 36 + (step - 36) / 2))
    yield folder
    writer.close()


def test_a_run_that_trains(growing: Path) -> None:
    """How fast it has been of late, and how long it will take, when the trainer says how many steps it plans."""
    before = shown(watched(growing))[:2]
    plan(growing, 250)
    after = shown(watched(growing))[:2]

    assert before == ["r  training  a process is writing the log", "step 100, 101 events, 2 steps/s"]
    assert after == [
        "r  training  a process is writing the log",
        "step 100 of 250, 101 events, 2 steps/s, 1 min 15 s left",
    ]


def test_the_pace(growing: Path, folder: Path) -> None:
    """It is measured over the last 64 points of training of the last attempt; unknown where time stands still."""
    (run,) = watched(growing)
    other = folder.parent / "other"
    write_attempt(other, [make_event(step) for step in range(5)])
    write_attempt(other, [make_event(step, wall_time=7.0) for step in range(5, 8)], resumed_from=4)
    (still,) = watched(other)

    assert pace(run) == 2.0
    assert pace(still) is None


def test_what_remains(growing: Path) -> None:
    """It is known when the trainer says how many steps it plans, and is never less than nothing."""
    found = []
    for steps in (0, 250, 50):
        plan(growing, steps)
        (run,) = watched(growing)
        found.append(remaining(entry_of(run), 2.0))

    assert found == [None, 75.0, 0.0]
