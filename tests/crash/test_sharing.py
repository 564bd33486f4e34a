"""Threads that share a writer, ranks that share a folder, and processes that want the same log."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rldk.errors import RunLockedError
from rldk.io.reader import read_events
from rldk.io.writer import open_writer
from tests.crash.accounts import account, check_copies, log_of, many_metrics
from tests.runs import clean_environment, make_event

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLD = Path(__file__).with_name("hold_log.py")
WRITE = Path(__file__).with_name("write_events.py")


@pytest.fixture
def _frequent_switches() -> Iterator[None]:
    """Let another thread run every ten microseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_frequent_switches")
@pytest.mark.parametrize("buffer", [None, "7 events"])
def test_eight_threads(tmp_path: Path, buffer: str | None) -> None:
    """P6. Lines do not mix and no seq is given twice or left out, while segments are sealed and compressed.

    Seen to fail when the writer takes no mutex.
    """
    writer = open_writer(tmp_path, run_id="r", rotation="20 kB", compression="gz", buffer=buffer)

    def write(thread: int) -> int:
        metrics = {f"thread_{thread}_{index}": float(thread) for index in range(10)}
        return sum(writer.write(make_event(0, notes=[f"{thread}: {index}"], metrics=metrics)) for index in range(400))

    with ThreadPoolExecutor(8) as threads:
        acknowledged = sum(threads.map(write, range(8)))
    writer.close()
    events = account(tmp_path).events

    assert buffer or acknowledged == 3200
    assert [event.seq for event in events] == list(range(3200))
    for thread in range(8):
        notes = [event.notes[0] for event in events if f"thread_{thread}_0" in event.metrics]
        assert notes == [f"{thread}: {index}" for index in range(400)]
    assert check_copies(tmp_path) > 10


def test_four_ranks(tmp_path: Path) -> None:
    """1000 steps of four processes can be told apart, each rank in a log of its own that is whole."""
    with ExitStack() as stack:
        ranks = []
        for rank in range(4):
            options = {"rank": rank, "world_size": 4, "rotation": "50 kB"}
            asked = json.dumps({"folder": str(tmp_path), "count": 250, "options": options})
            command = [sys.executable, str(WRITE), asked]
            ranks.append(
                stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, env=clean_environment()))
            )
        said = [json.loads(rank.communicate(timeout=120)[0]) for rank in ranks]
    events = list(read_events(tmp_path, history="all"))

    assert [each["acknowledged"] for each in said] == [list(range(250))] * 4
    assert Counter(event.rank for event in events) == dict.fromkeys(range(4), 250)
    assert {event.model_info["world_size"] for event in events} == {4}
    assert [(event.step, event.rank) for event in events] == [(step, rank) for step in range(250) for rank in range(4)]
    for rank in range(4):
        assert [(event.step, event.seq) for event in account(tmp_path, rank).events] == [(at, at) for at in range(250)]


def test_a_log_that_another_process_writes(tmp_path: Path) -> None:
    """P8. A second writer is told who holds the log, or gets one of its own; the first one's is left alone.

    Seen to fail when the lock is not taken, and when it is taken for shared.
    """
    command = [sys.executable, str(HOLD), str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment()
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunLockedError, match=re.escape(f"process {holder.pid} on ")):
            open_writer(tmp_path, run_id="r")
        others = [open_writer(tmp_path, run_id="r", if_locked="new_run") for _ in range(2)]
        for other in others:
            assert other.write(make_event(0, metrics=many_metrics(0)))
            other.close()
        holder.communicate("")

    assert [other.run_id for other in others] == ["r-2", "r-3"]
    assert log_of(tmp_path).path.read_bytes() == b""
    assert [event.model_info["run_id"] for event in read_events(others[0].path)] == ["r-2"]
    open_writer(tmp_path, run_id="r").close()
