"""What a forked child inherits, it leaves to its parent."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rldk.io.forks import _inherited, leave_to_parent_at_fork
from rldk.io.lock import is_held
from rldk.io.writer import Counters, open_writer
from tests.io.faults import written
from tests.runs import make_event

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


class Inherited:
    """Something that counts how often it is told of a fork."""

    told = 0

    def leave_to_parent(self) -> None:
        """Count."""
        self.told += 1


def in_child(check: Callable[[], object]) -> bool:
    """Whether a check holds in a forked child."""
    child = os.fork()
    if not child:
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_everything_that_asked_for_it_is_told_in_the_child_only() -> None:
    """Once for each fork, in a child of the child as well."""
    things = [Inherited(), Inherited()]
    for each in things:
        leave_to_parent_at_fork(each)
    told = in_child(
        lambda: [each.told for each in things] == [1, 1] and in_child(lambda: [each.told for each in things] == [2, 2])
    )

    assert told
    assert [each.told for each in things] == [0, 0]


def test_it_keeps_nothing_alive() -> None:
    """A writer that nobody else knows goes away, and its entry with it."""
    thing = Inherited()
    leave_to_parent_at_fork(thing)
    gone = weakref.ref(thing)
    before = len(_inherited)
    del thing
    gc.collect()

    assert gone() is None
    assert len(_inherited) < before


@pytest.mark.parametrize("sync", ["none", "every", "1 h"])
def test_a_child_writes_nothing_and_holds_nothing(tmp_path: Path, sync: str) -> None:
    """Its events are dropped, its close is harmless, and no file of the log is open in it."""
    writer = open_writer(tmp_path, run_id="r", sync=sync)
    writer.write(make_event(0))

    def check() -> bool:
        taken = writer.write(make_event(1))
        writer.flush()
        writer.close()
        numbers = [fd for fd in Path("/dev/fd").iterdir() if fd.exists()]
        ours = [fd for fd in numbers if fd.readlink().is_relative_to(tmp_path)]
        return (taken, ours, writer.counters) == (False, [], Counters(written=1, dropped=1))

    harmless = in_child(check)
    held = is_held(tmp_path / "r.lock")
    writer.write(make_event(1))
    writer.close()

    assert harmless
    assert held
    assert written(writer.path) == [(0, 0), (1, 1)]


def test_a_closed_writer_stays_closed_in_a_child(tmp_path: Path) -> None:
    """There is nothing left to give up, and no number of a file that is another's by now."""
    writer = open_writer(tmp_path, run_id="r")
    writer.close()

    assert in_child(lambda: writer.write(make_event(0)) is False)


@pytest.mark.parametrize("sync", ["none", "1 h"])
def test_a_writer_that_was_left_to_the_parent_is_inert(tmp_path: Path, sync: str) -> None:
    """False, one warning, no file and no lock; being told again changes nothing."""
    writer = open_writer(tmp_path, run_id="r", sync=sync)
    writer.write(make_event(0))
    segments = writer._segments
    segments.leave_to_parent()
    segments.leave_to_parent()
    taken = [writer.write(make_event(1)), writer.write(make_event(2))]
    writer.close()

    assert taken == [False, False]
    assert writer.counters == Counters(written=1, dropped=2)
    assert segments._live.file.fd == -1
    assert not is_held(tmp_path / "r.lock")
    assert written(writer.path) == [(0, 0)]


def test_a_child_does_not_wait_for_a_thread_of_its_parent(tmp_path: Path) -> None:
    """A mutex that was held at the fork is replaced."""
    writer = open_writer(tmp_path, run_id="r")
    mutex = writer._segments._mutex
    locked = threading.Event()
    done = threading.Event()

    def hold() -> None:
        with mutex:
            locked.set()
            done.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    assert locked.wait(20)
    answered = in_child(lambda: writer.write(make_event(0)) is False)
    done.set()
    thread.join()
    writer.close()

    assert answered
