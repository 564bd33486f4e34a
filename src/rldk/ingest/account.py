"""The account of an ingest: what became of every line that was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from rldk.io.problems import Problem
from rldk.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rldk.adapters.base import Aside, Bad
    from rldk.io.event_schema import Event

__all__ = ["Found", "IngestReport", "PassedOver", "RunReport", "is_metric"]

_SHOWN: Final = 1000
"""How many problems of a run are kept word for word; all are counted."""

_REASONS: Final = 50
"""How many different reasons for setting lines aside are told apart."""

_TEMPLATES: Final = tuple(name.partition("<")[0] for name in METRICS if "<" in name)


def is_metric(name: str) -> bool:
    """Whether a name is a canonical one, whose meaning is known."""
    return name in METRICS or name.startswith(_TEMPLATES)


class Found(msgspec.Struct, frozen=True):
    """A problem, and the file it is in."""

    path: str
    problem: Problem

    def __str__(self) -> str:
        at, field = self.problem, f"{self.problem.field}: " if self.problem.field else ""
        return f"{self.path}:{at.line}:{at.byte}: {field}expected {at.expected}, found {at.found} [{at.kind}]"


class PassedOver(msgspec.Struct, frozen=True):
    """A file of a folder that was not read."""

    path: str
    why: str


class RunReport(msgspec.Struct):
    """What became of the lines of one run.

    Each line is counted exactly once: `lines` is the sum of `parsed`, `aside`, `torn_tail`, `bad`, `duplicate`,
    `rewound` and `filtered`. Where a file is not made of lines, its records are counted; `unit` says which.
    """

    run_id: str
    source: str
    adapter: str
    axis: str
    """What its steps count."""
    unit: str
    events: int = 0
    """Events that were given."""
    lines: int = 0
    parsed: int = 0
    """Lines that an event was made of which counts."""
    aside: int = 0
    """Lines that hold no metrics and belong there; `reasons` says which."""
    torn_tail: int = 0
    """Lines cut short at the end of a file."""
    bad: int = 0
    """Lines that could not be read."""
    duplicate: int = 0
    """Lines merged into an earlier event of the same attempt, phase, evaluation set and step."""
    rewound: int = 0
    """Lines of steps that a later attempt trained again."""
    filtered: int = 0
    """Lines of events that the caller's filters left out."""
    reasons: dict[str, int] = {}
    """Why lines were set aside, and how many."""
    nonfinite: dict[str, int] = {}
    """How often each metric was NaN or infinite."""
    null: dict[str, int] = {}
    """How often each metric was null where a number was expected."""
    unknown: dict[str, int] = {}
    """How often each key occurred whose meaning is not known; it is kept under its own name."""
    texts: dict[str, int] = {}
    """How often each key occurred that holds a text or a truth value; it is kept in `data_slice`, not in the table."""
    left_out: int = 0
    """Events with values that no event can hold, as lists; a note of the event names them."""
    problems: list[Found] = []
    """The first 1000 problems, word for word."""
    more_problems: int = 0
    """How many there are beyond these."""

    def note_aside(self, aside: Aside) -> None:
        """Count lines that were set aside."""
        self.lines += aside.lines
        self.aside += aside.lines
        why = aside.why if aside.why in self.reasons or len(self.reasons) < _REASONS else "other reasons"
        self.reasons[why] = self.reasons.get(why, 0) + aside.lines

    def note_bad(self, bad: Bad, path: str) -> None:
        """Count lines that could not be read, of a file that the user knows by this path."""
        self.lines += bad.lines
        if bad.problem.kind == "torn_tail":
            self.torn_tail += bad.lines
        else:
            self.bad += bad.lines
        if len(self.problems) < _SHOWN:
            self.problems.append(Found(path, bad.problem))
        else:
            self.more_problems += 1

    def note_event(self, event: Event) -> None:
        """Take note of an event that is given."""
        self.events += 1
        for name, value in event.metrics.items():
            if value is None:
                self.null[name] = self.null.get(name, 0) + 1
            elif value - value != 0:
                self.nonfinite[name] = self.nonfinite.get(name, 0) + 1
            if not is_metric(name):
                self.unknown[name] = self.unknown.get(name, 0) + 1
        for name, kept in event.data_slice.items():
            if isinstance(kept, (str, bool)) and name != "eval_set":
                self.texts[name] = self.texts.get(name, 0) + 1
        self.left_out += any(note.startswith("left_out:") for note in event.notes)


class IngestReport(msgspec.Struct):
    """What became of everything that was read."""

    runs: list[RunReport] = []
    passed_over: list[PassedOver] = []
    """Files of folders that are no logs, or whose runs were read from another file."""

    @property
    def events(self) -> int:
        """Events of all runs."""
        return sum(run.events for run in self.runs)

    @property
    def lines(self) -> int:
        """Lines and records of all runs."""
        return sum(run.lines for run in self.runs)

    @property
    def problems(self) -> Iterator[Found]:
        """Every problem that was kept word for word."""
        return (found for run in self.runs for found in run.problems)
