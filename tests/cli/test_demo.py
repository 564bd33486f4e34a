"""`rldk demo`, run as a person runs it."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from rldk import read_events, validate_jsonl_file

without_trl = pytest.mark.skipif(importlib.util.find_spec("trl") is not None, reason="TRL is installed")


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "rldk", "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


def steps_by_attempt(log: Path) -> dict[int, list[int]]:
    """The steps of training that each attempt recorded."""
    steps: dict[int, list[int]] = {}
    for event in read_events(log, history="all"):
        if event.phase == "train":
            steps.setdefault(event.attempt, []).append(event.step)
    return steps


@pytest.mark.trl
def test_a_killed_training_is_resumed_and_nothing_is_lost(tmp_path: Path) -> None:
    """The whole demo: SIGKILL, resume, strict validation, and both passes in the log."""
    done = demo("--out", str(tmp_path), "--steps", "12", "--crash-at", "7")
    (log,) = tmp_path.glob("*_events.jsonl")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Killed the training with SIGKILL at the end of step 7." in done.stdout
    assert "its log has 6 events" in done.stdout
    assert "killed attempt   steps 1 to 6 were logged, every byte is still there" in done.stdout
    assert "trained twice    2 steps: both passes are kept, the later one counts" in done.stdout
    assert "each step once   12 of 12 steps count" in done.stdout
    assert validate_jsonl_file(log, strict=True)
    assert steps_by_attempt(log) == {1: [1, 2, 3, 4, 5, 6], 2: [5, 6, 7, 8, 9, 10, 11, 12]}
    assert [event.step for event in read_events(log) if event.phase == "train"] == list(range(1, 13))
    report = json.loads(Path(str(log).replace("_events.jsonl", "_final_report.json")).read_text())
    assert (report["outcome"], report["steps"]) == ("completed", [1, 12])


@pytest.mark.trl
def test_a_training_that_fails_is_shown_with_what_it_printed(tmp_path: Path) -> None:
    """The demo never hides why its training ended."""
    (tmp_path / "tiny_model").mkdir()
    (tmp_path / "tiny_model" / "model.safetensors").write_text("no model")
    done = demo("--out", str(tmp_path), "--steps", "3")

    assert done.returncode == 1
    assert "the training ended with exit code 1; all it printed is in" in done.stderr
    assert "Error" in done.stdout


@pytest.mark.parametrize("step", ["4", "13"])
def test_a_crash_must_be_after_the_first_checkpoint(tmp_path: Path, step: str) -> None:
    """A crash that could not be resumed is refused before anything is trained."""
    done = demo("--out", str(tmp_path / "out"), "--steps", "12", "--crash-at", step)

    assert done.returncode == 2
    assert "the first checkpoint is kept after step 4: expected a step from 5 to 12" in done.stderr
    assert not (tmp_path / "out").exists()


@without_trl
def test_without_trl_the_demo_names_the_extra(tmp_path: Path) -> None:
    """Where TRL is missing, the demo says what to install and writes nothing."""
    done = demo("--out", str(tmp_path / "out"))

    assert done.returncode == 2
    assert done.stderr == "rldk: TRL is not installed; install it with: pip install 'rldk[trl]'\n"
    assert not (tmp_path / "out").exists()
