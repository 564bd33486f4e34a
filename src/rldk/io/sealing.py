"""Look after the sealed segments of a log: count them, compress them, and remove the oldest."""

from __future__ import annotations

import errno
import hashlib
import itertools
import math
import os
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from rldk.errors import InvalidLineError, MissingExtraError
from rldk.io.clock import SystemClock, timestamp
from rldk.io.codec import decode
from rldk.io.compression import Stopped, compress, never, open_segment
from rldk.io.event_schema import MAX_LINE
from rldk.io.manifest import Removed, Segment, read_manifest, update_manifest
from rldk.io.reader import last_event
from rldk.io.segments import COMPRESSIONS, sealed_path, sealed_segments, segment_number
from rldk.io.sync import sync_folder
from rldk.io.torn import move_torn_tail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rldk.io.clock import Clock
    from rldk.io.event_schema import Event
    from rldk.io.manifest import Manifest
    from rldk.io.quantities import Quantity
    from rldk.io.segments import Compression, Log, Sealed

__all__ = ["Policy", "Sealer", "describe", "next_number", "tend"]

_CHUNK: Final = 2**20
_GRACE: Final = 0.05
"""Seconds that closing waits for work under way to be done."""
_PATIENCE: Final = 1.0
"""Seconds that closing waits for work to be stopped, which takes longer only when the disk does not answer."""


class Policy(NamedTuple):
    """What becomes of a segment once it is sealed."""

    compression: Compression | None = None
    keep: Quantity | None = None
    """How many segments, bytes or seconds to keep; None keeps all."""


def describe(path: Path, *, sealed: bool = True, stop: Callable[[], bool] = never) -> Segment:
    """Count a file of events, compressed or not, and sum it up.

    Raises:
        OSError: it cannot be read.
    """
    size = lines = 0
    digest = hashlib.sha256()
    first = last = rest = b""
    with open_segment(path) as file:
        while chunk := file.read(_CHUNK):
            if stop():
                raise Stopped
            digest.update(chunk)
            size += len(chunk)
            lines += chunk.count(b"\n")
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline:
                first = first or whole.partition(b"\n")[0]
                last = whole[whole.rfind(b"\n") + 1 :]
            rest = rest[: MAX_LINE + 1]
    begin, end = _event(first), _event(last)
    compressed = path.suffix != ".jsonl"
    stored_bytes, stored_sha256 = _stored(path) if compressed else (size, digest.hexdigest())
    return Segment(
        file=path.name,
        sealed=sealed,
        events=lines,
        bytes=size,
        sha256=digest.hexdigest(),
        first_attempt=begin.attempt if begin else None,
        last_attempt=end.attempt if end else None,
        first_seq=begin.seq if begin else None,
        last_seq=end.seq if end else None,
        first_step=begin.step if begin else None,
        last_step=end.step if end else None,
        stored_bytes=stored_bytes,
        stored_sha256=stored_sha256,
    )


def _event(line: bytes) -> Event | None:
    with suppress(InvalidLineError):
        return decode(line)
    return None


def _stored(path: Path) -> tuple[int, str]:
    with path.open("rb", buffering=0) as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()


def next_number(log: Log) -> int:
    """The number for the next segment: after all that there are, and all that there were."""
    manifest = read_manifest(log)
    sealed = [each.number for each in sealed_segments(log)]
    entered = [segment_number(each.file) or 0 for each in manifest.segments]
    return 1 + max([*sealed, *entered, _gone(manifest)])


def tend(log: Log, policy: Policy, *, clock: Clock | None = None, stop: Callable[[], bool] = never) -> list[OSError]:
    """Bring the sealed segments of a log to where the policy wants them, from wherever a crash left them.

    Each is forced to the disk, entered in the manifest, and compressed; the oldest are removed. What is done
    already is not done again.

    Args:
        log: the log; nobody else may be tending it.
        policy: what is wanted.
        clock: tells the age of a segment.
        stop: asked now and then; when it says so, the rest is left for the next time.

    Returns:
        what could not be done.
    """
    errors = []
    last = 0
    try:
        manifest = read_manifest(log)
        entries = {segment_number(each.file): each for each in manifest.segments}
        for sealed in sealed_segments(log):
            last = sealed.number
            if last <= _gone(manifest):
                continue
            try:
                _finish(log, sealed, entries.get(last), policy.compression, stop)
            except FileNotFoundError:
                # Somebody has removed it; `rldk verify` will tell.
                continue
            except OSError as error:
                errors.append(error)
            except MissingExtraError as error:
                errors.append(OSError(errno.ENOTSUP, str(error), str(sealed.path)))
        _retire(log, last, policy.keep, clock or SystemClock())
    except Stopped:
        pass
    except OSError as error:
        errors.append(error)
    return errors


def _finish(
    log: Log, sealed: Sealed, entry: Segment | None, compression: Compression | None, stop: Callable[[], bool]
) -> None:
    """Enter one segment in the manifest, which has that entry of it, and compress it."""
    if stop():
        raise Stopped
    path = sealed.path
    if entry is None or entry.file != path.name:
        if not sealed.compression:
            _force(path)
        found = describe(path, stop=stop)
        if entry and (entry.sha256, entry.bytes) != (found.sha256, found.bytes):
            # It is not what was counted. The old entry stays, so that `rldk verify` tells.
            return
        entry = found
        _enter(log, entry)
    wanted = compression or _half_done(log, sealed.number)
    if wanted and not sealed.compression and (compressed := compress(path, wanted, stop=stop)):
        size, digest = _stored(compressed)
        _enter(log, msgspec.structs.replace(entry, file=compressed.name, stored_bytes=size, stored_sha256=digest))


def _force(path: Path) -> None:
    """Force a segment to the disk, in whole lines: one that was given up may end in what could not be cut off."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        try:
            with open(fd, "rb", buffering=0, closefd=False) as file:
                last = last_event(file)
            move_torn_tail(fd, path, last.attempt if last else 1)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                # There will be room another time; what cannot be cut for another reason stays as it is.
                raise
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_folder(path.parent)


def _half_done(log: Log, number: int) -> Compression | None:
    """The compression of a segment that stands there plain as well: a crash came before the plain one was removed."""
    return next((each for each in COMPRESSIONS if sealed_path(log, number, each).exists()), None)


def _enter(log: Log, entry: Segment) -> None:
    """Put an entry in the place of what the manifest says of the same segment."""

    def change(manifest: Manifest) -> None:
        number = segment_number(entry.file)
        others = [each for each in manifest.segments if segment_number(each.file) != number]
        manifest.segments = sorted([*others, entry], key=lambda each: segment_number(each.file) or math.inf)

    update_manifest(log, change)


def _gone(manifest: Manifest) -> int:
    """The number of the last segment that was removed."""
    return manifest.removed.last_number if manifest.removed else 0


def _retire(log: Log, last: int, keep: Quantity | None, clock: Clock) -> None:
    """Remove the oldest segments, those that the manifest has as removed already among them.

    Those that were sealed after `last`, which was the last to be entered, wait for the next time.
    """
    gone = _gone(read_manifest(log))
    sealed = [each for each in sealed_segments(log) if each.number <= last]
    excess = _excess(sealed, keep, clock) if keep else 0
    going = sealed[: max(excess, sum(each.number <= gone for each in sealed))]
    if not going:
        return
    if keep and going[-1].number > gone:
        _record(log, going, keep, clock)
    for each in going:
        for compression in (None, *COMPRESSIONS):
            sealed_path(log, each.number, compression).unlink(missing_ok=True)
    sync_folder(log.path.parent)


def _excess(sealed: Sequence[Sealed], keep: Quantity, clock: Clock) -> int:
    """How many of the oldest segments are more than is to be kept."""
    if keep.kind == "segments":
        return max(0, len(sealed) - int(keep.amount))
    sizes = [each.path.stat() for each in sealed]
    if keep.kind == "seconds":
        now = clock.time()
        return sum(1 for _ in itertools.takewhile(lambda each: now - each.st_mtime > keep.amount, sizes))
    totals = list(itertools.accumulate(each.st_size for each in reversed(sizes)))
    return sum(total > keep.amount for total in totals)


def _record(log: Log, going: Sequence[Sealed], keep: Quantity, clock: Clock) -> None:
    """Say in the manifest what is about to be removed."""

    def change(manifest: Manifest) -> None:
        before = manifest.removed
        first, last = before.last_number if before else 0, going[-1].number
        entries = [each for each in manifest.segments if first < (segment_number(each.file) or math.inf) <= last]
        newest = entries[-1] if entries else before
        manifest.segments = [each for each in manifest.segments if (segment_number(each.file) or math.inf) > last]
        manifest.removed = Removed(
            segments=(before.segments if before else 0) + sum(each.number > first for each in going),
            events=(before.events if before else 0) + sum(each.events for each in entries),
            bytes=(before.bytes if before else 0) + sum(each.bytes for each in entries),
            last_number=last,
            last_attempt=newest.last_attempt if newest else None,
            last_seq=newest.last_seq if newest else None,
            last_step=newest.last_step if newest else None,
            at=timestamp(clock.time()),
            policy=f"{keep.amount:,}".removesuffix(".0") + f" {keep.kind}",
        )

    try:
        update_manifest(log, change)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        # Removing is what makes room for saying so.
        going[0].path.unlink()
        update_manifest(log, change)


class Sealer:
    """Tends the sealed segments of a log in a thread of its own, whenever it is woken.

    Args:
        log: the log.
        policy: what becomes of its segments.
        clock: tells the age of a segment.
        failed: told of what could not be done; it is tried again the next time.
    """

    def __init__(self, log: Log, policy: Policy, clock: Clock, failed: Callable[[OSError], None]) -> None:
        self._log = log
        self._policy = policy
        self._clock = clock
        self._failed = failed
        self._orders: SimpleQueue[Literal["tend", "end"]] = SimpleQueue()
        """What the thread is to do. No `threading.Event`, because a Ctrl-C in the middle of one of its methods would
        leave it locked for ever."""
        self._stopping = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """There is something to do."""
        self._orders.put("tend")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rldk-seal", daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:
                # There are no more threads to be had.
                self._thread = None
                self._failed(OSError(errno.EAGAIN, str(error)))

    def _run(self) -> None:
        orders: set[str] = set()
        while "end" not in orders:
            orders = {self._orders.get()}
            with suppress(Empty):
                while True:
                    orders.add(self._orders.get_nowait())
            if "tend" in orders:
                for error in tend(self._log, self._policy, clock=self._clock, stop=lambda: self._stopping):
                    self._failed(error)

    def close(self) -> None:
        """Stop. What is half done is undone, and done when the log is next opened, or by `rldk seal`."""
        if self._thread:
            self._orders.put("end")
            # A thread that a Ctrl-C kept from being started cannot be waited for.
            with suppress(RuntimeError):
                self._thread.join(_GRACE)
                self._stopping = True
                self._thread.join(_PATIENCE)
