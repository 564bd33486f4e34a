"""Logs of real runs, and damaged ones, as they are read."""

from __future__ import annotations

import pytest
from benchmarks.diagnosis.real import BROKEN, HEALTHY, serious, verdict_on

from tests.shared import REAL, SHARED, needs_shared

pytestmark = needs_shared


def test_nan_that_a_logger_wrote_as_null() -> None:
    """A run whose NaN were written as null is broken since the first of them."""
    found = verdict_on(SHARED / "bench/probe/verl_nan.jsonl")

    assert serious(found) == {"null_values": "critical"}
    assert {(alert.metric, alert.first_step) for alert in found.alerts if alert.severity == "critical"} == {
        ("entropy_mean", 150),
        ("grad_norm", 150),
        ("policy_loss", 150),
    }


def test_a_torn_log() -> None:
    """The good lines are judged and the torn end is told with its line."""
    found = verdict_on(SHARED / "bench/probe/torn.jsonl")

    assert (found.points, serious(found)) == (200, {"torn_record": "warning"})
    assert "torn.jsonl:201" in found.sentence
    assert found.alerts[0].evidence["line"] == 201


def test_a_rewound_log() -> None:
    """The effective history is judged, and the seam named."""
    found = verdict_on(SHARED / "bench/probe/rewind.jsonl")

    assert (found.points, found.steps) == (300, (0, 299))
    assert serious(found)["seam_jump"] == "warning"
    assert found.sentence == "The run has not been the same since it was resumed at step 150."
    rewound = next(alert for alert in found.alerts if alert.rule == "rewound")
    assert rewound.message == (
        "Attempt 2 took over at step 150: steps 150 to 199 of the attempt before no longer count."
    )


@pytest.mark.parametrize("path", HEALTHY)
def test_healthy_runs_are_left_alone(path: str) -> None:
    """Runs of other people that went well are good, and nothing more than an information is said of them."""
    found = verdict_on(REAL / path)

    assert (found.health, serious(found)) == ("good", {})


@pytest.mark.parametrize(("path", "rules"), BROKEN.items())
def test_broken_runs_are_named(path: str, rules: tuple[str, ...]) -> None:
    """Runs that went wrong, or whose log did, are told with the reason."""
    assert sorted(serious(verdict_on(REAL / path))) == sorted(rules)
