"""What is known of a run beside its events: where it came from, and what its metrics mean."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from rldk.io.replace import replacing
from rldk.io.segments import derived_path, find_logs
from rldk.metrics import Source

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.io.segments import Log

__all__ = ["Attempt", "Manifest", "Outcome", "Segment", "find_resumed", "read_manifest", "write_manifest"]

Outcome = Literal["completed", "interrupted", "crashed"]
"""How an attempt ended. `interrupted`: stopped before its end by Ctrl-C, by `sys.exit` or by the script itself.
`crashed`: ended by an exception nobody caught, or by the death of its process."""

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


class Segment(msgspec.Struct):
    """A file of events, as far as it has been counted."""

    file: str
    sealed: bool
    events: int
    bytes: int
    first_step: int | None
    last_step: int | None
    sha256: str
    """Of the first `bytes` bytes."""


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


def read_manifest(log: Log) -> Manifest:
    """The manifest of a log; an empty one when there is none, or none that can be read."""
    path = derived_path(log, "manifest.json")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        pass
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        _log.warning("%s: the manifest cannot be read and is begun anew: %s", path, error)
    return Manifest(run_id=log.run_id, rank=log.rank)


def write_manifest(log: Log, manifest: Manifest) -> None:
    """Put a manifest in the place of the one there was."""
    with replacing(derived_path(log, "manifest.json")) as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")


def find_resumed(folder: Path, trainer_output_dir: str) -> str | None:
    """The run that a trainer resumes: the newest in the folder that was trained into the same place."""
    if not trainer_output_dir or not folder.is_dir():
        return None
    runs = [log for log in find_logs(folder) if read_manifest(log).trainer_output_dir == trainer_output_dir]
    newest = max(runs, key=lambda log: derived_path(log, "manifest.json").stat().st_mtime, default=None)
    return newest.run_id if newest else None
