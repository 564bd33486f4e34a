"""What a log is owed: lines in their order, and notes that are carried once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rldk.io.backlog import Backlog
from rldk.io.codec import decode, encode
from tests.runs import make_event

if TYPE_CHECKING:
    from rldk.io.live_log import LiveLog


class Disk:
    """Stands in for a live log: keeps the lines it is given, until it is full."""

    def __init__(self, room: int = 100) -> None:
        self.lines: list[bytes] = []
        self.at = (0, 0)
        self.file = self
        self.room = room

    def append(self, line: bytes, seq_after: int) -> None:
        """Take a line, or fail."""
        if len(self.lines) == self.room:
            raise OSError("full")
        self.lines.append(line)
        self.at = (0, seq_after)


def write(backlog: Backlog, disk: Disk) -> None:
    """Write what is held to the disk."""
    live: LiveLog = disk  # type: ignore[assignment]
    backlog.write(live)


def test_a_new_backlog_owes_nothing() -> None:
    """It is false, and the next seq is that after the file."""
    backlog = Backlog(100)

    assert not backlog
    assert (len(backlog), backlog.dropped, backlog.next_seq(7)) == (0, 0, 7)
    assert backlog.carry(7) == []


def test_lines_are_written_in_the_order_they_came() -> None:
    """All of them, and then none is held."""
    backlog, disk = Backlog(100), Disk()
    held = [backlog.hold(seq, b"%d" % seq) for seq in range(3)]
    owed = bool(backlog)
    write(backlog, disk)

    assert held == [True] * 3
    assert owed
    assert disk.lines == [b"0", b"1", b"2"]
    assert len(backlog) == 0
    assert backlog.next_seq(0) == 3


def test_what_could_not_be_written_is_still_held() -> None:
    """The next time it is gone on with where it ended."""
    backlog, disk = Backlog(100), Disk(room=1)
    for seq in range(3):
        backlog.hold(seq, b"%d" % seq)
    with pytest.raises(OSError, match="full"):
        write(backlog, disk)
    left = len(backlog)
    disk.room = 9
    write(backlog, disk)

    assert left == 2
    assert disk.lines == [b"0", b"1", b"2"]


def test_a_line_that_is_in_the_file_is_not_written_again() -> None:
    """The file is the truth, as after an interrupt between the write and our knowing of it."""
    backlog, disk = Backlog(100), Disk()
    for seq in range(3):
        backlog.hold(seq, b"%d" % seq)
    backlog.settle(2)
    write(backlog, disk)

    assert disk.lines == [b"2"]


def test_the_limit_is_in_bytes_and_once_exceeded_all_are_dropped() -> None:
    """A shorter line that would fit is dropped as well: what is missing is one range."""
    backlog = Backlog(10)
    held = [backlog.hold(seq, b"x" * size) for seq, size in enumerate([6, 4, 1, 0])]

    assert held == [True, True, False, False]
    assert (len(backlog), backlog.dropped, backlog.next_seq(0)) == (2, 2, 4)


def test_room_is_made_by_writing() -> None:
    """What was written counts no more against the limit."""
    backlog, disk = Backlog(10), Disk()
    backlog.hold(0, b"x" * 10)
    write(backlog, disk)

    assert backlog.hold(1, b"x" * 10)


def test_the_next_event_tells_of_late_and_dropped_ones_once() -> None:
    """Until its line is in the file the notes are still owed; then nothing is."""
    backlog, disk = Backlog(3), Disk()
    for seq in range(6):
        backlog.hold(seq, b"x")
    backlog.note("torn_tail: 1 byte")
    expected = [
        "torn_tail: 1 byte",
        "events_held: 3, seq 0-2, were written late",
        "events_dropped: 3, seq 3-5",
    ]
    backlog._notes.clear()
    write(backlog, disk)
    backlog.note("torn_tail: 1 byte")
    first = backlog.carry(6)
    backlog.settle(6)
    second = backlog.carry(6)
    backlog.settle(7)

    assert first == second == expected
    assert not backlog
    assert backlog.carry(7) == []


def test_a_note_that_came_after_the_carrier_waits_for_the_next() -> None:
    """Of the notes only those are forgotten that the line in the file has."""
    backlog = Backlog(100)
    backlog.note("a: 1")
    backlog.carry(0)
    backlog.note("b: 2")
    backlog.settle(1)

    assert backlog.carry(1) == ["b: 2"]


def test_a_line_that_is_held_after_all_does_not_use_up_what_it_was_to_tell() -> None:
    """The event that was to carry the notes could not be written: its line without them is held."""
    backlog, disk = Backlog(100), Disk()
    backlog.hold(0, b"x")
    write(backlog, disk)
    backlog.carry(1)
    backlog.hold(1, b"y")
    write(backlog, disk)

    assert backlog.carry(2) == ["events_held: 2, seq 0-1, were written late"]


def test_the_first_line_that_is_held_takes_the_notes() -> None:
    """They may tell of events that are missing just before it; it is otherwise what it was."""
    backlog, disk = Backlog(10_000), Disk()
    event = make_event(1, seq=1, notes=["own: note"], metrics={"a": float("nan"), "b": 0.1, "c": None})
    backlog.hold(1, encode(event))
    backlog.hold(2, encode(make_event(2, seq=2)))
    backlog.note("events_dropped: 1, seq 0-0, another program cut them off the log")
    write(backlog, disk)
    first, second = map(decode, disk.lines)

    assert first.notes == ["own: note", "events_dropped: 1, seq 0-0, another program cut them off the log"]
    assert encode(first).replace(encode(first).partition(b'"notes"')[2], b"") == encode(event).replace(
        encode(event).partition(b'"notes"')[2], b""
    )
    assert second.notes == []
    assert backlog.carry(3) == ["events_held: 2, seq 1-2, were written late"]
    assert not backlog.hold(3, b"x" * 10_001)


def test_what_is_held_to_the_end_counts_as_dropped() -> None:
    """Nothing is held any more, and the seq after it stays."""
    backlog = Backlog(100)
    backlog.hold(0, b"x")
    backlog.hold(1, b"x")
    lost = backlog.drop_held()

    assert (lost, len(backlog), backlog.dropped, backlog.next_seq(0)) == (2, 0, 2, 2)
