"""Ctrl-C at any moment of a write: no bad line, no gap, no repeat."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rldk.io.reader import read_events
from rldk.io.validator import validate_jsonl_file
from tests.runs import run_python


@pytest.fixture
def _uncovered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep coverage out of the child: interrupted inside its own lock, it would wait for itself."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    monkeypatch.delenv("COVERAGE_PROCESS_START", raising=False)


@pytest.mark.usefixtures("_uncovered")
def test_hundreds_of_interrupts_leave_a_valid_log(tmp_path: Path) -> None:
    """600 KeyboardInterrupts while events of three phases are written: each line is whole, and of one piece."""
    done = run_python(Path(__file__).with_name("interrupt_writer.py"), tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    events = list(read_events(tmp_path))
    assert validate_jsonl_file(tmp_path / "r_events.jsonl", strict=True).problems == []
    assert found["refused"] == 0
    assert 0 <= len(events) - found["acknowledged"] <= 600
    assert found["written"] == len(events)
    for event in events:
        phase = event.phase
        assert list(event.metrics) == [f"{phase}_{index}" for index in range(20)]
        assert (event.data_slice, event.notes) == ({"slice": phase}, [f"{phase}: note"])
