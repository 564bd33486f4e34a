"""`rldk repair`: what it says, and how it exits."""

from __future__ import annotations

import gzip
import json
import os
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from rldk.cli import rldk
from rldk.io.writer import open_writer
from tests.runs import files, make_event, run_python, write_attempt

if TYPE_CHECKING:
    from pathlib import Path

TORN = b'{"step":4,"wall_ti'
LOG = "logs/r_events.jsonl"
BAD = "expected a value, found garbage [bad_json]"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log of a run of three events, in the folder logs of the working folder."""
    monkeypatch.chdir(tmp_path)
    return write_attempt(tmp_path / "logs", [make_event(step) for step in range(1, 4)])


def add(path: Path, content: bytes) -> int:
    """Append to a file; its size before."""
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(content)
    return size


def run(*arguments: str) -> tuple[str, int]:
    """What the command prints, and its exit code."""
    done = CliRunner().invoke(rldk, ["repair", *arguments])
    return done.output, done.exit_code


def test_a_log_is_repaired_once(log: Path) -> None:
    """The first time it says what was moved and where to, the second time that there is nothing to do; both exit 0."""
    add(log, TORN)
    first, second = run(LOG), run(LOG)

    moved = "moved 18 bytes of an unfinished line to r_events.jsonl.2.torn; 3 whole lines are left"
    assert first == (f"{LOG}: {moved}\n", 0)
    assert second == (f"{LOG}: nothing to repair, 3 lines\n", 0)


def test_one_of_a_thing_is_said_so(tmp_path: Path) -> None:
    """A byte, a line."""
    log = write_attempt(tmp_path, [make_event(1)])
    add(log, b"{")

    assert run(str(log)) == (
        f"{log}: moved 1 byte of an unfinished line to r_events.jsonl.2.torn; 1 whole line is left\n",
        0,
    )
    assert run(str(log)) == (f"{log}: nothing to repair, 1 line\n", 0)


def test_damaged_lines_are_listed(log: Path) -> None:
    """Five of them with file, line, byte and reason, and how to copy the others; exit 1."""
    size = add(log, b"garbage\n" * 7 + TORN)
    hint = "Copy the others with: rldk repair --salvage logs/r_events.jsonl"

    assert run(LOG) == (
        f"{LOG}: moved 18 bytes of an unfinished line to r_events.jsonl.2.torn; 10 whole lines are left\n"
        + "".join(f"{LOG}:{4 + index}:{size + 8 * index}: {BAD}\n" for index in range(5))
        + "and 2 more: rldk validate --strict logs/r_events.jsonl\n"
        + f"{LOG}: 7 of 10 lines cannot be read; nothing was done about that. {hint}\n",
        1,
    )


def test_the_hint_can_be_pasted(tmp_path: Path) -> None:
    """A name that a shell would take apart is quoted, and the damage alone is told when nothing was moved."""
    log = write_attempt(tmp_path, [make_event(1)]).rename(tmp_path / "my log.jsonl")
    size = add(log, b"garbage\n")
    output, code = run(str(log))

    assert code == 1
    assert output == (
        f"{log}:2:{size}: {BAD}\n"
        f"{log}: 1 of 2 lines cannot be read; nothing was done about that. "
        f"Copy the others with: rldk repair --salvage '{log}'\n"
    )


def test_what_can_be_read_is_copied(log: Path) -> None:
    """What was wrong, where it was put, and how much could be copied; exit 1 when not all could."""
    size = add(log, b"garbage\n" + TORN)
    torn = "expected a newline at the end of the last line, found 18 bytes without one [torn_tail]"
    output, code = run(LOG, "--salvage")

    assert code == 1
    assert output == (
        f"{LOG}:4:{size}: {BAD}\n"
        f"{LOG}:5:{size + 8}: {torn}\n"
        f"{LOG}: 2 pieces that cannot be read, saved in logs/r_events.salvaged.unreadable.jsonl\n"
        f"{LOG}: copied 3 lines to logs/r_events.salvaged.jsonl\n"
    )


def test_the_copy_goes_where_it_is_wanted(log: Path) -> None:
    """With -o, and exit 0 when all could be read."""
    assert run("--salvage", LOG, "-o", "copy.jsonl") == (f"{LOG}: copied 3 lines to copy.jsonl\n", 0)
    assert (log.parent.parent / "copy.jsonl").read_bytes() == log.read_bytes()


def test_a_compressed_segment_that_is_cut_short_is_reported(log: Path) -> None:
    """Exit 1, though every line that came out of it could be read."""
    segment = log.with_name("r_events.000001.jsonl.gz")
    segment.write_bytes(gzip.compress(log.read_bytes())[:-8])
    output, code = run(f"logs/{segment.name}", "--salvage")
    first, second, third = output.splitlines()

    assert first.startswith(f"logs/{segment.name}:4:{log.stat().st_size}: expected whole gzip data, found the end of ")
    assert first.endswith(" [bad_compression]")
    assert second.endswith("1 piece that cannot be read, saved in logs/r_events.000001.salvaged.unreadable.jsonl")
    assert third == f"logs/{segment.name}: copied 3 lines to logs/r_events.000001.salvaged.jsonl"
    assert code == 1


def test_json_is_what_was_done(log: Path) -> None:
    """In both modes, on a line."""
    size = add(log, b"garbage\n" + TORN)
    garbage = {"kind": "bad_json", "expected": "a value", "found": "garbage", "field": "", "byte": size, "line": 4}
    copied, copied_code = run(LOG, "--salvage", "--json", "-o", "copy.jsonl")
    repaired, repaired_code = run(LOG, "--json")
    copied_json = json.loads(copied)

    assert (copied_code, repaired_code) == (1, 1)
    assert [problem["kind"] for problem in copied_json.pop("problems")] == ["bad_json", "torn_tail"]
    assert copied_json == {
        "path": LOG,
        "out": "copy.jsonl",
        "lines": 3,
        "unreadable": "copy.unreadable.jsonl",
        "damaged": 2,
    }
    assert json.loads(repaired) == {
        "path": LOG,
        "lines": 4,
        "moved_bytes": 18,
        "torn": f"{LOG}.2.torn",
        "damaged": 1,
        "problems": [garbage],
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([LOG, "--salvage", "-o", LOG], f"rldk: {LOG}: File exists\n"),
        (["train_log.jsonl"], "rldk: train_log.jsonl: expected an event log, found no event in it\n"),
        (
            ["a.jsonl.gz"],
            "rldk: a.jsonl.gz: expected a plain log, found a compressed one; copy it with rldk repair --salvage\n",
        ),
    ],
)
def test_what_cannot_be_done_is_a_sentence(log: Path, arguments: list[str], message: str) -> None:
    """Exit 2, one line on standard error, and every file as it was."""
    add(log, TORN)
    for name in ("train_log.jsonl", "a.jsonl.gz"):
        (log.parent.parent / name).write_text('{"step":1}')
    before = files(log.parent)
    done = run_python("-m", "rldk", "repair", *arguments, cwd=log.parent.parent)

    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
    assert files(log.parent) == before


def test_a_run_that_is_being_written_is_not_repaired(log: Path) -> None:
    """Exit 2 and who writes it."""
    writer = open_writer(log.parent, run_id="r")
    add(log, TORN)
    done = run_python("-m", "rldk", "repair", LOG, cwd=log.parent.parent)
    writer.close()

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"rldk: logs/r.lock: the run is being written by process {os.getpid()} on ")
    assert log.read_bytes().endswith(TORN)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([LOG, "-o", "x"], "Error: -o is for --salvage: without it, FILE itself is repaired."),
        (["nope.jsonl"], "Error: Invalid value for 'FILE': File 'nope.jsonl' does not exist."),
        (["logs"], "Error: Invalid value for 'FILE': File 'logs' is a directory."),
        ([], "Error: Missing argument 'FILE'."),
    ],
)
@pytest.mark.usefixtures("log")
def test_wrong_usage_is_exit_2(arguments: list[str], message: str) -> None:
    """What click refuses, with a hint where to find help."""
    output, code = run(*arguments)

    assert (output.splitlines()[-1], code) == (message, 2)


@pytest.mark.parametrize("options", [[], ["--json"], ["--salvage"], ["--salvage", "--json"]])
def test_a_file_name_that_is_no_text_is_shown_escaped(tmp_path: Path, options: list[str]) -> None:
    """Names on Linux are bytes; the files beside it have the real name."""
    log = write_attempt(tmp_path, [make_event(1)])
    name = os.fsencode(log.name).replace(b"r_", b"caf\xe9_")
    add(log, TORN)
    log.rename(log.with_name(os.fsdecode(name)))
    done = run_python("-m", "rldk", "repair", *options, os.fsdecode(name), cwd=tmp_path)

    assert (done.returncode, done.stderr) == (1 if "--salvage" in options else 0, "")
    assert "caf\\xe9_events" in (json.loads(done.stdout)["path"] if "--json" in options else done.stdout)
    assert len([each for each in files(tmp_path) if os.fsencode(each).startswith(b"caf\xe9_")]) > 1
