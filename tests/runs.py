"""Small runs to test with, and the processes to test them in."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from rldk.io.event_schema import Event
from rldk.io.manifest import update_manifest
from rldk.io.writer import open_writer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rldk.io.manifest import Manifest
    from rldk.io.segments import Log

TIMESTAMP = "2026-01-31T23:59:59.000000Z"


def make_event(step: int = 0, **changes: Any) -> Event:
    """An event of the run r, one second after the event of the step before."""
    fields: dict[str, Any] = {
        "step": step,
        "wall_time": float(step),
        "timestamp": TIMESTAMP,
        "metrics": {"loss": 0.5},
        "rng": {},
        "data_slice": {},
        "model_info": {"run_id": "r", "phase": "train"},
        "notes": [],
    }
    return Event(**fields | changes)


def eval_event(step: int, eval_set: str | None = None, **changes: Any) -> Event:
    """An event of the evaluation at a step."""
    data_slice = {} if eval_set is None else {"eval_set": eval_set}
    info = {"run_id": "r", "phase": "eval"}
    return make_event(step, **{"data_slice": data_slice, "model_info": info} | changes)


def write_attempt(folder: Path, events: Iterable[Event], resumed_from: int | None = None) -> Path:
    """Write one attempt of the run r; the path of its log."""
    writer = open_writer(folder, run_id="r", resumed_from=resumed_from)
    for event in events:
        assert writer.write(event)
    writer.close()
    return writer.path


def run_python(
    *arguments: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python to its end in a process of its own, with no say from the environment on colours or on RLDK."""
    command = [sys.executable, *map(str, arguments)]
    environment = clean_environment() | (env or {})
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", check=False, timeout=120, env=environment, cwd=cwd
    )


def clean_environment() -> dict[str, str]:
    """The environment without what would change how RLDK or rich behaves."""
    unwanted = ("RLDK_", "FORCE_COLOR", "NO_COLOR", "CLICOLOR", "COLUMNS", "LINES", "TTY_")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def write_manifest(log: Log, manifest: Manifest) -> None:
    """Put a manifest beside a log, in the place of any that is there."""

    def replace(there: Manifest) -> None:
        for name in manifest.__struct_fields__:
            setattr(there, name, getattr(manifest, name))

    update_manifest(log, replace)
