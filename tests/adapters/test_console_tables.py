"""Printed tables are read whole, or said to be torn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rldk.adapters.base import Aside, Bad
from rldk.adapters.console_tables import Table, tables

if TYPE_CHECKING:
    from pathlib import Path

DASHES = "-" * 27
TABLE = f"""\
{DASHES}
| rollout/     |          |
|    ep_len    | 9.5      |
| time/        |          |
|    steps     | 2048     |
| plain        | a | b    |
{DASHES}
"""


def read(path: Path, text: str) -> list[Table | Aside | Bad]:
    """What is read of a console that shows this text."""
    path.write_text(text)
    return list(tables(path))


def said(found: list[Table | Aside | Bad]) -> list[object]:
    """The cells of each table, why a line was set aside, or what is wrong."""
    return [
        each.cells if isinstance(each, Table) else each.why if isinstance(each, Aside) else str(each.problem.error())
        for each in found
    ]


CELLS = {"rollout/ep_len": "9.5", "time/steps": "2048", "plain": "a | b"}


def test_keys_have_the_name_of_their_section(tmp_path: Path) -> None:
    """A key that is set in belongs to the section above it; one that is not stands for itself."""
    (table,) = read(tmp_path / "f", TABLE)

    assert isinstance(table, Table)
    assert (table.cells, table.line.number, table.lines) == (CELLS, 1, 7)


def test_other_lines_are_set_aside(tmp_path: Path) -> None:
    """Prose around and inside a table, blank lines, and dashes that begin none."""
    top, rest = TABLE.split("\n", 1)
    found = said(read(tmp_path / "f", f"Using cpu device\n{DASHES}\n\n{top}\r\n{rest}{TABLE}"))

    assert found == ["a line of no table", "a line of no table", "blank line", CELLS, CELLS]


def test_prose_inside_a_table_does_not_end_it(tmp_path: Path) -> None:
    """As when a warning is printed by another process."""
    lines = TABLE.splitlines(keepends=True)

    assert said(read(tmp_path / "f", "".join([*lines[:3], "a warning\n", *lines[3:]]))) == ["a line of no table", CELLS]


def test_a_cut_table_is_torn(tmp_path: Path) -> None:
    """Without its last line of dashes nobody knows whether rows are missing."""
    (bad,) = read(tmp_path / "f", TABLE[:-22])

    assert isinstance(bad, Bad)
    assert (bad.problem.kind, bad.problem.line, bad.lines) == ("torn_tail", 1, 7)


def test_a_table_without_its_top_is_bad(tmp_path: Path) -> None:
    """The one after it is read."""
    found = said(read(tmp_path / "f", TABLE.split("\n", 2)[2] + TABLE))

    assert found == [
        (
            "<line>:1:0: expected a line of dashes above a table, "
            "found rows without one: what stood above them is missing [bad_record]"
        ),
        CELLS,
    ]


def test_a_key_twice_is_bad(tmp_path: Path) -> None:
    """Two long names may have been cut to the same."""
    found = said(read(tmp_path / "f", f"{DASHES}\n| a... | 1 |\n| a... | 2 |\n{DASHES}\n"))

    assert found == ["<line>:1:0: expected each key once in a table, found 'a...' again [duplicate_key]"]


def test_a_row_that_is_none_makes_the_table_bad(tmp_path: Path) -> None:
    """A metric would be missing otherwise, and nobody told."""
    found = said(read(tmp_path / "f", TABLE.replace("| 9.5      |", "| 9.5")))

    assert found == ["<line>:1:0: expected rows `| key | value |` in a table, found one that is none [bad_record]"]
