"""The rows of a CSV file that another tool wrote, read strictly, each with where it stands."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rldk.adapters.base import HEAD, Aside, Bad
from rldk.adapters.foreign_json import decode
from rldk.adapters.lines import Line, numbered
from rldk.adapters.records import number
from rldk.io.event_schema import MAX_LINE
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rldk.io.event_schema import Number

__all__ = ["UNNAMED", "Comment", "Row", "columns", "csv_rows", "first_rows"]

UNNAMED: Final = "column 1"
"""What the first column is called when it has no name, as the one in which pandas writes its index."""

_BOM: Final = b"\xef\xbb\xbf"
_MOST_LINES: Final = 1000
"""How many lines the quoted fields of one row may take."""
_MOST_FIELDS: Final = 2**16
_SEPARATORS: Final = (",", "\t", ";")
"""What may separate fields: the first of them that the header has outside of quotes."""
_IN_QUOTES: Final = re.compile(r'"[^"]*"')
_FIELDS: Final = {
    separator: re.compile(rf'(?:"([^"]*(?:""[^"]*)*)"|([^"{separator}]*))(?={separator}|\Z)')
    for separator in _SEPARATORS
}
_TORN: Final = Problem("torn_tail", "a newline at the end of the last line", "none")


class Row(NamedTuple):
    """A row below its header."""

    cells: dict[str, str]
    """The text of each cell that is not blank, by the name of its column."""
    line: Line
    """The line it begins on."""
    lines: int
    """How many lines it takes."""

    def numbers(self) -> dict[str, Number | str]:
        """What each cell spells: a number, NaN and infinities among them, or a text."""
        return {name: number(text) for name, text in self.cells.items()}

    def bad(self, path: Path, problem: Problem) -> Bad:
        """What is wrong with the row."""
        return self.line.bad(path, problem)._replace(lines=self.lines)


class Comment(NamedTuple):
    """A line `#{...}`: a JSON object, as the Monitor of Gym writes it above its header."""

    members: Mapping[str, Any]
    line: Line


class _Header(NamedTuple):
    names: tuple[str, ...]
    known: frozenset[str]
    """The same names."""
    separator: str


def columns(head: bytes) -> tuple[str, ...]:
    """The names in the header that a file begins with, none when it is no CSV file.

    A header is the first line that is neither blank nor a comment, and has two fields or more, all of them
    different names and none of them a number.
    """
    lines = _head_lines(head)
    header = _header(lines[0]) if lines else None
    return header.names if header else ()


def first_rows(head: bytes) -> list[dict[str, str]]:
    """The cells of the first rows, as far as they are whole and there is one on each line."""
    lines = _head_lines(head)
    header = _header(lines[0]) if lines else None
    rows: list[dict[str, str]] = []
    for text in lines[1:] if header else ():
        cells = _read(text, header, whole=True)
        if not isinstance(cells, dict):
            break
        rows.append(cells)
    return rows


def _head_lines(head: bytes) -> list[bytes]:
    """The lines of a head that are whole, or are all of a file, without blank lines and comments."""
    *lines, last = head.removeprefix(_BOM).split(b"\n")
    whole = lines if lines or len(head) >= HEAD else [last]
    return [line for line in whole if line.strip() and not _is_comment(line)]


def csv_rows(path: Path) -> Iterator[Row | Comment | Aside | Bad]:
    """The rows of a file, compressed or not; memory is bounded by the longest row allowed.

    The header is set aside, where it stands again in the middle too, and where it changed there, as in a file to
    which another run was appended: it holds for the rows after it. So are blank lines, and comments, which begin
    with `#`. A row without newline at the end of the file is torn, unless a quote closes it: nobody can tell
    whether its last number is whole.
    """
    header: _Header | None = None
    for each in _joined(path):
        if not isinstance(each, _Text):
            yield each
            continue
        line, text, lines = each
        found = _read(text, header, whole=line.whole)
        if isinstance(found, _Header):
            same = header is None or found.names == header.names
            yield Aside("header" if header is None else "header again" if same else "another header", lines)
            header = found
        elif isinstance(found, Problem):
            bad = line.bad(path, found) if line.whole else line.torn(path)
            yield bad._replace(lines=lines)
        else:
            yield Row(found, line, lines)


class _Text(NamedTuple):
    """All lines of a row."""

    line: Line
    """The first; whole when a newline ended the last."""
    text: bytes
    lines: int


def _joined(path: Path) -> Iterator[_Text | Comment | Aside | Bad]:
    """The rows as text: lines are joined while a quote is open."""
    waiting: deque[Line | Bad] = deque()
    source = numbered(path)
    while (line := waiting.popleft() if waiting else next(source, None)) is not None:
        if isinstance(line, Bad):
            yield line
        elif len(line.text) >= MAX_LINE:
            found = f"{len(line.text)} bytes"
            yield line.bad(path, Problem("line_too_long", f"at most {MAX_LINE} bytes, newline included", found))
        elif not line.text.strip():
            yield Aside("blank line") if line.whole or not line.text else line.torn(path)
        elif _is_comment(line.text):
            yield _comment(line, path)
        elif line.text.count(b'"') % 2 == 0:
            yield _Text(line, line.text, 1)
        else:
            yield _quoted(line, waiting, source, path)


def _quoted(line: Line, waiting: deque[Line | Bad], source: Iterator[Line | Bad], path: Path) -> _Text | Bad:
    """The row of a line with an open quote. Where no quote closes it the line is bad, and those after it wait."""
    size, begun = len(line.text), [line]
    while len(begun) < _MOST_LINES and size < MAX_LINE:
        following = waiting.popleft() if waiting else next(source, None)
        if not isinstance(following, Line):
            waiting.extendleft([following] if following else [])
            break
        begun.append(following)
        size += len(following.text) + 1
        if following.text.count(b'"') % 2:
            text = b"\n".join(part.text for part in begun)
            return _Text(line._replace(whole=following.whole), text, len(begun))
    waiting.extendleft(reversed(begun[1:]))
    if not line.whole:
        return line.torn(path)
    expected = f"a quote that is closed within {_MOST_LINES} lines and {MAX_LINE} bytes"
    return line.bad(path, Problem("bad_row", expected, "one that is not"))


def _is_comment(text: bytes) -> bool:
    return text.startswith(b"#") and text[1:2] not in {b",", b"\t", b";"}


def _comment(line: Line, path: Path) -> Comment | Aside | Bad:
    if not line.text[1:].lstrip().startswith(b"{"):
        return Aside("comment")
    members = decode(line.text[1:])
    if isinstance(members, Problem):
        return line.bad(path, members) if line.whole else line.torn(path)
    return Comment(members, line)


def _read(text: bytes, header: _Header | None, *, whole: bool) -> dict[str, str] | _Header | Problem:
    """The cells of a row by name, or the header that it is."""
    text = text.removesuffix(b"\r")
    if not whole and not text.endswith(b'"'):
        return _TORN
    try:
        row = text.decode()
    except UnicodeDecodeError as error:
        return Problem("invalid_utf8", "UTF-8", f"the byte 0x{text[error.start]:02x}", byte=error.start)
    if header is None:
        return _header(text) or Problem("bad_row", "a header: two or more names, each once", repr(row[:40]))
    cells = _split(row, header.separator)
    if isinstance(cells, Problem):
        return cells
    if not header.known.isdisjoint(cells) and (again := _header(text)) and again.separator == header.separator:
        return again
    return _by_name(header.names, cells)


def _by_name(names: tuple[str, ...], cells: list[str]) -> dict[str, str] | Problem:
    if len(cells) != len(names):
        return Problem("bad_row", f"{len(names)} fields, as the header has", str(len(cells)))
    return {name: cell for name, cell in zip(names, cells, strict=True) if cell and not cell.isspace()}


def _header(text: bytes) -> _Header | None:
    """The header that a line is, None when it cannot be one. A column without name is called by its number."""
    try:
        row = text.removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        return None
    outside = _IN_QUOTES.sub("", row)
    separator = next((each for each in _SEPARATORS if each in outside), "")
    cells = _split(row, separator) if separator else None
    if not isinstance(cells, list):
        return None
    names = tuple(cell.strip() or f"column {place}" for place, cell in enumerate(cells, 1))
    known = frozenset(names)
    if len(known) < len(names) or not all(isinstance(number(name), str) for name in names):
        return None
    return _Header(names, known, separator)


def _split(row: str, separator: str) -> list[str] | Problem:
    """The fields of a row, without their quotes."""
    if '"' not in row:
        cells = row.split(separator, _MOST_FIELDS)
        return cells if len(cells) <= _MOST_FIELDS else _too_many()
    cells, place = [], 0
    while len(cells) < _MOST_FIELDS:
        match = _FIELDS[separator].match(row, place)
        if match is None:
            found = f"{row[place : place + 20]!r}"
            return Problem("bad_row", "quotes around whole fields only", found, byte=len(row[:place].encode()))
        cells.append(match[2] if match[1] is None else match[1].replace('""', '"'))
        if match.end() == len(row):
            return cells
        place = match.end() + 1
    return _too_many()


def _too_many() -> Problem:
    return Problem("bad_row", f"at most {_MOST_FIELDS} fields", "more")
