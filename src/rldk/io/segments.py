"""The names of a run's files, and how to find a run by any of them."""

from __future__ import annotations

import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from rldk.errors import RunIdError, RunNotFoundError

__all__ = [
    "Log",
    "check_run_id",
    "derived_path",
    "find_logs",
    "is_log",
    "lock_path",
    "log_path",
    "new_run_id",
    "run_log",
]

_RUN_ID: Final = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_DEVICE: Final = re.compile(r"\A(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?\Z", re.IGNORECASE)
_LOG: Final = re.compile(r"\A(?P<run_id>.+)_events(?:\.rank(?P<rank>[0-9]+))?\.jsonl\Z")


class Log(NamedTuple):
    """The event log of one rank of one run."""

    path: Path
    run_id: str
    rank: int


def check_run_id(run_id: str) -> str:
    """The run id itself, when it can be part of a file name on every system.

    Raises:
        RunIdError: when it cannot.
    """
    if not _RUN_ID.match(run_id) or _DEVICE.match(run_id):
        raise RunIdError(run_id)
    return run_id


def new_run_id(algorithm: str) -> str:
    """A run id that says what ran and when: `grpo-20260131T235959-1f3a`."""
    return check_run_id(f"{algorithm}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}")


def log_path(output_dir: Path, run_id: str, rank: int = 0) -> Path:
    """Where the events of a rank are written."""
    return output_dir / f"{run_id}_events{_rank(rank)}.jsonl"


def lock_path(output_dir: Path, run_id: str, rank: int = 0) -> Path:
    """The lock that the writer of a rank holds."""
    return output_dir / f"{run_id}{_rank(rank)}.lock"


def derived_path(log: Log, name: str) -> Path:
    """Where a file derived from a log stands: `manifest.json`, `metrics.csv`."""
    stem, dot, suffix = name.partition(".")
    return log.path.parent / f"{log.run_id}_{stem}{_rank(log.rank)}{dot}{suffix}"


def _rank(rank: int) -> str:
    return f".rank{rank}" if rank else ""


def find_logs(folder: Path) -> list[Log]:
    """The logs in a folder, ordered by run and rank."""
    logs = [log for entry in os.scandir(folder) if (log := _parse(Path(entry.path)))]
    return sorted(logs, key=lambda log: (log.run_id, log.rank))


def _parse(path: Path) -> Log | None:
    match = _LOG.match(path.name)
    return Log(path, match["run_id"], int(match["rank"] or 0)) if match else None


def is_log(path: Path) -> bool:
    """Whether a file is named as RLDK names its logs."""
    return _parse(path) is not None


def run_log(path: Path) -> Log:
    """The log that a path means: a log file itself, or the lowest rank of the only run in a folder.

    A file of another name is taken as it is, its stem standing for the run id.

    Raises:
        RunNotFoundError: the folder holds no run, or several.
        FileNotFoundError: there is nothing at the path.
    """
    if not path.is_dir():
        path.stat()
        return _parse(path) or Log(path, path.stem, 0)
    logs = find_logs(path)
    runs = list(dict.fromkeys(log.run_id for log in logs))
    if len(runs) != 1:
        raise RunNotFoundError(path, runs)
    return logs[0]
