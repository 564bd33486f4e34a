"""What was acknowledged stays, what failed leaves nothing, and nothing is missing without a word."""

from __future__ import annotations

import errno
import os
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from rldk.errors import InvalidEventError, RLDKError, WriteFailedError
from rldk.io import segment_writer
from rldk.io.codec import decode, encode
from rldk.io.reader import read_events
from rldk.io.writer import Counters, open_writer
from tests.io.faults import (
    LIKE_IT,
    ManualClock,
    alarm,
    disk_error,
    fail,
    full,
    good,
    interrupt,
    interrupt_early,
    interrupt_midway,
    late,
    not_written,
    notes,
    nothing,
    short,
    steps,
    written,
)
from tests.runs import make_event, write_attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rldk.io.writer import RunWriter


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RunWriter]:
    """The writer of the run r."""
    writer = open_writer(tmp_path, run_id="r", sync="none")
    yield writer
    writer.close()


# What is written


def test_seq_is_dense_over_all_phases(tmp_path: Path) -> None:
    """One counter for the attempt, from 0, over train, eval and final."""
    events = [
        make_event(index // 3, model_info={"run_id": "r", "phase": phase})
        for index, phase in enumerate(["train", "eval", "train"] * 3 + ["final"])
    ]
    path = write_attempt(tmp_path, events)

    assert [event.seq for event in read_events(path)] == list(range(10))


def test_an_event_is_on_disk_when_write_returns(writer: RunWriter) -> None:
    """Nothing is held back: the file has the line before the next statement runs."""
    for step in range(3):
        writer.write(make_event(step))

        assert [event.step for event in read_events(writer.path)] == list(range(step + 1))


def test_flush_with_nothing_held_changes_nothing(writer: RunWriter) -> None:
    """The protocol's flush is safe to call at any time, also after close."""
    writer.write(make_event())
    before = writer.path.read_bytes()
    writer.flush()
    writer.close()
    writer.flush()

    assert writer.path.read_bytes() == before


def test_eight_threads_may_share_a_writer(writer: RunWriter) -> None:
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


def test_events_written_together_are_the_lines_they_would_be_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several events are one `write(2)`, each its own line with its own seq."""
    events = [make_event(step, metrics={"loss": float(step)}) for step in range(5)]
    alone = write_attempt(tmp_path / "alone", events)
    writer = open_writer(tmp_path / "together", run_id="r")
    writer.write(events[0])
    faulty = fail(monkeypatch, writer.path, good, good)
    taken = writer._segments.write_all(events[1:])
    writes = 2 - len(faulty.faults)
    writer.close()

    assert (taken, writes) == (4, 1)
    assert writer.path.read_bytes() == alone.read_bytes()


def test_an_event_that_is_none_does_not_keep_out_those_written_with_it(
    writer: RunWriter, caplog: pytest.LogCaptureFixture
) -> None:
    """Of several events the bad one is refused and uses no seq; a bad metric is left out by name."""
    writer.write(make_event(0))
    events = [make_event(1), make_event(-1), make_event(2, metrics={"a": "x", "b": 1.0}), make_event(3)]
    taken = writer._segments.write_all(events)

    assert taken == 3
    assert written(writer.path) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert notes(writer.path) == [[], [], ["refused: a (str)"], []]
    assert writer.counters == Counters(written=4, refused=1, refused_metrics=1)
    assert caplog.messages == [f"$.step: expected an integer >= 0, found -1; {LIKE_IT}"]


def test_events_written_together_that_the_disk_refuses_are_held(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What got in before the disk was full stays, the rest waits, and the order is kept."""
    writer.write(make_event(0))
    fail(monkeypatch, writer.path, short, full, good, full, full)
    taken = writer._segments.write_all([make_event(step) for step in range(1, 4)])
    during = writer.counters
    went_on = writer.write(make_event(4))

    assert (taken, went_on) == (1, True)
    assert during == Counters(written=2, held=2)
    assert written(writer.path) == [(step, step) for step in range(5)]
    assert notes(writer.path)[-1] == ["events_held: 2, seq 2-3, were written late"]


@pytest.mark.parametrize("fault", [late, interrupt])
def test_events_written_together_are_not_written_twice(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch, fault: Callable[[int, bytes], int]
) -> None:
    """An error after all of them got in, or Ctrl-C, does not repeat them."""
    writer.write(make_event(0))
    fail(monkeypatch, writer.path, fault)
    try:
        taken = writer._segments.write_all([make_event(1), make_event(2)])
    except KeyboardInterrupt:
        taken = 2
    writer.write(make_event(3))

    assert taken == 2
    assert written(writer.path) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert notes(writer.path) == [[]] * 4


def test_an_alarm_while_several_are_written_is_the_users(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that a signal handler raises goes through, and what got in stays."""
    writer.write(make_event(0))
    fail(monkeypatch, writer.path, alarm)
    with pytest.raises(TimeoutError, match="the step took too long"):
        writer._segments.write_all([make_event(1)])
    writer.write(make_event(2))

    assert written(writer.path) == [(0, 0), (1, 1), (2, 2)]


def test_who_asks_to_be_told_hears_of_one_among_several_and_gets_the_others_written(tmp_path: Path) -> None:
    """With on_error="raise" the first error is raised when the other events have been written."""
    writer = open_writer(tmp_path, run_id="r", on_error="raise")
    writer.write(make_event(0))
    with pytest.raises(InvalidEventError, match=r"^\$\.step: expected an integer >= 0, found -1$"):
        writer._segments.write_all([make_event(1), make_event(-1), make_event(-2), make_event(2)])
    writer.close()

    assert written(writer.path) == [(0, 0), (1, 1), (2, 2)]
    assert writer.counters == Counters(written=3, refused=2)


# Writes that fail


def test_short_writes_are_gone_on_with(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line the kernel takes in parts is whole when write returns."""
    fail(monkeypatch, writer.path, short, short, short)
    taken = [writer.write(make_event(step)) for step in range(3)]

    assert taken == [True, True, True]
    assert written(writer.path) == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize("faults", [[full], [short, full], [short, short, full], [short, nothing]])
def test_a_failed_write_leaves_nothing_and_is_made_up_for(
    writer: RunWriter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    faults: list[Callable[[int, bytes], int]],
) -> None:
    """Wherever in the line it fails, the file is cut back; the event is written before the next one, which says so."""
    writer.write(make_event(0))
    before = writer.path.read_bytes()
    fail(monkeypatch, writer.path, *faults)
    failed = writer.write(make_event(1))
    between, during = writer.path.read_bytes(), writer.counters
    went_on = [writer.write(make_event(2, notes=["own: note"])), writer.write(make_event(3))]
    why = "the kernel took no bytes" if nothing in faults else "No space left on device"

    assert (failed, went_on) == (False, [True, True])
    assert between == before
    assert during == Counters(written=1, held=1)
    assert written(writer.path) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert notes(writer.path) == [[], [], ["own: note", "events_held: 1, seq 1-1, were written late"], []]
    assert writer.counters == Counters(written=4)
    assert caplog.messages == [not_written(writer, why)]


def test_many_failures_are_one_warning_and_one_note(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All that was held is in one range; a second spell of trouble is noted anew, without a second warning."""
    fail(monkeypatch, writer.path, *[full] * 17)
    taken = [writer.write(make_event(step)) for step in range(18)]
    fail(monkeypatch, writer.path, full, full)
    taken += [writer.write(make_event(step)) for step in range(18, 21)]

    assert taken == [False] * 17 + [True] + [False] * 2 + [True]
    assert [each for each in notes(writer.path) if each] == [
        ["events_held: 17, seq 0-16, were written late"],
        ["events_held: 2, seq 18-19, were written late"],
    ]
    assert written(writer.path) == [(step, step) for step in range(21)]
    assert writer.counters == Counters(written=21)
    assert caplog.messages == [not_written(writer, "No space left on device")]


def test_each_place_in_a_run_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Nth write to the log fails, for each N: in the end all of it is there, in order and valid."""
    for fault in (full, short, late):
        for place in range(8):
            folder = tmp_path / f"{fault.__name__}-{place}"
            writer = open_writer(folder, run_id="r", sync="none")
            faults = [good] * place + [fault] + [full] * (fault is short)
            fail(monkeypatch, writer.path, *faults)
            acknowledged = [step for step in range(8) if writer.write(make_event(step))]
            writer.close()

            assert acknowledged == [step for step in range(8) if fault is late or step != place]
            assert written(writer.path) == [(step, step) for step in range(8)]
            assert writer.counters == Counters(written=8)


def test_an_error_after_the_whole_line_was_written_is_none(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The line is in the file: it is acknowledged, and there is nothing to tell of."""
    fail(monkeypatch, writer.path, late)
    taken = [writer.write(make_event(0)), writer.write(make_event(1))]

    assert taken == [True, True]
    assert written(writer.path) == [(0, 0), (1, 1)]
    assert notes(writer.path) == [[], []]
    assert writer.counters == Counters(written=2)
    assert caplog.messages == []


def test_an_error_of_a_signal_handler_is_not_the_disks(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A TimeoutError that the user's alarm raises during write is for the user; the log goes on unharmed."""
    fail(monkeypatch, writer.path, alarm)
    with pytest.raises(TimeoutError, match="the step took too long"):
        writer.write(make_event(0))
    writer.write(make_event(1))

    assert written(writer.path) == [(0, 0), (1, 1)]
    assert caplog.messages == []


def test_what_does_not_fit_is_dropped_and_accounted_for(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The oldest are held, all later ones dropped though some would fit; the next event tells of both, once."""
    writer.write(make_event(0))
    line = len(writer.path.read_bytes())
    writer._segments._backlog._limit = 2 * line
    fail(monkeypatch, writer.path, *[full] * 6)
    long = make_event(3, notes=["x: " + "x" * line])
    taken = [writer.write(event) for event in (make_event(1), long, make_event(4), make_event(5))]
    during = writer.counters
    monkeypatch.undo()
    taken += [writer.write(make_event(6)), writer.write(make_event(7))]

    assert taken == [False] * 4 + [True] * 2
    assert during == Counters(written=1, held=1, dropped=3)
    assert written(writer.path) == [(0, 0), (1, 1), (6, 5), (7, 6)]
    assert notes(writer.path)[2:] == [
        ["events_held: 1, seq 1-1, were written late", "events_dropped: 3, seq 2-4"],
        [],
    ]
    assert writer.counters == Counters(written=4, dropped=3)
    assert len(caplog.messages) == 1


def test_the_window_is_4_mib(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events of 1 MiB: three fit beside their other bytes, the fourth does not."""
    fail(monkeypatch, writer.path, *[full] * 4)
    for step in range(4):
        writer.write(make_event(step, notes=["n" * 2**20]))

    assert writer.counters == Counters(held=3, dropped=1)


def test_flush_writes_what_is_held(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a new event to carry it, the note waits for the next."""
    fail(monkeypatch, writer.path, full, full)
    writer.write(make_event(0))
    writer.write(make_event(1))
    writer.flush()
    flushed, counters = steps(writer.path), writer.counters
    writer.write(make_event(2))

    assert flushed == [0, 1]
    assert counters == Counters(written=2)
    assert notes(writer.path) == [[], [], ["events_held: 2, seq 0-1, were written late"]]


def test_flush_on_a_full_disk_goes_on_holding(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A flush that fails is silent, and loses nothing."""
    fail(monkeypatch, writer.path, full, full)
    writer.write(make_event(0))
    writer.flush()
    during = writer.counters
    writer.write(make_event(1))

    assert during == Counters(held=1)
    assert written(writer.path) == [(0, 0), (1, 1)]
    assert len(caplog.messages) == 1


def test_an_alarm_during_a_flush_is_the_users(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a signal handler goes through; what it hit is written once."""
    fail(monkeypatch, writer.path, full, alarm)
    writer.write(make_event(0))
    with pytest.raises(TimeoutError):
        writer.flush()
    writer.write(make_event(1))

    assert written(writer.path) == [(0, 0), (1, 1)]


def test_closing_writes_what_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that has room again at the end gets everything."""
    writer = open_writer(tmp_path, run_id="r")
    fail(monkeypatch, writer.path, full, full)
    writer.write(make_event(0))
    writer.write(make_event(1))
    writer.close()

    assert written(writer.path) == [(0, 0), (1, 1)]
    assert writer.counters == Counters(written=2)


def test_closing_with_events_still_held_counts_them_as_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What could not be written to the end is told of once, and counted."""
    writer = open_writer(tmp_path, run_id="r")
    writer.write(make_event(0))
    fail(monkeypatch, writer.path, *[full] * 9)
    writer.write(make_event(1))
    writer.write(make_event(2))
    writer.close()
    writer.close()

    assert written(writer.path) == [(0, 0)]
    assert writer.counters == Counters(written=1, dropped=2)
    assert caplog.messages == [
        not_written(writer, "No space left on device"),
        f"{writer.path}: 2 events that were held could not be written to the end",
    ]


def test_a_disk_that_fails_quickly_is_tried_with_every_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk answers at once, so asking it costs nothing."""
    writer = open_writer(tmp_path, run_id="r", clock=ManualClock(), sync="none")
    faulty = fail(monkeypatch, writer.path, *[full] * 9)
    for step in range(3):
        writer.write(make_event(step))
    tried = 9 - len(faulty.faults)
    writer.close()

    assert tried == 3


def test_a_disk_that_fails_slowly_is_given_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failure that took 2 seconds it is not tried for 200; meanwhile events are held without asking."""
    clock = ManualClock()

    def slow(_fd: int, _line: bytes) -> int:
        clock.now += 2
        raise disk_error(errno.EIO)

    writer = open_writer(tmp_path, run_id="r", clock=clock, sync="none")
    faulty = fail(monkeypatch, writer.path, slow)
    taken = [writer.write(make_event(0)), writer.write(make_event(1))]
    clock.now += 199.9
    taken.append(writer.write(make_event(2)))
    tried, there = 1 - len(faulty.faults), writer.path.read_bytes()
    clock.now += 0.2
    taken.append(writer.write(make_event(3)))
    writer.close()

    assert (tried, there) == (1, b"")
    assert taken == [False, False, False, True]
    assert written(writer.path) == [(step, step) for step in range(4)]


def test_a_full_disk_is_tried_again_with_each_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it took to say that it is full: it may have room by now."""
    clock = ManualClock()

    def slow(_fd: int, _line: bytes) -> int:
        clock.now += 2
        raise disk_error(errno.ENOSPC)

    writer = open_writer(tmp_path, run_id="r", clock=clock, sync="none")
    fail(monkeypatch, writer.path, slow)
    taken = [writer.write(make_event(step)) for step in range(3)]
    writer.close()

    assert taken == [False, True, True]


def test_what_was_dropped_last_is_noted_when_the_log_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No event comes after it to say so, so the last one that was held does."""
    monkeypatch.setattr("rldk.io.segment_writer.HELD_BYTES", 600)
    writer = open_writer(tmp_path, run_id="r")
    faulty = fail(monkeypatch, writer.path, *[full] * 6)
    for step in range(5):
        writer.write(make_event(step))
    faulty.faults.clear()
    writer.close()
    events = list(read_events(writer.path))

    assert writer.counters == Counters(written=2, dropped=3)
    assert [(event.seq, event.notes) for event in events] == [(0, []), (1, ["events_dropped: 3, seq 2-4"])]


def test_flush_asks_a_slow_disk_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who flushes wants it tried now."""
    clock = ManualClock()

    def slow(_fd: int, _line: bytes) -> int:
        clock.now += 2
        raise disk_error(errno.EIO)

    writer = open_writer(tmp_path, run_id="r", clock=clock, sync="none")
    fail(monkeypatch, writer.path, slow)
    writer.write(make_event(0))
    writer.flush()
    there = steps(writer.path)
    writer.close()

    assert there == [0]


@pytest.mark.parametrize("seconds", [0, 2])
def test_events_that_wait_for_the_disk_keep_nothing_else_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """No error is kept with the frames it came by, in which the trainer is, and whoever closes the log when it goes."""
    clock = ManualClock()

    def fails(_fd: int, _line: bytes) -> int:
        clock.now += seconds
        raise disk_error(errno.EIO)

    class Trainer:
        """What trains."""

    def train() -> weakref.ref[Trainer]:
        trainer = Trainer()
        for step in range(5):
            assert not writer.write(make_event(step))
        return weakref.ref(trainer)

    writer = open_writer(tmp_path, run_id="r", clock=clock, sync="none")
    fail(monkeypatch, writer.path, *[fails] * 5)
    trainer = train()
    alive = trainer() is not None
    writer.close()

    assert not alive


def test_a_note_waits_for_an_event_that_is_written_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the event that was to carry it has to be held, it carries the note when it is written after all."""
    path = write_attempt(tmp_path, [make_event(0)])
    with path.open("ab") as file:
        file.write(b"torn")
    writer = open_writer(tmp_path, run_id="r")
    fail(monkeypatch, writer.path, full)
    writer.write(make_event(1))
    writer.write(make_event(2))
    writer.write(make_event(3))
    writer.close()

    assert notes(path) == [
        [],
        ["torn_tail: 4 bytes of an unfinished line were moved to r_events.jsonl.2.torn"],
        ["events_held: 1, seq 0-0, were written late"],
        [],
    ]


def test_what_is_no_event_is_refused_on_a_full_disk_too(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not held, uses no seq, and does not raise into the training."""
    fail(monkeypatch, writer.path, full, full)
    taken = [writer.write(make_event(0)), writer.write(make_event(-1)), writer.write(make_event(1))]

    assert taken == [False, False, True]
    assert written(writer.path) == [(0, 0), (1, 1)]
    assert writer.counters == Counters(written=2, refused=1)
    assert caplog.messages == [
        not_written(writer, "No space left on device"),
        f"$.step: expected an integer >= 0, found -1; {LIKE_IT}",
    ]


def test_an_event_that_is_none_does_not_silence_the_warning_of_a_full_disk(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each kind of trouble is told of once, whatever came before it."""
    fail(monkeypatch, writer.path, full, full)
    for step in (-1, -2, 0, 1):
        writer.write(make_event(step))

    assert caplog.messages == [
        f"$.step: expected an integer >= 0, found -1; {LIKE_IT}",
        not_written(writer, "No space left on device"),
    ]


def test_metrics_that_are_none_are_counted_once_when_their_event_is_held(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the disk fails on the line itself or on one before it, each is in its note and counted once."""
    fail(monkeypatch, writer.path, full, full)
    for step in range(3):
        writer.write(make_event(step, metrics={"a": "x", "b": 1.0}))

    assert notes(writer.path) == [
        ["refused: a (str)"],
        ["refused: a (str)"],
        ["events_held: 2, seq 0-1, were written late", "refused: a (str)"],
    ]
    assert writer.counters == Counters(written=3, refused_metrics=3)


# Ctrl-C


@pytest.mark.parametrize("fault", [interrupt, interrupt_midway, interrupt_early])
def test_ctrl_c_during_a_write_leaves_no_bad_line(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch, fault: Callable[[int, bytes], int]
) -> None:
    """The interrupt is the user's and goes through; the line it hit is whole or gone, and seq stays dense."""
    writer.write(make_event(0))
    fail(monkeypatch, writer.path, fault)
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
    fail(monkeypatch, writer.path, fault)
    with pytest.raises(KeyboardInterrupt):
        writer.write(make_event(1))
    writer.close()

    assert written(writer.path) == ([(0, 0), (1, 1)] if fault is interrupt else [(0, 0)])


@pytest.mark.parametrize("fault", [interrupt, interrupt_midway, interrupt_early])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_ctrl_c_while_held_events_are_written_neither_loses_nor_doubles_one(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch, fault: Callable[[int, bytes], int], place: int
) -> None:
    """At each of three held events: the interrupt goes through, and all three are written once, in order."""
    fail(monkeypatch, writer.path, *[full] * 3, *[good] * place, fault)
    for step in range(3):
        writer.write(make_event(step))
    with pytest.raises(KeyboardInterrupt):
        writer.write(make_event(9))
    taken = writer.write(make_event(3))

    assert taken
    assert written(writer.path) == [(step, step) for step in range(4)]
    assert notes(writer.path)[3] == ["events_held: 3, seq 0-2, were written late"]
    assert writer.counters == Counters(written=4)


@pytest.mark.parametrize("fault", [interrupt, interrupt_midway, interrupt_early])
def test_ctrl_c_during_a_flush_neither_loses_nor_doubles_an_event(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch, fault: Callable[[int, bytes], int]
) -> None:
    """The next flush goes on where the first was interrupted."""
    fail(monkeypatch, writer.path, *[full] * 2, fault)
    writer.write(make_event(0))
    writer.write(make_event(1))
    with pytest.raises(KeyboardInterrupt):
        writer.flush()
    writer.flush()

    assert written(writer.path) == [(0, 0), (1, 1)]
    assert writer.counters == Counters(written=2)


@pytest.mark.parametrize("fault", [interrupt, interrupt_midway, interrupt_early])
def test_ctrl_c_while_closing_writes_held_events_can_be_closed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[int, bytes], int]
) -> None:
    """The second close writes the rest and gives up the lock."""
    writer = open_writer(tmp_path, run_id="r")
    fail(monkeypatch, writer.path, *[full] * 2, fault)
    writer.write(make_event(0))
    writer.write(make_event(1))
    with pytest.raises(KeyboardInterrupt):
        writer.close()
    writer.close()

    assert written(writer.path) == [(0, 0), (1, 1)]
    assert not (tmp_path / "r.lock").exists()


@pytest.mark.parametrize("fault", [interrupt, interrupt_midway, interrupt_early])
def test_ctrl_c_at_the_event_that_accounts_for_others_keeps_the_account_right(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch, fault: Callable[[int, bytes], int]
) -> None:
    """A note whose line was written before the interrupt came is not written again; one that was not, is."""
    fail(monkeypatch, writer.path, full, good, fault)
    writer.write(make_event(0))
    with pytest.raises(KeyboardInterrupt):
        writer.write(make_event(1))
    writer.write(make_event(2))
    late_note = "events_held: 1, seq 0-0, were written late"

    assert notes(writer.path) == ([[], [late_note], []] if fault is interrupt else [[], [late_note]])
    assert [seq for _, seq in written(writer.path)] == ([0, 1, 2] if fault is interrupt else [0, 1])


def test_an_interrupted_writer_that_was_closed_touches_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of its file may belong to another file by then; that one is not cut back."""
    writer = open_writer(tmp_path, run_id="r", sync="none")
    fd = writer._segments._live.file.fd
    fail(monkeypatch, writer.path, interrupt_midway)
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


class InterruptedList(list[str]):
    """A list whose second reading is hit by Ctrl-C."""

    readings = 0

    def __iter__(self) -> Iterator[str]:
        self.readings += 1
        if self.readings > 1:
            raise KeyboardInterrupt
        return super().__iter__()


def test_an_interrupted_event_leaves_nothing_to_the_next(writer: RunWriter) -> None:
    """What was remembered of an event that was never written does not get into the one after it."""
    writer.write(make_event(0))
    with pytest.raises(KeyboardInterrupt):
        writer.write(make_event(1, notes=InterruptedList(["own: note"])))
    writer.write(make_event(2))

    assert [event.notes for event in read_events(writer.path)] == [[], []]


# Closing


def test_a_closed_writer_drops_events(writer: RunWriter, caplog: pytest.LogCaptureFixture) -> None:
    """Writing after close is no error in the training: False, one warning, the file as it was."""
    writer.write(make_event(0))
    before = writer.path.read_bytes()
    writer.close()
    taken = [writer.write(make_event(1)), writer.write(make_event(2))]

    assert taken == [False, False]
    assert writer.path.read_bytes() == before
    assert writer.counters == Counters(written=1, dropped=2)
    assert caplog.messages == [not_written(writer, "the writer is closed", LIKE_IT)]


def test_closing_does_not_wait_for_ever_for_another_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While a write of another thread hangs, as on a dead disk, close gives up, says so, and leaves the log open."""
    monkeypatch.setattr(segment_writer, "_PATIENCE", 0.01)
    writer = open_writer(tmp_path, run_id="r")
    hanging, answer = threading.Event(), threading.Event()

    def hang(fd: int, line: bytes) -> int:
        hanging.set()
        answer.wait(20)
        return good(fd, line)

    fail(monkeypatch, writer.path, hang)
    thread = threading.Thread(target=writer.write, args=[make_event(0)])
    thread.start()
    hanging.wait(20)
    writer.close()
    left_open = (tmp_path / "r.lock").exists()
    answer.set()
    thread.join()
    writer.close()

    assert left_open
    assert not (tmp_path / "r.lock").exists()
    assert written(writer.path) == [(0, 0)]
    assert caplog.messages == [f"{writer.path}: it stays open, because a write to it does not come to an end"]


# Who is told


def test_a_caller_who_asks_to_be_told_is_told_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With on_error="raise" each event that is not written raises, with path, reason and cause; the log goes on."""
    writer = open_writer(tmp_path, run_id="r", on_error="raise")
    fail(monkeypatch, writer.path, full, full)
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


def test_with_on_error_raise_nothing_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who hears of each failure may try again; what it did not is dropped, and the next event says so."""
    writer = open_writer(tmp_path, run_id="r", on_error="raise")
    fail(monkeypatch, writer.path, full)
    with pytest.raises(WriteFailedError):
        writer.write(make_event(0))
    during = writer.counters
    writer.write(make_event(0))
    writer.close()

    assert during == Counters(dropped=1)
    assert written(writer.path) == [(0, 1)]
    assert notes(writer.path) == [["events_dropped: 1, seq 0-0"]]


def test_a_function_is_called_once_for_each_event_that_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Held, refused and dropped events alike, each with its error; nothing is logged beside."""
    told: list[RLDKError] = []
    writer = open_writer(tmp_path, run_id="r", on_error=told.append)
    fail(monkeypatch, writer.path, full, full)
    taken = [writer.write(make_event(step)) for step in (0, 1, -1, 2)]
    writer.close()
    taken.append(writer.write(make_event(3)))
    failed = f"{writer.path}: the event was not written: "

    assert taken == [False, False, False, True, False]
    assert [str(error) for error in told] == [
        f"{failed}No space left on device",
        f"{failed}No space left on device",
        "$.step: expected an integer >= 0, found -1",
        f"{failed}the writer is closed",
    ]
    assert caplog.messages == []


def test_what_the_function_raises_goes_through_and_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event is held all the same, and the writer is as good as before."""

    def panic(error: RLDKError) -> None:
        raise SystemExit(str(error))

    writer = open_writer(tmp_path, run_id="r", on_error=panic)
    fail(monkeypatch, writer.path, full)
    with pytest.raises(SystemExit):
        writer.write(make_event(0))
    taken = writer.write(make_event(1))
    writer.close()

    assert taken
    assert written(writer.path) == [(0, 0), (1, 1)]


# What is refused


def test_an_event_needs_no_run_id_of_its_own(writer: RunWriter) -> None:
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
    assert caplog.messages == [f"{message}; {LIKE_IT}"]


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


def test_metrics_that_are_none_are_left_out_by_name(writer: RunWriter, caplog: pytest.LogCaptureFixture) -> None:
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
        "refused: text (str), list (list), dict (dict), vector (tests.io.test_segment_writer.Tensor), "
        "huge (an integer beyond 64 bits), '\\ud800' (its name holds half a surrogate pair), "
        "1 (its name is int, no string)"
    )
    assert writer.counters == Counters(written=1, refused_metrics=7)
    assert caplog.messages == []
    assert written(writer.path) == [(0, 0)]


def test_refused_metrics_are_counted_over_all_events(writer: RunWriter) -> None:
    """Every event that lost a metric carries its own note."""
    for step in range(3):
        writer.write(make_event(step, metrics={"a": "x", "b": 1.0}))

    assert [event.notes for event in read_events(writer.path)] == [["refused: a (str)"]] * 3
    assert writer.counters == Counters(written=3, refused_metrics=3)


def test_numpy_scalars_are_numbers(writer: RunWriter) -> None:
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


def test_a_section_that_holds_an_array_is_refused_not_compared(writer: RunWriter) -> None:
    """An array where a number was is no event; Python's refusal to compare it does not reach the trainer."""
    numpy = pytest.importorskip("numpy")
    taken = [
        writer.write(make_event(0, data_slice={"a": 1})),
        writer.write(make_event(1, data_slice={"a": numpy.ones(2)})),
    ]

    assert taken == [True, False]
    assert writer.counters == Counters(written=1, refused=1)


def test_a_write_in_the_middle_of_a_write_is_turned_away(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A signal handler that records while the same thread is recording does not wait for itself for ever."""
    inner = []

    def handler(fd: int, line: bytes) -> int:
        inner.append(writer.write(make_event(7)))
        return good(fd, line)

    fail(monkeypatch, writer.path, handler)
    taken = [writer.write(make_event(0)), writer.write(make_event(1))]

    assert (taken, inner) == ([True, True], [False])
    assert written(writer.path) == [(0, 0), (1, 1)]
    assert writer.counters == Counters(written=2, refused=1)
    assert caplog.messages == [not_written(writer, "a write of the same thread is under way", LIKE_IT)]


def test_a_write_in_the_middle_of_a_flush_is_turned_away(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler that records while held events are written does not give their seq away a second time."""
    inner = []

    def handler(fd: int, line: bytes) -> int:
        count = good(fd, line)
        inner.append(writer.write(make_event(7)))
        writer.flush()
        return count

    fail(monkeypatch, writer.path, full, full, handler)
    writer.write(make_event(0))
    writer.write(make_event(1))
    writer.flush()
    writer.write(make_event(2))

    assert inner == [False]
    assert written(writer.path) == [(0, 0), (1, 1), (2, 2)]
    assert writer.counters == Counters(written=3, refused=1)


def test_several_in_the_middle_of_a_write_are_turned_away(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one is; each is counted."""
    inner = []

    def handler(fd: int, line: bytes) -> int:
        inner.append(writer._segments.write_all([make_event(7), make_event(8)]))
        return good(fd, line)

    fail(monkeypatch, writer.path, handler)
    writer.write(make_event(0))

    assert inner == [0]
    assert written(writer.path) == [(0, 0)]
    assert writer.counters == Counters(written=1, refused=2)
