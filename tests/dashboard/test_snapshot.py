"""All that the page shows of a run, at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from rldk.dashboard.charts import Query, clock
from rldk.dashboard.columns import Columns
from rldk.dashboard.snapshot import snapshot
from rldk.io.log_tail import LogTail
from rldk.io.segments import run_log
from rldk.report.final import build_report
from tests.runs import eval_event, make_event, write_attempt

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("cache")


def test_snapshot(folder: Path) -> None:
    """It has the entry, the verdict that was given, the seams, and the curves on both axes, replaced ones too."""
    write_attempt(folder, [make_event(step, metrics={"loss": 1.0 / step}) for step in range(1, 6)])
    log = write_attempt(folder, [make_event(4, metrics={"loss": math.nan}, wall_time=9.0)], resumed_from=3)
    verdict = build_report(run_log(log)).verdict

    found = snapshot(log, verdict)
    [run] = found["runs"]

    assert run["details"]["run"].name == "r"
    assert run["details"]["run"].verdict == verdict.sentence
    assert [seam.attempt for seam in run["details"]["seams"]] == [2]
    assert run["alerts"]["verdict"] is verdict
    assert {axis: [(each.x, each.nonfinite) for each in run["series"][axis]["series"]] for axis in run["series"]} == {
        "step": [([1, 2, 3], [(4, "NaN", 1)]), ([4, 5], [])],
        "wall_time": [([1.0, 2.0, 3.0], [(9.0, "NaN", 1)]), ([4.0, 5.0], [])],
    }


def columns_of(log: Path) -> Columns:
    """The columns of a log."""
    columns, tail = Columns(), LogTail(run_log(log))
    while chunk := tail.read():
        columns.add(chunk)
    tail.close()
    return columns


def test_clock(folder: Path) -> None:
    """The times of steps of training that count, in order, the last among them; as few as are asked for."""
    events = [make_event(step, wall_time=2.0 * step) for step in range(1, 101)]
    write_attempt(folder, [*events, eval_event(100, wall_time=300.0)])
    log = write_attempt(folder, [make_event(step, wall_time=400.0 + step) for step in (51, 52)], resumed_from=50)
    columns = columns_of(log)

    assert clock(columns, Query(metrics=(), points=4)) == [
        (1, 2.0),
        (14, 28.0),
        (27, 54.0),
        (40, 80.0),
        (50, 100.0),
        (51, 451.0),
        (52, 452.0),
    ]
    assert clock(columns, Query(metrics=(), low=49, high=51)) == [(49, 98.0), (50, 100.0), (51, 451.0)]
