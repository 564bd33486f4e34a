"""The end of a log that is being written: its live file, sealed when it is full, put back when it is lost."""

from __future__ import annotations

import errno
import math
import os
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from rldk.errors import RunLockedError
from rldk.io.live_file import LiveFile
from rldk.io.lock import Lock
from rldk.io.manifest import read_manifest
from rldk.io.reader import last_event, last_event_of
from rldk.io.replace import replacing
from rldk.io.sealing import Sealer, next_number
from rldk.io.segments import lock_path, sealed_path, sealed_segments
from rldk.io.sync import Syncer, sync_folder
from rldk.io.torn import move_torn_tail

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from rldk.io.clock import Clock
    from rldk.io.quantities import Quantity
    from rldk.io.sealing import Policy
    from rldk.io.segments import Log

__all__ = ["LiveLog"]

_LOOK: Final = 1.0
"""Seconds between two looks at whether the files are still ours and whole."""
_NEVER: Final = 2**63
_CHUNK: Final = 2**20


class LiveLog:
    """Appends lines to a log and looks after its files. It knows seqs, and nothing else of events.

    Args:
        log: the log; its folder is made when absent.
        rotation: the size in bytes, or the age in seconds, at which the live file is sealed; None for never.
        sync: seconds from one sync to the next, in the background, or the number of events that are synced
            together, by the thread that writes the last; None leaves it to the kernel.
        policy: what becomes of sealed segments.
        clock: where time comes from.
        note: takes a note for the next event.
        warn: tells the user of trouble.

    Raises:
        RunLockedError: another writer holds the log.
        OSError: the folder or the file cannot be made.
    """

    def __init__(
        self,
        log: Log,
        *,
        rotation: Quantity | None,
        sync: Quantity | None,
        policy: Policy,
        clock: Clock,
        note: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        log.path.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self.attention = False
        """Whether something is wrong, or due, that `attend` will see to."""
        self.look_at = -math.inf
        """When `attend` is due in any case, by the monotonic clock."""
        self.torn_bytes = 0
        """How many bytes of unfinished lines were moved out of the log."""
        self._note = note
        self._warn = warn
        self._monotonic = clock.monotonic
        self._limit = int(rotation.amount) if rotation and rotation.kind == "bytes" else _NEVER
        self._period = rotation.amount if rotation and rotation.kind == "seconds" else _NEVER
        self._sync_events = int(sync.amount) if sync and sync.kind == "events" else _NEVER
        self.sync_at = self._sync_events
        """The seq at which the events before it are to be synced by the thread that writes."""
        self._syncer: Syncer | None = None
        self._handed_over: LiveFile | None = None
        self._renaming = False
        self._name_is_synced = False
        self._failed_syncs = 0
        self._sealing_has_failed = False
        self._sealer = Sealer(log, policy, clock, self._sealing_failed)
        self._failures: SimpleQueue[Callable[[], None]] = SimpleQueue()
        """What went wrong in the background, to be seen to by the thread that writes."""
        self._lock = Lock(lock_path(log.path.parent, log.run_id, log.rank))
        try:
            self._open()
            if sync and sync.kind == "seconds":
                self._syncer = Syncer(log.path.parent, sync.amount, self._sync_failed)
                self._syncer.follow(self.file.fd)
            self._handed_over = self.file
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> None:
        number = next_number(self.log)
        file = LiveFile(self.log.path, 0)
        try:
            self.past = last_event_of(self.log)
            """The last event that earlier attempts left in the log, None when there is none."""
            removed = read_manifest(self.log).removed
            before = self.past.attempt if self.past else removed and removed.last_attempt
            self.attempt = 1 + (before or 0)
            """The number of this attempt of the rank, from 1."""
            self._begin(file, number)
            try:
                self._move_torn_tail()
            except OSError as error:
                self._give_up(error)
            if self._sync_events < _NEVER:
                # What each attempt leaves to the next sync would add up to more than the policy says.
                self.sync()
        except BaseException:
            file.close()
            raise
        if number > 1:
            self._sealer.wake()

    def _begin(self, file: LiveFile, number: int) -> None:
        """Go on in this file, which will be sealed under this number."""
        file.number = number
        self._first_seq = file.at[1]
        self._name_is_synced = False
        self._begun = self._monotonic()
        self.full_at = self._limit
        """The size at which the file is sealed."""
        self.file = file
        self._renaming = False

    def _move_torn_tail(self) -> None:
        """Bring a file that somebody else left back to whole lines."""
        size, torn = move_torn_tail(self.file.fd, self.log.path, self.attempt)
        self.file.at = (os.fstat(self.file.fd).st_size, self.file.at[1])
        if size:
            moved = f"{size} bytes of an unfinished line were moved to {torn.name}"
            self.torn_bytes += size
            self._note(f"torn_tail: {moved}")
            self._warn(moved)

    def append(self, lines: bytes | bytearray, seq_after: int) -> None:
        """Add lines; the seq of the event after them is told with them.

        Raises:
            OSError: it could not be done; `settle` undoes what there is of it.
        """
        self.file.append(lines, seq_after)
        if seq_after >= self.sync_at:
            self.sync()

    def sync(self) -> None:
        """Force the live file to the disk, and its name the first time; in this thread, which waits for it."""
        self.sync_at = self.file.at[1] + self._sync_events
        try:
            os.fdatasync(self.file.fd)
            if not self._name_is_synced:
                with suppress(FileNotFoundError):
                    sync_folder(self.log.path.parent)
                self._name_is_synced = True
        except OSError as error:
            self._sync_failed(error)

    def settle(self) -> None:
        """Bring the file back to whole lines, in a new file if it has to be.

        Raises:
            OSError: that cannot be done now.
        """
        if self.file.pending:
            try:
                self.file.settle()
            except OSError as error:
                self._give_up(error)
            if os.fstat(self.file.fd).st_size < self.file.at[0]:
                self._accept_cut()

    def is_due(self, now: float) -> bool:
        """Whether there is something for `attend` to see to."""
        return self.attention or self.file.pending > 0 or self.file.at[0] >= self.full_at or now >= self.look_at

    def attend(self) -> None:
        """See to everything that may be wrong, or due.

        Raises:
            OSError: nothing can be written now.
        """
        now = self._monotonic()
        self.settle()
        if now >= self.look_at:
            self._look()
            self.look_at = now + _LOOK
        self.attention = False
        self._tell_failures()
        if self._handed_over is not self.file:
            self._hand_over()
        due = self.file.at[0] >= self.full_at or now - self._begun >= self._period
        if self._renaming or (due and self.file.at[0]):
            self._rotate_if_possible()

    def _tell_failures(self) -> None:
        """Tell what went wrong in the background."""
        with suppress(Empty):
            while True:
                self._failures.get_nowait()()

    def _look(self) -> None:
        """See whether the lock and the file are still ours, and the file whole."""
        if not self._lock.is_in_place():
            self.log.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.renew()
            except RunLockedError as error:
                raise OSError(errno.EBUSY, str(error)) from None
        if not self.file.is_at(self.log.path):
            self._restore()
        elif os.fstat(self.file.fd).st_size < self.file.at[0]:
            self._accept_cut()

    def _restore(self) -> None:
        """Put back a file that was deleted or moved: its events, which we still have open, become a sealed segment."""
        old = self.file
        # A rotation that was interrupted has sealed it already.
        ours = self._renaming and next_number(self.log) > old.number
        # Made first: were it to fail after the copy, there would be another copy the next time.
        new = LiveFile(self.log.path, old.at[1])
        try:
            if old.at[0] and not ours and not any(old.is_at(each.path) for each in sealed_segments(self.log)):
                with replacing(sealed_path(self.log, old.number)) as copy:
                    _copy(old.fd, copy, old.at[0])
        except BaseException:
            new.close()
            raise
        self._begin(new, max(old.number, next_number(self.log)))
        self._hand_over()
        self._close_file(old)
        self._move_torn_tail()
        if ours:
            return
        what = "another program deleted or moved the log; what was in it has been put back"
        self._note(f"log_restored: {what}")
        self._warn(what)

    def _accept_cut(self) -> None:
        """Go on after somebody has cut the file, and say which events were in what was cut off."""
        after = self.file.at[1]
        self._move_torn_tail()
        with open(self.file.fd, "rb", buffering=0, closefd=False) as left:
            last = last_event(left)
        ours = last if last and last.attempt == self.attempt else None
        first = self._first_seq if ours is None or ours.seq is None else ours.seq + 1
        if first < after:
            lost = f"{after - first}, seq {first}-{after - 1}"
            self._note(f"events_dropped: {lost}, another program cut them off the log")
        self._warn("another program cut the log short, and what it cut off is gone")

    def _rotate_if_possible(self) -> None:
        """Seal the live file; when that cannot be done now, go on in it for a while."""
        try:
            self._rotate()
        except OSError as error:
            self.full_at = self.file.at[0] + self._limit // 8
            self._begun = self._monotonic() - self._period * 7 / 8
            self._warn(f"the log cannot be rotated now and goes on in the same file: {error}")

    def _rotate(self) -> None:
        """Seal the live file and begin a new one in its place."""
        path, old = self.log.path, self.file
        # Whatever interrupts this, the next event comes back to it.
        self.attention = True
        if not old.is_at(path):
            self._restore()
            return
        target = sealed_path(self.log, old.number)
        beside = path.with_name(f".rldk-{path.name}")
        beside.unlink(missing_ok=True)
        if self._sync_events < _NEVER:
            # What is synced from now on is in the new file; a power cut is not to take the end of this one first.
            self.sync()
        new = LiveFile(beside, old.at[1])
        try:
            # Nobody can come between the two: the lock is ours.
            self._renaming = True
            path.rename(target)
            beside.rename(path)
        except BaseException:
            if target.exists() and not path.exists():
                target.rename(path)
            self._renaming = not old.is_at(path)
            beside.unlink(missing_ok=True)
            new.close()
            raise
        self._begin(new, old.number + 1)
        self._hand_over()
        self._close_file(old)

    def _close_file(self, file: LiveFile) -> None:
        try:
            file.close()
        except OSError as error:
            # Some file systems on a network tell only now what became of the bytes.
            self._sync_failed(error)

    def _hand_over(self) -> None:
        """Let the background know of a new file, and of a sealed one."""
        if self._syncer:
            self._syncer.follow(self.file.fd)
        self._sealer.wake()
        self._handed_over = self.file

    def _give_up(self, error: OSError) -> None:
        """Go on in a new file, because this one cannot be brought back to whole lines.

        Raises:
            OSError: nor can a new one be begun.
        """
        name = sealed_path(self.log, self.file.number).name
        self._rotate()
        self._note(f"segment_abandoned: {name} ends in an unfinished line that could not be cut off, {error.strerror}")
        self._warn(f"an unfinished line could not be cut off, so the log goes on in a new file: {error}")

    def _sync_failed(self, error: OSError) -> None:
        def tell() -> None:
            self._failed_syncs += 1
            if self._failed_syncs.bit_count() == 1:
                # A sync that is tried again succeeds, though what was to be synced is gone, so the log goes on in a
                # new file; where all syncs fail that is of no help, and done the more seldom the more have failed.
                self.full_at = 0
            self._note(f"sync_failed: some of the events before this one may not be on the disk, {error.strerror}")
            if self._failed_syncs == 1:
                self._warn(f"the disk did not take what was written, some of it may be lost: {error}")

        self._failures.put(tell)
        self.attention = True

    def _sealing_failed(self, error: OSError) -> None:
        if self._sealing_has_failed:
            return
        self._sealing_has_failed = True
        self._failures.put(lambda: self._warn(f"a sealed segment stays as it is for now: {error}"))
        self.attention = True

    def close(self) -> None:
        """Give up the files and the lock; work in the background is stopped or left to end by itself."""
        with suppress(OSError):
            self.settle()
        if self._syncer:
            self._syncer.close()
        self._close_file(self.file)
        self._sealer.close()
        self._tell_failures()
        self._lock.release()

    def leave_to_parent(self) -> None:
        """Close the files, and forget the lock: this process is a forked child."""
        if self._syncer:
            self._syncer.leave_to_parent()
        self.file.close()
        self._lock.forget()


def _copy(fd: int, copy: IO[bytes], size: int) -> None:
    """Copy the first bytes of a file."""
    done = 0
    while done < size:
        chunk = os.pread(fd, min(_CHUNK, size - done), done)
        if not chunk:
            raise OSError(errno.EIO, "the file became shorter while it was copied")
        copy.write(chunk)
        done += len(chunk)
