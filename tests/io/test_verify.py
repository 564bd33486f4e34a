"""Verifying a run: whatever became of its events after they were sealed is found."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from rldk.errors import MissingExtraError, RunNotFoundError
from rldk.io import verify as module
from rldk.io.codec import encode
from rldk.io.compression import compress
from rldk.io.lock import Lock
from rldk.io.manifest import Manifest, Removed, update_manifest
from rldk.io.problems import Problem
from rldk.io.sealing import describe
from rldk.io.segments import COMPRESSIONS, derived_path, log_path, run_log, sealed_path, sealed_segments
from rldk.io.verify import CheckedFile, Difference, LeftOver, verify
from tests.samples import an_event, write_log

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.io.event_schema import Event
    from rldk.io.opened import Opened
    from rldk.io.segments import Compression, Log

NAMES: Final = [f"r1_events.00000{number}.jsonl" for number in (1, 2, 3)]
LIVE: Final = "r1_events.jsonl"


def _write(folder: Path, *, rank: int = 0, count: int = 4) -> Log:
    """Three sealed segments and the live file, each of a few events, and no manifest."""
    path = log_path(folder, "r1", rank)
    events = [[an_event(step, info={"rank": rank}) for step in range(n * count, (n + 1) * count)] for n in range(4)]
    log = run_log(write_log(path, events[3]))
    for number in (1, 2, 3):
        write_log(sealed_path(log, number), events[number - 1])
    return log


def _record(log: Log, **changes: Any) -> None:
    """Enter the sealed segments that are there in the manifest, with changes to the entry of the second."""

    def enter(manifest: Manifest) -> None:
        manifest.segments = [describe(each.path) for each in sealed_segments(log)]
        if changes:
            manifest.segments[1] = msgspec.structs.replace(manifest.segments[1], **changes)

    update_manifest(log, enter)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """A log of three sealed segments that are in the manifest, and the live file."""
    log = _write(tmp_path)
    _record(log)
    return log


def _files(log: Log) -> list[CheckedFile]:
    (checked,) = verify(log.path).logs
    return checked.files


def _sealed(name: str, events: int = 4, **changes: Any) -> CheckedFile:
    return CheckedFile(name, **{"sealed": True, "recorded": True, "events": events, **changes})


def _missing(name: str, expected: str = "a segment", *, recorded: bool = False) -> CheckedFile:
    differences = [Difference("file", expected, "no such file")]
    return CheckedFile(name, valid=False, sealed=True, recorded=recorded, differences=differences)


@pytest.mark.parametrize("how", [None, *COMPRESSIONS])
def test_a_run_as_it_was_written_is_valid(tmp_path: Path, how: Compression | None) -> None:
    """Whether it was compressed before or after its segments were recorded; the live file is checked too."""
    for when in ("before", "after"):
        (tmp_path / when).mkdir()
        log = _write(tmp_path / when)
        if when == "after":
            _record(log)
        if how:
            for number in (1, 2):
                compress(sealed_path(log, number), how)
        if when == "before":
            _record(log)
        found = verify(tmp_path / when)
        ending = f".{how}" if how else ""

        assert found
        assert found.left_over == []
        assert [(each.run_id, each.rank, each.removed_segments) for each in found.logs] == [("r1", 0, 0)]
        assert found.logs[0].files == [
            _sealed(NAMES[0] + ending),
            _sealed(NAMES[1] + ending),
            _sealed(NAMES[2]),
            CheckedFile(LIVE, events=4),
        ]


@pytest.mark.parametrize("how", [None, *COMPRESSIONS])
def test_every_flipped_bit_is_found(tmp_path: Path, how: Compression | None) -> None:
    """In what is in a sealed segment, and in the header and trailer of a compressed one.

    Seen to fail when only what a compressed file holds is compared, and not the file itself.
    """
    event = msgspec.structs.replace(an_event(0), timestamp=None, rng={}, data_slice={}, metrics={"a": 1})
    log = run_log(write_log(tmp_path / LIVE, []))
    path = write_log(sealed_path(log, 1), [event])
    path = (compress(path, how) if how else None) or path
    _record(log)
    whole = path.read_bytes()
    assert verify(tmp_path)

    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        assert not verify(tmp_path), bit


def test_what_differs_is_told_with_both_values(log: Log) -> None:
    """Size, hash and count, first and last seq and step: as the manifest says, and as it is."""
    path = sealed_path(log, 2)
    before = describe(path)
    write_log(path, [an_event(step) for step in range(4, 7)])
    after = describe(path)

    first, second, third, live = _files(log)
    assert (first.valid, second.valid, third.valid, live.valid) == (True, False, False, True)
    assert second.differences == [
        Difference("events", "4", "3"),
        Difference("bytes", str(before.bytes), str(after.bytes)),
        Difference("sha256", before.sha256, after.sha256),
        Difference("last_seq", "7", "6"),
        Difference("last_step", "7", "6"),
    ]
    assert third.problems == [Problem("seq_gap", "seq 7", "8: 1 event is missing", "$.seq", 0, 1)]
    assert third.counts == {"seq_gap": 1}


@pytest.mark.parametrize(
    "field", ["events", "bytes", "first_attempt", "last_attempt", "first_seq", "last_seq", "first_step", "last_step"]
)
def test_a_manifest_that_counts_otherwise_is_told(tmp_path: Path, field: str) -> None:
    """Though the hash is right: one of the two is wrong, and nobody guesses which."""
    log = _write(tmp_path)
    value = getattr(describe(sealed_path(log, 2)), field)
    _record(log, **{field: 99})

    assert _files(log)[1].differences == [Difference(field, "99", str(value))]


def test_a_line_that_is_no_event_any_more_has_nothing_to_compare(log: Log) -> None:
    """What the manifest says of it is said to be nothing."""
    path = sealed_path(log, 2)
    path.write_bytes(path.read_bytes().replace(b"{", b"[", 1))

    second = _files(log)[1]
    assert [(each.field, each.found) for each in second.differences if each.field != "sha256"] == [
        ("first_attempt", "nothing"),
        ("first_seq", "nothing"),
        ("first_step", "nothing"),
    ]
    assert second.counts == {"bad_json": 1}


def test_a_file_that_was_compressed_anew_is_told(tmp_path: Path) -> None:
    """The events are the same, and the stored file is not the one that was recorded."""
    log = _write(tmp_path)
    _record(log, file=NAMES[1], stored_bytes=1, stored_sha256="0" * 64)
    stored = describe(sealed_path(log, 2))
    changed = _files(log)[1]
    compress(sealed_path(log, 2), "gz")

    assert changed.differences == [
        Difference("stored_bytes", "1", str(stored.stored_bytes)),
        Difference("stored_sha256", "0" * 64, stored.stored_sha256),
    ]
    assert _files(log)[1].valid


def test_a_damaged_compressed_segment_is_told_once(tmp_path: Path) -> None:
    """Its events are damaged, not missing: the segment after it is as it was."""
    log = _write(tmp_path)
    path = compress(sealed_path(log, 2), "zst")
    assert path
    _record(log)
    path.write_bytes(path.read_bytes()[:-1])

    first, second, third, live = _files(log)
    assert second.counts == {"bad_compression": 1}
    assert (first.valid, second.valid, third.valid, live.valid) == (True, False, True, True)


def test_the_segments_of_a_log_are_checked_as_one(tmp_path: Path) -> None:
    """Between two of them an event may be missing, be there twice, or go back, though each by itself is in order."""
    log = run_log(write_log(tmp_path / LIVE, [an_event(9)]))
    for number, steps in ((1, (0, 1)), (2, (1, 2)), (3, (4, 5))):
        write_log(sealed_path(log, number), [an_event(step) for step in steps])
    _record(log)

    assert [(each.file, each.counts) for each in _files(log)] == [
        (NAMES[0], {}),
        (NAMES[1], {"seq_repeat": 1}),
        (NAMES[2], {"seq_gap": 1}),
        (LIVE, {"seq_gap": 1}),
    ]


def test_an_attempt_may_begin_in_the_middle_of_a_segment(tmp_path: Path) -> None:
    """It begins at seq 0, and goes on in the next segment."""

    def second(seq: int) -> Event:
        return an_event(seq + 2, seq=seq, info={"attempt": 2, "resumed_from": 1})

    log = run_log(write_log(tmp_path / LIVE, [second(2)]))
    write_log(sealed_path(log, 1), [an_event(0), an_event(1), an_event(2), second(0), second(1)])
    _record(log)

    assert verify(tmp_path)


def test_a_missing_segment_is_told_and_nothing_on_account_of_it(log: Log) -> None:
    """One the manifest has: how many events it had. One that nobody knows of: that its number is not there."""
    sealed_path(log, 2).unlink()
    known = _files(log)
    _record(log)
    unknown = _files(log)
    sealed_path(log, 1).unlink()
    _record(log)
    two = _files(log)

    gone = _missing(NAMES[1], "4 events, seq 4 to 7", recorded=True)
    rest = [_sealed(NAMES[2]), CheckedFile(LIVE, events=4)]
    assert known == [_sealed(NAMES[0]), gone, *rest]
    assert unknown == [_sealed(NAMES[0]), _missing(NAMES[1]), *rest]
    assert two == [_missing(f"{NAMES[0]} to {NAMES[1]}"), *rest]


def test_the_last_segment_may_be_missing_too(log: Log) -> None:
    """The live file then goes on behind it; or is missing itself, when all was sealed."""
    sealed_path(log, 3).unlink()
    with_live = _files(log)
    log.path.unlink()

    gone = _missing(NAMES[2], "4 events, seq 8 to 11", recorded=True)
    assert with_live == [_sealed(NAMES[0]), _sealed(NAMES[1]), gone, CheckedFile(LIVE, events=4)]
    assert _files(log) == with_live[:3]


def test_a_segment_whose_events_are_unknown_may_be_missing(tmp_path: Path) -> None:
    """Its entry has no seq, because its first line was no event."""
    log = _write(tmp_path)
    _record(log, first_seq=None)
    sealed_path(log, 2).unlink()

    assert _files(log)[1] == _missing(NAMES[1], "4 events", recorded=True)


def _remove(log: Log, last: int, **changes: Any) -> None:
    """What retention says of the segments up to this number; their files stay."""
    facts = {"segments": last, "events": 4 * last, "bytes": 1, "last_number": last, "last_attempt": 1}
    facts |= {"last_seq": 4 * last - 1, "last_step": 4 * last - 1, "at": "", "policy": "1 segments"}

    def change(manifest: Manifest) -> None:
        manifest.removed = Removed(**{**facts, **changes})
        manifest.segments = manifest.segments[last:]

    update_manifest(log, change)


def test_what_retention_removed_is_not_missed(log: Log) -> None:
    """The next segment has to follow the last one removed; how many went is told."""
    sealed_path(log, 1).unlink()
    _remove(log, 1)
    (fine,) = verify(log.path).logs
    _remove(log, 1, last_seq=2)
    (gap,) = verify(log.path).logs
    _remove(log, 1, last_seq=None)
    (unknown,) = verify(log.path).logs

    assert (fine.valid, fine.removed_segments, fine.removed_events) == (True, 1, 4)
    assert [each.file for each in fine.files] == [*NAMES[1:], LIVE]
    assert not gap.valid
    assert unknown.valid


def test_a_segment_that_retention_has_only_counted_is_left_over(log: Log) -> None:
    """A crash came before it was removed; the next attempt will."""
    _remove(log, 2)
    found = verify(log.path)

    assert found
    assert [each.file for each in found.logs[0].files] == [NAMES[2], LIVE]
    assert found.left_over == [LeftOver(name, "already counted as removed by retention") for name in NAMES[:2]]


def test_what_is_sealed_and_removed_meanwhile_is_no_trouble(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest is looked at again when the files have been checked."""
    check = module._check_lines

    def check_while_busy(segment: Opened, *others: Any) -> CheckedFile:
        if segment.number == 2:
            sealed_path(log, 1).unlink()
            _remove(log, 1)
            compress(sealed_path(log, 3), "gz")
            for number in (4, 5):
                log.path.rename(sealed_path(log, number))
                _record(log)
                write_log(log.path, [an_event(12 + number)])
        return check(segment, *others)

    monkeypatch.setattr(module, "_check_lines", check_while_busy)
    found = verify(log.path)

    assert found
    assert [(each.file, each.recorded) for each in found.logs[0].files] == [
        (NAMES[1], True),
        (f"{NAMES[2]}.gz", True),
        (LIVE, False),
    ]


def test_a_segment_removed_while_it_is_checked_is_as_it_was(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing left to compare, and its lines were in order."""

    def gone(_: Path) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(module, "describe", gone)

    assert verify(log.path)


def test_segments_that_are_not_yet_recorded_are_no_failure(tmp_path: Path) -> None:
    """A process that was killed may not have come to it, and a run needs no manifest."""
    log = _write(tmp_path)

    found = verify(tmp_path)
    assert found
    assert [each.recorded for each in found.logs[0].files] == [False] * 4
    assert [each.sealed for each in _files(log)] == [True, True, True, False]


def test_a_manifest_that_cannot_be_read_is_a_failure(log: Log) -> None:
    """Nothing can be compared then."""
    derived_path(log, "manifest.json").write_bytes(b"{")

    (manifest, *others) = _files(log)
    assert manifest == CheckedFile(
        "r1_manifest.json", valid=False, differences=[Difference("file", "a manifest", "Input data was truncated")]
    )
    assert [(each.valid, each.recorded) for each in others] == [(True, False)] * 4


def test_only_the_first_problems_of_a_file_are_kept(log: Log) -> None:
    """All are counted."""
    sealed_path(log, 2).write_bytes(b"[]\n" * 25)

    second = _files(log)[1]
    assert (second.counts, len(second.problems)) == ({"not_an_object": 25}, 10)


def test_a_torn_tail_is_told_unless_it_is_being_written(log: Log) -> None:
    """In the live file of a writer at work the last line may be on its way; in a sealed segment it is damage."""
    for path in (sealed_path(log, 1), log.path):
        with path.open("ab") as file:
            file.write(b'{"step":')
    idle = [each.counts for each in _files(log)]
    lock = Lock(log.path.with_name("r1.lock"))
    busy = [each.counts for each in _files(log)]
    lock.release()

    assert idle == [{"torn_tail": 1}, {}, {}, {"torn_tail": 1}]
    assert busy == [{"torn_tail": 1}, {}, {}, {}]


def test_every_rank_of_a_folder_is_verified(tmp_path: Path) -> None:
    """The path of a log, or of any segment of it, stands for that rank alone."""
    logs = [_write(tmp_path, rank=rank) for rank in (0, 2, 10)]
    for each in logs:
        _record(each)
    sealed_path(logs[1], 2).write_bytes(b"")

    assert [(each.rank, each.valid) for each in verify(tmp_path).logs] == [(0, True), (2, False), (10, True)]
    assert [each.rank for each in verify(logs[2].path).logs] == [10]
    assert [each.rank for each in verify(sealed_path(logs[1], 1)).logs] == [2]


def test_what_is_left_over_is_told_and_does_no_harm(log: Log, tmp_path: Path) -> None:
    """A compressed file beside its plain one, temporary files, and saved bytes of unfinished lines."""
    sealed_path(log, 1, "zst").write_bytes(b"half of it")
    for name in (f".rldk-{NAMES[1]}.gz", f"{LIVE}.2.torn", "r1_events.rank1.jsonl.2.torn", f"{NAMES[2]}.1.torn"):
        (tmp_path / name).touch()
    found = verify(log.path)

    assert found
    assert found.left_over == [
        LeftOver(f"{NAMES[0]}.zst", f"beside {NAMES[0]}, which counts"),
        LeftOver(f"{NAMES[2]}.1.torn", "bytes of an unfinished line"),
        LeftOver(f"{LIVE}.2.torn", "bytes of an unfinished line"),
        LeftOver(f".rldk-{NAMES[1]}.gz", "a temporary file, of a crash or of a process at work"),
    ]


def test_a_file_of_another_name_is_verified_by_its_lines(tmp_path: Path) -> None:
    """It has no manifest."""
    path = write_log(tmp_path / "log.txt", [an_event(0), an_event(1)])

    assert verify(path).logs[0].files == [CheckedFile("log.txt", events=2)]


def test_what_cannot_be_verified_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No run, two runs, no file; and zstd without what reads it."""
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / LIVE)
    with pytest.raises(RunNotFoundError):
        verify(tmp_path)
    log = _write(tmp_path)
    compress(sealed_path(log, 1), "zst")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError):
        verify(tmp_path)
    (tmp_path / "r2_events.jsonl").write_bytes(encode(an_event(0)))
    with pytest.raises(RunNotFoundError):
        verify(tmp_path)
