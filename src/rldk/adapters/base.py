"""What an adapter is: it knows a format when it sees it, and turns what it finds into events, leaving nothing out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias, get_args, runtime_checkable

import msgspec

from rldk.io.reader import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rldk.io.event_schema import Event
    from rldk.io.problems import Problem
    from rldk.metrics import Source

__all__ = [
    "HEAD",
    "Adapter",
    "Aside",
    "Bad",
    "Certainty",
    "Claim",
    "FormatAdapter",
    "Item",
    "Mode",
    "Parsed",
    "Reading",
    "forgiven",
    "no",
    "permitted",
]

HEAD = 2**16
"""How many bytes from the beginning of a file an adapter is shown to make up its mind, decompressed; see `lines`."""


class Certainty(IntEnum):
    """How sure an adapter is that a file is its own. The most certain one reads it."""

    NO = 0
    GENERIC = 1
    """It could be read, as many files of other formats could."""
    TYPICAL = 2
    """Names of fields that are typical of the format; another tool might use them too."""
    SURE = 3
    """What only this format has."""


class Claim(msgspec.Struct, frozen=True):
    """What an adapter says of a file; true when it would read it."""

    certainty: Certainty
    why: str
    """What it saw, or what it missed, as the end of a sentence: `the lines have no step`."""

    def __bool__(self) -> bool:
        return self.certainty > Certainty.NO


def no(why: str) -> Claim:
    """The claim of an adapter that a file is none of its own."""
    return Claim(Certainty.NO, why)


class Parsed(NamedTuple):
    """An event, and how many lines or records of the source it was made from.

    A line that makes several events counts with the first of them, and the others are made from 0.
    """

    event: Event
    lines: int = 1


class Aside(NamedTuple):
    """Lines or records that hold no metrics and belong there: headers, blank lines, prose."""

    why: str
    lines: int = 1


class Bad(NamedTuple):
    """A line or record that should hold metrics, and cannot be read."""

    problem: Problem
    path: Path
    lines: int = 1


Item: TypeAlias = Parsed | Aside | Bad
"""What becomes of a line; every line of a source is part of exactly one item."""


class Reading(NamedTuple):
    """One run, as an adapter reads it."""

    items: Iterator[Item]
    axis: str
    """What its steps count: `optimizer update`, `environment step`."""
    sources: Mapping[str, Source]
    """The keys that were renamed, by the key as it was logged, with their meaning; filled while items are taken."""
    unit: Literal["line", "record"] = "line"
    """What its items are made from. A record is a part of a file that is not made of lines."""
    facts: Mapping[str, Any] = {}
    """What else is known of the run; filled while items are taken."""


@runtime_checkable
class Adapter(Protocol):
    """What every adapter offers. A class that offers no more can be registered; see `rldk.adapters.registry`."""

    name: str

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether a file is of this format.

        Args:
            head: its first bytes, decompressed.
            path: the file; it need not be opened.
        """
        ...

    def events(self, path: Path, mode: Mode = "strict") -> Iterator[Event]:
        """The events of one run, in the order they were written.

        Args:
            path: a file, or a folder that holds one run.
            mode: `strict` refuses any damage, `tolerate_torn_tail` leaves out an unfinished end,
                `stop_at_first_bad` ends before the first damage, and `salvage` steps over it.

        Raises:
            InvalidLineError: damage that the mode does not allow, with file, line, byte and reason.
        """
        ...


class FormatAdapter(ABC):
    """An adapter that accounts for every line of what it reads.

    Args:
        field_map: for each of RLDK's names the field of the log that holds it: `{"step": "trainer.iteration"}`.
            A field inside another is written with a dot. Names are those of `rldk.adapters.records.PLACES`, or
            of metrics.
    """

    name: ClassVar[str]
    """What it is called by: `--adapter NAME`."""
    reads: ClassVar[str]
    """Which files it reads, in a sentence."""
    needs: ClassVar[str] = ""
    """The extra it needs, when it needs one."""

    def __init__(self, field_map: Mapping[str, str] | None = None) -> None:
        self.field_map = dict(field_map or {})

    @abstractmethod
    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether a file is of this format; see `Adapter`."""

    @abstractmethod
    def read(self, path: Path) -> Reading:
        """One run, every line accounted for.

        Args:
            path: a file, or a folder that holds one run.

        Raises:
            RLDKError: it cannot be read at all.
        """

    def unit(self, path: Path, root: Path) -> Path:
        """What has to be read for a whole run, when a file of it was found.

        Args:
            path: the file.
            root: the folder that is searched; the answer lies in it, or is it.
        """
        return path

    def events(self, path: Path, mode: Mode = "strict") -> Iterator[Event]:
        """The events of one run, in the order they were written; see `Adapter`."""
        return permitted(self.read(path).items, mode)


def permitted(items: Iterator[Item], mode: Mode) -> Iterator[Event]:
    """The events among items, as far as the mode goes on past what is bad.

    Raises:
        InvalidLineError: damage that the mode does not allow.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"mode: expected one of {', '.join(get_args(Mode))}, found {mode!r}")
    for item in items:
        if isinstance(item, Parsed):
            yield item.event
        elif isinstance(item, Bad):
            if not forgiven(item, mode):
                raise item.problem.error(item.path)
            if mode == "stop_at_first_bad":
                return


def forgiven(bad: Bad, mode: Mode) -> bool:
    """Whether a mode goes on, or ends in peace, at something bad."""
    if bad.problem.kind == "torn_tail":
        return mode != "strict"
    return mode in {"stop_at_first_bad", "salvage"}
