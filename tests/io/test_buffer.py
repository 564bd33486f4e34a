"""Events are gathered and handed on together; none is lost but with the process."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from rldk.errors import WriteFailedError
from rldk.io.buffer import BufferWriter
from rldk.io.quantities import Quantity
from rldk.io.writer import Counters, open_writer
from tests.io.faults import LIKE_IT, fail, full, not_written, steps, written
from tests.runs import make_event

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rldk.io.event_schema import Event


class Kept:
    """A writer that keeps the batches it is given."""

    def __init__(self, taken: int | None = None) -> None:
        self.batches: list[list[Event]] = []
        self.calls: list[str] = []
        self.came = threading.Event()
        self._taken = taken

    def write(self, event: Event) -> bool:
        """Keep an event."""
        return self.write_all([event]) == 1

    def write_all(self, events: Sequence[Event]) -> int:
        """Keep a batch."""
        self.batches.append(list(events))
        self.came.set()
        return len(events) if self._taken is None else self._taken

    def flush(self) -> None:
        """Take down that it was asked."""
        self.calls.append("flush")

    def close(self) -> None:
        """Take down that it was asked."""
        self.calls.append("close")

    @property
    def steps(self) -> list[list[int]]:
        """The steps of each batch."""
        return [[event.step for event in batch] for batch in self.batches]


def by_events(count: int, to: Kept) -> BufferWriter:
    """A writer that hands on so many events together."""
    return BufferWriter(Quantity("events", count), to=to)


def by_seconds(seconds: float, to: Kept) -> BufferWriter:
    """A writer that hands on after so many seconds."""
    return BufferWriter(Quantity("seconds", seconds), to=to)


def test_events_are_handed_on_so_many_at_a_time() -> None:
    """Only the event that fills the batch is acknowledged, and all before it with it."""
    kept = Kept()
    buffer = by_events(3, kept)
    taken = [buffer.write(make_event(step)) for step in range(7)]

    assert taken == [False, False, True, False, False, True, False]
    assert kept.steps == [[0, 1, 2], [3, 4, 5]]
    assert buffer.buffered == 1


def test_a_batch_that_was_not_taken_whole_is_not_acknowledged() -> None:
    """False: some of them are held or were dropped, as the counters say."""
    buffer = by_events(2, Kept(taken=1))

    assert [buffer.write(make_event(0)), buffer.write(make_event(1))] == [False, False]


def test_flush_hands_on_what_there_is() -> None:
    """And flushes the writer behind, whether there was anything or not."""
    kept = Kept()
    buffer = by_events(3, kept)
    buffer.write(make_event(0))
    buffer.flush()
    buffer.flush()

    assert kept.steps == [[0]]
    assert kept.calls == ["flush", "flush"]
    assert buffer.buffered == 0


def test_close_hands_on_what_there_is_and_closes() -> None:
    """In this order; a later event is handed on at once, for the closed writer to say what it thinks of it."""
    kept = Kept(taken=0)
    buffer = by_events(3, kept)
    buffer.write(make_event(0))
    buffer.close()
    late = buffer.write(make_event(1))

    assert kept.calls == ["flush", "close"]
    assert kept.steps == [[0], [1]]
    assert (late, buffer.buffered) == (False, 0)


def test_events_are_handed_on_after_so_many_seconds() -> None:
    """In the background, without another event coming."""
    kept = Kept()
    buffer = by_seconds(0.001, kept)
    taken = buffer.write(make_event(0))
    came = kept.came.wait(20)
    buffer.close()

    assert not taken
    assert came
    assert kept.steps == [[0]]


def test_the_seconds_count_from_the_first_event_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """One timer for each batch, and none when there is nothing; one that is not needed is called off."""
    timers: list[Timer] = []

    class Timer:
        def __init__(self, seconds: float, function: Any) -> None:
            self.seconds, self.function, self.daemon, self.state = seconds, function, False, "made"
            timers.append(self)

        def start(self) -> None:
            self.state = "started"

        def cancel(self) -> None:
            self.state = "cancelled"

    monkeypatch.setattr(threading, "Timer", Timer)
    kept = Kept()
    buffer = by_seconds(2.5, kept)
    for step in range(3):
        buffer.write(make_event(step))
    timers[0].function()
    buffer.write(make_event(3))
    buffer.flush()
    buffer.flush()

    assert kept.steps == [[0, 1, 2], [3]]
    assert [(timer.seconds, timer.daemon, timer.state) for timer in timers] == [(2.5, True, "cancelled")] * 2


def test_where_no_thread_can_be_had_events_are_handed_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing raises into the training, and nothing waits for a timer that never comes."""

    def no_more(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    kept = Kept()
    buffer = by_seconds(60, kept)
    taken = [buffer.write(make_event(0)), buffer.write(make_event(1))]

    assert taken == [True, True]
    assert kept.steps == [[0], [1]]


def test_an_event_is_as_it_was_when_it_was_given() -> None:
    """A caller who goes on to change its dicts and lists changes no event that is held back."""
    kept = Kept()
    buffer = by_events(2, kept)
    event = make_event(0)
    before = make_event(0)
    buffer.write(event)
    for section in (event.metrics, event.rng, event.data_slice, event.model_info):
        section["changed"] = 1
    event.notes.append("changed: 1")
    buffer.flush()

    assert kept.batches == [[before]]


def test_many_threads_share_a_buffer() -> None:
    """Every event is handed on once."""
    kept = Kept()
    buffer = by_events(7, kept)

    def write(first: int) -> None:
        for step in range(first, first + 500):
            buffer.write(make_event(step))

    threads = [threading.Thread(target=write, args=[first]) for first in range(0, 2000, 500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    buffer.flush()

    assert sorted(step for batch in kept.steps for step in batch) == list(range(2000))


def test_a_forked_child_holds_nothing_of_its_parents() -> None:
    """What the parent held it hands on itself; what the child is given goes on at once, to a writer that refuses."""
    kept = Kept(taken=0)
    buffer = by_events(3, kept)
    buffer.write(make_event(0))
    buffer.leave_to_parent()
    left = buffer.buffered
    taken = buffer.write(make_event(1))

    assert (left, taken) == (0, False)
    assert kept.steps == [[1]]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("buffer", ["10 events", "1 h"])
def test_a_fork_does_not_write_the_buffer_twice(tmp_path: Path, buffer: str) -> None:
    """The child's flush and close write nothing, and its own event is dropped with a warning."""
    writer = open_writer(tmp_path, run_id="r", buffer=buffer)
    writer.write(make_event(0))
    child = os.fork()
    if not child:
        try:
            taken = writer.write(make_event(1))
            writer.close()
            os._exit(0 if (taken, writer.counters) == (False, Counters(dropped=1)) else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    writer.close()

    assert os.waitstatus_to_exitcode(status) == 0
    assert written(writer.path) == [(0, 0)]


def test_the_counters_tell_what_is_buffered(tmp_path: Path) -> None:
    """Until they are handed on, events are buffered; then they are written."""
    writer = open_writer(tmp_path, run_id="r", buffer="3 events")
    counters = []
    for step in range(4):
        writer.write(make_event(step))
        counters.append(writer.counters)
    there = steps(writer.path)
    writer.close()

    assert counters == [
        Counters(buffered=1),
        Counters(buffered=2),
        Counters(written=3),
        Counters(written=3, buffered=1),
    ]
    assert there == [0, 1, 2]
    assert written(writer.path) == [(step, step) for step in range(4)]


def test_a_batch_that_the_disk_refuses_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The events are held as if each had been written by itself, and written in order with the next batch."""
    writer = open_writer(tmp_path, run_id="r", buffer="2 events")
    fail(monkeypatch, writer.path, full, full)
    taken = [writer.write(make_event(0)), writer.write(make_event(1))]
    during = writer.counters
    taken += [writer.write(make_event(2)), writer.write(make_event(3))]
    writer.close()

    assert taken == [False, False, False, True]
    assert during == Counters(held=2)
    assert written(writer.path) == [(step, step) for step in range(4)]


def test_who_asks_to_be_told_is_told_when_the_batch_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes with the event that filled the batch; the others of the batch are tried all the same."""
    writer = open_writer(tmp_path, run_id="r", buffer="2 events", on_error="raise")
    fail(monkeypatch, writer.path, full)
    writer.write(make_event(0))
    with pytest.raises(WriteFailedError, match="No space left on device"):
        writer.write(make_event(1))
    writer.close()

    assert written(writer.path) == [(1, 1)]
    assert writer.counters == Counters(written=1, dropped=1)


def test_what_is_no_event_is_refused_behind_the_buffer(tmp_path: Path) -> None:
    """It raises into no training, and the others of its batch are written."""
    writer = open_writer(tmp_path, run_id="r", buffer="3 events")
    for event in (make_event(0), make_event(1, rng=None, notes=7), make_event(2)):
        writer.write(event)
    writer.close()

    assert steps(writer.path) == [0, 2]
    assert writer.counters == Counters(written=2, refused=1)


def test_a_closed_writer_with_a_buffer_drops_events(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At once and with a warning, not when a buffer is full that nobody empties."""
    writer = open_writer(tmp_path, run_id="r", buffer="100 events")
    writer.close()
    taken = writer.write(make_event(0))

    assert not taken
    assert writer.counters == Counters(dropped=1)
    assert caplog.messages == [not_written(writer, "the writer is closed", LIKE_IT)]
