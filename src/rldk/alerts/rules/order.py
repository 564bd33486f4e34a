"""Rules on the records of a log: whether they are all there, whole, once and in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rldk.alerts.rule import Finding, Rule, stateless
from rldk.alerts.rules.wording import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rldk.alerts.record import Record

__all__ = ["RULES"]

_NOTHING: Final[tuple[Finding, ...]] = ()


class _StepBack:
    """Counts steps that go back within one attempt."""

    def __init__(self) -> None:
        self._count = 0
        self._first = self._last = (0, 0)

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The finding, once a step went back."""
        if record.went_back is not None:
            self._last = (record.went_back, record.step)
            self._first = self._last if not self._count else self._first
            self._count += 1
        if not self._count:
            return _NOTHING
        before, step = self._first
        more = f", and {self._count - 1} times more" if self._count > 1 else ""
        return [
            Finding(
                severity="warning",
                message=f"The step goes back from {before} to {step} within one attempt{more}.",
                first_step=step,
                last_step=self._last[1],
                evidence={"count": self._count},
                confidence=1.0,
            )
        ]


class _Duplicates:
    """Counts points that came twice."""

    def __init__(self) -> None:
        self._differing = self._equal = 0
        self._first = self._last = 0
        self._example = ""

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The finding, once a point came twice with the same metrics."""
        if record.repeated:
            self._note(record)
        total = self._differing + self._equal
        if not total:
            return _NOTHING
        stuck = record.points <= 2 and total >= 10  # noqa: PLR2004 - the step does not count anything
        many = self._differing >= max(5, 0.05 * record.points)
        what = f"{self._differing} of them with other values ({self._example})" if self._differing else "unchanged"
        end = "; the step does not advance" if stuck else ""
        return [
            Finding(
                severity="warning" if many or stuck else "info",
                message=f"{total} points were logged twice, {what}{end}.",
                first_step=self._first,
                last_step=self._last,
                evidence={"differing": self._differing, "equal": self._equal, "points": record.points},
                confidence=0.9,
            )
        ]

    def _note(self, record: Record) -> None:
        if not self._differing + self._equal:
            self._first = record.step
        self._last = record.step
        differing = next(((name, one, other) for name, one, other in record.repeated if one != other), None)
        if differing is None:
            self._equal += 1
            return
        self._differing += 1
        if not self._example:
            name, one, other = differing
            self._example = f"step {record.step}: {name} {number(one)} and {number(other)}"


def _torn(record: Record) -> Iterator[Finding]:
    """A record cut short at the end of the log."""
    for path, problem in record.torn[-1:]:
        place = f"{path}:{problem.line}" if path else f"line {problem.line}"
        yield Finding(
            severity="warning",
            message=f"The log ends in a torn record at {place}: expected {problem.expected}, found {problem.found}.",
            first_step=record.last_step or 0,
            evidence={"line": problem.line, "byte": problem.byte},
            confidence=1.0,
        )


def _unreadable(record: Record) -> Iterator[Finding]:
    """Records in the middle of the log that cannot be read."""
    if record.unreadable:
        path, problem = record.bad[0]
        place = f"{path}:{problem.line}" if path else f"line {problem.line}"
        count = record.unreadable
        what = "A record" if count == 1 else f"{count} records"
        yield Finding(
            severity="warning",
            message=f"{what} cannot be read, first at {place}: expected {problem.expected}, found {problem.found}.",
            first_step=record.first_step or 0,
            evidence={"count": count, "line": problem.line, "kind": problem.kind},
            confidence=1.0,
        )


class _Missing:
    """Counts events that were dropped, by the notes on later ones and by the gaps in `seq`."""

    def __init__(self) -> None:
        self._dropped = self._gaps = 0
        self._first = self._last = 0
        self._seq: int | None = None
        self._attempt = 0

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The finding, once events are missing."""
        event = record.event
        if event is not None and event.seq is not None:
            self._follow(event.seq, event.attempt, record.step)
        if event is not None and event.notes:
            self._read(event.notes, record.step)
        total = self._dropped + self._gaps
        if not total:
            return _NOTHING
        how = "the recorder could not write them" if self._dropped else "their sequence numbers are missing"
        return [
            Finding(
                severity="warning",
                message=f"{total} event{'s are' if total > 1 else ' is'} missing: {how}.",
                first_step=self._first,
                last_step=self._last,
                value=float(total),
                evidence={"dropped": self._dropped, "gaps": self._gaps},
                confidence=0.95,
            )
        ]

    def _follow(self, seq: int, attempt: int, step: int) -> None:
        if attempt == self._attempt and self._seq is not None and seq > self._seq + 3:
            self._gaps += seq - self._seq - 1
            self._mark(step)
        if attempt != self._attempt or self._seq is None or seq > self._seq:
            self._seq, self._attempt = seq, attempt

    def _read(self, notes: list[str], step: int) -> None:
        for note in notes:
            code, _, rest = note.partition(": ")
            if code == "events_dropped" and (count := rest.partition(",")[0]).isdecimal():
                self._dropped += int(count)
                # The gap that the note explains was counted just now.
                self._gaps = max(0, self._gaps - int(count))
                self._mark(step)

    def _mark(self, step: int) -> None:
        self._first = self._first or step
        self._last = step


_MEASURED: Final = "A threshold of RLDK's own, measured: docs/explanation/diagnosis.md"

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="step_back",
        group="integrity",
        severity="warning",
        summary="The step goes back within one attempt.",
        why="Two processes write one file, a counter was reset, or logs were put together by hand.",
        advice="Give each process a log of its own; read the parts one by one.",
        references=(_MEASURED,),
        traps=("In logs that name no attempt, a step that goes back is a restart; rule `rewound` tells of it.",),
        make=_StepBack,
        eager=True,
    ),
    Rule(
        name="duplicates",
        group="integrity",
        severity="warning",
        summary="Points were logged more than once.",
        why="Several ranks or processes write to one log, or the step does not count what is logged. With equal values "
        "it is harmless; with different ones it is not known which one is true.",
        advice="Log on rank 0 only, or each rank to a file of its own.",
        references=(_MEASURED,),
        traps=("An evaluation shares the step of the training it interrupts: each phase is a curve of its own.",),
        make=_Duplicates,
        eager=True,
    ),
    Rule(
        name="torn_record",
        group="integrity",
        severity="warning",
        summary="The log ends in a record that was cut short.",
        why="The process was killed, or the file copied, while it was being written.",
        advice="`rldk repair` moves the torn bytes to a file of their own. Look for why the process ended.",
        references=(_MEASURED,),
        traps=("The last line of a log that is being written is not torn: readers ask whether its writer lives.",),
        make=stateless(_torn),
        eager=True,
    ),
    Rule(
        name="unreadable_records",
        group="integrity",
        severity="warning",
        summary="Records in the middle of the log cannot be read.",
        why="The file was damaged, edited, or written by two processes at once.",
        advice="`rldk validate` lists each of them; `rldk verify` tells whether a sealed segment has changed.",
        references=(_MEASURED,),
        traps=(),
        make=stateless(_unreadable),
        eager=True,
    ),
    Rule(
        name="missing_events",
        group="integrity",
        severity="warning",
        summary="Events are missing that were once logged.",
        why="The disk was full or the folder could not be written, so the recorder dropped them and said so; or a part "
        "of the log was lost.",
        advice="Free space on the disk, and look at the counters in the final report.",
        references=(_MEASURED,),
        traps=("Events left out by a filter have no sequence number, so they are not missing.",),
        make=_Missing,
        eager=True,
    ),
)
"""The rules of this module."""
