"""A writer that is opened, starved, interrupted, robbed of its file, killed and opened again, in any order."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rldk.errors import WriteFailedError
from rldk.io.codec import encode
from rldk.io.sealing import Policy, Sealer, tend
from rldk.io.segments import segments
from rldk.io.writer import open_writer
from tests.crash.accounts import SetClock, abandon, account, log_of
from tests.runs import make_event

if TYPE_CHECKING:
    from rldk.io.segments import Compression
    from rldk.io.writer import OnError, RunWriter


class Disk:
    """System calls that do as they should until they are told otherwise."""

    def __init__(self, stack: ExitStack) -> None:
        self._write, self._ftruncate, self._fdatasync = os.write, os.ftruncate, os.fdatasync
        self._rename = Path.rename
        self.room: int | None = None
        """How many more bytes there is room for; None for any number."""
        self.broken: set[str] = set()
        """The calls that fail: `ftruncate`, `fdatasync` and `rename`."""
        self.interrupt_write: int | None = None
        """Ctrl-C comes when the next write has taken so many bytes."""
        self.interrupt_rename: int | None = None
        """Ctrl-C comes just after so many more renames."""
        stack.enter_context(patch("os.write", self.write))
        stack.enter_context(patch("os.ftruncate", self.ftruncate))
        stack.enter_context(patch("os.fdatasync", self.fdatasync))

        def rename(path: Path, target: Path) -> Path:
            return self.rename(path, target)

        stack.enter_context(patch.object(Path, "rename", rename))

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return self.room is None and not self.broken

    def write(self, fd: int, text: bytes) -> int:
        """`os.write`."""
        if self.interrupt_write is not None:
            size, self.interrupt_write = self.interrupt_write, None
            self._write(fd, text[:size])
            raise KeyboardInterrupt
        if self.room is None:
            return self._write(fd, text)
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        size = min(self.room, len(text))
        self.room -= size
        return self._write(fd, text[:size])

    def _check(self, call: str) -> None:
        if call in self.broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def ftruncate(self, fd: int, size: int) -> None:
        """`os.ftruncate`."""
        self._check("ftruncate")
        self._ftruncate(fd, size)

    def fdatasync(self, fd: int) -> None:
        """`os.fdatasync`."""
        self._check("fdatasync")
        self._fdatasync(fd)

    def rename(self, path: Path, target: Path) -> Path:
        """`Path.rename`."""
        self._check("rename")
        renamed = self._rename(path, target)
        if self.interrupt_rename is not None:
            self.interrupt_rename -= 1
            if self.interrupt_rename < 0:
                self.interrupt_rename = None
                raise KeyboardInterrupt
        return renamed


class WriterStates(RuleBasedStateMachine):
    """One log, and whatever can happen to it. Each event has a number of its own, its step."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        # What the thread does that seals is done by a rule, at a moment that can be repeated.
        self.stack.enter_context(patch.object(Sealer, "wake", lambda _: None))
        self.disk, self.clock, self.log = Disk(self.stack), SetClock(), log_of(self.folder)
        self.writer: RunWriter | None = None
        self.steps = 0
        self.acknowledged: set[int] = set()
        self.failed: set[int] = set()
        """The events whose failure was raised."""
        self.history: list[int] = []
        self.taken: set[int] | None = None
        """The events in a file that was deleted and has not been put back yet."""

    def teardown(self) -> None:
        """Give up what is open."""
        self.disk.interrupt_write = self.disk.interrupt_rename = None
        if self.writer:
            self.writer.close()
        self.stack.close()

    is_open = precondition(lambda self: self.writer is not None)
    is_closed = precondition(lambda self: self.writer is None)

    @initialize()
    def begin(self) -> None:
        """A log has one event at least."""
        self.open("warn", "none", "1 kB")
        self.write(0)

    @is_closed
    @rule(
        on_error=st.sampled_from(["warn", "raise"]),
        sync=st.sampled_from(["none", "every", "3 events"]),
        rotation=st.sampled_from(["1 kB", "1 h", None]),
    )
    def open(self, on_error: OnError, sync: str, rotation: str | None) -> None:
        """Open the log; a disk on which nothing works may refuse."""
        try:
            self.writer = open_writer(
                self.folder, run_id="r", sync=sync, rotation=rotation, on_error=on_error, clock=self.clock
            )
        except (OSError, KeyboardInterrupt):
            assert not self.disk.is_well or self.disk.interrupt_rename is None

    @is_open
    @rule(size=st.sampled_from([0, 0, 100, 3000]))
    def write(self, size: int) -> None:
        """Write an event."""
        assert self.writer
        step, self.steps = self.steps, self.steps + 1
        try:
            if self.writer.write(make_event(step, metrics={"value": step / 7}, notes=["size: " + "x" * size])):
                self.acknowledged.add(step)
            else:
                assert not self.disk.is_well
        except WriteFailedError:
            self.failed.add(step)
            assert not self.disk.is_well
        except KeyboardInterrupt:
            # It may be there or not.
            pass

    @is_open
    @rule(count=st.integers(2, 12))
    def write_many(self, count: int) -> None:
        """Write several."""
        for _ in range(count):
            self.write(0)

    @is_open
    @rule()
    def flush(self) -> None:
        """Write what is held, if that is possible."""
        assert self.writer
        with suppress(KeyboardInterrupt):
            self.writer.flush()

    @rule(seconds=st.sampled_from([0.1, 1.1, 3700.0]))
    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.clock.seconds += seconds

    @rule(room=st.integers(0, 1500))
    def fill_disk(self, room: int) -> None:
        """Leave so much room on the disk."""
        self.disk.room = room

    @rule(call=st.sampled_from(["ftruncate", "fdatasync", "rename"]))
    def break_call(self, call: str) -> None:
        """Have a system call fail from now on."""
        self.disk.broken.add(call)

    @rule()
    def heal(self) -> None:
        """Have everything work again."""
        self.disk.room = None
        self.disk.broken.clear()

    @is_open
    @rule(size=st.integers(0, 400))
    def interrupt_next_write(self, size: int) -> None:
        """Have Ctrl-C come in the middle of the next write."""
        self.disk.interrupt_write = size

    @is_open
    @rule(count=st.integers(0, 1))
    def interrupt_next_rotation(self, count: int) -> None:
        """Have Ctrl-C come between the two renames of the next rotation, or after both."""
        self.disk.interrupt_rename = count

    @is_open
    @precondition(lambda self: self.taken is None and self.disk.is_well and self.log.path.exists())
    @rule()
    def take_away(self) -> None:
        """Delete the live file under the writer."""
        before = set(self.history)
        self.log.path.unlink()
        self.taken = before - set(self.read())

    @is_open
    @rule()
    def close(self) -> None:
        """Close the log."""
        assert self.writer
        self.disk.interrupt_write = self.disk.interrupt_rename = None
        self.writer.close()
        self.end()

    @is_open
    @rule()
    def crash(self) -> None:
        """Kill the writer."""
        assert self.writer
        abandon(self.writer)
        self.end()

    def end(self) -> None:
        """The writer is gone; what was in a file that somebody had deleted meanwhile is gone with it."""
        self.writer = None
        self.disk.interrupt_write = self.disk.interrupt_rename = None
        if self.taken is not None and not self.log.path.exists():
            left = self.read()
            lost = self.acknowledged - set(left)
            assert min(lost, default=0) >= min(self.taken, default=0)
            self.acknowledged -= lost
            self.history = left
            self.taken = None

    @is_closed
    @precondition(lambda self: self.log.path.exists())
    @rule(size=st.integers(1, 1000))
    def tear(self, size: int) -> None:
        """Leave the beginning of a line, as a kernel does that is killed with the process."""
        line = encode(make_event(10**6))
        with self.log.path.open("ab") as file:
            if file.tell() == 0 or self.log.path.read_bytes().endswith(b"\n"):
                file.write(line[: min(size, len(line) - 1)])

    @rule(compression=st.sampled_from([None, "gz", "zst"]))
    def seal(self, compression: Compression | None) -> None:
        """Do what the thread does that seals."""
        with suppress(KeyboardInterrupt):
            errors = tend(self.log, Policy(compression), clock=self.clock)
            assert not errors or not self.disk.is_well

    def read(self) -> list[int]:
        """The step of each event that is there; the account of the log must be right."""
        if not segments(self.log):
            return []
        events = account(self.folder, torn=True).events
        assert [event.metrics for event in events] == [{"value": event.step / 7} for event in events]
        return [event.step for event in events]

    @invariant()
    def check(self) -> None:
        """What was acknowledged is there once, what was given up is not, and what was there before still is."""
        if self.taken is not None:
            if not self.log.path.exists():
                return
            self.taken = None
        steps = self.read()
        assert not list(self.folder.glob("r_events.jsonl.[gz]*"))
        assert steps == sorted(set(steps))
        assert set(steps) >= self.acknowledged
        assert not set(steps) & self.failed
        assert steps[: len(self.history)] == self.history
        self.history = steps


class TestWriterStates(WriterStates.TestCase):  # type: ignore[misc,name-defined]
    """P1, P3, P4, P5, P6, P8, P12. Whatever happens in whatever order, the log keeps its promises.

    Seen to fail when a rotation that was interrupted is begun again without a look at where its files are, when a
    failed write is not cut off, when a torn tail is left in place, and when the live file is compressed too.
    """

    settings = settings(max_examples=max(200, settings().max_examples), stateful_step_count=30)
