"""Other programs that delete, move or cut the log while it is written, and clocks that are set back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from rldk.errors import RunLockedError
from rldk.io.clock import RunClock
from rldk.io.recorder import Recorder
from rldk.io.segments import sealed_segments
from rldk.io.writer import open_writer
from rldk.metrics import Translator
from tests.crash.accounts import SetClock, account, check_copies, log_of
from tests.runs import make_event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def unlink(path: Path) -> None:
    """Delete it, as a clean-up does."""
    path.unlink()


def rename(path: Path) -> None:
    """Move it, as a log rotation does."""
    path.rename(path.with_name("moved"))


def move_folder(path: Path) -> None:
    """Move the folder with all that is in it."""
    path.parent.rename(path.parent.with_name("elsewhere"))


def delete_folder(path: Path) -> None:
    """Delete the folder with all that is in it."""
    for each in path.parent.iterdir():
        each.unlink()
    path.parent.rmdir()


@pytest.mark.parametrize("meddle", [unlink, rename, move_folder, delete_folder])
@pytest.mark.parametrize("rotation", [None, "3 kB"])
def test_a_log_that_is_taken_away_is_put_back(
    tmp_path: Path, meddle: Callable[[Path], None], rotation: str | None
) -> None:
    """Within a second the live file is there again, with what it held as a sealed segment, and the log says so."""
    clock, folder = SetClock(), tmp_path / "run"
    writer = open_writer(folder, run_id="r", clock=clock, rotation=rotation)
    acknowledged = [writer.write(make_event(step)) for step in range(5)]
    meddle(writer.path)
    acknowledged += [writer.write(make_event(step)) for step in range(5, 8)]
    clock.seconds += 1.1
    acknowledged += [writer.write(make_event(step)) for step in range(8, 11)]
    writer.close()
    done = account(folder)

    assert acknowledged == [True] * 11
    assert done.steps == list(range(11))
    assert done.codes == ["log_restored"]
    assert done.events[8].notes[0].startswith("log_restored: ")
    assert check_copies(folder) == 1


def test_a_log_that_is_copied_and_truncated(tmp_path: Path) -> None:
    """What another program cut off is gone, counted and told; no NUL bytes are left in its place."""
    clock = SetClock()
    writer = open_writer(tmp_path, run_id="r", clock=clock)
    for step in range(5):
        assert writer.write(make_event(step))
    os.truncate(writer.path, 0)
    clock.seconds += 1.1
    assert writer.write(make_event(5))
    assert writer.write(make_event(6))
    writer.close()
    done = account(tmp_path)

    assert done.steps == [5, 6]
    assert done.dropped == {1: set(range(5))}
    assert b"\0" not in writer.path.read_bytes()


def test_a_lock_file_that_is_deleted(tmp_path: Path) -> None:
    """The lock is taken again within a second, so that no second writer comes in."""
    clock = SetClock()
    writer = open_writer(tmp_path, run_id="r", clock=clock)
    assert writer.write(make_event(0))
    (tmp_path / "r.lock").unlink()
    clock.seconds += 1.1
    assert writer.write(make_event(1))
    with pytest.raises(RunLockedError, match=f"process {os.getpid()} on "):
        open_writer(tmp_path, run_id="r")
    writer.close()

    assert account(tmp_path).steps == [0, 1]
    assert not (tmp_path / "r.lock").exists()


def test_a_writer_whose_lock_was_lost_to_another(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of two writers that came to hold one log the first holds its events back, until the log is its own again."""
    clock = SetClock()
    first = open_writer(tmp_path, run_id="r", clock=clock)
    assert first.write(make_event(0))
    (tmp_path / "r.lock").unlink()
    second = open_writer(tmp_path, run_id="r")
    assert second.write(make_event(1))
    clock.seconds += 1.1
    held = first.write(make_event(2))
    counters = first.counters
    second.close()
    clock.seconds += 1000
    assert first.write(make_event(3))
    first.close()

    assert (held, counters.held) == (False, 1)
    assert "process" in caplog.text
    text = (tmp_path / "r_events.jsonl").read_text()
    assert [line.partition(',"wall')[0] for line in text.splitlines()] == [f'{{"step":{step}' for step in range(4)]


def test_a_clock_that_is_set_back(tmp_path: Path) -> None:
    """`wall_time` follows the monotonic clock, within an attempt and over a restart, so it never goes back."""
    clock = SetClock()
    for attempt in range(2):
        writer = open_writer(tmp_path, run_id="r", clock=clock, rotation="1 h", keep="1 days")
        recorder = Recorder(
            writer,
            clock=RunClock(writer.past, clock),
            translator=Translator("trl", "grpo"),
            rng={},
            model_info={"run_id": "r"},
        )
        for step in range(10):
            clock.seconds += 60
            clock.wall += 60
            if step % 3 == 2:
                clock.wall -= 7200
            recorder.record(10 * attempt + step, {"loss": 0.5}, phase="train", data_slice={})
        writer.close()
    times = [event.wall_time or 0.0 for event in account(tmp_path).events]

    assert times == sorted(times)
    assert times[9] - times[0] == 540.0
    assert sealed_segments(log_of(tmp_path)) == []
