"""What is known of a run beside its events: where it came from, and what its metrics mean."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from rldk.io.lock import alone
from rldk.io.replace import replacing
from rldk.io.segments import derived_path, find_logs
from rldk.metrics import Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rldk.io.segments import Log

__all__ = [
    "Attempt",
    "Manifest",
    "Outcome",
    "Removed",
    "Segment",
    "find_resumed",
    "load_manifest",
    "read_manifest",
    "update_manifest",
]

Outcome = Literal["completed", "interrupted", "crashed", "stopped_by_rule"]
"""How an attempt ended. `interrupted`: stopped before its end by Ctrl-C, by `sys.exit` or by the script itself.
`crashed`: ended by an exception nobody caught, or by the death of its process. `stopped_by_rule`: ended before its
end because a rule asked for it."""

MANIFEST_SCHEMA: Final = 1
_log: Final = logging.getLogger(__name__)


class Attempt(msgspec.Struct, omit_defaults=True):
    """One attempt of a run: a process, or a call of `train()` in it."""

    attempt: int
    started: str
    """Timestamp of the first moment."""
    resumed_from: int | None = None
    """The step it continued after."""
    ended: str | None = None
    """Timestamp of the end, absent while it goes on and for ever when its process was killed."""
    outcome: Outcome | None = None
    outcome_detail: str = ""
    process: dict[str, Any] = {}
    """Host, process id, command line and working folder."""
    versions: dict[str, str] = {}
    """Versions of Python and of the libraries that train."""
    git: dict[str, Any] = {}
    """`sha` of the working folder's commit, and whether there were changes beside it (`dirty`)."""
    seeds: dict[str, Any] = {}
    trainer: dict[str, Any] = {}
    """The trainer's own arguments, secrets replaced by `<redacted>`."""
    facts: dict[str, Any] = {}
    """Settings that decide how the metrics must be read, such as `logging_nan_inf_filter`."""
    counters: dict[str, int] = {}
    """What became of the events, from `rldk.io.writer.Counters`."""


class Segment(msgspec.Struct, kw_only=True):
    """A file of events, as far as it has been counted."""

    file: str
    sealed: bool
    """Whether nothing is written to it any more."""
    events: int
    bytes: int
    """Of the events, uncompressed."""
    sha256: str
    """Of these bytes."""
    first_attempt: int | None = None
    last_attempt: int | None = None
    first_seq: int | None = None
    last_seq: int | None = None
    first_step: int | None = None
    last_step: int | None = None
    stored_bytes: int
    """Of the file as it is stored, compressed or not."""
    stored_sha256: str


class Removed(msgspec.Struct, kw_only=True):
    """What retention has taken away: all segments from the first on, up to and with `last_number`."""

    segments: int
    events: int
    bytes: int
    last_number: int
    last_attempt: int | None
    last_seq: int | None
    last_step: int | None
    at: str
    """Timestamp of the last removal."""
    policy: str
    """What was asked for, as `20 segments`."""


class Manifest(msgspec.Struct):
    """The manifest of one rank of a run. It is derived but for its provenance, which only the writer knows."""

    run_id: str
    schema: int = MANIFEST_SCHEMA
    rank: int = 0
    framework: str = ""
    algorithm: str = ""
    trainer_output_dir: str = ""
    """Where the trainer keeps its checkpoints; a run is found again by it when it resumes."""
    attempts: list[Attempt] = []
    metrics: dict[str, Source] = {}
    """The native keys that were renamed, with what exactly they measure."""
    segments: list[Segment] = []
    removed: Removed | None = None


def load_manifest(log: Log) -> Manifest:
    """The manifest of a log.

    Raises:
        OSError: it cannot be read; FileNotFoundError when there is none.
        msgspec.DecodeError, UnicodeDecodeError: it is damaged.
    """
    return msgspec.json.decode(derived_path(log, "manifest.json").read_bytes(), type=Manifest)


def read_manifest(log: Log, *, warn: bool = False) -> Manifest:
    """The manifest of a log; an empty one when there is none, or none that can be read.

    Args:
        log: the log.
        warn: whether to warn when there is one that cannot be read.
    """
    try:
        return load_manifest(log)
    except FileNotFoundError:
        pass
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        if warn:
            _log.warning("%s: the manifest cannot be read: %s", derived_path(log, "manifest.json"), error)
    return Manifest(run_id=log.run_id, rank=log.rank)


def update_manifest(log: Log, change: Callable[[Manifest], object]) -> Manifest:
    """Change the manifest of a log, whoever else is changing it at the same time.

    One that cannot be read is kept beside the new one, as `{name}.damaged`.

    Args:
        log: the log.
        change: is given the manifest as it is now, and changes it.

    Returns:
        the manifest as it was written.

    Raises:
        OSError: it cannot be written.
    """
    path = derived_path(log, "manifest.json")
    with alone(path.parent):
        try:
            manifest = load_manifest(log)
        except FileNotFoundError:
            manifest = Manifest(run_id=log.run_id, rank=log.rank)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            damaged = path.replace(path.with_name(f"{path.name}.damaged"))
            _log.warning("%s: the manifest cannot be read and is begun anew: %s", damaged, error)
            manifest = Manifest(run_id=log.run_id, rank=log.rank)
        change(manifest)
        with replacing(path) as file:
            file.write(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    return manifest


def find_resumed(folder: Path, trainer_output_dir: str) -> str | None:
    """The run that a trainer resumes: the newest in the folder that was trained into the same place."""
    if not trainer_output_dir or not folder.is_dir():
        return None
    runs = [log for log in find_logs(folder) if read_manifest(log).trainer_output_dir == trainer_output_dir]
    newest = max(runs, key=lambda log: derived_path(log, "manifest.json").stat().st_mtime, default=None)
    return newest.run_id if newest else None
