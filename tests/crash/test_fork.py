"""A forked child cannot write under its parent's seq, nor keep its parent's lock, nor hang."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from rldk.io.lock import is_held
from rldk.io.reader import read_events
from rldk.io.validator import validate_jsonl_file
from rldk.io.writer import open_writer
from tests.runs import clean_environment, make_event, run_python

FORK = Path(__file__).with_name("fork_writer.py")


def test_a_child_that_outlives_its_parent(tmp_path: Path) -> None:
    """The worker of a data loader gets False and one warning, changes nothing, and does not keep the lock."""
    command = [sys.executable, str(FORK), str(tmp_path), "outlived"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    ) as parent:
        assert parent.stdout is not None
        child = json.loads(parent.stdout.readline())
        held_by_parent = is_held(tmp_path / "r.lock")
        time.sleep(0.05)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        os.kill(child["child"], 0)
        held_by_child = is_held(tmp_path / "r.lock")
        writer = open_writer(tmp_path, run_id="r")
        written = writer.write(make_event(4))
        writer.close()
        _, errors = parent.communicate("")

    assert (child["taken"], child["dropped"]) == ([False, False], 2)
    assert (held_by_parent, held_by_child) == (True, False)
    assert (writer.attempt, written) == (2, True)
    assert validate_jsonl_file(writer.path, strict=True).problems == []
    assert {event.step for event in read_events(writer.path, history="all")} == {0, 3, 4}
    assert errors == (
        f"{writer.path}: the event was not written: this is a forked process; its parent writes the log; "
        "training goes on, further events that cannot be written are only counted\n"
    )


def test_forking_while_threads_write(tmp_path: Path) -> None:
    """A mutex that a thread of the parent holds at the fork does not keep the child waiting for ever."""
    done = run_python("-W", "ignore::DeprecationWarning", FORK, tmp_path, "threads")

    assert done.returncode == 0
    found = json.loads(done.stdout)
    report = validate_jsonl_file(tmp_path / "r_events.jsonl", strict=True)
    assert found["codes"] == [0] * 40
    assert (report.problems, report.lines) == ([], found["written"])
    assert not (tmp_path / "r.lock").exists() or not is_held(tmp_path / "r.lock")
