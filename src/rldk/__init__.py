"""RLDK: the flight recorder for RL training.

It records one trustworthy JSON line for each step, reads such logs back strictly, checks them, and sums them
up. Every name here is loaded when it is first used, so `import rldk` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rldk.errors import (
        IngestError,
        InvalidEventError,
        InvalidLineError,
        MissingExtraError,
        RLDKError,
        RunIdError,
        RunLockedError,
        RunNotFoundError,
        UnknownFormatError,
        WriteFailedError,
    )
    from rldk.ingest.account import IngestReport
    from rldk.ingest.ingest import ingest_events, ingest_runs
    from rldk.io.event_schema import Event
    from rldk.io.follow import follow
    from rldk.io.protocol import Writer
    from rldk.io.reader import read_events
    from rldk.io.validator import Report, validate_jsonl_file
    from rldk.io.writer import open_writer

    __version__: str

_HOMES: Final = {
    "Event": "rldk.io.event_schema",
    "IngestError": "rldk.errors",
    "IngestReport": "rldk.ingest.account",
    "InvalidEventError": "rldk.errors",
    "InvalidLineError": "rldk.errors",
    "MissingExtraError": "rldk.errors",
    "RLDKError": "rldk.errors",
    "Report": "rldk.io.validator",
    "RunIdError": "rldk.errors",
    "RunLockedError": "rldk.errors",
    "RunNotFoundError": "rldk.errors",
    "UnknownFormatError": "rldk.errors",
    "WriteFailedError": "rldk.errors",
    "Writer": "rldk.io.protocol",
    "follow": "rldk.io.follow",
    "ingest_events": "rldk.ingest.ingest",
    "ingest_runs": "rldk.ingest.ingest",
    "open_writer": "rldk.io.writer",
    "read_events": "rldk.io.reader",
    "validate_jsonl_file": "rldk.io.validator",
}

__all__ = [
    "Event",
    "IngestError",
    "IngestReport",
    "InvalidEventError",
    "InvalidLineError",
    "MissingExtraError",
    "RLDKError",
    "Report",
    "RunIdError",
    "RunLockedError",
    "RunNotFoundError",
    "UnknownFormatError",
    "WriteFailedError",
    "Writer",
    "follow",
    "ingest_events",
    "ingest_runs",
    "open_writer",
    "read_events",
    "validate_jsonl_file",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("rldk")
    if name not in _HOMES:
        raise AttributeError(f"module 'rldk' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
