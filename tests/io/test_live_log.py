"""The end of a log: attempts, rotation, and what others do to the file while it is written."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from rldk.io.codec import decode, encode
from rldk.io.lock import Lock, is_held
from rldk.io.manifest import read_manifest
from rldk.io.reader import read_events
from rldk.io.segments import sealed_path
from rldk.io.verify import verify
from rldk.io.writer import Counters, open_writer
from tests.io.faults import (
    ManualClock,
    Recorded,
    disk_error,
    fail,
    failing,
    full,
    good,
    interrupt_midway,
    not_written,
    notes,
    segment_names,
    short,
    steps,
    the_log,
    wait_for_sealing,
    written,
)
from tests.runs import files, make_event, write_attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rldk.io.writer import RunWriter

TWO: Final = "400 B"
"""A size at which a segment has two of the events of these tests."""

ABANDONED: Final = "segment_abandoned: r_events.000001.jsonl ends in an unfinished line that could not be cut off, "
NOT_TAKEN: Final = "the disk did not take what was written, some of it may be lost:"
IO_ERROR: Final = "[Errno 5] Input/output error"


@pytest.fixture
def clock() -> ManualClock:
    """A clock that the test sets."""
    return ManualClock()


@pytest.fixture
def writer(tmp_path: Path, clock: ManualClock) -> Iterator[RunWriter]:
    """The writer of the run r."""
    writer = open_writer(tmp_path, run_id="r", sync="none", clock=clock)
    yield writer
    writer.close()


# Attempts


def test_attempts_are_counted_from_the_log_itself(tmp_path: Path) -> None:
    """Each opening is one attempt more; what the last one wrote is there to go on from."""
    attempts = []
    for step in range(3):
        writer = open_writer(tmp_path, run_id="r")
        attempts.append((writer.attempt, writer.past and writer.past.step))
        writer.write(make_event(step))
        writer.close()

    assert attempts == [(1, None), (2, 0), (3, 1)]
    assert written(writer.path) == [(0, 0), (1, 0), (2, 0)]


def test_an_attempt_that_wrote_nothing_was_none(tmp_path: Path) -> None:
    """An opening without an event leaves no number behind."""
    attempts = []
    for _ in range(2):
        writer = open_writer(tmp_path, run_id="r")
        attempts.append(writer.attempt)
        writer.close()

    assert attempts == [1, 1]


def test_a_log_that_cannot_be_read_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its attempts could not be counted; neither lock nor open file is left."""
    before = len(list(Path("/dev/fd").iterdir()))
    monkeypatch.setattr("rldk.io.live_log.last_event_of", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        open_writer(tmp_path, run_id="r")

    assert len(list(Path("/dev/fd").iterdir())) == before
    assert not (tmp_path / "r.lock").exists()


def test_each_rank_counts_its_own_attempts(tmp_path: Path) -> None:
    """A rank that is new begins with attempt 1 beside ranks that have had several."""
    write_attempt(tmp_path, [make_event()])
    write_attempt(tmp_path, [make_event()])
    writer = open_writer(tmp_path, run_id="r", rank=1)
    writer.close()

    assert writer.attempt == 1


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b'{"step":5,"wa',
        encode(make_event(9, model_info={"run_id": "r", "attempt": 9}))[:-1],
        b"\n\n\n",
        b"garbage\n" * 3,
        b"\0" * 300_000 + b"\n",
        b"\xff\xfe\n",
        b"[1]\n" * 100_000,
    ],
    ids=["whole", "torn", "torn, but it parses", "blank", "garbage", "NUL bytes", "no UTF-8", "much garbage"],
)
def test_the_attempt_follows_the_last_event_whatever_comes_after_it(tmp_path: Path, tail: bytes) -> None:
    """Torn tail or damaged lines at the end: the attempt is still one more than that of the last whole event."""
    write_attempt(tmp_path, [make_event(0)])
    path = write_attempt(tmp_path, [make_event(1), make_event(2)])
    with path.open("ab") as file:
        file.write(tail)
    writer = open_writer(tmp_path, run_id="r")
    writer.close()

    assert writer.attempt == 3
    assert writer.past == decode(path.read_bytes().split(b"\n")[2])


@pytest.mark.parametrize("content", [b"", b"torn", b"garbage\n", b"\n"], ids=["empty", "torn", "garbage", "blank"])
def test_a_log_without_events_begins_with_attempt_1(tmp_path: Path, content: bytes) -> None:
    """A file from which nobody can tell an earlier attempt had none; its whole lines stay."""
    path = tmp_path / "r_events.jsonl"
    path.write_bytes(content)
    writer = open_writer(tmp_path, run_id="r")
    writer.write(make_event())
    writer.close()
    kept, line = path.read_bytes()[:-1].rpartition(b"\n")[::2]

    assert (writer.attempt, writer.past) == (1, None)
    assert kept + b"\n" * content.endswith(b"\n") == content.removesuffix(b"torn")
    assert decode(line).seq == 0


def test_what_was_there_stays_byte_for_byte(tmp_path: Path) -> None:
    """Each attempt leaves the bytes of all earlier ones as they were."""
    before = b""
    for attempt in range(1, 5):
        path = write_attempt(tmp_path, [make_event(step) for step in range(attempt)])
        content = path.read_bytes()

        assert content.startswith(before)
        assert content.count(b"\n") == before.count(b"\n") + attempt
        before = content


def test_a_torn_tail_is_moved_and_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A warning, a counter and a note on the next event say how many bytes went where; no later event repeats it."""
    path = write_attempt(tmp_path, [make_event(0)])
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step":1,"wall_')
    writer = open_writer(tmp_path, run_id="r")
    writer.write(make_event(1, notes=["own: note"]))
    writer.write(make_event(2))
    writer.close()
    moved = "16 bytes of an unfinished line were moved to r_events.jsonl.2.torn"

    assert caplog.messages == [f"{path}: {moved}"]
    assert writer.counters == Counters(written=2, torn_bytes=16)
    assert [event.notes for event in read_events(path)] == [[], ["own: note", f"torn_tail: {moved}"], []]
    assert path.read_bytes().startswith(whole)
    assert (tmp_path / "r_events.jsonl.2.torn").read_bytes() == b'{"step":1,"wall_'
    assert written(path) == [(0, 0), (1, 0), (2, 1)]


def test_a_log_cut_at_any_byte_goes_on(tmp_path: Path) -> None:
    """Cut anywhere, the log keeps its whole lines and takes the next attempt; nothing is glued together."""
    path = write_attempt(tmp_path, [make_event(0), make_event(1)])
    content = path.read_bytes()
    for cut in range(0, len(content) + 1, 7):
        path.write_bytes(content[:cut])
        write_attempt(tmp_path, [make_event(2)])
        lines = content[:cut].count(b"\n")

        assert written(path) == [*[(0, 0), (1, 1)][:lines], (2, 0)]


# Rotation


def test_a_log_is_rotated_by_size(tmp_path: Path) -> None:
    """A file that has reached the size is sealed with the next event; seq goes on, and nothing is missing."""
    writer = open_writer(tmp_path, run_id="r", rotation=TWO)
    taken = [writer.write(make_event(step)) for step in range(5)]
    wait_for_sealing(writer)
    writer.close()

    assert taken == [True] * 5
    assert segment_names(tmp_path) == ["r_events.000001.jsonl", "r_events.000002.jsonl", "r_events.jsonl"]
    assert written(writer.path) == [(step, step) for step in range(5)]
    assert [path.read_bytes().count(b"\n") for path in sorted(tmp_path.glob("*.jsonl"))] == [2, 2, 1]
    assert notes(writer.path) == [[]] * 5
    assert verify(tmp_path).valid
    assert set(files(tmp_path)) == {*segment_names(tmp_path), "r_manifest.json"}


def test_the_last_event_does_not_leave_an_empty_file(tmp_path: Path) -> None:
    """A file is sealed only when there is an event for the next one."""
    writer = open_writer(tmp_path, run_id="r", rotation=TWO)
    writer.write(make_event(0))
    writer.write(make_event(1))
    writer.close()

    assert segment_names(tmp_path) == ["r_events.jsonl"]


def test_a_log_is_rotated_by_age(tmp_path: Path, clock: ManualClock) -> None:
    """An hour after its begin a file is sealed, however little is in it."""
    writer = open_writer(tmp_path, run_id="r", rotation="1 h", clock=clock)
    writer.write(make_event(0))
    clock.now += 3599
    writer.write(make_event(1))
    before = segment_names(tmp_path)
    clock.now += 1
    writer.write(make_event(2))
    clock.now += 3600
    writer.write(make_event(3))
    writer.close()

    assert before == ["r_events.jsonl"]
    assert segment_names(tmp_path) == ["r_events.000001.jsonl", "r_events.000002.jsonl", "r_events.jsonl"]
    assert written(writer.path) == [(step, step) for step in range(4)]


def test_a_file_without_events_does_not_age(tmp_path: Path, clock: ManualClock) -> None:
    """However long nothing was written, there is no empty segment."""
    writer = open_writer(tmp_path, run_id="r", rotation="1 h", clock=clock)
    clock.now += 10_000
    writer.write(make_event(0))
    writer.close()

    assert segment_names(tmp_path) == ["r_events.jsonl"]


def test_without_rotation_there_is_one_file(tmp_path: Path, clock: ManualClock) -> None:
    """Neither size nor age seals it."""
    writer = open_writer(tmp_path, run_id="r", rotation=None, clock=clock)
    for step in range(20):
        clock.now += 10_000_000
        writer.write(make_event(step))
    writer.close()

    assert segment_names(tmp_path) == ["r_events.jsonl"]


def test_numbers_and_attempts_go_on_when_a_log_is_opened_again(tmp_path: Path) -> None:
    """The next attempt seals what the last one left, under the next number."""
    for _ in range(2):
        writer = open_writer(tmp_path, run_id="r", rotation=TWO)
        for step in range(3):
            writer.write(make_event(step))
        writer.close()

    assert writer.attempt == 2
    assert segment_names(tmp_path) == ["r_events.000001.jsonl", "r_events.000002.jsonl", "r_events.jsonl"]
    assert written(writer.path) == [(step, step) for step in range(3)] * 2


def test_numbers_and_attempts_go_on_when_retention_removed_everything(tmp_path: Path) -> None:
    """The manifest remembers them: no number is used for two segments, no attempt for two processes."""
    writer = open_writer(tmp_path, run_id="r", rotation=TWO, keep="1 B")
    for step in range(5):
        writer.write(make_event(step))
    wait_for_sealing(writer)
    writer.close()
    writer.path.unlink()
    removed = segment_names(tmp_path)
    again = open_writer(tmp_path, run_id="r", rotation=TWO)
    for step in range(3):
        again.write(make_event(step))
    again.close()

    assert removed == []
    assert (again.attempt, again.past) == (2, None)
    assert segment_names(tmp_path) == ["r_events.000003.jsonl", "r_events.jsonl"]


def test_each_rank_has_segments_of_its_own(tmp_path: Path) -> None:
    """The rank stands before the number."""
    writer = open_writer(tmp_path, run_id="r", rank=2, world_size=4, rotation=TWO)
    for step in range(3):
        writer.write(make_event(step))
    writer.close()

    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == [
        "r_events.rank2.000001.jsonl",
        "r_events.rank2.jsonl",
    ]


def fail_to_rename(monkeypatch: pytest.MonkeyPatch, error: BaseException, place: int) -> list[str]:
    """Have a rename fail: that of so many which come before it; gives the names that were renamed."""
    real, renamed = Path.rename, []

    def rename(path: Path, target: Path) -> Path:
        renamed.append(path.name)
        if len(renamed) == place + 1:
            raise error
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    return renamed


@pytest.mark.parametrize("place", [0, 1])
def test_a_rotation_that_fails_goes_on_in_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, place: int
) -> None:
    """Whichever rename fails, no event does, and what was half done is undone."""
    writer = open_writer(tmp_path, run_id="r", rotation=TWO, sync="none")
    writer.write(make_event(0))
    writer.write(make_event(1))
    fail_to_rename(monkeypatch, disk_error(errno.EROFS), place)
    taken = [writer.write(make_event(2))]
    during = set(files(tmp_path))
    taken += [writer.write(make_event(3))]
    writer.close()

    assert taken == [True, True]
    assert during == {"r.lock", "r_events.jsonl"}
    assert written(writer.path) == [(step, step) for step in range(4)]
    assert segment_names(tmp_path) == ["r_events.000001.jsonl", "r_events.jsonl"]
    why = "[Errno 30] Read-only file system"
    assert caplog.messages == [f"{writer.path}: the log cannot be rotated now and goes on in the same file: {why}"]


def test_a_rotation_that_fails_is_tried_again_when_the_file_has_grown_by_an_eighth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with every event: a warning each would be too much."""
    writer = open_writer(tmp_path, run_id="r", rotation="8000 B", sync="none")
    while writer.path.stat().st_size < 8000:
        writer.write(make_event(7))
    renamed = fail_to_rename(monkeypatch, disk_error(errno.EROFS), 0)
    tried = []
    for _ in range(6):
        writer.write(make_event(7))
        tried.append(len(renamed))
    writer.close()

    # Five lines are more than 1000 bytes; the sixth event finds that out, and then both renames are done.
    assert tried == [1, 1, 1, 1, 1, 3]


def test_a_rotation_without_room_for_a_new_file_goes_on_in_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, clock: ManualClock
) -> None:
    """ENOSPC when the new file is made: the events stay in the old one, and time alone brings no new try."""
    writer = open_writer(tmp_path, run_id="r", rotation=TWO, sync="none", clock=clock)
    real, tries = os.open, []

    def no_room(path: Any, flags: int, *mode: int, **options: Any) -> int:
        if Path(path).name == ".rldk-r_events.jsonl":
            tries.append(path)
            raise disk_error(errno.ENOSPC)
        return real(path, flags, *mode, **options)

    monkeypatch.setattr(os, "open", no_room)
    for step in range(3):
        writer.write(make_event(step))
    monkeypatch.setattr(writer._segments._live, "full_at", 10_000)
    for step in range(3, 8):
        clock.now += 2
        writer.write(make_event(step))
    writer.close()

    assert len(tries) == 1
    assert written(writer.path) == [(step, step) for step in range(8)]
    assert len(caplog.messages) == 1


def test_a_rotation_by_age_that_fails_is_tried_again_after_an_eighth_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    """Not with every event: a warning each would be too much."""
    writer = open_writer(tmp_path, run_id="r", rotation="80 s", sync="none", clock=clock)
    writer.write(make_event(0))
    renamed = fail_to_rename(monkeypatch, disk_error(errno.EACCES), 0)
    tried = []
    for step, wait in enumerate([80, 9, 2, 2], 1):
        clock.now += wait
        writer.write(make_event(step))
        tried.append(len(renamed))
    writer.close()

    assert tried == [1, 1, 3, 3]
    assert written(writer.path) == [(step, step) for step in range(5)]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("place", [0, 1])
def test_an_interrupt_within_a_rotation_leaves_a_log_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], place: int
) -> None:
    """It goes through, what was half done is undone, and the next event is written after the last."""
    writer = open_writer(tmp_path, run_id="r", rotation=TWO)
    writer.write(make_event(0))
    writer.write(make_event(1))
    fail_to_rename(monkeypatch, error(), place)
    with pytest.raises(error):
        writer.write(make_event(9))
    during = set(files(tmp_path))
    writer.write(make_event(2))
    writer.write(make_event(3))
    writer.close()

    assert during == {"r.lock", "r_events.jsonl"}
    assert written(writer.path) == [(step, step) for step in range(4)]
    assert segment_names(tmp_path) == ["r_events.000001.jsonl", "r_events.jsonl"]


@pytest.mark.parametrize("done", ["nothing", "new file made", "old file renamed", "all"])
def test_a_process_that_dies_within_a_rotation_leaves_a_log_that_goes_on(tmp_path: Path, done: str) -> None:
    """Whatever of it was done: the next attempt has all events once, and keeps the number that is free."""
    path = write_attempt(tmp_path, [make_event(0), make_event(1)])
    beside = tmp_path / ".rldk-r_events.jsonl"
    if done != "nothing":
        beside.write_bytes(b"" if done == "all" else b"of an earlier version")
    if done in {"old file renamed", "all"}:
        path.rename(tmp_path / "r_events.000001.jsonl")
    if done == "all":
        beside.rename(path)
    writer = open_writer(tmp_path, run_id="r", rotation=TWO)
    taken = [writer.write(make_event(step)) for step in range(2, 5)]
    writer.close()

    assert taken == [True] * 3
    assert writer.attempt == 2
    assert written(path) == [(0, 0), (1, 1), (2, 0), (3, 1), (4, 2)]
    assert not beside.exists()


def test_an_interrupt_after_the_last_rename_loses_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    """The writer goes on in the file that it finds in place, and nothing is doubled."""
    writer = open_writer(tmp_path, run_id="r", rotation=TWO, clock=clock)
    writer.write(make_event(0))
    writer.write(make_event(1))
    live = writer._segments._live
    with monkeypatch.context() as patch:
        patch.setattr(live, "_begin", failing_with(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            writer.write(make_event(9))
    writer.write(make_event(2))
    clock.now += 1
    writer.write(make_event(3))
    writer.close()

    assert [step for step, _ in written(writer.path)] == [0, 1, 2, 3]
    assert segment_names(tmp_path) == ["r_events.000001.jsonl", "r_events.jsonl"]


def test_an_interrupt_while_a_file_is_given_up_leaves_the_sealed_one_alone(
    writer: RunWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very next event is in the new file, also when the old one was not full."""
    writer.write(make_event(0))
    fail(monkeypatch, writer.path, short, full)
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", failing(errno.EIO))
        patch.setattr(writer._segments._live, "_begin", failing_with(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            writer.write(make_event(9))
    writer.write(make_event(1))
    wait_for_sealing(writer)

    assert written(writer.path) == [(0, 0), (1, 1)]
    assert [path.read_bytes().count(b"\n") for path in sorted(tmp_path.glob("*.jsonl"))] == [1, 1]


def test_an_interrupt_before_the_background_knows_of_the_new_file_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next event hands the file over: it is synced, and the sealed one is entered."""
    writer = open_writer(tmp_path, run_id="r", rotation=TWO, sync="1 h")
    writer.write(make_event(0))
    writer.write(make_event(1))
    live = writer._segments._live
    with monkeypatch.context() as patch:
        patch.setattr(live._sealer, "wake", failing_with(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            writer.write(make_event(9))
    writer.write(make_event(2))
    wait_for_sealing(writer)
    writer.close()

    assert written(writer.path) == [(0, 0), (1, 1), (2, 2)]
    assert [each.file for each in read_manifest(the_log(tmp_path)).segments] == ["r_events.000001.jsonl"]


def failing_with(error: BaseException) -> Callable[..., None]:
    """A function that raises."""

    def fail_so(*_arguments: object) -> None:
        raise error

    return fail_so


def test_rotation_where_no_thread_can_be_had_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Segments are left for the next time, with one warning; the events are written."""
    writer = open_writer(tmp_path, run_id="r", rotation=TWO, sync="none")
    monkeypatch.setattr(threading.Thread, "start", failing_with(RuntimeError("can't start new thread")))
    taken = [writer.write(make_event(step)) for step in range(7)]
    writer.close()

    assert taken == [True] * 7
    assert written(writer.path) == [(step, step) for step in range(7)]
    assert caplog.messages == [
        f"{writer.path}: a sealed segment stays as it is for now: [Errno 11] can't start new thread"
    ]


def test_compression_that_fails_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The plain segments stay; neither the number of segments nor that of tries makes more warnings of it."""
    writer = open_writer(tmp_path, run_id="r", rotation=TWO, compression="gz", sync="none")
    monkeypatch.setattr("rldk.io.sealing.compress", failing(errno.ENOSPC))
    for step in range(8):
        assert writer.write(make_event(step))
        wait_for_sealing(writer)
    writer.close()

    assert written(writer.path) == [(step, step) for step in range(8)]
    assert [name for name in segment_names(tmp_path) if name.endswith(".gz")] == []
    assert caplog.messages == [
        f"{writer.path}: a sealed segment stays as it is for now: [Errno 28] No space left on device"
    ]


def test_sealed_segments_are_compressed_and_removed_in_the_background(tmp_path: Path) -> None:
    """What the options say of sealed segments is done while the log grows."""
    writer = open_writer(tmp_path, run_id="r", rotation=TWO, compression="gz", keep="2 segments")
    for step in range(9):
        writer.write(make_event(step))
    wait_for_sealing(writer)
    writer.close()

    assert segment_names(tmp_path) == ["r_events.000003.jsonl.gz", "r_events.000004.jsonl.gz", "r_events.jsonl"]
    assert steps(writer.path) == [4, 5, 6, 7, 8]
    assert verify(tmp_path).valid


def test_what_an_earlier_process_left_to_do_is_done_when_the_log_is_opened(tmp_path: Path) -> None:
    """A segment that was sealed just before a crash is entered and compressed."""
    write_attempt(tmp_path, [make_event(0)]).rename(tmp_path / "r_events.000001.jsonl")
    writer = open_writer(tmp_path, run_id="r", compression="gz")
    wait_for_sealing(writer)
    writer.close()

    assert [each.file for each in read_manifest(the_log(tmp_path)).segments] == ["r_events.000001.jsonl.gz"]


# Syncing


@pytest.mark.parametrize(
    ("sync", "count"), [("every", 10), ("3 events", 3), ("10 events", 1), ("11 events", 0), ("none", 0)]
)
def test_syncing_by_events_counts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: str, count: int) -> None:
    """Ten events are synced as often as the policy says, by the thread that writes them."""
    synced = Recorded(monkeypatch, "fdatasync")
    writer = open_writer(tmp_path, run_id="r", sync=sync)
    synced.names.clear()
    for step in range(10):
        writer.write(make_event(step))
    found = list(synced.names)
    writer.close()

    assert found == ["r_events.jsonl"] * count


@pytest.mark.parametrize(("sync", "count"), [("every", 1), ("100 events", 1), ("1 h", 0), ("none", 0)])
def test_opening_syncs_what_earlier_attempts_left_to_the_next_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: str, count: int
) -> None:
    """Else a hundred attempts of 99 events each would never be synced."""
    write_attempt(tmp_path, [make_event(0)])
    synced = Recorded(monkeypatch, "fdatasync")
    writer = open_writer(tmp_path, run_id="r", sync=sync)
    found = list(synced.names)
    writer.close()

    assert found == ["r_events.jsonl"] * count


def test_events_written_together_are_synced_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With sync="every" and a buffer of five there is one sync for five events."""
    synced = Recorded(monkeypatch, "fdatasync")
    writer = open_writer(tmp_path, run_id="r", sync="every", buffer="5 events")
    synced.names.clear()
    for step in range(11):
        writer.write(make_event(step))
    found = len(synced.names)
    writer.close()

    # The first five find the writer's first look at its files due, and are written one by one.
    assert found == 5 + 1


def test_the_name_of_a_file_is_synced_with_it_the_first_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that a power cut could take the file itself; once for each file is enough."""
    monkeypatch.setattr("rldk.io.sealing.Sealer.wake", lambda _: None)
    synced = Recorded(monkeypatch, "fsync")
    writer = open_writer(tmp_path, run_id="r", sync="every", rotation=TWO)
    for step in range(4):
        writer.write(make_event(step))
    writer.close()

    assert synced.names == [tmp_path.name] * 2


def test_the_old_file_is_synced_before_an_event_of_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that were not yet due are synced when their file is sealed: a power cut takes no earlier event."""
    monkeypatch.setattr("rldk.io.sealing.Sealer.wake", lambda _: None)
    synced = Recorded(monkeypatch, "fdatasync")
    writer = open_writer(tmp_path, run_id="r", sync="10 events", rotation=TWO)
    synced.names.clear()
    found = []
    for step in range(3):
        writer.write(make_event(step))
        found.append(list(synced.names))
    writer.close()

    assert found == [[], [], ["r_events.jsonl"]]


@pytest.mark.parametrize("sync", ["none", "1 h"])
def test_rotation_syncs_nothing_itself_where_nobody_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: str
) -> None:
    """Without a sync by events, the thread that writes never waits for the disk."""
    synced = Recorded(monkeypatch, "fdatasync")
    writer = open_writer(tmp_path, run_id="r", sync=sync, rotation=TWO)
    for step in range(5):
        writer.write(make_event(step))
    found = list(synced.names)
    writer.close()

    assert found == []


def test_a_sync_that_fails_is_noted_and_the_log_goes_on_in_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The event after it tells of it; what the disk did not take is not synced again, as if that helped."""
    synced = Recorded(monkeypatch, "fdatasync")
    writer = open_writer(tmp_path, run_id="r", sync="every", rotation=None)
    writer.write(make_event(0))
    synced.error = errno.EIO
    taken = [writer.write(make_event(1))]
    synced.error = None
    taken += [writer.write(make_event(2)), writer.write(make_event(3))]
    writer.close()

    assert taken == [True] * 3
    assert segment_names(tmp_path) == ["r_events.000001.jsonl", "r_events.jsonl"]
    assert written(writer.path) == [(step, step) for step in range(4)]
    assert notes(writer.path) == [
        [],
        [],
        ["sync_failed: some of the events before this one may not be on the disk, Input/output error"],
        [],
    ]
    assert caplog.messages == [f"{writer.path}: {NOT_TAKEN} {IO_ERROR}"]


def test_a_disk_that_takes_no_sync_does_not_make_a_file_of_every_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A new file is begun the more seldom the more syncs have failed; every event notes it, one warning tells."""
    monkeypatch.setattr("rldk.io.sealing.Sealer.wake", lambda _: None)
    synced = Recorded(monkeypatch, "fdatasync")
    writer = open_writer(tmp_path, run_id="r", sync="every", rotation=None)
    synced.error = errno.EIO
    for step in range(100):
        assert writer.write(make_event(step))
    writer.close()

    assert written(writer.path) == [(step, step) for step in range(100)]
    assert 3 <= len(segment_names(tmp_path)) <= 9
    assert all(each[0].startswith("sync_failed: ") for each in notes(writer.path)[1:])
    assert caplog.messages == [f"{writer.path}: {NOT_TAKEN} {IO_ERROR}"]


def test_a_sync_that_fails_in_the_background_reaches_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With the next event: one warning, one note, a new file; nothing raises."""
    synced = Recorded(monkeypatch, "fdatasync")
    synced.error = errno.EIO
    writer = open_writer(tmp_path, run_id="r", sync="1 ms")
    writer.write(make_event(0))
    live = writer._segments._live
    assert synced.called.wait(20)
    while not live.attention:
        threading.Event().wait(0.001)
    synced.error = None
    writer.write(make_event(1))
    writer.close()

    assert written(writer.path) == [(0, 0), (1, 1)]
    assert notes(writer.path)[1] == [
        "sync_failed: some of the events before this one may not be on the disk, Input/output error"
    ]
    assert segment_names(tmp_path) == ["r_events.000001.jsonl", "r_events.jsonl"]
    assert len(caplog.messages) == 1


def test_a_last_sync_that_fails_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no next event to carry a note, but a warning there is."""
    synced = Recorded(monkeypatch, "fdatasync")
    writer = open_writer(tmp_path, run_id="r", sync="1 h")
    writer.write(make_event(0))
    synced.error = errno.EIO
    writer.close()

    assert caplog.messages == [f"{writer.path}: {NOT_TAKEN} {IO_ERROR}"]


def test_a_file_that_complains_of_being_closed_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Some file systems tell only then what they could not store: no exception, a warning, and the lock is free."""
    writer = open_writer(tmp_path, run_id="r", sync="none")
    writer.write(make_event(0))
    real, fd = os.close, writer._segments._live.file.fd

    def close(each: int) -> None:
        real(each)
        if each == fd:
            raise disk_error(errno.EDQUOT)

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", close)
        writer.close()

    assert not is_held(tmp_path / "r.lock")
    assert caplog.messages == [f"{writer.path}: {NOT_TAKEN} [Errno 122] Disk quota exceeded"]


# Lines that cannot be cut off


def test_a_file_that_cannot_be_cut_back_is_sealed_as_it_is(
    writer: RunWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After half a line that would not go away the log goes on in a new file; nothing is glued or lost."""
    writer.write(make_event(0))
    fail(monkeypatch, writer.path, short, full)
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", failing(errno.EIO))
        patch.setattr("rldk.io.sealing.Sealer.wake", lambda _: None)
        failed = writer.write(make_event(1))
    taken = [writer.write(make_event(2)), writer.write(make_event(3))]
    writer._segments._live._sealer.wake()
    wait_for_sealing(writer)

    assert (failed, taken) == (False, [True, True])
    assert segment_names(tmp_path) == ["r_events.000001.jsonl", "r_events.jsonl"]
    assert written(writer.path) == [(step, step) for step in range(4)]
    assert notes(writer.path) == [
        [],
        [ABANDONED + "Input/output error"],
        ["events_held: 1, seq 1-1, were written late"],
        [],
    ]
    assert [name for name in files(tmp_path) if name.endswith(".torn")] == ["r_events.000001.jsonl.1.torn"]
    assert caplog.messages == [
        f"{writer.path}: an unfinished line could not be cut off, so the log goes on in a new file: {IO_ERROR}",
        not_written(writer, "No space left on device"),
    ]


def test_a_file_that_can_neither_be_cut_nor_sealed_gets_nothing_more_until_it_can(
    writer: RunWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is glued to the half line; when the disk answers again all events are written."""
    writer.write(make_event(0))
    before = writer.path.read_bytes()
    fail(monkeypatch, writer.path, short, full)
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", failing(errno.EIO))
        patch.setattr(Path, "rename", failing(errno.EIO))
        kept_out = [writer.write(make_event(step)) for step in range(1, 5)]
        between = writer.path.read_bytes()
    went_on = writer.write(make_event(5))

    assert kept_out == [False] * 4
    assert between.startswith(before)
    assert b"\n" not in between.removeprefix(before)
    assert went_on
    assert written(writer.path) == [(step, step) for step in range(6)]
    assert notes(writer.path)[-1] == ["events_held: 4, seq 1-4, were written late"]
    assert segment_names(tmp_path) == ["r_events.jsonl"]


def test_what_another_process_wrote_is_not_cut_away(
    writer: RunWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the file grew by more than the failed line, its bytes are somebody's: they stay, in the sealed file."""

    def stranger(fd: int, line: bytes) -> int:
        short(fd, line)
        good(fd, b"x" * 1000)
        return full(fd, line)

    fail(monkeypatch, writer.path, stranger)
    monkeypatch.setattr("rldk.io.sealing.Sealer.wake", lambda _: None)
    taken = [writer.write(make_event(step)) for step in range(3)]

    assert taken == [False, True, True]
    assert (tmp_path / "r_events.000001.jsonl").read_bytes().endswith(b"x" * 1000)
    assert [decode(line).step for line in writer.path.read_bytes().splitlines()] == [0, 1, 2]
    assert writer.counters == Counters(written=3)


def test_a_torn_tail_that_cannot_be_moved_begins_a_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log whose end cannot be repaired now is opened all the same, and its torn end is not written to."""
    path = write_attempt(tmp_path, [make_event(0)])
    content = path.read_bytes() + b"torn"
    path.write_bytes(content)
    monkeypatch.setattr("rldk.io.sealing.Sealer.wake", lambda _: None)
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", failing(errno.EPERM))
        writer = open_writer(tmp_path, run_id="r")
    writer.write(make_event(1))
    writer.close()

    assert (tmp_path / "r_events.000001.jsonl").read_bytes() == content
    assert [decode(line).step for line in path.read_bytes().splitlines()] == [1]
    assert decode(path.read_bytes()).notes == [ABANDONED + "Operation not permitted"]


# What others do to the files


RESTORED = "another program deleted or moved the log; what was in it has been put back"


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced", "folder deleted"])
def test_a_file_that_is_taken_away_is_put_back(
    writer: RunWriter, tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """Within a second it is noticed: what was in it, and what was written since, becomes a sealed segment."""
    writer.write(make_event(0))
    if how == "moved":
        writer.path.rename(tmp_path / "elsewhere")
    elif how == "folder deleted":
        shutil.rmtree(tmp_path)
    else:
        writer.path.unlink()
    if how == "replaced":
        writer.path.touch()
    taken = [writer.write(make_event(1))]
    clock.now += 1
    taken += [writer.write(make_event(2)), writer.write(make_event(3))]

    assert taken == [True] * 3
    assert segment_names(tmp_path) == ["r_events.000001.jsonl", "r_events.jsonl"]
    assert written(writer.path) == [(step, step) for step in range(4)]
    assert notes(writer.path) == [[], [], [f"log_restored: {RESTORED}"], []]
    assert caplog.messages == [f"{writer.path}: {RESTORED}"]
    assert is_held(tmp_path / "r.lock")


def test_a_file_without_events_that_is_deleted_is_made_anew(writer: RunWriter, tmp_path: Path) -> None:
    """There is nothing to be put back."""
    writer.path.unlink()
    writer.write(make_event(0))

    assert segment_names(tmp_path) == ["r_events.jsonl"]
    assert written(writer.path) == [(0, 0)]


def test_a_file_that_cannot_be_put_back_yet_is_put_back_once(
    writer: RunWriter, tmp_path: Path, clock: ManualClock
) -> None:
    """However often it is tried while something is in the way, there is one copy, and every event once."""
    writer.write(make_event(0))
    writer.path.unlink()
    writer.path.mkdir()
    clock.now += 1
    taken = [writer.write(make_event(step)) for step in range(1, 4)]
    writer.path.rmdir()
    taken += [writer.write(make_event(4))]

    assert taken == [False, False, False, True]
    assert segment_names(tmp_path) == ["r_events.000001.jsonl", "r_events.jsonl"]
    assert written(writer.path) == [(step, step) for step in range(5)]


def test_a_copy_that_fails_is_made_the_next_time(
    writer: RunWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    """The events are still to be had from the deleted file, for as long as it is open."""
    writer.write(make_event(0))
    writer.path.unlink()
    clock.now += 1
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", lambda *_: b"")
        failed = writer.write(make_event(1))
    writer.write(make_event(2))

    assert not failed
    assert segment_names(tmp_path) == ["r_events.000001.jsonl", "r_events.jsonl"]
    assert written(writer.path) == [(0, 0), (1, 1), (2, 2)]


def test_a_file_that_was_sealed_by_hand_is_not_copied(writer: RunWriter, tmp_path: Path, clock: ManualClock) -> None:
    """A live file that somebody renamed to a segment of the log is where it belongs."""
    writer.write(make_event(0))
    writer.path.rename(sealed_path(the_log(tmp_path), 2))
    clock.now += 1
    writer.write(make_event(1))

    assert segment_names(tmp_path) == ["r_events.000002.jsonl", "r_events.jsonl"]
    assert written(writer.path) == [(0, 0), (1, 1)]


def test_a_file_that_takes_its_place_is_gone_on_with(writer: RunWriter, tmp_path: Path, clock: ManualClock) -> None:
    """Whole lines of a stranger stay, an unfinished one is moved aside."""
    writer.write(make_event(0))
    stranger = encode(make_event(7, seq=0, model_info={"run_id": "r", "attempt": 9}))
    writer.path.unlink()
    writer.path.write_bytes(stranger + b"torn")
    clock.now += 1
    writer.write(make_event(1))

    assert writer.path.read_bytes().startswith(stranger + b'{"step":1,')
    assert (tmp_path / "r_events.jsonl.1.torn").read_bytes() == b"torn"
    assert steps(writer.path) == [0, 7, 1]


def test_a_lock_that_is_taken_away_is_taken_again(writer: RunWriter, tmp_path: Path, clock: ManualClock) -> None:
    """Within a second other writers are kept out again."""
    (tmp_path / "r.lock").unlink()
    clock.now += 1
    writer.write(make_event(0))

    assert is_held(tmp_path / "r.lock")


def test_a_lock_that_somebody_else_took_meanwhile_keeps_us_out(
    writer: RunWriter, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the other writes we hold our events; when it has ended they are written."""
    monkeypatch.setattr("rldk.io.lock._PATIENCE", 0.0)
    writer.write(make_event(0))
    (tmp_path / "r.lock").unlink()
    other = Lock(tmp_path / "r.lock")
    clock.now += 1
    taken = [writer.write(make_event(1))]
    there = steps(writer.path)
    other.release()
    taken.append(writer.write(make_event(2)))

    assert (taken, there) == ([False, True], [0])
    assert written(writer.path) == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize("left", [0, 1, 2, 2.5])
def test_what_somebody_cut_off_is_accounted_for(
    writer: RunWriter, clock: ManualClock, caplog: pytest.LogCaptureFixture, left: float
) -> None:
    """Within a second: the next event says which are gone, a half line is moved aside, and the log is valid."""
    for step in range(4):
        writer.write(make_event(step))
    os.truncate(writer.path, int(writer.path.stat().st_size / 4 * left))
    clock.now += 1
    writer.write(make_event(4))
    first = int(left)

    assert written(writer.path) == [*[(step, step) for step in range(first)], (4, 4)]
    assert notes(writer.path)[-1][-1] == (
        f"events_dropped: {4 - first}, seq {first}-3, another program cut them off the log"
    )
    assert caplog.messages[-1] == f"{writer.path}: another program cut the log short, and what it cut off is gone"


def test_a_cut_that_comes_to_light_when_a_write_fails_is_accounted_for(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the second is over: nothing is glued to the half line that the cut has left."""
    for step in range(4):
        writer.write(make_event(step))
    os.truncate(writer.path, writer.path.stat().st_size - 50)
    fail(monkeypatch, writer.path, full)
    failed = writer.write(make_event(4))
    writer.write(make_event(5))

    assert not failed
    assert written(writer.path) == [(0, 0), (1, 1), (2, 2), (4, 4), (5, 5)]
    assert [[each.partition(":")[0] for each in of_one] for of_one in notes(writer.path)[-2:]] == [
        ["torn_tail", "events_dropped"],
        ["events_held"],
    ]


def test_a_cut_that_went_unseen_while_events_were_written_leaves_no_hole(writer: RunWriter, clock: ManualClock) -> None:
    """A log that a log rotation has emptied goes on at its new end, without NUL bytes; validation tells the gap."""
    writer.write(make_event(0))
    os.truncate(writer.path, 0)
    writer.write(make_event(1))
    clock.now += 1
    writer.write(make_event(2))

    assert [decode(line).step for line in writer.path.read_bytes().splitlines()] == [1, 2]


def test_a_closed_log_is_closed_whatever_the_disk_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half line that cannot be cut back at the end does not keep the lock."""
    writer = open_writer(tmp_path, run_id="r")
    fail(monkeypatch, writer.path, interrupt_midway)
    with pytest.raises(KeyboardInterrupt):
        writer.write(make_event(0))
    monkeypatch.setattr(os, "ftruncate", failing(errno.EIO))
    monkeypatch.setattr(Path, "rename", failing(errno.EIO))
    writer.close()

    assert not is_held(tmp_path / "r.lock")


def test_a_lock_that_cannot_be_removed_is_let_go_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that became read-only, closing raises nothing."""
    writer = open_writer(tmp_path, run_id="r")
    writer.write(make_event(0))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", failing(errno.EROFS))
        writer.close()

    assert (tmp_path / "r.lock").exists()
    assert not is_held(tmp_path / "r.lock")
