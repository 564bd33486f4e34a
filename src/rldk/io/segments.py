"""The names of a run's files, and how to find a run by any of them."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

from rldk.errors import RunIdError, RunNotFoundError

__all__ = [
    "COMPRESSIONS",
    "Compression",
    "Log",
    "Sealed",
    "check_run_id",
    "derived_path",
    "find_logs",
    "has_segments",
    "is_log",
    "lock_path",
    "log_path",
    "new_run_id",
    "run_log",
    "sealed_numbers",
    "sealed_path",
    "sealed_segments",
    "segment_number",
    "segments",
    "whole_log",
]

Compression = Literal["gz", "zst"]
"""How a sealed segment is compressed: the ending of its name."""

COMPRESSIONS: Final[tuple[Compression, ...]] = get_args(Compression)

_RUN_ID: Final = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_DEVICE: Final = re.compile(r"\A(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?\Z", re.IGNORECASE)
_LOG: Final = re.compile(
    r"\A(?P<run_id>[^.].*)_events(?:\.rank(?P<rank>[1-9][0-9]*))?"
    r"(?:\.(?P<number>(?!0{6})[0-9]{6}|[1-9][0-9]{6,})\.jsonl(?:\.(?P<compression>gz|zst))?|\.jsonl)\Z"
)


class Log(NamedTuple):
    """The event log of one rank of one run: one growing file, the live one, after any number of sealed ones."""

    path: Path
    """The live file, which need not exist when all was sealed; or a single other file to be read by itself."""
    run_id: str
    rank: int


class Sealed(NamedTuple):
    """A sealed segment of a log: a file that nothing is written to any more."""

    path: Path
    number: int
    """Its place in the log, from 1."""
    compression: Compression | None


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


def sealed_path(log: Log, number: int, compression: Compression | None = None) -> Path:
    """Where a sealed segment of a log stands."""
    ending = f".{compression}" if compression else ""
    return log.path.with_name(f"{log.run_id}_events{_rank(log.rank)}.{number:06d}.jsonl{ending}")


def sealed_segments(log: Log) -> list[Sealed]:
    """The sealed segments of a log, oldest first; of one that stands there plain and compressed, the plain file."""
    found: dict[int, Sealed] = {}
    with suppress(FileNotFoundError), os.scandir(log.path.parent) as entries:
        for entry in entries:
            match = _LOG.match(entry.name)
            if match and match["number"] and _log(log.path, match)[1:] == log[1:]:
                sealed = Sealed(Path(entry.path), int(match["number"]), match["compression"])  # type: ignore[arg-type]
                if sealed.number not in found or sealed.compression is None:
                    found[sealed.number] = sealed
    return [found[number] for number in sorted(found)]


def sealed_numbers(log: Log) -> list[int]:
    """The numbers of the sealed segments of a log, whatever its writer does at this moment.

    A segment that is compressed while the folder is listed may be listed neither plain nor compressed; the next
    list has it.
    """
    lists = [sealed_segments(log) for _ in range(2)] if has_segments(log) else []
    return sorted({each.number for listed in lists for each in listed})


def segment_number(name: str) -> int | None:
    """The place of a sealed segment in its log, read off its name, plain or compressed; None for a live file."""
    match = _LOG.match(name)
    return int(match["number"]) if match and match["number"] else None


def segments(log: Log) -> list[Path]:
    """The files of a log, oldest first: its sealed segments and the live one. A file not named so is alone."""
    sealed = [each.path for each in sealed_segments(log)] if has_segments(log) else []
    return sealed + [log.path] * log.path.exists()


def has_segments(log: Log) -> bool:
    """Whether a log can have sealed segments: it is meant by its live file, not by a single one to be read alone."""
    return log.path == log_path(log.path.parent, log.run_id, log.rank)


def whole_log(log: Log) -> Log:
    """The log that a sealed segment belongs to; any other log as it is."""
    match = _LOG.match(log.path.name)
    return _log(log.path, match) if match else log


def find_logs(folder: Path) -> list[Log]:
    """The logs in a folder, ordered by run and rank."""
    with os.scandir(folder) as entries:
        logs = {_log(Path(entry.path), match) for entry in entries if (match := _LOG.match(entry.name))}
    return sorted(logs, key=lambda log: (log.run_id, log.rank))


def _log(path: Path, match: re.Match[str]) -> Log:
    """The log that a file of this name, which matched, is part of."""
    run_id, rank = match["run_id"], int(match["rank"] or 0)
    return Log(log_path(path.parent, run_id, rank), run_id, rank)


def is_log(path: Path) -> bool:
    """Whether a file is named as RLDK names its logs, live or sealed."""
    return _LOG.match(path.name) is not None


def run_log(path: Path) -> Log:
    """The log that a path means.

    The path of a live file stands for the log with its sealed segments, also when all of it was sealed; that of
    a sealed segment for this segment alone; a folder for the lowest rank of the only run in it. A file of
    another name is taken as it is, its stem standing for the run id.

    Raises:
        RunNotFoundError: the folder holds no run, or several.
        FileNotFoundError: there is nothing at the path.
    """
    if not path.is_dir():
        match = _LOG.match(path.name)
        log = _log(path, match)._replace(path=path) if match else Log(path, path.stem, 0)
        if not segments(log):
            path.stat()
        return log
    logs = find_logs(path)
    runs = list(dict.fromkeys(log.run_id for log in logs))
    if len(runs) != 1:
        raise RunNotFoundError(path, runs)
    return logs[0]
