"""`rldk report`: what it prints, and what it writes."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from rldk.cli import rldk
from rldk.errors import RLDKError
from tests.runs import files, make_event, run_python, write_attempt

if TYPE_CHECKING:
    from pathlib import Path

DERIVED = ["r_alerts.json", "r_final_report.json", "r_manifest.json", "r_metrics.csv", "r_metrics.json"]


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one run, in the working folder."""
    monkeypatch.chdir(tmp_path)
    write_attempt(tmp_path / "logs", [make_event(step, metrics={"loss": 1.0 / step}) for step in range(1, 4)])
    return tmp_path / "logs"


@pytest.mark.parametrize("run", ["logs", "logs/r_events.jsonl"])
def test_a_run_is_summed_up_and_its_files_are_built(logs: Path, run: str) -> None:
    """The verdict, then outcome, steps, events, attempts and time; the derived files stand beside the log."""
    done = CliRunner().invoke(rldk, ["report", run])
    lines = done.output.splitlines()
    at = lines.index("r  unknown  no manifest says how it ended")

    assert done.exit_code == 0
    assert " ".join(lines[:at]).startswith("r: unknown. Nothing of the training could be judged")
    assert lines[at + 1] == "steps 1 to 3, 3 events, 1 attempt, 3.0 s"
    assert sorted(files(logs)) == sorted([*DERIVED, "r_events.jsonl"])


def test_json_is_the_final_report(logs: Path) -> None:
    """What is printed is what was written."""
    done = CliRunner().invoke(rldk, ["report", "logs", "--json"])

    assert done.exit_code == 0
    assert done.output == (logs / "r_final_report.json").read_text()
    assert json.loads(done.output)["steps"] == [1, 3]


def test_no_files_are_written_when_none_are_wanted(logs: Path) -> None:
    """--no-files only prints."""
    done = CliRunner().invoke(rldk, ["report", "logs", "--no-files"])

    assert done.exit_code == 0
    assert "steps 1 to 3" in done.output
    assert list(files(logs)) == ["r_events.jsonl"]


def test_a_damaged_log_is_reported(logs: Path) -> None:
    """Lines that cannot be read are named; the report is made of the rest, and is no error."""
    path = logs / "r_events.jsonl"
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"garbage\n")
    done = CliRunner().invoke(rldk, ["report", "logs"])

    assert done.exit_code == 0
    assert f"line 4, byte {size}: bad_json\n" in done.output


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("empty", "rldk: empty: expected the log of a run (*_events.jsonl), found none\n"),
        ("two", "rldk: two: expected one run, found 2: a, b; name one of their files\n"),
    ],
)
def test_a_folder_without_one_run_is_a_sentence(logs: Path, run: str, message: str) -> None:
    """No run, or several: exit 2, and the names of those to choose from."""
    (logs.parent / "empty").mkdir()
    for name in "ab":
        path = logs.parent / "two" / f"{name}_events.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    done = run_python("-m", "rldk", "report", run, cwd=logs.parent)

    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_a_missing_run_is_wrong_usage() -> None:
    """Exit 2, with the path."""
    done = CliRunner().invoke(rldk, ["report", "nope"])

    assert done.exit_code == 2
    assert "Path 'nope' does not exist." in done.output


def test_files_that_cannot_be_written_are_a_sentence(logs: Path) -> None:
    """Exit 2 and why, no traceback."""
    (logs / "r_metrics.csv").mkdir()
    done = run_python("-m", "rldk", "report", "logs", cwd=logs.parent)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("rldk: ")
    assert "Is a directory" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "output", ["logs/r_events.jsonl", "logs/r_manifest.json", "logs/../logs/r_events.jsonl", "pipe"]
)
def test_a_page_is_put_in_the_place_of_no_other_file(logs: Path, output: str) -> None:
    """The log itself, a file that belongs to it, or what is no file at all: exit 2, and all stays as it was."""
    (logs / "r_manifest.json").write_bytes(b"{}\n")
    os.mkfifo("pipe")
    before = files(logs)
    done = CliRunner().invoke(rldk, ["report", "logs", "-o", output])

    assert isinstance(done.exception, FileExistsError | RLDKError)
    assert output in str(done.exception)
    assert files(logs) == before
    assert (logs.parent / "pipe").is_fifo()


def test_a_page_is_not_named_like_a_log(logs: Path) -> None:
    """It would be taken for one: exit 2, and nothing is written."""
    done = run_python("-m", "rldk", "report", "logs", "-o", "logs/s_events.jsonl", cwd=logs.parent)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "rldk: logs/s_events.jsonl: expected a name for a web page, as run.html, found that of an event log\n"
    )
    assert list(files(logs)) == ["r_events.jsonl"]


@pytest.mark.parametrize("earlier", [b"", b"<!doctype html>\n<title>earlier</title>"])
def test_an_earlier_page_is_replaced(logs: Path, earlier: bytes) -> None:
    """So that a report can be made again; an empty file, as mktemp leaves one, is none to be missed either."""
    page = logs.parent / "run.html"
    page.write_bytes(earlier)
    done = CliRunner().invoke(rldk, ["report", "logs", "-o", "run.html"])

    assert done.exit_code == 0
    assert page.stat().st_size > 10_000


def test_there_is_no_page_of_an_empty_log(logs: Path) -> None:
    """A run that has only just begun: exit 2, with what is missing, and nothing is written."""
    (logs / "r_events.jsonl").write_bytes(b"")
    done = run_python("-m", "rldk", "report", "logs", "-o", "run.html", cwd=logs.parent)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "rldk: logs/r_events.jsonl: expected events to make a page of, found an empty log\n"
    assert list(files(logs)) == ["r_events.jsonl"]


def test_there_are_no_colours_in_a_pipe(logs: Path) -> None:
    """Escape codes are for terminals."""
    done = run_python("-m", "rldk", "report", "logs", cwd=logs.parent, env={"TERM": "xterm-256color"})

    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr


def test_a_run_whose_name_is_no_text_is_a_sentence(logs: Path) -> None:
    """The reports are JSON, which cannot hold such a name: exit 2, no traceback."""
    path = logs / os.fsdecode(b"caf\xe9_events.jsonl")
    (logs / "r_events.jsonl").rename(path)
    done = run_python("-m", "rldk", "report", "logs", cwd=logs.parent)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "rldk: 'utf-8' codec can't encode character '\\udce9' in position 3: surrogates not allowed\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_terminal_can_show_it(logs: Path, encoding: str) -> None:
    """A terminal that has no bars to draw curves with gets their codes, not a traceback."""
    done = run_python("-m", "rldk", "report", "logs", cwd=logs.parent, env={"PYTHONIOENCODING": encoding})

    assert (done.returncode, done.stderr) == (0, "")
    assert "loss" in done.stdout
