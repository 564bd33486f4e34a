"""Disks that are full or broken: nothing half written stays, and nothing is missing in silence."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from rldk.integrations.attempt import RecordedAttempt
from rldk.io.manifest import Attempt, read_manifest
from rldk.io.reader import read_events
from rldk.io.segments import run_log
from rldk.io.validator import validate_jsonl_file
from rldk.io.writer import Counters, open_writer
from rldk.report.files import write_files
from tests.runs import files, make_event, run_python, write_attempt

WRITE = Path(__file__).with_name("write_events.py")


def check_accounts(path: Path, acknowledged: list[int], count: int) -> None:
    """A log must be valid, hold just what was acknowledged, and account for all the rest by notes."""
    events = list(read_events(path))
    dropped: set[int] = set()
    for note in [note for event in events for note in event.notes]:
        code, number, _, seqs = note.split(" ")
        first, last = map(int, seqs.split("-"))
        assert code == "events_dropped:"
        assert number == f"{last - first + 1},"
        dropped |= set(range(first, last + 1))

    assert validate_jsonl_file(path, strict=True).problems == []
    assert [event.step for event in events] == [event.seq for event in events] == acknowledged
    assert dropped == set(range(max(acknowledged))) - set(acknowledged)
    assert max(acknowledged) == count - 1


def test_a_full_disk_that_is_freed_again(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While the disk is full, write says False and leaves whole lines; freed, the next event says what is missing."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(160_000))
    writer = open_writer(small_disk, run_id="r")
    metrics = {f"metric_{index}": index / 7 for index in range(30)}
    acknowledged: list[int] = []
    for step in range(150):
        if writer.write(make_event(step, metrics=metrics)):
            acknowledged.append(step)
            continue
        content = writer.path.read_bytes()
        assert content.endswith(b"}\n")
        assert content.count(b"\n") == len(acknowledged)
        if writer.counters.dropped == 20:
            ballast.unlink()
    writer.close()
    full_at = next(step for step in range(150) if step not in acknowledged)

    assert writer.counters == Counters(written=130, dropped=20)
    check_accounts(writer.path, acknowledged, 150)
    assert [note for event in read_events(writer.path) for note in event.notes] == [
        f"events_dropped: 20, seq {full_at}-{full_at + 19}"
    ]
    (message,) = caplog.messages
    assert message == (
        f"{writer.path}: the event was not written: No space left on device; "
        "training goes on, further events that cannot be written are only counted"
    )


def test_a_training_that_begins_on_a_full_disk(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is raised while the disk is full; once it is freed the run is recorded, and says what is missing."""
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    facts = Attempt(attempt=0, started="2026-01-31T23:59:59.000000Z")
    attempt = RecordedAttempt(
        small_disk,
        "r",
        rank=0,
        world_size=1,
        framework="trl",
        algorithm="grpo",
        trainer_output_dir="/checkpoints",
        facts=facts,
        on_error="warn",
        budget=30.0,
    )
    for step in range(6):
        if step == 3:
            ballast.unlink()
        attempt.record(step, {"reward": 0.5}, phase="train", data_slice={})
    attempt.close("completed")
    final = json.loads((small_disk / "r_final_report.json").read_text())

    assert [message.partition("; ")[0] for message in caplog.messages] == [
        "[Errno 28] No space left on device",
        f"{attempt.log.path}: the event was not written: No space left on device",
    ]
    assert validate_jsonl_file(attempt.log.path, strict=True).problems == []
    assert [(event.step, event.notes) for event in read_events(attempt.log.path)] == [
        (3, ["events_dropped: 3, seq 0-2"]),
        (4, []),
        (5, []),
    ]
    assert (final["outcome"], final["health"], final["counters"]["dropped"]) == ("completed", "attention", 3)
    assert list(read_manifest(attempt.log).metrics) == ["reward"]


def test_a_disk_that_is_full_at_the_end(small_disk: Path) -> None:
    """The old derived files stay whole, the outcome and what was dropped last are known to a later report."""
    ballast = small_disk / "ballast"
    path = write_attempt(small_disk, [make_event(step) for step in range(3)])
    write_files(run_log(path))
    before = files(small_disk)
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    with pytest.raises(OSError, match="No space left on device"):
        write_files(run_log(path))
    during = files(small_disk)
    ballast.unlink()
    write_files(run_log(path))

    assert {name: content for name, content in during.items() if name != "ballast"} == before
    assert sorted(files(small_disk)) == sorted(before)


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """At the limit of RLIMIT_FSIZE the kernel takes half a line, then none: it is taken back, and counted."""
    done = run_python(WRITE, tmp_path, "40", "20000")
    path = tmp_path / "r_events.jsonl"

    assert done.returncode == 0
    found = json.loads(done.stdout)
    check_accounts(path, found["acknowledged"], 40)
    assert (found["written"], found["dropped"]) == (35, 5)
    assert done.stderr == (
        f"{path}: the event was not written: File too large; "
        "training goes on, further events that cannot be written are only counted\n"
    )


@pytest.mark.parametrize(
    ("fault", "dropped", "warning"),
    [
        ("short 2", 0, ""),
        ("interrupt 3", 0, ""),
        ("error 10", 20, "Input/output error"),
        ("full 10", 51, "No space left on device"),
    ],
)
def test_a_kernel_whose_writes_go_wrong(
    tmp_path: Path, faulty_write: Path, fault: str, dropped: int, warning: str
) -> None:
    """Short writes and EINTR lose nothing; EIO and ENOSPC lose what they hit, and the log says which."""
    mode, every = fault.split()
    faults = {"LD_PRELOAD": str(faulty_write), "FAULT_PATH": "r_events.jsonl", "FAULT_MODE": mode, "FAULT_EVERY": every}
    done = run_python(WRITE, tmp_path, "205", env=faults)
    path = tmp_path / "r_events.jsonl"

    assert done.returncode == 0
    found = json.loads(done.stdout)
    check_accounts(path, found["acknowledged"], 205)
    assert (found["written"], found["dropped"]) == (205 - dropped, dropped)
    assert warning in done.stderr
    assert done.stderr.count("\n") == bool(warning)
