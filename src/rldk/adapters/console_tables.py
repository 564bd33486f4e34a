"""The tables `| key | value |` between lines of dashes that loggers of OpenAI baselines and its kin print."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from rldk.adapters.base import Aside, Bad
from rldk.adapters.console import spoken
from rldk.adapters.lines import numbered
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rldk.adapters.lines import Line

__all__ = ["Table", "read_row", "tables"]

_DASHES: Final = re.compile(r"-{7,4096}")
_MOST_ROWS: Final = 10_000

_INDENT: Final = "   "
"""What stands before a key in a section."""
_PROSE: Final = Aside("a line of no table")
_BLANK: Final = Aside("blank line")


class Table(NamedTuple):
    """A table: what was logged at once."""

    cells: dict[str, str]
    """The text of each value by its key; keys that stand in a section have its name, and its slash, before them."""
    line: Line
    """The line it begins on."""
    lines: int
    """How many lines it takes."""

    def bad(self, path: Path, problem: Problem) -> Bad:
        """What is wrong with the table."""
        return self.line.bad(path, problem)._replace(lines=self.lines)


class _Row(NamedTuple):
    key: str
    """With the blanks before it that a key in a section has."""
    value: str


def read_row(text: str) -> _Row | None:
    """A row of a table, None when the text is none."""
    if not text.startswith("| ") or not text.endswith(" |"):
        return None
    key, bar, value = text[2:-1].partition(" | ")
    return _Row(key.rstrip(), value.strip()) if bar and key.strip() else None


def tables(path: Path) -> Iterator[Table | Aside | Bad]:
    """The tables in a console, compressed or not; other lines are set aside, those inside a table too.

    A table that ends with the file instead of dashes is torn, and rows before which no dashes stand are bad:
    what stood above them is missing.
    """
    table: _Begun | None = None
    for line in numbered(path):
        if isinstance(line, Bad):
            yield line
            continue
        row, is_dashes = _shown(line)
        if row:
            table = table or _Begun(line, headed=False)
            if len(table.rows) < _MOST_ROWS:
                table.rows.append(row)
            table.lines += 1
        elif is_dashes and table and table.rows:
            table.lines += 1
            yield table.ended(path)
            table = None
        elif table and table.rows and (not line.whole or line.text.lstrip().startswith(b"|")):
            table.lines += 1
            table.damaged = table.damaged or line.whole
        else:
            if table and not table.rows:
                yield _PROSE
                table = None
            if is_dashes:
                table = _Begun(line, headed=True)
            else:
                yield _PROSE if line.text.strip() else _BLANK
    if table:
        yield table.first.torn(path)._replace(lines=table.lines) if table.rows else _PROSE


def _shown(line: Line) -> tuple[_Row | None, bool]:
    """The row that a line is, and whether it is dashes."""
    if b"|" not in line.text and b"-------" not in line.text:
        return None, False
    for piece in spoken(line):
        if row := read_row(piece.text):
            return row, False
        if _DASHES.fullmatch(piece.text):
            return None, True
    return None, False


class _Begun:
    """A table of which more may follow."""

    def __init__(self, first: Line, *, headed: bool) -> None:
        self.first = first
        self.headed = headed
        """Whether it begins with dashes."""
        self.lines = int(headed)
        self.rows: list[_Row] = []
        self.damaged = False
        """Whether a row in it is none."""

    def ended(self, path: Path) -> Table | Bad:
        """The table, whose last line of dashes has come."""
        if not self.headed:
            found = "rows without one: what stood above them is missing"
            return self._bad(path, Problem("bad_record", "a line of dashes above a table", found))
        if self.damaged:
            return self._bad(path, Problem("bad_record", "rows `| key | value |` in a table", "one that is none"))
        if len(self.rows) >= _MOST_ROWS:
            return self._bad(path, Problem("bad_record", f"a table of less than {_MOST_ROWS} rows", "a longer one"))
        cells: dict[str, str] = {}
        section = ""
        for key, value in self.rows:
            if key.endswith("/") and not value:
                section = key
                continue
            name = section + key.strip() if key.startswith(_INDENT) else key.strip()
            if name in cells:
                return self._bad(path, Problem("duplicate_key", "each key once in a table", f"{name!r} again"))
            cells[name] = value
        return Table(cells, self.first, self.lines)

    def _bad(self, path: Path, problem: Problem) -> Bad:
        return self.first.bad(path, problem)._replace(lines=self.lines)
