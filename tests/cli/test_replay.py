"""`rldk replay`: when each alert would have fired."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rldk.cli import rldk
from tests.cli.test_diagnose import PROBE, rows, write
from tests.shared import needs_shared

RULE = '[[rule]]\nname = "steep"\nwhen = "grad_norm > 5"\nseverity = "critical"\n'


def replay(*words: object) -> str:
    """What the command prints."""
    done = CliRunner().invoke(rldk, ["replay", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.output


def changes(*words: object) -> list[tuple[Any, ...]]:
    """Each change: step, rule, severity, state."""
    lines = [json.loads(line) for line in replay(*words, "--json").splitlines()]
    return [(line["step"], line["alert"]["rule"], line["alert"]["severity"], line["alert"]["state"]) for line in lines]


@pytest.fixture
def steep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose gradient is steep at steps 50 and 51, and a rule that asks for that."""
    monkeypatch.chdir(tmp_path)
    records = rows(100)
    records[50]["grad_norm"] = records[51]["grad_norm"] = 10.0
    write(tmp_path / "run.jsonl", records)
    (tmp_path / "rules.toml").write_text(RULE)


@pytest.mark.usefixtures("steep")
def test_each_change_of_an_alert_is_at_its_step() -> None:
    """It fires at the step that has it, and is resolved when it has not come back for some steps."""
    found = [change for change in changes("run.jsonl", "--rules", "rules.toml") if change[1] == "steep"]

    assert found == [(50, "steep", "critical", "firing"), (61, "steep", "critical", "resolved")]


@pytest.mark.usefixtures("steep")
def test_the_lines_are_in_the_order_of_the_steps() -> None:
    """The run first, then each change in its order, with what was found; the verdict last."""
    lines = replay("run.jsonl", "--rules", "rules.toml").splitlines()
    heads = [line for line in lines if " steep" in line and line.startswith("step ")]
    steps = [int(line.split()[1]) for line in lines if line.startswith("step ")]

    assert lines[0] == "run  run.jsonl"
    assert heads == ["step 50      critical  steep", "step 61      resolved  steep, since step 50"]
    assert lines[lines.index(heads[0]) + 1].startswith("             grad_norm > 5 has held for 1 point")
    assert steps == sorted(steps)
    assert lines[-1].startswith("run: ")


@pytest.mark.usefixtures("steep")
def test_a_run_without_alerts_has_its_verdict() -> None:
    """Nothing happens between the name and the verdict."""
    write(Path("run.jsonl"), rows(100))
    lines = replay("run.jsonl").splitlines()

    assert lines[0] == "run  run.jsonl"
    assert lines[1].startswith("run: good. ")


@needs_shared
def test_an_alert_that_gets_worse_is_told_of_again() -> None:
    """One null may be a slip; a second one in a row is critical."""
    found = [change for change in changes(PROBE / "verl_nan.jsonl") if change[1] == "null_values"]

    assert found == [(150, "null_values", "warning", "firing")] * 3 + [(151, "null_values", "critical", "firing")] * 3
    assert "step 151     critical  null_values, got worse, since step 150\n" in replay(PROBE / "verl_nan.jsonl")


@needs_shared
def test_a_torn_end_is_found_at_the_end() -> None:
    """At the last step before it."""
    assert (199, "torn_record", "warning", "firing") in changes(PROBE / "torn.jsonl")
