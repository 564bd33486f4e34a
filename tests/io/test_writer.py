"""What was acknowledged stays, what failed leaves nothing, and nothing is missing without a word."""

from __future__ import annotations

import errno
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rldk.errors import InvalidEventError, RunIdError, WriteFailedError
from rldk.io.codec import decode, encode
from rldk.io.reader import read_events
from rldk.io.validator import validate_jsonl_file
from rldk.io.writer import Counters, SegmentWriter, open_writer, run_folder
from tests.runs import make_event, write_attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLDK_RUN_ID", raising=False)
    monkeypatch.delenv("RLDK_OUTPUT_DIR", raising=False)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SegmentWriter]:
    """The writer of the run r."""
    writer = open_writer(tmp_path, run_id="r")
    yield writer
    writer.close()


class FaultyWrite:
    """Stands in for `os.write`; takes a fault from the list for each write to a log, and then does as it should.

    A fault is called with the file and the line and returns what `os.write` would, or raises.
    """

    def __init__(self, path: Path, *faults: Callable[[int, bytes], int]) -> None:
        self._path = path
        self._write = os.write
        self.faults = list(faults)

    def __call__(self, fd: int, line: bytes) -> int:
        """Write, with the next fault when the file is the log."""
        if self.faults and os.path.samestat(os.fstat(fd), self._path.stat()):
            return self.faults.pop(0)(fd, line)
        return self._write(fd, line)


_real_write = os.write


def short(fd: int, line: bytes) -> int:
    """Write a part only, as a nearly full disk does."""
    return _real_write(fd, line[: len(line) // 3])


def nothing(_fd: int, _line: bytes) -> int:
    """Take no byte and say so."""
    return 0


def full(_fd: int, _line: bytes) -> int:
    """Fail as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def late(fd: int, line: bytes) -> int:
    """Write everything and fail all the same."""
    _real_write(fd, line)
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def alarm(fd: int, line: bytes) -> int:
    """Write everything; then a signal handler raises an error that Python counts among those of the system."""
    _real_write(fd, line)
    raise TimeoutError("the step took too long")


def interrupt(fd: int, line: bytes) -> int:
    """Write everything, then Ctrl-C."""
    _real_write(fd, line)
    raise KeyboardInterrupt


def interrupt_early(_fd: int, _line: bytes) -> int:
    """Ctrl-C before anything is written."""
    raise KeyboardInterrupt


def interrupt_midway(fd: int, line: bytes) -> int:
    """Write a part, then Ctrl-C."""
    short(fd, line)
    raise KeyboardInterrupt


def written(path: Path) -> list[tuple[int, int | None]]:
    """Step and seq of each event in a log that must be valid."""
    report = validate_jsonl_file(path, strict=True)

    assert report.problems == []
    return [(event.step, event.seq) for event in read_events(path, history="all")]


GOES_ON = "training goes on, further events that cannot be written are only counted"


def not_written(writer: SegmentWriter, why: str) -> str:
    """The one warning of a writer that cannot write."""
    return f"{writer.path}: the event was not written: {why}; {GOES_ON}"


# What is written


def test_an_event_is_one_line_with_the_stamps_of_its_writer(tmp_path: Path) -> None:
    """seq, attempt, rank, world_size, schema, run_id and resumed_from are the writer's to say, whatever came in."""
    writer = open_writer(tmp_path, run_id="real", rank=3, world_size=4, resumed_from=7)
    info = {"run_id": "other", "phase": "train", "rank": 9, "attempt": 9, "world_size": 9, "git_sha": "abc"}
    taken = writer.write(make_event(8, seq=77, model_info=info))
    writer.close()

    assert taken is True
    assert writer.path.read_text() == (
        '{"step":8,"wall_time":8.0,"timestamp":"2026-01-31T23:59:59.000000Z","seq":0,"metrics":{"loss":0.5},'
        '"rng":{},"data_slice":{},"model_info":{"run_id":"real","phase":"train","rank":3,"attempt":1,"world_size":4,'
        '"git_sha":"abc","schema":1,"resumed_from":7},"notes":[]}\n'
    )


def test_a_first_attempt_does_not_say_that_it_resumed(tmp_path: Path) -> None:
    """Absent is absent: no resumed_from where there is nothing to resume from."""
    path = write_attempt(tmp_path, [make_event()])

    assert decode(path.read_bytes()).model_info == {
        "run_id": "r",
        "phase": "train",
        "schema": 1,
        "rank": 0,
        "world_size": 1,
        "attempt": 1,
    }


def test_seq_is_dense_over_all_phases(tmp_path: Path) -> None:
    """One counter for the attempt, from 0, over train, eval and final."""
    events = [
        make_event(index // 3, model_info={"run_id": "r", "phase": phase})
        for index, phase in enumerate(["train", "eval", "train"] * 3 + ["final"])
    ]
    path = write_attempt(tmp_path, events)

    assert [event.seq for event in read_events(path)] == list(range(10))


def test_an_event_is_on_disk_when_write_returns(writer: SegmentWriter) -> None:
    """Nothing is held back: the file has the line before the next statement runs."""
    for step in range(3):
        writer.write(make_event(step))

        assert [event.step for event in read_events(writer.path)] == list(range(step + 1))


def test_flush_has_nothing_to_do(writer: SegmentWriter) -> None:
    """The protocol's flush is safe to call at any time, also after close."""
    writer.write(make_event())
    before = writer.path.read_bytes()
    writer.flush()
    writer.close()
    writer.flush()

    assert writer.path.read_bytes() == before


def test_eight_threads_may_share_a_writer(writer: SegmentWriter) -> None:
    """Their lines do not mix, and no seq is given twice or left out."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as threads:
            taken = list(threads.map(lambda step: writer.write(make_event(5, metrics={"n": float(step)})), range(4000)))
    finally:
        sys.setswitchinterval(interval)
    events = list(read_events(writer.path))

    assert taken == [True] * 4000
    assert [event.seq for event in events] == list(range(4000))
    assert sorted(event.metrics["n"] for event in events) == [float(step) for step in range(4000)]  # type: ignore[type-var]


# What is opened, and how


def test_the_files_of_a_run(tmp_path: Path) -> None:
    """The folder is made when absent; rank 0 has the plain name, every other rank a file of its own."""
    folder = tmp_path / "a" / "b"
    writers = [open_writer(folder, run_id="r"), open_writer(folder, run_id="r", rank=12)]
    during = sorted(path.name for path in folder.iterdir())
    for writer in writers:
        writer.close()

    assert during == ["r.lock", "r.rank12.lock", "r_events.jsonl", "r_events.rank12.jsonl"]
    assert sorted(path.name for path in folder.iterdir()) == ["r_events.jsonl", "r_events.rank12.jsonl"]


def test_the_log_is_opened_to_append_and_never_truncated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """O_APPEND, O_CLOEXEC, O_NOFOLLOW; never O_TRUNC."""
    flags: dict[str, int] = {}
    real = os.open

    def note(path: Any, flag: int, *rest: Any, **options: Any) -> int:
        flags[Path(path).name] = flag
        return real(path, flag, *rest, **options)

    monkeypatch.setattr(os, "open", note)
    write_attempt(tmp_path, [make_event()])

    assert flags["r_events.jsonl"] == os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    assert not flags["r.lock"] & os.O_TRUNC


def test_what_was_there_stays_byte_for_byte(tmp_path: Path) -> None:
    """Each attempt leaves the bytes of all earlier ones as they were."""
    before = b""
    for attempt in range(1, 5):
        path = write_attempt(tmp_path, [make_event(step) for step in range(attempt)])
        content = path.read_bytes()

        assert content.startswith(before)
        assert content.count(b"\n") == before.count(b"\n") + attempt
        before = content


def test_copytruncate_by_somebody_else_leaves_no_hole(writer: SegmentWriter) -> None:
    """A log that a log rotation has emptied goes on at its new end, without NUL bytes."""
    writer.write(make_event(0))
    os.truncate(writer.path, 0)
    writer.write(make_event(1))

    assert [decode(line).step for line in writer.path.read_bytes().splitlines()] == [1]


def test_a_symbolic_link_is_no_log(tmp_path: Path) -> None:
    """A log that is a link is refused, and what it points to is left alone."""
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / "r_events.jsonl").symlink_to(target)
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        open_writer(tmp_path, run_id="r")

    assert target.read_text() == "precious"


def test_rldk_output_dir_wins_over_the_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment decides where the files go; unset or empty, the argument does."""
    monkeypatch.setenv("RLDK_OUTPUT_DIR", str(tmp_path / "environment"))
    by_environment = write_attempt(tmp_path / "argument", [])
    monkeypatch.setenv("RLDK_OUTPUT_DIR", "")
    by_argument = write_attempt(tmp_path / "argument", [])

    assert by_environment == tmp_path / "environment" / "r_events.jsonl"
    assert by_argument == tmp_path / "argument" / "r_events.jsonl"


def test_a_relative_folder_is_meant_from_where_the_run_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that changes its working folder later does not move its log."""
    monkeypatch.chdir(tmp_path)
    folder = run_folder("logs")
    monkeypatch.chdir("/")

    assert folder == tmp_path / "logs"


# The run id


def test_rldk_run_id_wins_over_the_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the run; empty, it says nothing."""
    monkeypatch.setenv("RLDK_RUN_ID", "environment")
    by_environment = open_writer(tmp_path, run_id="argument")
    by_environment.close()
    monkeypatch.setenv("RLDK_RUN_ID", "")
    by_argument = open_writer(tmp_path, run_id="argument")
    by_argument.close()

    assert (by_environment.run_id, by_environment.path.name) == ("environment", "environment_events.jsonl")
    assert (by_argument.run_id, by_argument.path.name) == ("argument", "argument_events.jsonl")


def test_a_run_without_a_name_gets_one_that_says_when(tmp_path: Path) -> None:
    """A new name for each run: what, when, and four random digits."""
    writers = [open_writer(tmp_path), open_writer(tmp_path)]
    for writer in writers:
        writer.close()

    assert all(re.fullmatch(r"run-\d{8}T\d{6}-[0-9a-f]{4}", writer.run_id) for writer in writers)
    assert writers[0].run_id != writers[1].run_id


@pytest.mark.parametrize("run_id", ["r", "0", "A.b_c-d", "x" * 128, "console", "com", "lpt10", "nul_1"])
def test_a_good_run_id_is_taken(tmp_path: Path, run_id: str) -> None:
    """Letters, digits, dot, underscore and dash, up to 128 of them."""
    writer = open_writer(tmp_path, run_id=run_id)
    writer.close()

    assert writer.path == tmp_path / f"{run_id}_events.jsonl"


@pytest.mark.parametrize("source", ["argument", "environment"])
@pytest.mark.parametrize(
    "run_id",
    ["a\n", "con", "CON", "nul.txt", "com1", "LPT9", "..", ".", ".a", "-a", "_a", "a/b", "a\\b", "x" * 129, "ä", "a b"],
)
def test_a_bad_run_id_is_refused(tmp_path: Path, run_id: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be a file name on every system, or would leave the folder, is refused; nothing is made."""
    if source == "environment":
        monkeypatch.setenv("RLDK_RUN_ID", run_id)
    with pytest.raises(RunIdError) as caught:
        open_writer(tmp_path / "logs", run_id=run_id if source == "argument" else "good")

    assert str(caught.value) == (
        f"run_id {run_id!r}: expected 1 to 128 characters from A-Z a-z 0-9 . _ -, the first a letter or a digit, "
        "and no Windows device name such as con or nul"
    )
    assert not (tmp_path / "logs").exists()


def test_an_empty_run_id_is_refused_not_replaced(tmp_path: Path) -> None:
    """A name that came out empty is a mistake somewhere, not a wish for a new name."""
    with pytest.raises(RunIdError):
        open_writer(tmp_path, run_id="")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on_error": "ignore"}, "on_error: expected warn or raise, found 'ignore'"),
        ({"rank": -1}, "rank: expected an integer >= 0, found -1"),
        ({"rank": True}, "rank: expected an integer >= 0, found True"),
        ({"resumed_from": -1}, "resumed_from: expected an integer >= 0, found -1"),
        ({"resumed_from": 2.5}, "resumed_from: expected an integer >= 0, found 2.5"),
        ({"world_size": 0}, "world_size: expected an integer >= 1, found 0"),
    ],
)
def test_an_argument_that_cannot_be_is_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    """What would make every line of the log invalid is refused before the log is made."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        open_writer(tmp_path / "logs", run_id="r", **arguments)

    assert not (tmp_path / "logs").exists()


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


# Writes that fail


def fail_once(monkeypatch: pytest.MonkeyPatch, path: Path, *faults: Callable[[int, bytes], int]) -> None:
    """Put faults in the way of the next writes to a log."""
    monkeypatch.setattr(os, "write", FaultyWrite(path, *faults))


def test_short_writes_are_gone_on_with(writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line the kernel takes in parts is whole when write returns."""
    fail_once(monkeypatch, writer.path, short, short, short)
    taken = [writer.write(make_event(step)) for step in range(3)]

    assert taken == [True, True, True]
    assert written(writer.path) == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize("faults", [[full], [short, full], [short, short, full], [short, nothing]])
def test_a_failed_write_leaves_nothing(
    writer: SegmentWriter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    faults: list[Callable[[int, bytes], int]],
) -> None:
    """Wherever in the line it fails, the file is cut back; the next event says which seq is missing."""
    writer.write(make_event(0))
    before = writer.path.read_bytes()
    fail_once(monkeypatch, writer.path, *faults)
    failed = writer.write(make_event(1))
    between = writer.path.read_bytes()
    went_on = [writer.write(make_event(2, notes=["own: note"])), writer.write(make_event(3))]
    why = "the kernel took no bytes" if nothing in faults else "No space left on device"

    assert (failed, went_on) == (False, [True, True])
    assert between == before
    assert written(writer.path) == [(0, 0), (2, 2), (3, 3)]
    assert [event.notes for event in read_events(writer.path)] == [[], ["own: note", "events_dropped: 1, seq 1-1"], []]
    assert writer.counters == Counters(written=3, dropped=1)
    assert caplog.messages == [not_written(writer, why)]


def test_many_failures_are_one_warning_and_one_note(
    writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All that was dropped is in one range; a second spell of trouble is counted anew, without a second warning."""
    fail_once(monkeypatch, writer.path, *[full] * 17)
    taken = [writer.write(make_event(step)) for step in range(18)]
    fail_once(monkeypatch, writer.path, full, full)
    taken += [writer.write(make_event(step)) for step in range(18, 21)]

    assert taken == [False] * 17 + [True] + [False] * 2 + [True]
    assert [event.notes for event in read_events(writer.path)] == [
        ["events_dropped: 17, seq 0-16"],
        ["events_dropped: 2, seq 18-19"],
    ]
    assert written(writer.path) == [(17, 17), (20, 20)]
    assert writer.counters == Counters(written=2, dropped=19)
    assert len(caplog.messages) == 1


def test_each_place_in_a_run_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Nth write to the log fails, for each N: what was acknowledged is what can be read, and it is valid."""
    for fault in (full, short, late):
        for place in range(8):
            folder = tmp_path / f"{fault.__name__}-{place}"
            writer = open_writer(folder, run_id="r")
            faults = [_real_write] * place + [fault] + [full] * (fault is short)
            fail_once(monkeypatch, writer.path, *faults)
            acknowledged = [step for step in range(8) if writer.write(make_event(step))]
            writer.close()
            there = [step for step, _ in written(writer.path)]

            assert set(acknowledged) <= set(there)
            assert there == (list(range(8)) if fault is late else acknowledged)
            assert writer.counters.written == len(there)


def test_an_error_after_the_whole_line_was_written_drops_nothing(
    writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line is in the file, so no seq is missing, and no note says that one is."""
    fail_once(monkeypatch, writer.path, late)
    taken = [writer.write(make_event(0)), writer.write(make_event(1))]

    assert taken == [False, True]
    assert written(writer.path) == [(0, 0), (1, 1)]
    assert [event.notes for event in read_events(writer.path)] == [[], []]
    assert writer.counters == Counters(written=2)


def test_an_error_of_a_signal_handler_is_not_the_disks(
    writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A TimeoutError that the user's alarm raises during write is for the user; the log goes on unharmed."""
    fail_once(monkeypatch, writer.path, alarm)
    with pytest.raises(TimeoutError, match="the step took too long"):
        writer.write(make_event(0))
    writer.write(make_event(1))

    assert written(writer.path) == [(0, 0), (1, 1)]
    assert caplog.messages == []


def test_a_file_that_cannot_be_cut_back_gets_nothing_more_until_it_can(
    writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After half a line that would not go away, nothing is glued to it; when it can be cut, writing goes on."""
    writer.write(make_event(0))
    before = writer.path.read_bytes()
    cut = os.ftruncate
    fail_once(monkeypatch, writer.path, short, full)

    def stuck(_fd: int, _size: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "ftruncate", stuck)
    kept_out = [writer.write(make_event(step)) for step in range(1, 5)]
    between = writer.path.read_bytes()
    monkeypatch.setattr(os, "ftruncate", cut)
    went_on = writer.write(make_event(5))

    assert kept_out == [False] * 4
    assert between.startswith(before)
    assert b"\n" not in between.removeprefix(before)
    assert went_on
    assert written(writer.path) == [(0, 0), (5, 5)]
    assert [event.notes for event in read_events(writer.path)] == [[], ["events_dropped: 4, seq 1-4"]]
    assert writer.counters == Counters(written=2, dropped=4)


def test_what_another_process_wrote_is_not_cut_away(writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file grew by more than the failed line, its bytes are somebody's: they stay, and nothing follows."""

    def stranger(fd: int, line: bytes) -> int:
        short(fd, line)
        _real_write(fd, b"x" * 1000)
        return full(fd, line)

    fail_once(monkeypatch, writer.path, stranger)
    taken = [writer.write(make_event(step)) for step in range(3)]

    assert taken == [False] * 3
    assert writer.path.read_bytes().endswith(b"x" * 1000)
    assert writer.counters == Counters(dropped=3)


@pytest.mark.parametrize("fault", [interrupt, interrupt_midway, interrupt_early])
def test_ctrl_c_during_a_write_leaves_no_bad_line(
    writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch, fault: Callable[[int, bytes], int]
) -> None:
    """The interrupt is the user's and goes through; the line it hit is whole or gone, and seq stays dense."""
    writer.write(make_event(0))
    fail_once(monkeypatch, writer.path, fault)
    with pytest.raises(KeyboardInterrupt):
        writer.write(make_event(1))
    taken = writer.write(make_event(2))
    there = [0, 1, 2] if fault is interrupt else [0, 2]

    assert taken
    assert written(writer.path) == [(step, seq) for seq, step in enumerate(there)]
    assert writer.counters == Counters(written=len(there))


@pytest.mark.parametrize("fault", [interrupt, interrupt_midway, interrupt_early])
def test_ctrl_c_just_before_close_leaves_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[int, bytes], int]
) -> None:
    """A writer that is closed after an interrupted write takes the half line back first."""
    writer = open_writer(tmp_path, run_id="r")
    writer.write(make_event(0))
    fail_once(monkeypatch, writer.path, fault)
    with pytest.raises(KeyboardInterrupt):
        writer.write(make_event(1))
    writer.close()

    assert written(writer.path) == ([(0, 0), (1, 1)] if fault is interrupt else [(0, 0)])


def test_ctrl_c_at_the_event_that_accounts_for_others_keeps_the_account_right(
    writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note whose line was written before the interrupt came is not written again."""
    fail_once(monkeypatch, writer.path, full, interrupt)
    writer.write(make_event(0))
    with pytest.raises(KeyboardInterrupt):
        writer.write(make_event(1))
    writer.write(make_event(2))

    assert [event.notes for event in read_events(writer.path)] == [["events_dropped: 1, seq 0-0"], []]


def test_an_interrupted_writer_that_was_closed_touches_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of its file may belong to another file by then; that one is not cut back."""
    writer = open_writer(tmp_path, run_id="r")
    fd = writer._fd
    fail_once(monkeypatch, writer.path, interrupt_midway)
    with pytest.raises(KeyboardInterrupt):
        writer.write(make_event(0))
    writer.close()
    other = tmp_path / "checkpoint"
    with other.open("wb") as file:
        os.dup2(file.fileno(), fd)
        os.write(fd, b"x" * 50)
        taken = writer.write(make_event(1))
        os.close(fd)

    assert taken is False
    assert other.read_bytes() == b"x" * 50


def test_a_closed_writer_drops_events(writer: SegmentWriter, caplog: pytest.LogCaptureFixture) -> None:
    """Writing after close is no error in the training: False, one warning, the file as it was."""
    writer.write(make_event(0))
    before = writer.path.read_bytes()
    writer.close()
    taken = [writer.write(make_event(1)), writer.write(make_event(2))]

    assert taken == [False, False]
    assert writer.path.read_bytes() == before
    assert writer.counters == Counters(written=1, dropped=2)
    assert caplog.messages == [not_written(writer, "the writer is closed")]


def test_a_caller_who_asks_to_be_told_is_told_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With on_error="raise" each event that is not written raises, with path, reason and cause; the log goes on."""
    writer = open_writer(tmp_path, run_id="r", on_error="raise")
    fail_once(monkeypatch, writer.path, full, full)
    for step in range(2):
        with pytest.raises(WriteFailedError) as caught:
            writer.write(make_event(step))

        assert str(caught.value) == f"{writer.path}: the event was not written: No space left on device"
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.ENOSPC
    went_on = writer.write(make_event(2))
    writer.close()
    with pytest.raises(WriteFailedError, match="the writer is closed"):
        writer.write(make_event(3))

    assert went_on
    assert written(writer.path) == [(2, 2)]


# What is refused


def test_an_event_needs_no_run_id_of_its_own(writer: SegmentWriter) -> None:
    """The writer knows which run it writes, and says so in every event."""
    writer.write(make_event(0, model_info={}))

    assert [event.run_id for event in read_events(writer.path)] == [writer.run_id]


BAD_EVENTS = [
    ({"step": -1}, "$.step: expected an integer >= 0, found -1"),
    ({"wall_time": -0.5}, "$.wall_time: expected a finite number >= 0, found -0.5"),
    ({"wall_time": float("nan")}, "$.wall_time: expected a finite number >= 0, found nan"),
    ({"model_info": {"phase": "test"}}, "$.model_info.phase: expected one of train, eval, final, found 'test'"),
    ({"data_slice": {"a": [1]}}, "$.data_slice['a']: expected an int, float, bool, str or None, found list"),
    ({"notes": ["x" * 2**24]}, "$: expected a line of at most 16777216 bytes, found one of 16777445"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_EVENTS, ids=[message[:30] for _, message in BAD_EVENTS])
def test_what_is_no_event_is_refused_and_uses_no_seq(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], message: str
) -> None:
    """False and one warning that says what was expected and found; nothing is written, nothing is missing."""
    writer = open_writer(tmp_path, run_id="r")
    taken = [
        writer.write(make_event(0)),
        writer.write(make_event(**{"step": 1} | changes)),
        writer.write(make_event(2)),
    ]
    writer.close()

    assert taken == [True, False, True]
    assert written(writer.path) == [(0, 0), (2, 1)]
    assert writer.counters == Counters(written=2, refused=1)
    assert caplog.messages == [f"{message}; {GOES_ON}"]


@pytest.mark.parametrize(("changes", "message"), BAD_EVENTS, ids=[message[:30] for _, message in BAD_EVENTS])
def test_a_refused_event_raises_where_that_is_wanted(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """With on_error="raise" the same sentence comes as InvalidEventError."""
    writer = open_writer(tmp_path, run_id="r", on_error="raise")
    with pytest.raises(InvalidEventError) as caught:
        writer.write(make_event(**changes))
    writer.close()

    assert str(caught.value) == message
    assert writer.path.read_bytes() == b""


class Tensor:
    """What RLDK knows of a tensor: how many dimensions it has, and its value when it has none."""

    def __init__(self, value: object, ndim: int) -> None:
        self.ndim = ndim
        self._value = value

    def item(self) -> object:
        """The value as Python has it."""
        return self._value


def test_metrics_that_are_none_are_left_out_by_name(writer: SegmentWriter, caplog: pytest.LogCaptureFixture) -> None:
    """The rest of the event is written, with a note that names each metric and what it was, and counters."""
    metrics: dict[str, Any] = {
        "loss": 0.5,
        "text": "high",
        "list": [1.0],
        "dict": {"a": 1.0},
        "vector": Tensor([1.0], 1),
        "huge": 2**63,
        "\ud800": 1.0,
        1: 1.0,
        "none": None,
        "nan": float("nan"),
        "flag": True,
        "scalar": Tensor(0.25, 0),
        "count": Tensor(3, 0),
    }
    taken = writer.write(make_event(0, metrics=metrics))
    (event,) = read_events(writer.path)

    assert taken
    assert list(event.metrics) == ["loss", "none", "nan", "flag", "scalar", "count"]
    assert encode(event).partition(b',"rng"')[0] == (
        b'{"step":0,"wall_time":0.0,"timestamp":"2026-01-31T23:59:59.000000Z","seq":0,"metrics":{"loss":0.5,'
        b'"none":null,"nan":null,"flag":1,"scalar":0.25,"count":3},"nonfinite":{"nan":"NaN"}'
    )
    (note,) = event.notes
    assert note == (
        "refused: text (str), list (list), dict (dict), vector (tests.io.test_writer.Tensor), "
        "huge (an integer beyond 64 bits), '\\ud800' (its name holds half a surrogate pair), "
        "1 (its name is int, no string)"
    )
    assert writer.counters == Counters(written=1, refused_metrics=7)
    assert caplog.messages == []
    assert written(writer.path) == [(0, 0)]


def test_refused_metrics_are_counted_over_all_events(writer: SegmentWriter) -> None:
    """Every event that lost a metric carries its own note."""
    for step in range(3):
        writer.write(make_event(step, metrics={"a": "x", "b": 1.0}))

    assert [event.notes for event in read_events(writer.path)] == [["refused: a (str)"]] * 3
    assert writer.counters == Counters(written=3, refused_metrics=3)


def test_numpy_scalars_are_numbers(writer: SegmentWriter) -> None:
    """0-d arrays and scalars of every width are taken as the double they are; arrays with a dimension are refused."""
    numpy = pytest.importorskip("numpy")
    metrics = {
        "float64": numpy.float64(0.1),
        "float32": numpy.float32(0.1),
        "float16": numpy.float16(0.1),
        "int64": numpy.int64(-(2**63)),
        "uint64": numpy.uint64(2**64 - 1),
        "bool": numpy.bool_(True),  # noqa: FBT003 - a value, no flag
        "nan": numpy.float32("nan"),
        "array": numpy.array(2.5),
        "vector": numpy.array([2.5]),
        "complex": numpy.complex64(1j),
    }
    taken = writer.write(make_event(0, metrics=metrics))
    (event,) = read_events(writer.path)

    assert taken
    assert event == decode(
        encode(
            make_event(
                0,
                seq=0,
                metrics={
                    "float64": 0.1,
                    "float32": 0.10000000149011612,
                    "float16": 0.0999755859375,
                    "int64": -(2**63),
                    "bool": 1,
                    "nan": float("nan"),
                    "array": 2.5,
                },
                model_info=event.model_info,
                notes=[
                    "refused: uint64 (an integer beyond 64 bits), vector (numpy.ndarray), complex (numpy.complex64)"
                ],
            )
        )
    )


def test_a_section_that_holds_an_array_is_refused_not_compared(writer: SegmentWriter) -> None:
    """An array where a number was is no event; Python's refusal to compare it does not reach the trainer."""
    numpy = pytest.importorskip("numpy")
    taken = [
        writer.write(make_event(0, data_slice={"a": 1})),
        writer.write(make_event(1, data_slice={"a": numpy.ones(2)})),
    ]

    assert taken == [True, False]
    assert writer.counters == Counters(written=1, refused=1)


class InterruptedList(list[str]):
    """A list whose second reading is hit by Ctrl-C."""

    readings = 0

    def __iter__(self) -> Iterator[str]:
        self.readings += 1
        if self.readings > 1:
            raise KeyboardInterrupt
        return super().__iter__()


def test_an_interrupted_event_leaves_nothing_to_the_next(writer: SegmentWriter) -> None:
    """What was remembered of an event that was never written does not get into the one after it."""
    writer.write(make_event(0))
    with pytest.raises(KeyboardInterrupt):
        writer.write(make_event(1, notes=InterruptedList(["own: note"])))
    writer.write(make_event(2))

    assert [event.notes for event in read_events(writer.path)] == [[], []]


def test_a_write_in_the_middle_of_a_write_is_turned_away(
    writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A signal handler that records while the same thread is recording does not wait for itself for ever."""
    inner = []

    def handler(fd: int, line: bytes) -> int:
        inner.append(writer.write(make_event(7)))
        return _real_write(fd, line)

    fail_once(monkeypatch, writer.path, handler)
    taken = [writer.write(make_event(0)), writer.write(make_event(1))]

    assert (taken, inner) == ([True, True], [False])
    assert written(writer.path) == [(0, 0), (1, 1)]
    assert writer.counters == Counters(written=2, refused=1)
    assert caplog.messages == [not_written(writer, "a write of the same thread is under way")]
