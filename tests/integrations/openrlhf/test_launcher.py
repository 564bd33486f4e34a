"""`python -m rldk.integrations.openrlhf COMMAND FLAGS`, in a process of its own."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from rldk.io.manifest import read_manifest
from rldk.io.reader import read_events
from rldk.io.segments import find_logs
from tests.integrations.openrlhf.conftest import STAND_INS
from tests.runs import run_python

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


def launch(folder: Path, *arguments: str, shape: str = "new") -> subprocess.CompletedProcess[str]:
    """Run the launcher where a stand-in is installed as OpenRLHF."""
    environment = {"PYTHONPATH": f"{STAND_INS / shape}:{':'.join(filter(None, sys.path))}"}
    return run_python("-m", "rldk.integrations.openrlhf", *arguments, env=environment, cwd=folder)


@pytest.mark.parametrize("shape", ["old", "new"])
@pytest.mark.parametrize("command", ["train_sft", "openrlhf.cli.train_sft"])
def test_a_command_is_recorded(shape: str, command: str, tmp_path: Path) -> None:
    """It runs as itself, with its own flags; the log is beside it."""
    done = launch(tmp_path, command, "--steps", "3", shape=shape)
    (log,) = find_logs(tmp_path / "rldk_logs")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"name": "__main__", "arguments": ["--steps", "3"]}
    assert done.stderr == f"RLDK: recording the run {log.run_id} in {log.path}\n"
    assert [(event.phase, event.step) for event in read_events(log.path)] == [
        ("train", 1),
        ("train", 2),
        ("eval", 2),
        ("train", 3),
    ]
    assert read_manifest(log).attempts[0].outcome == "completed"


def test_what_deepspeed_puts_in_front(tmp_path: Path) -> None:
    """`--local_rank=N` comes before the command, and reaches it as a flag."""
    done = launch(tmp_path, "--local_rank=0", "train_sft", "--steps", "1")

    assert json.loads(done.stdout)["arguments"] == ["--local_rank=0", "--steps", "1"]


def test_a_script_is_recorded(tmp_path: Path) -> None:
    """It finds what lies beside it, as with Python itself."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/beside.py").write_text("STEPS = '2'")
    (tmp_path / "scripts/train.py").write_text(
        "import sys\nimport beside\nsys.argv += ['--steps', beside.STEPS]\n"
        "import runpy\nrunpy.run_module('openrlhf.cli.train_sft', run_name='__main__')\n"
    )
    done = launch(tmp_path, "scripts/train.py", "--local_rank", "0")
    (log,) = find_logs(tmp_path / "rldk_logs")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["arguments"] == ["--local_rank", "0", "--steps", "2"]
    assert [event.step for event in read_events(log.path) if event.phase == "train"] == [1, 2]


def test_the_exit_status_is_that_of_the_command(tmp_path: Path) -> None:
    """Whatever it is."""
    assert launch(tmp_path, "train_sft", "--exit", "3").returncode == 3


def test_a_command_that_fails(tmp_path: Path) -> None:
    """Its error is shown as ever, and the manifest says what it was."""
    done = launch(tmp_path, "train_sft", "--fail_at", "2")
    (log,) = find_logs(tmp_path / "rldk_logs")
    (attempt,) = read_manifest(log).attempts

    assert done.returncode == 1
    assert done.stderr.endswith("RuntimeError: CUDA out of memory\n")
    assert (attempt.outcome, attempt.outcome_detail) == ("crashed", "RuntimeError: CUDA out of memory")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [([], "none"), (["--help"], "none"), (["train_nothing"], "train_nothing"), (["no/such"], "no/such")],
)
def test_no_command_of_openrlhf(arguments: list[str], found: str, tmp_path: Path) -> None:
    """A message says what can be run, and nothing is."""
    done = launch(tmp_path, *arguments)

    assert done.returncode == 2
    assert done.stderr.startswith(f"RLDK: expected a command of OpenRLHF, found {found}\n\nUsage: python -m ")
    assert list(tmp_path.iterdir()) == []


def test_openrlhf_is_not_installed(tmp_path: Path) -> None:
    """Then there is no command."""
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    done = run_python("-m", "rldk.integrations.openrlhf", "train_sft", env=environment, cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.startswith("RLDK: No module named 'openrlhf'\n")
