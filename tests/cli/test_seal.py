"""`rldk seal`: what it prints, and how it ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from rldk.cli import rldk
from rldk.io.writer import open_writer
from tests.runs import make_event, run_python, write_attempt

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one run of two ranks, in the working folder."""
    monkeypatch.chdir(tmp_path)
    path = write_attempt(tmp_path / "logs", [make_event(step) for step in range(3)])
    with path.open("ab") as file:
        file.write(b"torn")
    writer = open_writer(tmp_path / "logs", run_id="r", rank=1)
    writer.write(make_event(0))
    writer.close()
    return tmp_path / "logs"


def test_what_was_sealed_is_said_in_a_line_for_each_rank(logs: Path) -> None:
    """With the bytes that were moved, and the outcome last."""
    done = CliRunner().invoke(rldk, ["seal", "logs", "--compress", "gz"])

    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "r: 4 bytes of an unfinished line were moved to a .torn file",
        "r: sealed r_events.000001.jsonl; 1 sealed segment",
        "r rank 1: sealed r_events.rank1.000001.jsonl; 1 sealed segment",
        "r: unknown, no manifest says how it ended",
    ]
    assert (logs / "r_events.000001.jsonl.gz").exists()


@pytest.mark.usefixtures("logs")
def test_json_says_the_same() -> None:
    """One object, with a list of the ranks."""
    done = CliRunner().invoke(rldk, ["seal", "logs", "--json"])
    said = json.loads(done.output)

    assert done.exit_code == 0
    assert (said["run_id"], said["outcome"], len(said["logs"])) == ("r", "unknown", 2)
    assert said["logs"][0] == {
        "rank": 0,
        "segment": "r_events.000001.jsonl",
        "moved_bytes": 4,
        "segments": 1,
        "problems": [],
    }


def test_old_segments_are_removed_when_that_is_asked_for(logs: Path) -> None:
    """--keep takes what `open_writer` takes."""
    CliRunner().invoke(rldk, ["seal", "logs"])
    write_attempt(logs, [make_event(3)])
    done = CliRunner().invoke(rldk, ["seal", "logs", "--keep", "1 segments"])

    assert done.exit_code == 0
    assert sorted(path.name for path in logs.glob("r_events.0*")) == ["r_events.000002.jsonl"]


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("amount", ["3", "3 parsecs", "5 events"])
def test_an_amount_that_is_none_is_a_usage_error(amount: str) -> None:
    """Exit code 2, with what was expected and what was found."""
    done = CliRunner().invoke(rldk, ["seal", "logs", "--keep", amount])

    assert done.exit_code == 2
    assert "keep: expected a number of segments such as '20 segments'" in done.output
    assert f"found '{amount}'" in done.output


@pytest.mark.usefixtures("logs")
def test_what_could_not_be_done_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is said on stderr."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rldk.io.sealing.compress", fail)
    done = CliRunner().invoke(rldk, ["seal", "logs", "--compress", "gz"])

    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        "r: [Errno 28] No space left on device",
        "r rank 1: [Errno 28] No space left on device",
    ]


def test_a_run_that_is_being_written_ends_with_2(logs: Path) -> None:
    """It says who writes it."""
    writer = open_writer(logs, run_id="r")
    done = run_python("-m", "rldk", "seal", logs)
    writer.close()

    assert done.returncode == 2
    assert "the run is being written by process" in done.stderr
