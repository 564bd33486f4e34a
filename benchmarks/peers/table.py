"""The two tables, for the terminal and for a page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.console import Group
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

COST: Final = {
    "p50": "log() p50, us",
    "p99": "p99, us",
    "thread": "CPU of the calling thread, us",
    "process": "CPU of the process, us",
    "start": "start, s",
    "finish": "finish, s",
    "bytes": "disk, MB",
    "readable": "steps readable",
}
"""What a logger costs: the columns and their titles."""

TRUST: Final = {
    "kill": "kill -9, a step each 5 ms: acknowledged steps lost",
    "kill_slow": "kill -9, a step each 0.4 s: acknowledged steps lost",
    "restart": "kept at a restart",
    "nonfinite": "NaN, Inf, -Inf",
    "writers": "four writers",
    "full": "disk full: the training",
    "full_kept": "disk full: acknowledged steps kept",
    "full_gap": "disk full: gap counted",
    "rewind": "rewind in one process: both passes",
    "rewind_restart": "rewind at a restart: both passes",
}
"""What a logger can be trusted with: the columns and their titles."""

BEGIN: Final = "<!-- measured: make bench-peers -->\n"
END: Final = "<!-- end -->"


class Result(NamedTuple):
    """All that was measured of a logger; `missing` is why there is nothing."""

    title: str
    cells: dict[str, str]
    missing: str = ""


def terminal(results: Sequence[Result], about: Iterable[str]) -> Group:
    """Both tables, and what was measured on what."""
    return Group(_rich("Cost", COST, results), _rich("Trust", TRUST, results), *about)


def _rich(title: str, columns: dict[str, str], results: Sequence[Result]) -> Table:
    table = Table("logger", *columns.values(), title=title, title_justify="left", show_lines=True)
    for result in results:
        table.add_row(*_row(result, columns))
    return table


def _row(result: Result, columns: Iterable[str]) -> list[str]:
    if result.missing:
        return [result.title, f"missing: {result.missing}"]
    return [result.title, *(result.cells.get(column, "") for column in columns)]


def markdown(results: Sequence[Result], about: Iterable[str]) -> str:
    """Both tables as Markdown, and what was measured on what."""
    parts = ["".join(f"- {line}\n" for line in about)]
    for title, columns in (("Cost", COST), ("Trust", TRUST)):
        parts.append(f"### {title}\n\n" + "".join(_lines(columns, results)))
    return "\n".join(parts)


def _lines(columns: dict[str, str], results: Sequence[Result]) -> Iterator[str]:
    width = 1 + len(columns)
    for row in (["logger", *columns.values()], ["---"] * width, *(_row(result, columns) for result in results)):
        padded = [*row, *[""] * (width - len(row))]
        yield "|" + "|".join(f" {cell.replace('|', chr(92) + '|')} " if cell else " " for cell in padded) + "|\n"


def write_page(page: Path, text: str) -> None:
    """Put the tables between the markers of a page; a page that is not there is made of nothing else.

    Raises:
        ValueError: the page has no markers.
    """
    part = f"{BEGIN}\n{text}\n{END}"
    if not page.exists():
        page.write_text(part + "\n", encoding="utf-8")
        return
    whole, count = re.subn(
        re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: part, page.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    if not count:
        raise ValueError(f"{page}: expected the markers {BEGIN.strip()} and {END}, found none")
    page.write_text(whole, encoding="utf-8")
