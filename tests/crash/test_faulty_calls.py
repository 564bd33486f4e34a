"""A kernel whose system calls go wrong: nothing half written stays, and nothing is missing in silence."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from rldk.io.segments import sealed_segments
from rldk.io.writer import open_writer
from tests.crash.accounts import Account, account, log_of, many_metrics
from tests.runs import make_event, run_python

WRITE = Path(__file__).with_name("write_events.py")


def run(folder: Path, count: int, env: dict[str, str] | None = None, **asked: Any) -> tuple[dict[str, Any], str]:
    """Write events in a process of its own: what it says of them, and its warnings."""
    done = run_python(WRITE, json.dumps({"folder": str(folder), "count": count, **asked}), env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def check_all_there(found: dict[str, Any], done: Account, count: int) -> None:
    """Every event must be there in its order, and those not acknowledged at once accounted for as late."""
    late = set(range(count)) - set(found["acknowledged"])
    assert done.steps == list(range(count))
    assert done.held.get(1, set()) == late
    assert done.dropped == {}
    assert (found["counters"]["written"], found["counters"]["held"], found["counters"]["dropped"]) == (count, 0, 0)
    for event in done.events:
        assert event.metrics == many_metrics(event.step)


@pytest.mark.parametrize("as_nobody", [False, True])
def test_a_file_that_may_not_grow(open_folder: Path, nobody: int | None, *, as_nobody: bool) -> None:
    """At the limit of RLIMIT_FSIZE the kernel takes half a line, then none; once it is lifted all is written."""
    found, warnings = run(open_folder, 40, limit=20_000, user=nobody if as_nobody else None)
    path = log_of(open_folder).path

    assert len(found["acknowledged"]) == 35
    check_all_there(found, account(open_folder), 40)
    assert warnings == (
        f"{path}: the event was not written: File too large; training goes on, up to 4 MiB of events are held and "
        "written when that works again, further ones are only counted\n"
    )


@pytest.mark.parametrize(
    ("fault", "late", "warning"),
    [
        ("short 10", 0, ""),
        ("interrupt 10", 0, ""),
        ("error 10", 12, "Input/output error"),
        ("full 10", 36, "No space left on device"),
        ("stuck 10", 12, "No space left on device"),
    ],
)
@pytest.mark.parametrize("rotation", ["128 MB", "20 kB"])
def test_writes_that_go_wrong(
    tmp_path: Path, faulty_calls: Path, fault: str, late: int, warning: str, *, rotation: str
) -> None:
    """P5. Short writes and EINTR change nothing; what EIO and ENOSPC hit is written with the next event that can be.

    What was cut off in the middle of a line is gone, or in a sealed segment of its own that says so.

    Seen to fail when a short write is taken for a whole one, and when the file is not cut back after a failed one.
    """
    mode, every = fault.split()
    faults = {"LD_PRELOAD": str(faulty_calls), "FAULT_PATH": "r_events", "FAULT_MODE": mode, "FAULT_EVERY": every}
    found, warnings = run(tmp_path, 205, env=faults, options={"rotation": rotation})
    done = account(tmp_path, torn=mode == "stuck")

    check_all_there(found, done, 205)
    assert 205 - len(found["acknowledged"]) >= late
    assert bool(late) or len(found["acknowledged"]) == 205
    assert warning in warnings
    assert warnings.count("the event was not written") == bool(late)
    assert done.codes.count("segment_abandoned") == warnings.count("goes on in a new file")
    assert ("segment_abandoned" in done.codes) == (mode == "stuck")


def test_syncs_that_fail(tmp_path: Path, faulty_calls: Path) -> None:
    """P2. A sync that failed is not believed when it is tried again: the log says so, and goes on in another file.

    Seen to fail when the error of a sync is let pass.
    """
    faults = {"LD_PRELOAD": str(faulty_calls), "FAULT_PATH": "r_events", "FAULT_MODE": "sync", "FAULT_EVERY": "5"}
    found, warnings = run(tmp_path, 100, env=faults, options={"sync": "10 events"})
    done = account(tmp_path)

    check_all_there(found, done, 100)
    assert found["acknowledged"] == list(range(100))
    assert done.codes.count("sync_failed") == 2
    assert len(sealed_segments(log_of(tmp_path))) >= 1
    assert warnings.count("Input/output error") == 1


def test_syncs_that_always_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """P9. A disk that takes no sync costs a few files and one warning, not one of each for each event.

    Seen to fail when every sync that fails begins a new file.
    """

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("os.fdatasync", fail)
        writer = open_writer(tmp_path, run_id="r", sync="every")
        acknowledged = [writer.write(make_event(step)) for step in range(500)]
        writer.close()

    assert acknowledged == [True] * 500
    assert account(tmp_path).steps == list(range(500))
    assert len(sealed_segments(log_of(tmp_path))) < 15
    assert len(caplog.messages) == 1
