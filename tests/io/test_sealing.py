"""Sealed segments are counted, compressed and removed; a crash at any moment is made up for."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rldk.errors import MissingExtraError
from rldk.io import sealing
from rldk.io.codec import encode
from rldk.io.compression import compress
from rldk.io.manifest import Removed, Segment, read_manifest, update_manifest
from rldk.io.quantities import Quantity
from rldk.io.sealing import Policy, Sealer, describe, next_number, tend
from rldk.io.segments import COMPRESSIONS, log_path, sealed_path
from rldk.io.verify import verify
from tests.io.faults import ManualClock, disk_error, failing, finish, segment_names, the_log
from tests.runs import files, make_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from rldk.io.manifest import Manifest
    from rldk.io.segments import Compression, Log

GZ = Policy("gz")


def lines(number: int) -> bytes:
    """The two events of a segment."""
    info = {"run_id": "r", "attempt": 3}
    first = 2 * (number - 1)
    return b"".join(encode(make_event(10 + seq, seq=seq, model_info=info)) for seq in (first, first + 1))


def a_log(folder: Path, count: int) -> Log:
    """A log with so many sealed segments, and one event in its live file."""
    log = the_log(folder)
    for number in range(1, count + 1):
        path = sealed_path(log, number)
        path.write_bytes(lines(number))
        os.utime(path, (number, number))
    log_path(folder, "r").write_bytes(lines(count + 1).partition(b"\n")[0] + b"\n")
    return log


def an_entry(number: int, ending: str = "") -> Segment:
    """What the manifest says of a plain segment, and of a compressed one but for how it is stored."""
    text = lines(number)
    return Segment(
        file=f"r_events.{number:06d}.jsonl{ending}",
        sealed=True,
        events=2,
        bytes=len(text),
        sha256=hashlib.sha256(text).hexdigest(),
        first_attempt=3,
        last_attempt=3,
        first_seq=2 * number - 2,
        last_seq=2 * number - 1,
        first_step=2 * number + 8,
        last_step=2 * number + 9,
        stored_bytes=len(text),
        stored_sha256=hashlib.sha256(text).hexdigest(),
    )


def entered(log: Log) -> list[str]:
    """The segments that the manifest knows."""
    return [each.file for each in read_manifest(log).segments]


# What is said of a segment


def test_a_plain_segment_is_described(tmp_path: Path) -> None:
    """Its events, its bytes, their sum, and the first and last of attempt, seq and step."""
    log = a_log(tmp_path, 2)

    assert describe(sealed_path(log, 2)) == an_entry(2)


@pytest.mark.parametrize("how", COMPRESSIONS)
def test_a_compressed_segment_is_described_by_what_is_in_it(tmp_path: Path, how: Compression) -> None:
    """And by the file as it is stored."""
    path = compress(sealed_path(a_log(tmp_path, 2), 2), how)
    assert path
    stored = path.read_bytes()
    found = describe(path)

    assert (found.events, found.bytes, found.sha256, found.last_step) == (
        2,
        len(lines(2)),
        hashlib.sha256(lines(2)).hexdigest(),
        13,
    )
    assert (found.file, found.stored_bytes, found.stored_sha256) == (
        f"r_events.000002.jsonl.{how}",
        len(stored),
        hashlib.sha256(stored).hexdigest(),
    )


def test_a_segment_of_many_chunks_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that end anywhere in a chunk are counted once; a chunk may be shorter than a line."""
    log = a_log(tmp_path, 1)
    for size in (1, 7, len(lines(1)) // 2, len(lines(1))):
        monkeypatch.setattr(sealing, "_CHUNK", size)

        assert describe(sealed_path(log, 1)) == an_entry(1)


@pytest.mark.parametrize(
    ("text", "events"),
    [(b"", 0), (b"garbage\n", 1), (b"torn", 0), (b"\n\n", 2)],
    ids=["empty", "garbage", "torn", "blank"],
)
def test_a_file_without_events_is_described_all_the_same(tmp_path: Path, text: bytes, events: int) -> None:
    """Its lines and bytes are counted; first and last are unknown."""
    path = tmp_path / "r_events.jsonl"
    path.write_bytes(text)
    digest = hashlib.sha256(text).hexdigest()

    assert describe(path, sealed=False) == Segment(
        file="r_events.jsonl",
        sealed=False,
        events=events,
        bytes=len(text),
        sha256=digest,
        stored_bytes=len(text),
        stored_sha256=digest,
    )


def test_the_next_number_is_after_all_there_are_and_were(tmp_path: Path) -> None:
    """By file, by entry, or by what was removed."""
    log = the_log(tmp_path)
    found = [next_number(log)]
    sealed_path(log, 2, "gz").touch()
    found.append(next_number(log))
    update_manifest(log, lambda manifest: manifest.segments.append(an_entry(5)))
    found.append(next_number(log))
    update_manifest(log, lambda manifest: setattr(manifest, "removed", removed(9)))
    found.append(next_number(log))

    assert found == [1, 3, 6, 10]


def removed(last: int, **changes: Any) -> Removed:
    """What the manifest says of removed segments."""
    fields: dict[str, Any] = {
        "segments": last,
        "events": 2 * last,
        "bytes": sum(len(lines(number)) for number in range(1, last + 1)),
        "last_number": last,
        "last_attempt": 3,
        "last_seq": 2 * last - 1,
        "last_step": 2 * last + 9,
        "at": "2026-01-01T00:16:40.000000Z",
        "policy": "2 segments",
    }
    return Removed(**fields | changes)


# Entering and compressing


def test_segments_are_entered_in_their_order(tmp_path: Path) -> None:
    """Each as it is described; the live file is not among them, and nothing is compressed without being asked."""
    log = a_log(tmp_path, 3)
    errors = tend(log, Policy())

    assert errors == []
    assert read_manifest(log).segments == [an_entry(1), an_entry(2), an_entry(3)]
    assert verify(tmp_path).valid


@pytest.mark.parametrize("how", COMPRESSIONS)
def test_segments_are_compressed(tmp_path: Path, how: Compression) -> None:
    """The entries say how they are stored now, and what is in them as before."""
    log = a_log(tmp_path, 2)
    errors = tend(log, Policy(how))
    found = read_manifest(log).segments

    assert errors == []
    assert [(each.file, each.sha256) for each in found] == [
        (f"r_events.{number:06d}.jsonl.{how}", an_entry(number).sha256) for number in (1, 2)
    ]
    assert found == [describe(tmp_path / each.file) for each in found]
    assert segment_names(tmp_path) == [each.file for each in found] + ["r_events.jsonl"]
    assert verify(tmp_path).valid


@pytest.mark.parametrize("policy", [Policy(), GZ, Policy("zst", Quantity("segments", 2))])
def test_what_is_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Policy) -> None:
    """The second time no segment is even read, and nothing is written."""
    log = a_log(tmp_path, 3)
    tend(log, policy)
    before = files(tmp_path)
    for name in ("describe", "compress", "update_manifest"):
        monkeypatch.setattr(sealing, name, failing(errno.EIO))
    errors = tend(log, policy)

    assert errors == []
    assert files(tmp_path) == before


class Crash(BaseException):
    """The process ends here."""


def crash_at(patch: pytest.MonkeyPatch, moment: int) -> Callable[[], bool]:
    """Have the process end at the so-manieth change of the disk; gives what tells whether it came so far."""
    count = itertools.count()
    crashed: list[int] = []

    def until(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if crashed or next(count) == moment:
                crashed.append(moment)
                raise Crash
            return real(*arguments, **options)

        return call

    for name in ("fsync", "ftruncate"):
        patch.setattr(os, name, until(getattr(os, name)))
    for name in ("rename", "replace", "unlink"):
        patch.setattr(Path, name, until(getattr(Path, name)))
    return lambda: bool(crashed)


@pytest.mark.parametrize("how", [None, *COMPRESSIONS])
def test_a_crash_at_any_moment_is_made_up_for(tmp_path: Path, how: Compression | None) -> None:
    """Killed before any of its steps, the work is done the next time as if there had been no crash."""
    policy, clock = Policy(how, Quantity("segments", 2)), ManualClock()
    clean = a_log(tmp_path / "clean", 3) if not (tmp_path / "clean").mkdir() else None
    assert clean
    tend(clean, policy, clock=clock)
    crashes = 0
    for moment in itertools.count():
        folder = tmp_path / f"{moment}"
        folder.mkdir()
        log = a_log(folder, 3)
        with pytest.MonkeyPatch.context() as patch:
            crashed = crash_at(patch, moment)
            try:
                tend(log, policy, clock=clock)
            except Crash:
                crashes += 1
        if not crashed():
            break
        errors = tend(log, policy, clock=clock)

        assert errors == []
        assert read_manifest(log) == read_manifest(clean)
        assert segment_names(folder) == segment_names(tmp_path / "clean")
        assert {name for name in files(folder) if not name.startswith(".rldk-")} == set(files(tmp_path / "clean"))

    assert crashes > 15


def test_a_compressed_segment_beside_its_plain_one_is_finished_whatever_the_policy(tmp_path: Path) -> None:
    """A crash came before the plain one was removed; a later process may have been told not to compress."""
    log = a_log(tmp_path, 1)
    plain = sealed_path(log, 1).read_bytes()
    tend(log, GZ)
    sealed_path(log, 1).write_bytes(plain)
    errors = tend(log, Policy())

    assert errors == []
    assert segment_names(tmp_path) == ["r_events.000001.jsonl.gz", "r_events.jsonl"]
    assert verify(tmp_path).valid


def test_an_entry_of_the_plain_file_is_replaced_when_only_the_compressed_is_there(tmp_path: Path) -> None:
    """A crash came before the manifest was told."""
    log = a_log(tmp_path, 1)
    tend(log, Policy())
    compress(sealed_path(log, 1), "gz")
    before = entered(log)
    errors = tend(log, Policy())

    assert errors == []
    assert (before, entered(log)) == (["r_events.000001.jsonl"], ["r_events.000001.jsonl.gz"])
    assert verify(tmp_path).valid


def test_a_compressed_segment_without_an_entry_is_entered(tmp_path: Path) -> None:
    """As when the manifest was lost."""
    log = a_log(tmp_path, 1)
    path = compress(sealed_path(log, 1), "zst")
    assert path
    tend(log, Policy())

    assert read_manifest(log).segments == [describe(path)]


def test_a_segment_that_changed_is_not_entered_anew(tmp_path: Path) -> None:
    """The manifest is what damage is found by: it keeps what was counted first."""
    log = a_log(tmp_path, 1)
    tend(log, Policy())
    sealed_path(log, 1).write_bytes(lines(2))
    compress(sealed_path(log, 1), "gz")
    errors = tend(log, Policy())

    assert errors == []
    assert read_manifest(log).segments == [an_entry(1)]
    assert not verify(tmp_path).valid


def test_compressing_a_segment_that_changed_does_not_hide_it(tmp_path: Path) -> None:
    """The entry goes on to say what the events were when they were sealed."""
    log = a_log(tmp_path, 1)
    tend(log, Policy())
    sealed_path(log, 1).write_bytes(lines(2))
    tend(log, GZ)

    assert [each.sha256 for each in read_manifest(log).segments] == [an_entry(1).sha256]
    assert not verify(tmp_path).valid


def test_an_unfinished_line_of_an_abandoned_segment_is_moved_out(tmp_path: Path) -> None:
    """A sealed segment is whole lines; what else was in it is beside it."""
    log = a_log(tmp_path, 1)
    with sealed_path(log, 1).open("ab") as file:
        file.write(b"torn")
    errors = tend(log, Policy())

    assert errors == []
    assert read_manifest(log).segments == [an_entry(1)]
    assert (tmp_path / "r_events.000001.jsonl.3.torn").read_bytes() == b"torn"


@pytest.mark.parametrize(("number", "entered"), [(errno.ENOSPC, 0), (errno.EPERM, 1)])
def test_an_unfinished_line_that_cannot_be_moved_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, entered: int
) -> None:
    """On a full disk the segment waits for room; one that can never be cut is entered as it is."""
    log = the_log(tmp_path)
    sealed_path(log, 1).write_bytes(encode(make_event(0, seq=0)) + b"torn")
    with monkeypatch.context() as patch:
        patch.setattr(sealing, "move_torn_tail", failing(number))
        errors = [error.errno for error in tend(log, Policy())]
    found = len(read_manifest(log).segments)

    assert (errors, found) == ([number] * (1 - entered), entered)
    assert tend(log, Policy()) == []
    assert sealed_path(log, 1).read_bytes().endswith(b"torn") is bool(entered)


def test_a_segment_is_on_the_disk_before_it_is_in_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted there must not be gone after a power cut."""
    synced = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(Path(f"/dev/fd/{fd}").readlink().name)
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    tend(a_log(tmp_path, 1), Policy())

    assert synced[:2] == ["r_events.000001.jsonl", tmp_path.name]
    assert synced[2].startswith(".rldk-")


def test_one_segment_that_cannot_be_done_does_not_keep_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be done is told of, and done the next time."""
    log = a_log(tmp_path, 3)
    real = compress

    def fail_for_2(path: Path, *arguments: Any, **options: Any) -> Path | None:
        if "000002" in path.name:
            raise disk_error(errno.ENOSPC)
        return real(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(sealing, "compress", fail_for_2)
        errors = tend(log, GZ)
    between = entered(log)
    again = tend(log, GZ)

    assert [error.errno for error in errors] == [errno.ENOSPC]
    assert between == ["r_events.000001.jsonl.gz", "r_events.000002.jsonl", "r_events.000003.jsonl.gz"]
    assert again == []
    assert entered(log)[1] == "r_events.000002.jsonl.gz"


def test_a_segment_that_needs_what_is_not_installed_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log with zstd segments where zstandard is missing: an error of this segment, nothing worse."""
    log = a_log(tmp_path, 2)
    path = compress(sealed_path(log, 1), "zst")

    def missing(_path: Path) -> Any:
        raise MissingExtraError("zstandard", "zstd")

    real = sealing.open_segment
    monkeypatch.setattr(sealing, "open_segment", lambda each: missing(each) if each == path else real(each))
    errors = tend(log, Policy())

    assert [str(error) for error in errors] == [
        f"[Errno 95] zstandard is not installed; install it with: pip install 'rldk[zstd]': '{path}'"
    ]
    assert entered(log) == ["r_events.000002.jsonl"]


def test_a_segment_that_somebody_removes_meanwhile_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its entry, if there was one, stays, so that it is missed."""
    log = a_log(tmp_path, 2)
    real = describe

    def describe_too_late(path: Path, **options: Any) -> Segment:
        if "000001" in path.name:
            path.unlink()
        return real(path, **options)

    monkeypatch.setattr(sealing, "describe", describe_too_late)
    errors = tend(log, Policy())

    assert errors == []
    assert entered(log) == ["r_events.000002.jsonl"]


def test_a_folder_that_cannot_be_read_is_an_error_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told of like any other, and raises nothing."""
    monkeypatch.setattr(sealing, "sealed_segments", failing(errno.EIO))

    assert [error.errno for error in tend(the_log(tmp_path), Policy())] == [errno.EIO]


@pytest.mark.parametrize("asked", [1, 2, 3, 4, 5])
def test_work_that_is_stopped_is_done_the_next_time(tmp_path: Path, asked: int) -> None:
    """At whichever question it is stopped, nothing is half done."""
    log = a_log(tmp_path, 2)
    count = itertools.count(1)
    errors = tend(log, GZ, stop=lambda: next(count) >= asked)
    between = verify(tmp_path)
    again = tend(log, GZ)

    assert (errors, again) == ([], [])
    assert [each.field for file in between.logs[0].files for each in file.differences] == []
    assert entered(log) == ["r_events.000001.jsonl.gz", "r_events.000002.jsonl.gz"]
    assert verify(tmp_path).valid


# Retention


@pytest.mark.parametrize(
    ("keep", "gone"),
    [
        (Quantity("segments", 2), 2),
        (Quantity("segments", 1), 3),
        (Quantity("segments", 4), 0),
        (Quantity("bytes", 2 * len(lines(1))), 2),
        (Quantity("bytes", 2 * len(lines(1)) - 1), 3),
        (Quantity("bytes", 1), 4),
        (Quantity("bytes", 10**9), 0),
        (Quantity("seconds", 97.5), 2),
        (Quantity("seconds", 1), 4),
        (Quantity("seconds", 1000), 0),
    ],
)
def test_the_oldest_are_removed_until_the_rest_is_what_is_kept(tmp_path: Path, keep: Quantity, gone: int) -> None:
    """Counted by number, by stored bytes, or by age; the manifest tells what is gone, and verifying misses nothing."""
    log = a_log(tmp_path, 4)
    clock = ManualClock()
    for number in range(1, 5):
        os.utime(sealed_path(log, number), (clock.time() - 100 + number, clock.time() - 100 + number))
    errors = tend(log, Policy(None, keep), clock=clock)
    manifest = read_manifest(log)

    assert errors == []
    assert entered(log) == [f"r_events.{number:06d}.jsonl" for number in range(gone + 1, 5)]
    assert segment_names(tmp_path) == [*entered(log), "r_events.jsonl"]
    assert manifest.removed == (removed(gone, policy=f"{keep.amount:,} {keep.kind}") if gone else None)
    assert verify(tmp_path).valid


def test_what_was_removed_adds_up(tmp_path: Path) -> None:
    """A second removal adds its segments, events and bytes to those of the first."""
    log, clock = a_log(tmp_path, 3), ManualClock()
    policy = Policy("gz", Quantity("segments", 2))
    tend(log, policy, clock=clock)
    first = read_manifest(log).removed
    for number in (4, 5):
        sealed_path(log, number).write_bytes(lines(number))
    tend(log, policy, clock=clock)

    assert first == removed(1)
    assert read_manifest(log).removed == removed(3)


def test_removing_makes_room_to_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the oldest segment goes first, then the manifest is written."""
    log, clock = a_log(tmp_path, 4), ManualClock()
    tend(log, Policy())
    real, seen = update_manifest, []

    def full_until_removed(log: Log, change: Callable[[Manifest], object]) -> Manifest:
        seen.append(sealed_path(log, 1).exists())
        if seen[-1]:
            raise disk_error(errno.ENOSPC)
        return real(log, change)

    monkeypatch.setattr(sealing, "update_manifest", full_until_removed)
    errors = tend(log, Policy(None, Quantity("segments", 2)), clock=clock)

    assert errors == []
    assert seen == [True, False]
    assert segment_names(tmp_path) == ["r_events.000003.jsonl", "r_events.000004.jsonl", "r_events.jsonl"]
    assert read_manifest(log).removed == removed(2)
    assert verify(tmp_path).valid


def test_nothing_is_removed_that_cannot_be_accounted_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the manifest cannot be written for another reason, the segments stay."""
    log = a_log(tmp_path, 3)
    tend(log, Policy())
    monkeypatch.setattr(sealing, "update_manifest", failing(errno.EROFS))
    errors = tend(log, Policy(None, Quantity("segments", 1)))

    assert [error.errno for error in errors] == [errno.EROFS]
    assert len(segment_names(tmp_path)) == 4


def test_a_segment_that_is_sealed_meanwhile_is_not_removed_uncounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits until it is in the manifest: what is removed is accounted for to the event."""
    log, clock = a_log(tmp_path, 2), ManualClock()
    real = describe

    def describe_while_more_come(path: Path, **options: Any) -> Segment:
        for number in (3, 4):
            sealed_path(log, number).write_bytes(lines(number))
        return real(path, **options)

    policy = Policy(None, Quantity("bytes", 1))
    with monkeypatch.context() as patch:
        patch.setattr(sealing, "describe", describe_while_more_come)
        tend(log, policy, clock=clock)
    first = read_manifest(log).removed
    tend(log, policy, clock=clock)

    assert first == removed(2, policy="1 bytes")
    assert read_manifest(log).removed == removed(4, policy="1 bytes")


# In the background


def test_the_sealer_does_its_work_when_it_is_woken(tmp_path: Path) -> None:
    """Not before, and again when it is woken again."""
    log, errors = a_log(tmp_path, 1), []
    sealer = Sealer(log, GZ, ManualClock(), errors.append)
    asleep = entered(log)
    sealer.wake()
    finish(sealer)
    first = entered(log)
    sealed_path(log, 2).write_bytes(lines(2))
    sealer.wake()
    sealer.wake()
    finish(sealer)
    sealer.close()

    assert (asleep, first) == ([], ["r_events.000001.jsonl.gz"])
    assert entered(log) == ["r_events.000001.jsonl.gz", "r_events.000002.jsonl.gz"]
    assert errors == []


def test_the_sealer_tells_of_what_it_could_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And goes on."""
    log, errors = a_log(tmp_path, 1), []
    monkeypatch.setattr(sealing, "compress", failing(errno.ENOSPC))
    sealer = Sealer(log, GZ, ManualClock(), errors.append)
    for _ in range(2):
        sealer.wake()
        finish(sealer)
    sealer.close()

    assert [error.errno for error in errors] == [errno.ENOSPC] * 2


def test_a_sealer_that_was_never_woken_is_closed_at_once(tmp_path: Path) -> None:
    """There is no thread to wait for."""
    sealer = Sealer(the_log(tmp_path), GZ, ManualClock(), list[OSError]().append)
    sealer.close()

    assert sealer._thread is None


def test_closing_stops_a_compression_that_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was begun is undone, the plain segment stays, and the thread ends."""
    log = a_log(tmp_path, 1)
    compressing = threading.Event()

    def compress_for_ever(_path: Path, _how: str, *, stop: Callable[[], bool]) -> None:
        compressing.set()
        while not stop():
            threading.Event().wait(0.001)

    monkeypatch.setattr(sealing, "compress", compress_for_ever)
    sealer = Sealer(log, GZ, ManualClock(), list[OSError]().append)
    sealer.wake()
    assert compressing.wait(20)
    sealer.close()
    thread = sealer._thread

    assert thread
    assert not thread.is_alive()
    assert entered(log) == ["r_events.000001.jsonl"]


def test_closing_does_not_wait_for_a_disk_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the thread is left to itself."""
    log = a_log(tmp_path, 1)
    answer, hanging = threading.Event(), threading.Event()

    def hang(_path: Path, **_options: Any) -> None:
        hanging.set()
        answer.wait(20)
        raise disk_error(errno.EIO)

    monkeypatch.setattr(sealing, "describe", hang)
    monkeypatch.setattr(sealing, "_PATIENCE", 0.01)
    sealer = Sealer(log, GZ, ManualClock(), list[OSError]().append)
    sealer.wake()
    assert hanging.wait(20)
    began = time.monotonic()
    sealer.close()
    took = time.monotonic() - began
    answer.set()
    assert sealer._thread
    sealer._thread.join(20)

    assert took < 5
    assert not sealer._thread.is_alive()
