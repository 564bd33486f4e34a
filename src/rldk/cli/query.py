"""`rldk query`."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
from rich.measure import Measurement
from rich.table import Table

from rldk.cli.sources import fail, options_of, source_options
from rldk.cli.terminal import print_table, terminal
from rldk.errors import IngestError
from rldk.io.values import spelled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from rldk.io.reader import History

__all__ = ["query"]

_WIDE: Final = 10_000
"""More columns than any terminal has."""


@click.command()
@click.argument("sql")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@source_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each row, one on each line.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV.")
@click.option("--all-history", is_flag=True, help="Keep steps that were trained again, and every rank.")
def query(
    sql: str,
    sources: Sequence[str],
    *,
    adapter: str | None,
    fields: Sequence[str],
    on_error: Any,
    as_json: bool,
    as_csv: bool,
    all_history: bool,
) -> None:
    """Ask the logs of any framework in SQL; their table is called `runs`.

    The sources are ingested first, as `rldk ingest` does, and kept in a cache, which is built anew when a file
    has changed. Needs `pip install 'rldk[table]'`. A column with a slash in its name stands in double quotes.

    \b
    rldk query "SELECT step, reward_mean FROM runs WHERE phase = 'train' ORDER BY step" rldk_logs

    Exit codes: 0 all is well, 1 a line cannot be read, 2 wrong usage, wrong SQL or no log.
    """
    from rldk.ingest.query import query_runs  # noqa: PLC0415 - it needs DuckDB

    history: History = "all" if all_history else "effective"
    try:
        names, rows = query_runs(sql, list(sources), history=history, **options_of(adapter, fields, on_error))
    except IngestError as error:
        fail(error, on_error)
    if as_json:
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            fault = f"--json: expected a name of its own for each column, as AS gives it, found {twice[0]!r} twice"
            raise click.UsageError(fault)
        for row in rows:
            click.echo(msgspec.json.encode({name: _plain(value) for name, value in zip(names, row, strict=True)}))
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_plain(value) for value in row] for row in rows)
    else:
        _print(names, [["" if value is None else str(_plain(value)) for value in row] for row in rows], terminal())


def _print(names: list[str], rows: list[list[str]], console: Console) -> None:
    """Print rows as a table; one below the other, each of their values on a line, where that is too wide."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    needed = Measurement.get(console, console.options.update_width(_WIDE), table).maximum
    if not console.is_terminal or needed <= console.width:
        print_table(table, console)
        return
    for row in rows:
        for name, value in zip(names, row, strict=True):
            console.print(f"{name:<{max(map(len, names))}}  {value}", soft_wrap=True)
        console.print()


def _plain(value: object) -> Any:
    """A value as JSON and CSV can hold it; NaN and infinities are spelled out."""
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return spelled(value) if isinstance(value, float) else value
