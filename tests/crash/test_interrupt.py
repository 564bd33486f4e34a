"""Ctrl-C at any moment of a write: no bad line, no gap, no repeat."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.crash.accounts import account, check_copies
from tests.runs import run_python

INTERRUPT = Path(__file__).with_name("interrupt_writer.py")


@pytest.fixture
def _uncovered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep coverage out of the child: interrupted inside its own lock, it would wait for itself."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    monkeypatch.delenv("COVERAGE_PROCESS_START", raising=False)


@pytest.mark.usefixtures("_uncovered")
@pytest.mark.parametrize("options", ["{}", '{"rotation": "5 kB"}', '{"sync": "5 events", "rotation": "50 kB"}'])
def test_hundreds_of_interrupts_leave_a_valid_log(tmp_path: Path, options: str) -> None:
    """P3. 600 KeyboardInterrupts while events of three phases are written: each line is whole, and there once.

    Seen to fail when a write that was interrupted is not settled before the next.
    """
    done = run_python(INTERRUPT, tmp_path, options)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    events = account(tmp_path).events
    steps = [event.step for event in events]
    assert found["refused"] == 0
    assert steps == sorted(set(steps))
    assert set(found["acknowledged"]) <= set(steps)
    assert len(steps) - len(found["acknowledged"]) <= 600
    assert found["written"] == len(steps)
    assert (check_copies(tmp_path) > 0) == ("rotation" in options)
    for event in events:
        phase = event.phase
        assert list(event.metrics) == [f"{phase}_{index}" for index in range(20)]
        assert phase == "final" or set(event.metrics.values()) == {event.step / 8}
        assert (event.data_slice, event.notes[0]) == ({"slice": phase}, f"{phase}: note")
