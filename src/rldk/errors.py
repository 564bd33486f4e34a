"""Every error RLDK raises on purpose.

RLDKError
├── InvalidEventError   an event, or a value in it, that the schema does not allow
├── InvalidLineError    a line of a log that cannot be read: path, line, byte, reason
├── RunIdError          a run id that could not be a file name on every system
├── RunNotFoundError    no run, or more than one, where exactly one was expected
├── RunLockedError      another writer holds the run
├── WriteFailedError    the log could not be written, and the caller asked to be told
└── MissingExtraError   an optional dependency is not installed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "InvalidEventError",
    "InvalidLineError",
    "MissingExtraError",
    "RLDKError",
    "RunIdError",
    "RunLockedError",
    "RunNotFoundError",
    "WriteFailedError",
]


class RLDKError(Exception):
    """The root: catch it to catch everything RLDK raises on purpose."""


class InvalidEventError(RLDKError, ValueError):
    """An event holds something the schema does not allow.

    Args:
        field: where, as a path from the event: `$.metrics.loss`.
        expected: what the schema allows there.
        found: what stood there.
    """

    def __init__(self, field: str, expected: str, found: str) -> None:
        super().__init__(field, expected, found)
        self.field = field
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, found {self.found}"


class InvalidLineError(RLDKError, ValueError):
    """A line of a log cannot be read as an event.

    Args:
        kind: the kind of damage, a name from `rldk.io.problems.Kind`.
        expected: what should have stood there.
        found: what stood there.
        field: the field it stood in, empty when the whole line is meant.
        byte: offset of the damage, counted from the start of the file.
        line: number of the line, from 1.
        path: the file, None when the line came from elsewhere.
    """

    def __init__(
        self,
        kind: str,
        expected: str,
        found: str,
        *,
        field: str = "",
        byte: int = 0,
        line: int = 1,
        path: Path | None = None,
    ) -> None:
        super().__init__(kind, expected, found)
        self.kind = kind
        self.expected = expected
        self.found = found
        self.field = field
        self.byte = byte
        self.line = line
        self.path = path

    def __str__(self) -> str:
        where = f"{self.path or '<line>'}:{self.line}:{self.byte}"
        field = f"{self.field}: " if self.field else ""
        return f"{where}: {field}expected {self.expected}, found {self.found} [{self.kind}]"


class RunIdError(RLDKError, ValueError):
    """A run id that cannot safely be part of a file name."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id

    def __str__(self) -> str:
        return (
            f"run_id {self.run_id!r}: expected 1 to 128 characters from A-Z a-z 0-9 . _ -, "
            "the first a letter or a digit, and no Windows device name such as con or nul"
        )


class RunNotFoundError(RLDKError, FileNotFoundError):
    """There is no run, or more than one, where exactly one was expected."""

    def __init__(self, path: Path, found: list[str]) -> None:
        super().__init__(str(path), found)
        self.path = path
        self.found = found

    def __str__(self) -> str:
        if not self.found:
            return f"{self.path}: expected the log of a run (*_events.jsonl), found none"
        names = ", ".join(self.found)
        return f"{self.path}: expected one run, found {len(self.found)}: {names}; name one of their files"


class RunLockedError(RLDKError):
    """Another writer holds the run; two writers would tear each other's lines.

    Args:
        path: the lock file.
        holder: what the lock file says of the holder: pid, host, since.
    """

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(path, holder)
        self.path = path
        self.holder = holder

    def __str__(self) -> str:
        return (
            f"{self.path}: the run is being written by {self.holder}; "
            "end that process, or choose another run_id or output_dir"
        )


class WriteFailedError(RLDKError, OSError):
    """An event could not be written; nothing of it is left in the file."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(str(path), reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: the event was not written: {self.reason}"


class MissingExtraError(RLDKError, ImportError):
    """An optional dependency is missing; the message names what to install."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(what, extra)
        self.what = what
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.what} is not installed; install it with: pip install 'rldk[{self.extra}]'"
