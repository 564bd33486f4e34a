"""AReaL: the tables of statistics that it prints for each training step, and that realhf printed before it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rldk.adapters.base import Aside, Bad, Certainty, Claim, FormatAdapter, Reading, no
from rldk.adapters.console import find_line, is_text, spoken
from rldk.adapters.launches import no_steps
from rldk.adapters.lines import numbered, read_head
from rldk.adapters.phases import line_items, parts
from rldk.adapters.records import EventBuilder, number, run_name
from rldk.errors import UnknownFormatError
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rldk.adapters.base import Item
    from rldk.adapters.lines import Line, Piece

__all__ = ["AReaLAdapter"]

_AXIS: Final = "train step; optimizer update where AReaL prints a table for each minibatch"
_SHAPE: Final = "Epoch 1/5 Step 3/100 Train step 3/500 done."
_STEP: Final = re.compile(
    r"Epoch \d{1,18}/\d{1,18} Step \d{1,18}/\d{1,18} Train step (?P<new>\d{1,18})/\d{1,18} done"
    r"|[Ee]poch \d{1,18}/\d{1,18} step \d{1,18}/\d{1,18} \(global step (?P<old>\d{1,18})\)"
)
_TITLE: Final = re.compile(
    r"\b(?:[Ss]tats(?: \((?P<number>\d{1,9})/(?P<count>\d{1,9})\))?:|RPC name .{1,200} returns.*) *$"
)
"""What stands above a table: `Stats (1/4):`, `SFT training stats:`, and in realhf `RPC name actor_train returns`."""
_PART: Final = re.compile(r"(?:[Ss]tats|returns) \((\d{1,9})/(\d{1,9})\)")
_TOP: Final = "╒"
_ROW: Final = "│"
_BOTTOM: Final = "╘"
_CORNER: Final = "╛"
_INSIDE: Final = (_ROW, "├", _BOTTOM)
_EVAL: Final = re.compile(r"(?:eval|eval-[^/]*|[^/]*-eval)/")
_MARKS: Final = (b"areal", b"AReaL", b"realhf")
_SHOWN: Final = 60


class AReaLAdapter(FormatAdapter):
    """Reads the tables of statistics in a console of AReaL.

    A table belongs to the step that was named last before it. Other tables, and all other output, are set aside.
    """

    name: ClassVar[str] = "areal"
    reads: ClassVar[str] = "AReaL: a console with a table of statistics for each step"

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether steps and tables are in the text, as AReaL prints them."""
        if not is_text(head):
            return no("no text")
        if _find_table(head, path) is None:
            framework = any(mark in head for mark in _MARKS)
            return no(no_steps(head, path, "AReaL", _SHAPE) if framework else f"no table below a line `{_SHAPE}`")
        step = find_line(head, path, b"tep ", _STEP.search).piece
        if step is None:
            return no(f"tables, but no line `{_SHAPE}`")
        return Claim(Certainty.SURE, "tables of statistics below lines that name a train step")

    def read(self, path: Path) -> Reading:
        """The run that the console is of."""
        head = read_head(path)
        if _find_table(head, path) is None:
            raise UnknownFormatError(path, f"expected a log of AReaL, found {no_steps(head, path, 'AReaL', _SHAPE)}")
        piece = find_line(head, path, b"/", _PART.search).piece
        part = _PART.search(piece.text) if piece else None
        builder = EventBuilder(run_name(path), "areal", field_map=self.field_map)
        return Reading(_Console(path, builder, int(part[2]) if part else 1).items(), _AXIS, builder.sources)


def _find_table(head: bytes, path: Path) -> Piece | None:
    return find_line(head, path, _TOP.encode(), lambda text: text.startswith(_TOP)).piece


class _Console:
    """Goes through a console: the lines of a table make one item, and all others one each.

    Args:
        path: the console.
        builder: makes the events.
        count: how many tables of training a step has.
    """

    def __init__(self, path: Path, builder: EventBuilder, count: int) -> None:
        self._path = path
        self._builder = builder
        self._count = count
        self._named: int | None = None
        """The train step that was named last."""
        self._reached = 0
        """The step of the last table since then."""
        self._title: re.Match[str] | None = None
        self._table: _Table | None = None

    def items(self) -> Iterator[Item]:
        """What becomes of each line."""
        for line in numbered(self._path):
            if isinstance(line, Bad):
                yield line
            else:
                yield from self._line(line, " ".join(piece.text for piece in spoken(line)))
        if self._table:
            yield self._table.cut(self._path, "the end of the file", torn=True)

    def _line(self, line: Line, text: str) -> Iterator[Item]:
        if text.startswith(_TOP) and self._title:
            if self._table:
                yield self._table.cut(self._path, "another table")
            self._table, self._title = _Table(line, self._title), None
        elif self._table and text.startswith(_INSIDE):
            self._table.add(line, text)
            if text.startswith(_BOTTOM) and (line.whole or text.endswith(_CORNER)):
                yield from self._made(self._table)
                self._table = None
        elif text.startswith((_TOP, *_INSIDE)):
            yield Aside("table of something else")
        else:
            self._hear(text)
            yield Aside("console output")

    def _hear(self, text: str) -> None:
        """Take note of the step or the title that a line may name."""
        if named := _STEP.search(text):
            self._named, self._reached = int(named["new"] or named["old"]), 0
        self._title = _TITLE.search(text) or self._title

    def _made(self, table: _Table) -> Iterator[Item]:
        """What becomes of a table that has all its lines."""
        step = self._step(table.part)
        if fault := table.fault or ((table.line, step) if isinstance(step, Problem) else None):
            yield fault[0].bad(self._path, fault[1])._replace(lines=table.lines)
            return
        found = parts(table.metrics, _eval_prefixes(table.metrics))
        made = [self._builder.event(part.metrics, step=step, phase=part.phase) for part in found]
        yield from line_items(table.line, self._path, made, table.lines)
        self._reached = step if isinstance(step, int) else self._reached

    def _step(self, part: re.Match[str] | None) -> int | Problem:
        """The step of a table, in tables of training; one that is no part of a step stands beside the last."""
        if self._named is None:
            return Problem("missing_field", f"a line `{_SHAPE}` before the table", "none", "$.step")
        before = (self._named - 1) * self._count
        if part is None:
            return max(before + 1, self._reached)
        if int(part[2]) != self._count:
            return Problem("bad_value", f"{self._count} tables for each step, as before", f"{part[2]} tables")
        return before + int(part[1])


class _Table:
    """A table of statistics while its lines are read: names and values in turns, from left to right.

    Args:
        line: its first line.
        title: what stands above it.
    """

    def __init__(self, line: Line, title: re.Match[str]) -> None:
        self.line = line
        self.lines = 1
        self.part = _PART.search(title[0])
        self.metrics: dict[str, Any] = {}
        self.fault: tuple[Line, Problem] | None = None
        """The first line with which something is wrong."""

    def add(self, line: Line, text: str) -> None:
        """Take in a further line."""
        self.lines += 1
        if not text.startswith(_ROW):
            return
        cells = [cell.strip() for cell in text.removesuffix(_ROW)[1:].split(_ROW)]
        for name, spelled in zip(cells[::2], [*cells[1::2], ""], strict=False):
            problem = self._cell(name, spelled) if name or spelled else None
            if problem and not self.fault:
                self.fault = (line, problem)

    def _cell(self, name: str, spelled: str) -> Problem | None:
        value = number(spelled) if spelled else None
        if not name or isinstance(value, str):
            return Problem("bad_value", "a name and a number in turns", repr(f"{name} {_ROW} {spelled}"[:_SHOWN]))
        if name in self.metrics:
            return Problem("duplicate_key", "each name once", f"{name!r} again")
        self.metrics[name] = value
        return None

    def cut(self, path: Path, found: str, *, torn: bool = False) -> Bad:
        """The table, when it has no last line."""
        problem = Problem("torn_tail" if torn else "bad_value", f"the last line of the table, {_BOTTOM}", found)
        return self.line.bad(path, problem)._replace(lines=self.lines)


def _eval_prefixes(metrics: dict[str, Any]) -> tuple[str, ...]:
    return tuple({match[0]: None for name in metrics if (match := _EVAL.match(name))})
