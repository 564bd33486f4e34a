"""What is told of a run alone: its curves, what its metrics mean, its seams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rldk.dashboard.details import details_of
from rldk.metrics import METRICS
from tests.dashboard.stage import watched
from tests.runs import eval_event, make_event, write_attempt

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("cache")


def test_details(folder: Path) -> None:
    """A run alone: its curves, what its metrics mean, its seams, and what is wrong in its log."""
    metrics: dict[str, Any] = {"loss": 1.0, "own": 2.0, "reward_component/format": 0.5}
    write_attempt(folder, [make_event(step, metrics=metrics) for step in range(3)])
    path = write_attempt(folder, [make_event(2), eval_event(2, "math", metrics={"own": 1.0})], resumed_from=1)
    with path.open("ab") as file:
        file.write(b"{]\n")
    (run,) = watched(folder)
    found = details_of(run)

    assert found["curves"] == [
        {"phase": "train", "eval_set": None, "points": 4, "steps": [0, 2], "metrics": list(metrics)},
        {"phase": "eval", "eval_set": "math", "points": 1, "steps": [2, 2], "metrics": ["own"]},
    ]
    assert found["metrics"] == {
        "loss": {"unit": METRICS["loss"].unit, "meaning": METRICS["loss"].meaning, "source": None},
        "own": {"unit": None, "meaning": None, "source": None},
        "reward_component/format": {
            "unit": METRICS["reward_component/<f>"].unit,
            "meaning": METRICS["reward_component/<f>"].meaning,
            "source": None,
        },
    }
    assert [(seam.attempt, seam.resumed_from) for seam in found["seams"]] == [(2, 1)]
    assert [(each["file"], each["kind"], each["line"]) for each in found["problems"]] == [
        ("r_events.jsonl", "bad_json", 6)
    ]
