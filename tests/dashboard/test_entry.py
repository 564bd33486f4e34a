"""What the list of runs says of a run."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from rldk.dashboard.entry import Entry, entry_of
from rldk.io.codec import encode
from rldk.io.manifest import Attempt, Manifest
from rldk.io.segments import run_log
from rldk.io.writer import open_writer
from tests.dashboard.stage import watched
from tests.runs import make_event, write_attempt, write_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rldk.io.manifest import Outcome

pytestmark = pytest.mark.usefixtures("cache")


def written(folder: Path, seconds: Iterable[int] = range(3)) -> Path:
    """A log whose events happened at these seconds, and whose file was written at the second 1,000."""
    path = write_attempt(folder, [make_event(step, wall_time=float(wall)) for step, wall in enumerate(seconds)])
    os.utime(path, (1000.0, 1000.0))
    return path


def test_all_that_is_said(folder: Path) -> None:
    """Of a run that ended: what it is, how far it came, and what the rules say of it."""
    path = written(folder)
    attempt = Attempt(
        attempt=1,
        started="2026-01-31T23:59:59.000000Z",
        outcome="completed",
        outcome_detail="all steps were done",
        facts={"total_steps": 3},
    )
    write_manifest(run_log(path), Manifest(run_id="r", framework="trl", algorithm="grpo", attempts=[attempt]))
    (run,) = watched(folder)
    assert run.verdict

    assert entry_of(run) == Entry(
        id=run.found.id,
        name="r",
        path="r_events.jsonl",
        adapter="rldk_events",
        framework="trl",
        algorithm="grpo",
        axis="step of the trainer",
        state="finished",
        state_detail="all steps were done",
        steps=(0, 2),
        total_steps=3,
        events=3,
        attempts=1,
        ranks=[0],
        updated=1000.0,
        health=run.verdict.health,
        verdict=run.verdict.sentence,
        alerts={"critical": 0, "warning": 0, "info": 0},
        progress=1.0,
        problems=0,
        error=None,
    )


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        ("completed", ("finished", "why")),
        ("interrupted", ("interrupted", "why")),
        ("stopped_by_rule", ("interrupted", "why")),
        ("crashed", ("crashed", "why")),
        (None, ("crashed", "its process ended without a word")),
    ],
)
def test_how_it_ended(folder: Path, outcome: Outcome | None, state: tuple[str, str]) -> None:
    """The outcome of the last attempt says it; an attempt without one ended without a word."""
    path = written(folder)
    first = Attempt(attempt=1, started="2026-01-31T23:59:59.000000Z", outcome="completed")
    last = Attempt(attempt=2, started="2026-01-31T23:59:59.000000Z", outcome=outcome, outcome_detail="why")
    write_manifest(run_log(path), Manifest(run_id="r", attempts=[first, last]))

    entry = entry_of(*watched(folder))

    assert (entry.state, entry.state_detail) == state
    assert entry.attempts == 2


@pytest.mark.parametrize(
    ("apart", "quiet", "state"),
    [(1, 119.0, "training"), (1, 121.0, "stalled"), (60, 399.0, "training"), (60, 401.0, "stalled")],
)
def test_a_run_that_stalls(folder: Path, apart: int, quiet: float, state: str) -> None:
    """A run that is held stalls after two minutes, or after ten times as long as between two of its events."""
    writer = open_writer(folder, run_id="r")
    for step in range(3):
        writer.write(make_event(step, wall_time=float(step * apart)))
    os.utime(writer.path, (1000.0, 1000.0))
    entry = entry_of(*watched(folder), now=lambda: 1000.0 + quiet)
    writer.close()

    assert entry.state == state


@pytest.mark.parametrize(("quiet", "state"), [(119.0, "training"), (121.0, "unknown")])
def test_a_foreign_log_that_grows(folder: Path, quiet: float, state: str) -> None:
    """A foreign run trains as long as its log has been written a moment ago; how it ended nobody knows."""
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps({"step": step, "loss": 1.0}) + "\n" for step in range(3)))
    os.utime(path, (1000.0, 1000.0))

    assert entry_of(*watched(folder), now=lambda: 1000.0 + quiet).state == state


def test_an_old_log_that_nobody_holds(folder: Path) -> None:
    """A log of RLDK without a manifest does not say how it ended, however new it is; its events say what it is of."""
    info = {"run_id": "r", "phase": "train", "framework": "openrlhf", "algorithm": "ppo"}
    path = folder / "r_events.jsonl"
    path.write_bytes(b"".join(encode(make_event(step, model_info=info)) for step in range(2)))
    entry = entry_of(*watched(folder))

    assert (entry.state, entry.state_detail) == ("unknown", "nothing says how it ended")
    assert (entry.framework, entry.algorithm, entry.total_steps) == ("openrlhf", "ppo", None)


def test_a_log_that_went(folder: Path) -> None:
    """Of a run whose files are gone it is said what was read, and that it was written at no time."""
    path = written(folder)
    (run,) = watched(folder)
    path.unlink()
    entry = entry_of(run)

    assert (entry.updated, entry.events, entry.steps) == (0.0, 3, (0, 2))
