"""Finding the files of a log and opening them at a position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rldk.io.compression import compress
from rldk.io.log_files import LogFile, LogFiles
from rldk.io.position import Position, head_of
from rldk.io.segments import Log, log_path, run_log, sealed_path

if TYPE_CHECKING:
    from pathlib import Path

LINES = b"".join(b"line %d\n" % number for number in range(9))


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """A log of one plain and one compressed segment and the live file, each with nine lines and its name before."""
    log = Log(log_path(tmp_path, "r", 0), "r", 0)
    for number in (1, 2):
        sealed_path(log, number).write_bytes(b"segment %d\n" % number + LINES)
    compress(sealed_path(log, 2), "gz")
    log.path.write_bytes(b"live\n" + LINES)
    return log


def told(file: LogFile | None) -> tuple[str, int, bool, bytes] | None:
    """Name, number, whether it is live, and what comes first in it."""
    if file is None:
        return None
    with file.handle:
        return file.path.name, file.number, file.live, file.handle.readline()


def place(number: int, first: bytes) -> Position:
    """The position behind the first line of a file."""
    return Position(number, len(first), 1, head_of(first))


def test_one_after_the_other(log: Log) -> None:
    """After each segment comes the next one, plain or compressed, and after the last the live file."""
    files = LogFiles(log)

    assert [told(files.after(number)) for number in range(4)] == [
        ("r_events.000001.jsonl", 1, False, b"segment 1\n"),
        ("r_events.000002.jsonl.gz", 2, False, b"segment 2\n"),
        ("r_events.jsonl", 3, True, b"live\n"),
        ("r_events.jsonl", 4, True, b"live\n"),
    ]


def test_nothing_comes_after_the_last(tmp_path: Path, log: Log) -> None:
    """After the last segment of a log without a live file comes nothing, and after a single file neither."""
    log.path.unlink()
    alone = tmp_path / "r_events.000001.jsonl"

    assert LogFiles(log).after(2) is None
    assert told(LogFiles(run_log(alone)).after(0)) == (alone.name, 1, False, b"segment 1\n")
    assert LogFiles(run_log(alone)).after(1) is None


def test_a_file_is_opened_where_a_position_is(log: Log) -> None:
    """A position in any file is found, in the live one also after that was sealed and compressed."""
    files = LogFiles(log)
    live = place(3, b"live\n")
    before = told(files.at(live))
    log.path.rename(sealed_path(log, 3))
    after = told(files.at(live))
    compress(sealed_path(log, 3), "gz")

    assert told(files.at(place(1, b"segment 1\n"))) == ("r_events.000001.jsonl", 1, False, b"line 0\n")
    assert told(files.at(place(2, b"segment 2\n"))) == ("r_events.000002.jsonl.gz", 2, False, b"line 0\n")
    assert before == ("r_events.jsonl", 3, True, b"line 0\n")
    assert after == ("r_events.000003.jsonl", 3, False, b"line 0\n")
    assert told(files.at(live)) == ("r_events.000003.jsonl.gz", 3, False, b"line 0\n")


def test_another_file_is_not_taken_for_the_one_of_a_position(log: Log) -> None:
    """One that begins with another line is not the one, nor a live file that is shorter, nor is one known unbegun."""
    files = LogFiles(log)

    assert files.at(place(1, b"segment 9\n")) is None
    assert files.at(place(3, b"live\n")._replace(byte=10**6)) is None
    assert files.at(Position(3, 0, 0, 0)) is None


def test_what_became_of_a_segment(log: Log) -> None:
    """A segment is sealed also when it was removed since; the live file is neither."""
    files = LogFiles(log)
    sealed_path(log, 1).unlink()

    assert [files.is_removed(number) for number in (1, 2, 3)] == [True, False, False]
    assert [files.is_sealed(number) for number in (1, 2, 3)] == [True, True, False]


def test_a_single_file_has_no_segments(log: Log) -> None:
    """Of a segment that is read by itself none is sealed or removed."""
    files = LogFiles(run_log(sealed_path(log, 1)))

    assert not files.is_sealed(1)
    assert not files.is_removed(1)


def test_whether_a_file_is_in_its_place(log: Log) -> None:
    """The live file is in its place until it is moved, whatever takes its place; its size is that of the file."""
    file = LogFiles(log).live()
    assert file is not None
    with file.handle:
        found = [file.is_in_place()]
        log.path.rename(sealed_path(log, 3))
        found.append(file.is_in_place())
        log.path.write_bytes(b"next\n")
        found.append(file.is_in_place())
        size = file.size

    assert found == [True, False, False]
    assert size == len(b"live\n" + LINES)


def test_links_are_as_if_they_were_not_there(log: Log) -> None:
    """Where links are refused, a segment that is one is passed over, and a live file that is one is none."""
    outside = log.path.with_name("outside")
    outside.write_bytes(LINES)
    for path in (sealed_path(log, 1), log.path):
        path.unlink()
        path.symlink_to(outside)
    files = LogFiles(log, links=False)

    assert told(files.after(0)) == ("r_events.000002.jsonl.gz", 2, False, b"segment 2\n")
    assert files.live() is None
    assert told(LogFiles(log).live()) == ("r_events.jsonl", 1, True, b"line 0\n")
