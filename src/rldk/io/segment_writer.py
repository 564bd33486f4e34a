"""Append the events of one rank to its log, so that what was acknowledged stays, whatever goes wrong."""

from __future__ import annotations

import errno
import logging
import math
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from rldk.errors import InvalidEventError, RLDKError, WriteFailedError
from rldk.io.backlog import Backlog
from rldk.io.codec import LineEncoder
from rldk.io.forks import leave_to_parent_at_fork
from rldk.io.live_log import LiveLog
from rldk.io.values import plain_metrics, refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldk.io.clock import Clock
    from rldk.io.event_schema import Event, Primitive
    from rldk.io.quantities import Quantity
    from rldk.io.sealing import Policy
    from rldk.io.segments import Log

__all__ = ["HELD_BYTES", "Counters", "OnError", "SegmentWriter"]

OnError = Literal["warn", "raise"] | Callable[[RLDKError], object]
"""What to do about an event that cannot be written now: one warning for all of them, an error for each, or a
function that is called with the error of each."""

HELD_BYTES: Final = 4 * 2**20
"""How many bytes of events are held in memory while they cannot be written."""

_PATIENCE: Final = 5.0
"""Seconds that closing waits for a write of another thread."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""A write that failed so is tried again with the next event: the disk is well, and may have room by then."""
_QUICK: Final = 0.01
"""And so is one that failed within so many seconds."""
_RESTRAINT: Final = 100
"""One that took longer is tried again after so many times as long: no more than a hundredth of the training's time
is spent on a disk that does not answer."""
_log: Final = logging.getLogger(__name__)


class Counters(msgspec.Struct):
    """What became of the events a writer was given.

    `held` events wait in memory for the disk, `buffered` ones because that was asked for. `dropped` events could
    not be written; they keep their seq, and a note in the log accounts for them. `filtered` events, and
    `filtered_metrics` of events written otherwise, were left out by the filters. `refused` events are none the
    schema allows; `refused_metrics` were left out of events written otherwise. `torn_bytes` had been left without a
    newline by an earlier crash.
    """

    written: int = 0
    held: int = 0
    buffered: int = 0
    dropped: int = 0
    filtered: int = 0
    filtered_metrics: int = 0
    refused: int = 0
    refused_metrics: int = 0
    torn_bytes: int = 0


class SegmentWriter:
    """Appends events to a log, each with one `write(2)`.

    It sets `seq` and stamps `model_info`. Threads may share it. In a forked child it is inert, so that the
    workers of a data loader cannot write under their parent's seq.

    A write that fails is undone: the file is cut back to its last whole line; when that fails too it is given up and
    a new one begun. Events that cannot be written are held, up to `HELD_BYTES`, and written in their order as soon
    as that works again; those that did not fit are dropped, and the next event notes how many.

    Args:
        log: the log.
        stamps: what goes into the `model_info` of every event, beside `attempt`.
        rotation: when the live file is sealed; see `LiveLog`.
        sync: when it is forced to the disk; see `LiveLog`.
        policy: what becomes of sealed segments.
        on_error: what to do about an event that cannot be written. With `raise` none is held: who hears of it may
            try again.
        clock: where time comes from.
    """

    def __init__(
        self,
        log: Log,
        stamps: dict[str, Primitive],
        *,
        rotation: Quantity | None,
        sync: Quantity | None,
        policy: Policy,
        on_error: OnError,
        clock: Clock,
    ) -> None:
        self.run_id = log.run_id
        self.path = log.path
        self._on_error = on_error
        self._monotonic = clock.monotonic
        self._mutex = threading.RLock()
        self._busy = False
        self._warned: set[tuple[type[RLDKError], str]] = set()
        self._closed = ""
        self._backlog = Backlog(HELD_BYTES)
        self._failure: tuple[int, str] | None = None
        """Why the last event could not be written. The error itself would keep all the frames alive that it came by,
        and what is in them: the trainer."""
        self._retry_at = -math.inf
        self._refused = self._refused_metrics = 0
        self._live = LiveLog(
            log, rotation=rotation, sync=sync, policy=policy, clock=clock, note=self._backlog.note, warn=self._warn
        )
        self.past = self._live.past
        """The last event that earlier attempts left in the log, None when there is none."""
        self.attempt = self._live.attempt
        """The number of this attempt of the rank, from 1."""
        self._encode = LineEncoder({**stamps, "attempt": self.attempt}).encode
        leave_to_parent_at_fork(self)

    def write(self, event: Event) -> bool:
        """Append an event.

        Returns:
            True when the kernel has the whole line, False when it is held, was dropped or was refused.

        Raises:
            InvalidEventError: the event cannot be an event, and `on_error` is `raise`.
            WriteFailedError: it could not be written, and `on_error` is `raise`.
        """
        with self._mutex:
            if self._busy:
                return self._turn_away()
            live, now = self._live, self._monotonic()
            file = live.file
            size, seq = file.at
            try:
                self._busy = True
                # `live.is_due` and `live.append` are written out here: calling them costs a tenth of all this.
                if self._failure or live.attention or file.pending or size >= live.full_at or now >= live.look_at:
                    return self._append_with_care(event, now)
                try:
                    line = self._encode(event, seq)
                except InvalidEventError:
                    return self._append_rest(event, seq)
                else:
                    file.append(line, seq + 1)
                    if seq + 1 >= live.sync_at:
                        live.sync()
                    return True
            except InvalidEventError as error:
                self._refused += 1
                return self._trouble(error)
            except OSError as error:
                if error.errno is None:
                    # None of the system's: a signal handler raised it, as a timeout does.
                    raise
                return self._hold(event, error, self._monotonic() - now)
            finally:
                self._busy = False

    def _append_rest(self, event: Event, seq: int) -> bool:
        """Append what can be written of an event."""
        line, refused = self._encode_rest(event, seq)
        self._live.append(line, seq + 1)
        self._refused_metrics += refused
        return True

    def _encode_rest(self, event: Event, seq: int) -> tuple[bytearray, int]:
        """Encode what can be of an event, with a note that names the metrics that cannot, and count these."""
        metrics, refused = plain_metrics(event.metrics)
        notes = [*event.notes, refusal(refused)] if refused else event.notes
        return self._encode(msgspec.structs.replace(event, metrics=metrics, notes=notes), seq), len(refused)

    def _append_with_care(self, event: Event, now: float) -> bool:
        """Put right whatever needs it, write what was held, then append the event, which accounts for all of it."""
        if self._failure and now < self._retry_at:
            raise OSError(*self._failure)
        live, backlog = self._live, self._backlog
        live.attend()
        backlog.settle(live.file.at[1])
        backlog.write(live)
        seq = backlog.next_seq(live.file.at[1])
        if backlog:
            event = msgspec.structs.replace(event, notes=[*event.notes, *backlog.carry(seq)])
        try:
            line = self._encode(event, seq)
        except InvalidEventError:
            self._append_rest(event, seq)
        else:
            live.append(line, seq + 1)
        backlog.settle(live.file.at[1])
        self._failure = None
        return True

    def write_all(self, events: Sequence[Event]) -> int:
        """Append events, with one `write(2)` for all of them while nothing is wrong.

        Returns:
            how many of them the kernel has.

        Raises:
            InvalidEventError, WriteFailedError: as `write`, about the first; the events after it are written first.
        """
        with self._mutex:
            if not self._busy:
                try:
                    self._busy = True
                    if self._append_all(events):
                        return len(events)
                finally:
                    self._busy = False
            taken, failure = 0, None
            for event in events:
                try:
                    taken += self.write(event)
                except RLDKError as error:
                    failure = failure or error
            if failure:
                raise failure
            return taken

    def _append_all(self, events: Sequence[Event]) -> bool:
        """Append all of the events; False when none of them was, because something needs care."""
        live = self._live
        if self._failure or live.is_due(self._monotonic()):
            return False
        seq = live.file.at[1]
        try:
            lines = b"".join([bytes(self._encode(event, seq + index)) for index, event in enumerate(events)])
            live.append(lines, seq + len(events))
        except InvalidEventError:
            return False
        except OSError as error:
            if error.errno is None:
                raise
            with suppress(OSError):
                live.settle()
            return live.file.at[1] > seq
        return True

    def _hold(self, event: Event, error: OSError, took: float) -> bool:
        """Keep an event that cannot be written now until it can, or count it."""
        live, backlog = self._live, self._backlog
        now = self._monotonic()
        if now >= self._retry_at:
            self._failure = (error.errno or errno.EIO, error.strerror or str(error))
            sick = took > _QUICK and error.errno not in _FULL
            self._retry_at = now + took * _RESTRAINT if sick else -math.inf
        seq = backlog.next_seq(live.file.at[1])
        if not self._closed:
            with suppress(OSError):
                live.settle()
            backlog.settle(live.file.at[1])
        if live.file.at[1] > seq:
            # All of it is there, whatever the error was.
            return True
        if self._closed or self._on_error == "raise":
            backlog.drop(seq)
        else:
            try:
                line, refused = self._encode_rest(event, seq)
            except InvalidEventError as invalid:
                self._refused += 1
                return self._trouble(invalid)
            self._refused_metrics += refused if backlog.hold(seq, bytes(line)) else 0
        return self._trouble(WriteFailedError(self.path, error.strerror or str(error)), error)

    @property
    def counters(self) -> Counters:
        """What became of the events so far."""
        backlog = self._backlog
        return Counters(
            written=backlog.next_seq(self._live.file.at[1]) - backlog.dropped - len(backlog),
            held=len(backlog),
            dropped=backlog.dropped,
            refused=self._refused,
            refused_metrics=self._refused_metrics,
            torn_bytes=self._live.torn_bytes,
        )

    def _trouble(self, error: RLDKError, cause: Exception | None = None) -> Literal[False]:
        if self._on_error == "raise":
            raise error from cause
        if self._on_error != "warn":
            self._on_error(error)
        else:
            held = f"up to {HELD_BYTES // 2**20} MiB of events are held and written when that works again, further ones"
            what = held if cause and not self._closed else "further events like it"
            # An event that is none must not keep the user from hearing of a full disk.
            if (type(error), what) not in self._warned:
                self._warned.add((type(error), what))
                _log.warning("%s; training goes on, %s are only counted", error, what)
        return False

    def _warn(self, message: str) -> None:
        """Tell of trouble that costs no event."""
        _log.warning("%s: %s", self.path, message)

    def _turn_away(self) -> Literal[False]:
        """Refuse the event of a signal handler that came in the middle of a write: it would wait for itself."""
        self._refused += 1
        return self._trouble(WriteFailedError(self.path, "a write of the same thread is under way"))

    def flush(self) -> None:
        """Write what is held, if that is possible now. All else is in the kernel's hands already."""
        with self._mutex:
            if self._busy or self._closed:
                return
            try:
                self._busy = True
                self._live.attend()
                self._backlog.settle(self._live.file.at[1])
                self._backlog.write(self._live)
            except OSError as error:
                if error.errno is None:
                    raise
            finally:
                self._busy = False

    def close(self) -> None:
        """Give up the file and the lock; events written from now on are dropped.

        It waits at most some seconds, for a write of another thread that does not come to an end; then the log is
        left open.
        """
        if not self._mutex.acquire(timeout=_PATIENCE):
            self._warn("it stays open, because a write to it does not come to an end")
            return
        try:
            if self._closed:
                return
            if self._backlog:
                self._backlog.note_on_last()
                self.flush()
            if lost := self._backlog.drop_held():
                self._warn(f"{lost} events that were held could not be written to the end")
            self._close_because("the writer is closed")
        finally:
            self._mutex.release()
        self._live.close()

    def leave_to_parent(self) -> None:
        """Become inert, and hold neither file nor lock: this process is a forked child."""
        self._mutex, self._busy = threading.RLock(), False
        if not self._closed:
            self._close_because("this is a forked process; its parent writes the log")
            self._live.leave_to_parent()

    def _close_because(self, why: str) -> None:
        self._closed = why
        self._failure, self._retry_at = (errno.EBADF, why), math.inf
