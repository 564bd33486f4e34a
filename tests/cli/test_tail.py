"""`rldk tail`, in pipes and in a real terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from rldk.io.codec import encode
from rldk.io.writer import open_writer
from tests.cli.terminals import terminal
from tests.runs import clean_environment, eval_event, make_event, run_python, write_attempt

if TYPE_CHECKING:
    from pathlib import Path


def test_the_last_events(tmp_path: Path) -> None:
    """The last ten events are printed, one on each line, with the important metrics."""
    write_attempt(tmp_path, [make_event(step, metrics={"own": 1, "loss": step / 2}) for step in range(20)])
    found = run_python("-m", "rldk", "tail", tmp_path)

    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.splitlines() == [f"step {step}  train  loss {step / 2:.4g}" for step in range(10, 20)]


def test_json_is_what_was_written(tmp_path: Path) -> None:
    """With --json each line is the line of the log, over all segments with --all."""
    writer = open_writer(tmp_path, run_id="r", rotation="1 KB", compression="gz")
    for step in range(30):
        writer.write(make_event(step))
    writer.close()
    found = run_python("-m", "rldk", "tail", tmp_path, "--all", "--json")
    last = run_python("-m", "rldk", "tail", tmp_path, "-n", "2", "--json")

    lines = found.stdout.splitlines(keepends=True)
    assert [json.loads(line)["step"] for line in lines] == list(range(30))
    assert lines[-1].encode() == (tmp_path / "r_events.jsonl").read_bytes().splitlines(keepends=True)[-1]
    assert last.stdout == "".join(lines[-2:])


def test_metrics_of_choice(tmp_path: Path) -> None:
    """The metrics that are named are printed, a dash for one that was not measured, and NaN by its name."""
    events = [make_event(0, metrics={"a": float("nan"), "b": 1}), eval_event(0, "math", metrics={"a": 0.123456})]
    write_attempt(tmp_path, events)
    found = run_python("-m", "rldk", "tail", tmp_path, "--metrics", "a,b", "--metrics", "c")

    assert found.stdout.splitlines() == ["step 0  train  a NaN  b 1  c -", "step 0  eval: math  a 0.1235  b -  c -"]


def test_logs_of_other_tools(tmp_path: Path) -> None:
    """A foreign log is printed as well."""
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps({"step": step, "loss": 1.5}) + "\n" for step in range(3)))
    found = run_python("-m", "rldk", "tail", path, "-n", "1")

    assert found.stdout == "step 2  train  loss 1.5\n"


def test_a_line_that_cannot_be_read(tmp_path: Path) -> None:
    """It is told on standard error with its place, the others are printed, and the exit code is 1."""
    path = tmp_path / "r_events.jsonl"
    path.write_bytes(encode(make_event(0)) + b"{\n" + encode(make_event(1)))
    found = run_python("-m", "rldk", "tail", path)

    assert found.returncode == 1
    assert found.stdout.splitlines() == ["step 0  train  loss 0.5", "step 1  train  loss 0.5"]
    assert found.stderr.startswith(f"rldk: {path.resolve()}:2:")


def test_no_run(tmp_path: Path) -> None:
    """What is not there, and a folder without a run, are refused with code 2."""
    (tmp_path / "empty").mkdir()
    missing, empty = (run_python("-m", "rldk", "tail", tmp_path / name) for name in ("missing", "empty"))

    assert (missing.returncode, empty.returncode) == (2, 2)
    assert missing.stderr == f"rldk: {tmp_path.resolve() / 'missing'}: No such file or directory\n"
    assert empty.stderr == f"rldk: {tmp_path / 'empty'}: expected the log of a run (*_events.jsonl), found none\n"


def test_whoever_reads_may_go_away(tmp_path: Path) -> None:
    """In front of `head` it ends in peace."""
    write_attempt(tmp_path, map(make_event, range(20_000)))
    with subprocess.Popen(
        [sys.executable, "-m", "rldk", "tail", str(tmp_path), "--all", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read()

    assert (process.returncode, error) == (0, b"")


def test_following_in_a_pipe(tmp_path: Path) -> None:
    """With -f each event comes at once, across rotation."""
    writer = open_writer(tmp_path, run_id="r", rotation="1 KB", compression="gz")
    writer.write(make_event(0))
    with subprocess.Popen(
        [sys.executable, "-m", "rldk", "tail", str(tmp_path), "-f", "--json"],
        stdout=subprocess.PIPE,
        env=clean_environment(),
    ) as process:
        assert process.stdout
        found = [json.loads(process.stdout.readline())["step"]]
        for step in range(1, 40):
            writer.write(make_event(step))
            found.append(json.loads(process.stdout.readline())["step"])
        process.terminate()
    writer.close()

    assert found == list(range(40))


def test_following_in_a_terminal(tmp_path: Path) -> None:
    """At 80 columns and 24 lines, events appear as they are written, of a rank that begins late too; Ctrl-C ends it."""
    writer = open_writer(tmp_path, run_id="r", rank=0, world_size=2)
    writer.write(make_event(0))
    with terminal("tail", str(tmp_path), "-f") as found:
        found.wait_for(lambda lines: lines[0] == "step 0  train  loss 0.5")
        writer.write(make_event(1, metrics={"loss": 0.25}))
        found.wait_for(lambda lines: lines[1] == "step 1  train  loss 0.25")
        other = open_writer(tmp_path, run_id="r", rank=1, world_size=2)
        other.write(make_event(0))
        found.wait_for(lambda lines: lines[2] == "step 0  train  rank 1  loss 0.5")
        code = found.interrupt()
    writer.close()
    other.close()

    assert code == 0
