"""A forked child cannot write under its parent's seq, nor keep its parent's lock, nor hang."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rldk.io.lock import is_held
from rldk.io.writer import open_writer
from tests.crash.accounts import account, check_copies
from tests.runs import clean_environment, make_event, run_python

FORK = Path(__file__).with_name("fork_writer.py")
NO_WARNING = ("-W", "ignore::DeprecationWarning")


@pytest.mark.parametrize("options", ["{}", '{"sync": "0.001 s", "rotation": "5 kB"}'])
def test_a_child_that_outlives_its_parent(tmp_path: Path, options: str) -> None:
    """P8. The worker of a data loader gets False and one warning, changes nothing, and does not keep the lock.

    Seen to fail when the child keeps its parent's lock open.
    """
    command = [sys.executable, *NO_WARNING, str(FORK), str(tmp_path), options, "outlived"]
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
    assert set(account(tmp_path).steps) == {0, 3, 4}
    (warning,) = errors.splitlines()
    assert warning.startswith(
        f"{writer.path}: the event was not written: this is a forked process; its parent writes the log; "
    )


@pytest.mark.parametrize(
    "options", ["{}", '{"sync": "0.001 s", "rotation": "20 kB", "compression": "zst"}', '{"buffer": "20 events"}']
)
def test_forking_while_threads_write(tmp_path: Path, options: str) -> None:
    """P9. A mutex that a thread of the parent holds at the fork does not keep the child waiting for ever.

    Seen to fail when the child keeps the mutex of its parent.
    """
    done = run_python(*NO_WARNING, FORK, tmp_path, options, "threads")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["codes"] == [0] * 40
    steps = account(tmp_path).steps
    assert len(steps) == found["written"]
    assert set(steps) == {1}
    assert (check_copies(tmp_path) > 0) == ("rotation" in options)
    assert not is_held(tmp_path / "r.lock")


@pytest.mark.parametrize("options", ["{}", '{"buffer": "100 events"}', '{"buffer": "60 s"}'])
def test_forking_while_events_are_held(tmp_path: Path, options: str) -> None:
    """What waits in memory at the fork is written by the parent alone: each event is there once."""
    done = run_python(*NO_WARNING, FORK, tmp_path, options, "held")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == {"code": 0, "taken": [False] * 5, "written": 6}, done.stderr
    assert account(tmp_path).steps == list(range(6))
