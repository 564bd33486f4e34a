"""Disks, clocks and threads that do what tests need them to, and what is left of a log afterwards."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rldk.io.reader import read_events
from rldk.io.segments import Log, log_path, run_log, segments
from rldk.io.validator import validate_jsonl_file

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from rldk.io.sealing import Sealer
    from rldk.io.writer import RunWriter

HELD: Final = (
    "training goes on, up to 4 MiB of events are held and written when that works again, further ones are only counted"
)
"""How the warning ends of a writer that holds events."""

LIKE_IT: Final = "training goes on, further events like it are only counted"
"""How the warning ends of a writer that was given what it can never write."""

_real_write: Final = os.write


class ManualClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """What the test says."""
        return self.now

    def time(self) -> float:
        """The same instant by the wall clock: not long after the beginning of 2026."""
        return 1_767_225_600.0 + self.now


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


def fail(monkeypatch: pytest.MonkeyPatch, path: Path, *faults: Callable[[int, bytes], int]) -> FaultyWrite:
    """Put faults in the way of the next writes to a log."""
    faulty = FaultyWrite(path, *faults)
    monkeypatch.setattr(os, "write", faulty)
    return faulty


def good(fd: int, line: bytes) -> int:
    """Do as it should."""
    return _real_write(fd, line)


def short(fd: int, line: bytes) -> int:
    """Write a part only, as a nearly full disk does."""
    return _real_write(fd, line[: len(line) // 3])


def nothing(_fd: int, _line: bytes) -> int:
    """Take no byte and say so."""
    return 0


def full(_fd: int, _line: bytes) -> int:
    """Fail as a full disk does."""
    raise disk_error(errno.ENOSPC)


def late(fd: int, line: bytes) -> int:
    """Write everything and fail all the same."""
    _real_write(fd, line)
    raise disk_error(errno.EIO)


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


def disk_error(number: int) -> OSError:
    """The error of the system with this number."""
    return OSError(number, os.strerror(number))


def failing(number: int) -> Callable[..., Any]:
    """A function of the system that fails."""

    def fail_so(*_arguments: Any, **_options: Any) -> None:
        raise disk_error(number)

    return fail_so


class Recorded:
    """Stands in for a function of `os` that takes a file; knows the names of the files it was called with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self._real = getattr(os, name)
        self.names: list[str] = []
        self.called = threading.Event()
        self.error: int | None = None
        """When set, what every call fails with."""
        monkeypatch.setattr(os, name, self)

    def __call__(self, fd: int) -> None:
        """Take down the name, and do as it should or fail."""
        self.names.append(Path(f"/dev/fd/{fd}").readlink().name)
        self.called.set()
        if self.error is not None:
            raise disk_error(self.error)
        self._real(fd)


def the_log(folder: Path, run_id: str = "r", rank: int = 0) -> Log:
    """The log of a run in a folder."""
    return Log(log_path(folder, run_id, rank), run_id, rank)


def segment_names(folder: Path, run_id: str = "r") -> list[str]:
    """The names of a log's files, oldest first."""
    return [path.name for path in segments(the_log(folder, run_id))]


def steps(path: Path) -> list[int]:
    """The steps of the events in a whole log, oldest first."""
    return [event.step for event in read_events(path, history="all")]


def notes(path: Path) -> list[list[str]]:
    """The notes of the events in a whole log, oldest first."""
    return [event.notes for event in read_events(path, history="all")]


def written(path: Path) -> list[tuple[int, int | None]]:
    """Step and seq of each event in a log whose every file must be valid."""
    for each in segments(run_log(path)):
        assert validate_jsonl_file(each, strict=True).problems == []
    return [(event.step, event.seq) for event in read_events(path, history="all")]


def not_written(writer: RunWriter, why: str, what: str = HELD) -> str:
    """The one warning of a writer that cannot write."""
    return f"{writer.path}: the event was not written: {why}; {what}"


def wait_for_sealing(writer: RunWriter) -> None:
    """Let the work on sealed segments come to its end."""
    finish(writer._segments._live._sealer)


def finish(sealer: Sealer) -> None:
    """Let a sealer do what it was woken for; it can be woken again."""
    if sealer._thread:
        sealer._orders.put("end")
        sealer._thread.join(10)
        assert not sealer._thread.is_alive()
        sealer._thread = None
