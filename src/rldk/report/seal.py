"""Finish a run whose process did not: close its log, and build what is derived from it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from rldk.io.clock import SystemClock
from rldk.io.lock import Lock
from rldk.io.manifest import update_manifest
from rldk.io.reader import last_event_of
from rldk.io.sealing import next_number, tend
from rldk.io.segments import find_logs, lock_path, run_log, sealed_path, sealed_segments, whole_log
from rldk.io.sync import sync_folder
from rldk.io.torn import move_torn_tail
from rldk.report.files import write_files

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.io.manifest import Manifest
    from rldk.io.sealing import Policy
    from rldk.io.segments import Log

__all__ = ["SealedLog", "SealedRun", "seal_run"]


class SealedLog(msgspec.Struct):
    """What was done to the log of one rank."""

    rank: int
    segment: str | None
    """The name its live file was given; None when there was none, or nothing in it."""
    moved_bytes: int
    """How much of an unfinished line was moved out of it first."""
    segments: int
    """How many sealed segments the log has now."""
    problems: list[str]
    """What could not be done."""


class SealedRun(msgspec.Struct):
    """What became of a run when it was sealed."""

    run_id: str
    outcome: str
    outcome_detail: str
    logs: list[SealedLog]

    def __bool__(self) -> bool:
        """Whether everything was done."""
        return not any(log.problems for log in self.logs)


def seal_run(path: Path, policy: Policy) -> SealedRun:
    """Seal the logs of all ranks of a run, say in the manifest how it ended, and build the derived files.

    The live file of each log becomes its last sealed segment, without the unfinished line that a crash may have
    left; that goes to a `.torn` file. Every segment is forced to the disk, entered in the manifest and compressed
    as the policy says. An attempt that no process came back from is entered as crashed. A run that is sealed
    can be resumed, and sealed again.

    Args:
        path: a log of the run, or a folder with one run.
        policy: what becomes of the segments.

    Raises:
        RunLockedError: a writer is at work on the run.
        RunNotFoundError: the folder holds no run, or several.
        OSError: the log cannot be read or written.
    """
    log = whole_log(run_log(path))
    logs = [each for each in find_logs(log.path.parent) if each.run_id == log.run_id] or [log]
    sealed = [_seal(each, policy) for each in logs]
    final = write_files(logs[0]).final
    return SealedRun(log.run_id, final.outcome, final.outcome_detail, sealed)


def _seal(log: Log, policy: Policy) -> SealedLog:
    lock = Lock(lock_path(log.path.parent, log.run_id, log.rank))
    try:
        segment, moved = _seal_live(log) if log.path.exists() else (None, 0)
        problems = tend(log, policy, clock=SystemClock())
        update_manifest(log, _end_attempts)
    finally:
        lock.release()
    return SealedLog(log.rank, segment, moved, len(sealed_segments(log)), [str(problem) for problem in problems])


def _seal_live(log: Log) -> tuple[str | None, int]:
    """Make the live file the last sealed segment; one with nothing in it is removed."""
    last = last_event_of(log)
    fd = os.open(log.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        moved, _ = move_torn_tail(fd, log.path, 1 + (last.attempt if last else 0))
        size = os.fstat(fd).st_size
    finally:
        os.close(fd)
    target = sealed_path(log, next_number(log))
    if size:
        log.path.rename(target)
    else:
        log.path.unlink()
    sync_folder(log.path.parent)
    return target.name if size else None, moved


def _end_attempts(manifest: Manifest) -> None:
    """Nobody is at work on the run, so what has not ended never will."""
    for attempt in manifest.attempts:
        if attempt.outcome is None:
            attempt.outcome, attempt.outcome_detail = "crashed", "its process ended without a word"
