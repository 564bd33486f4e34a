"""Write events so that what was acknowledged stays, whatever becomes of the process or the disk."""

from __future__ import annotations

import errno
import logging
import os
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

import msgspec

from rldk.errors import InvalidEventError, WriteFailedError
from rldk.io.codec import LineEncoder
from rldk.io.event_schema import SCHEMA_VERSION, Event
from rldk.io.lock import Lock
from rldk.io.reader import last_event
from rldk.io.segments import check_run_id, lock_path, log_path, new_run_id
from rldk.io.torn import move_torn_tail
from rldk.io.values import plain_metrics, refusal

if TYPE_CHECKING:
    from rldk.io.event_schema import Primitive

__all__ = ["Counters", "OnError", "SegmentWriter", "Writer", "open_writer", "run_folder"]

OnError = Literal["warn", "raise"]
"""What to do about an event that cannot be written: one warning for all of them, or an error for each."""

_log: Final = logging.getLogger(__name__)


class Writer(Protocol):
    """Takes events. Writers around a writer filter, buffer or forward; the innermost writes to disk."""

    def write(self, event: Event) -> bool:
        """Take an event. True: it is in the kernel's hands and survives the death of this process."""
        ...

    def flush(self) -> None:
        """Hand on whatever is held back."""
        ...

    def close(self) -> None:
        """Flush, and give up what is held open. Closing again does nothing."""
        ...


class Counters(msgspec.Struct):
    """What became of the events a writer was given.

    `dropped` events could not be written; they keep their seq, and a note in the log accounts for them.
    `refused` events are none the schema allows. `refused_metrics` were left out of events written otherwise.
    `torn_bytes` had been left without a newline by an earlier crash.
    """

    written: int = 0
    dropped: int = 0
    refused: int = 0
    refused_metrics: int = 0
    torn_bytes: int = 0


def run_folder(output_dir: str | os.PathLike[str]) -> Path:
    """The folder a run's files go to: `RLDK_OUTPUT_DIR` when it is set, else the one given."""
    return Path(os.environ.get("RLDK_OUTPUT_DIR") or output_dir).absolute()


def open_writer(
    output_dir: str | os.PathLike[str],
    *,
    run_id: str | None = None,
    rank: int = 0,
    world_size: int = 1,
    resumed_from: int | None = None,
    on_error: OnError = "warn",
) -> SegmentWriter:
    """Open the log of a run for writing: one attempt of one rank.

    What the log holds already stays: the new attempt is appended, and numbered one higher than the last. A
    torn last line is moved to a `.torn` file beside the log.

    Args:
        output_dir: the folder of the run's files, made when absent; `RLDK_OUTPUT_DIR` wins over it.
        run_id: the run, a new one when not given; `RLDK_RUN_ID` wins over it.
        rank: the rank this process writes for; each has a file of its own.
        world_size: how many ranks there are.
        resumed_from: the step this attempt continues after, None for one that begins at the beginning.
        on_error: `warn` logs one warning and counts, `raise` raises for each event.

    Raises:
        ValueError: an argument is not what it can be; RunIdError: the run id could not be part of a file name.
        RunLockedError: another writer holds the log.
        OSError: the folder or the file cannot be made.
    """
    if on_error not in {"warn", "raise"}:
        raise ValueError(f"on_error: expected warn or raise, found {on_error!r}")
    _check_count("rank", rank, 0)
    _check_count("world_size", world_size, 1)
    named = os.environ.get("RLDK_RUN_ID") or run_id
    run_id = check_run_id(new_run_id("run") if named is None else named)
    stamps: dict[str, Primitive] = {"run_id": run_id, "schema": SCHEMA_VERSION, "rank": rank, "world_size": world_size}
    if resumed_from is not None:
        _check_count("resumed_from", resumed_from, 0)
        stamps["resumed_from"] = resumed_from
    return SegmentWriter(run_folder(output_dir), run_id, rank, stamps, on_error=on_error)


def _check_count(name: str, value: object, least: int) -> None:
    if type(value) is not int or value < least:
        raise ValueError(f"{name}: expected an integer >= {least}, found {value!r}")


class SegmentWriter:
    """Appends events to the log of one rank, each with one `write(2)`.

    It sets `seq` and stamps `model_info`. Threads may share it. In a forked child it is inert, so that the
    workers of a data loader cannot write under their parent's seq.

    A write that fails is undone: the file is cut back to its last whole line. While even that fails, nothing
    more is written.

    Args:
        folder: the folder of the run's files, made when absent.
        run_id: the run.
        rank: the rank.
        stamps: what goes into the `model_info` of every event, beside `attempt`.
        on_error: what to do about an event that cannot be written.
    """

    def __init__(
        self, folder: Path, run_id: str, rank: int, stamps: dict[str, Primitive], *, on_error: OnError
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = log_path(folder, run_id, rank)
        self.run_id = run_id
        self._on_error = on_error
        self._troubled = False
        self._closed = ""
        self._busy = False
        self._mutex = threading.RLock()
        self._notes: list[str] = []
        self._dropped: tuple[int, int] | None = None
        self._dropped_events = self._refused = self._refused_metrics = 0
        self._lock = Lock(lock_path(folder, run_id, rank))
        self._fd = -1
        try:
            self._open(stamps)
        except BaseException:
            if self._fd >= 0:
                os.close(self._fd)
            self._lock.release()
            raise
        _writers.add(self)

    def _open(self, stamps: dict[str, Primitive]) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self.path, flags, 0o666)
        with open(self._fd, "rb", buffering=0, closefd=False) as file:
            self.past = last_event(file)
            """The last event that earlier attempts left in the log, None when there is none."""
        self.attempt = 1 + (self.past.attempt if self.past else 0)
        """The number of this attempt of the rank, from 1."""
        self._torn_bytes, torn = move_torn_tail(self._fd, self.path, self.attempt)
        if self._torn_bytes:
            moved = f"{self._torn_bytes} bytes of an unfinished line were moved to {torn.name}"
            self._notes.append(f"torn_tail: {moved}")
            _log.warning("%s: %s", self.path, moved)
        self._encoder = LineEncoder({**stamps, "attempt": self.attempt})
        self._written = (os.fstat(self._fd).st_size, 0)
        """The size of the file with its last whole line, and the seq of the next event."""
        self._writing = 0
        """The length of the line whose write has not been seen to end."""

    def write(self, event: Event) -> bool:
        """Append an event.

        Returns:
            True when the kernel has the whole line, False when it was dropped or refused.

        Raises:
            InvalidEventError: the event cannot be an event, and `on_error` is `raise`.
            WriteFailedError: it could not be written, and `on_error` is `raise`.
        """
        with self._mutex:
            if self._busy:
                return self._turn_away()
            try:
                self._busy = True
                if self._closed or self._writing or self._notes or self._dropped:
                    return self._append_after_trouble(event)
                return self._append(event)
            except InvalidEventError as error:
                self._refused += 1
                return self._trouble(error)
            except OSError as error:
                if error.errno is None:
                    # None of the system's: a signal handler raised it, as a timeout does.
                    raise
                self._drop()
                return self._trouble(WriteFailedError(self.path, error.strerror or str(error)), error)
            finally:
                self._busy = False

    def _append(self, event: Event) -> bool:
        size, seq = self._written
        try:
            line = self._encoder.encode(event, seq)
        except InvalidEventError:
            line = self._encode_rest(event, seq)
        self._writing = length = len(line)
        done = os.write(self._fd, line)
        if done < length:
            _write_rest(self._fd, line, done)
        self._written = (size + length, seq + 1)
        self._writing = 0
        return True

    def _append_after_trouble(self, event: Event) -> bool:
        """Append an event that accounts for what went wrong before it."""
        if self._closed:
            raise OSError(errno.EBADF, self._closed)
        if self._writing:
            self._settle()
        notes = [*event.notes, *self._notes]
        if self._dropped:
            first, last = self._dropped
            notes.append(f"events_dropped: {last - first + 1}, seq {first}-{last}")
        self._append(msgspec.structs.replace(event, notes=notes))
        self._notes, self._dropped = [], None
        return True

    def _encode_rest(self, event: Event, seq: int) -> bytearray:
        """Encode what can be of an event, with a note that names the metrics that cannot."""
        metrics, refused = plain_metrics(event.metrics)
        notes = [*event.notes, refusal(refused)] if refused else event.notes
        line = self._encoder.encode(msgspec.structs.replace(event, metrics=metrics, notes=notes), seq)
        self._refused_metrics += len(refused)
        return line

    def _settle(self) -> None:
        """Bring the file back to whole lines after a write that failed, or was interrupted from outside."""
        size, seq = self._written
        there = os.fstat(self._fd).st_size
        if there - size > self._writing:
            raise OSError(errno.EIO, "another process wrote to the file")
        if there - size == self._writing:
            self._written = (there, seq + 1)
            self._notes, self._dropped = [], None
        elif there > size:
            os.ftruncate(self._fd, size)
        else:
            self._written = (there, seq)
        self._writing = 0

    def _drop(self) -> None:
        """Count an event that could not be written, and take back what there is of it."""
        _, attempted = self._written
        with suppress(OSError):
            if self._writing:
                self._settle()
        size, seq = self._written
        if seq > attempted:
            # All of it is there, whatever the error was.
            return
        self._written = (size, seq + 1)
        self._dropped = (self._dropped[0] if self._dropped else seq, seq)
        self._dropped_events += 1

    @property
    def counters(self) -> Counters:
        """What became of the events so far."""
        return Counters(
            written=self._written[1] - self._dropped_events,
            dropped=self._dropped_events,
            refused=self._refused,
            refused_metrics=self._refused_metrics,
            torn_bytes=self._torn_bytes,
        )

    def _trouble(self, error: Exception, cause: Exception | None = None) -> Literal[False]:
        if self._on_error == "raise":
            raise error from cause
        if not self._troubled:
            self._troubled = True
            _log.warning("%s; training goes on, further events that cannot be written are only counted", error)
        return False

    def _turn_away(self) -> Literal[False]:
        """Refuse the event of a signal handler that came in the middle of a write: it would wait for itself."""
        self._refused += 1
        return self._trouble(WriteFailedError(self.path, "a write of the same thread is under way"))

    def flush(self) -> None:
        """Do nothing: every event written is in the kernel's hands already."""

    def close(self) -> None:
        """Give up the file and the lock; events written from now on are dropped."""
        with self._mutex:
            if not self._closed:
                with suppress(OSError):
                    if self._writing:
                        self._settle()
                self._let_go("the writer is closed")
                self._lock.release()

    def _leave_to_parent(self) -> None:
        """Become inert, and hold neither file nor lock: this process is a forked child."""
        self._mutex, self._busy = threading.RLock(), False
        if not self._closed:
            self._let_go("this is a forked process; its parent writes the log")
            self._lock.forget()

    def _let_go(self, why: str) -> None:
        """Close the file; its number is forgotten, because the next file opened may be given the same."""
        self._closed, fd, self._fd, self._writing = why, self._fd, -1, 0
        os.close(fd)


def _write_rest(fd: int, line: bytearray, done: int) -> None:
    """Write what the kernel did not take at once, as on a nearly full disk."""
    while done < len(line):
        count = os.write(fd, line[done:])
        if not count:
            raise OSError(errno.EIO, "the kernel took no bytes")
        done += count


_writers: Final[weakref.WeakSet[SegmentWriter]] = weakref.WeakSet()


def _leave_writers_to_parent() -> None:
    for writer in list(_writers):
        writer._leave_to_parent()  # noqa: SLF001 - the same module


os.register_at_fork(after_in_child=_leave_writers_to_parent)
