"""Every error RLDK raises on purpose.

RLDKError
├── InvalidEventError   an event, or a value in it, that the schema does not allow
├── InvalidLineError    a line of a log that cannot be read: path, line, byte, reason
├── RunIdError          a run id that could not be a file name on every system
├── RunNotFoundError    no run, or more than one, where exactly one was expected
├── RunLockedError      another writer holds the run
├── UnknownFormatError  a file that no adapter can be sure to read, with what each says of it
├── IngestError         sources with lines that cannot be read, with what is wrong in them
├── RulesFileError      a file of rules that cannot be used: path, line, reason
├── WriteFailedError    the log could not be written, and the caller asked to be told
└── MissingExtraError   an optional dependency is not installed
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "IngestError",
    "InvalidEventError",
    "InvalidLineError",
    "MissingExtraError",
    "RLDKError",
    "RulesFileError",
    "RunIdError",
    "RunLockedError",
    "RunNotFoundError",
    "UnknownFormatError",
    "WriteFailedError",
]


_SHOWN: Final = 20
"""How many problems a message lists."""


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


class UnknownFormatError(RLDKError, ValueError):
    """A file that is no log, or that may be one of several formats.

    Args:
        path: the file.
        reason: why nobody reads it, as a sentence without its period.
        considered: the adapters that were asked, each with what it says.
    """

    def __init__(self, path: Path, reason: str, considered: list[tuple[str, str]] | None = None) -> None:
        super().__init__(str(path), reason, considered)
        self.path = path
        self.reason = reason
        self.considered = considered or []

    def __str__(self) -> str:
        colon = ":" if self.considered else ""
        return "\n".join([f"{self.path}: {self.reason}{colon}", *(f"  {name}: {why}" for name, why in self.considered)])


class IngestError(RLDKError, ValueError):
    """Something in a source cannot be read: the first such thing, or all of it when that was asked for.

    Args:
        report: an `rldk.ingest.IngestReport` of what was read until then.
        problems: each problem as a sentence.
        more: how many problems there are beyond these.
    """

    def __init__(self, report: object, problems: list[str], more: int = 0) -> None:
        super().__init__(report, problems, more)
        self.report = report
        self.problems = problems
        self.more = more

    def __str__(self) -> str:
        total = len(self.problems) + self.more
        if total == 1:
            return self.problems[0]
        rest = [f"and {total - _SHOWN:,} more"] if total > _SHOWN else []
        return "\n  ".join([f"{total:,} lines cannot be read:", *self.problems[:_SHOWN], *rest])


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


class RulesFileError(RLDKError, ValueError):
    """A file of rules cannot be used.

    Args:
        path: the file.
        line: number of the line, from 1; 0 when the file as a whole is meant.
        expected: what should have stood there.
        found: what stood there.
    """

    def __init__(self, path: Path, line: int, expected: str, found: str) -> None:
        super().__init__(path, line, expected, found)
        self.path = path
        self.line = line
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{place}: expected {self.expected}, found {self.found}"
