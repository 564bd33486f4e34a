"""`rldk ingest`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from rldk.cli.account import print_account
from rldk.cli.sources import counting, fail, options_of, source_options
from rldk.cli.terminal import terminal
from rldk.errors import IngestError
from rldk.ingest import IngestReport
from rldk.ingest.output import check_output, write_output

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ingest"]


def _checked(_context: click.Context, _option: click.Parameter, path: Path | None) -> Path | None:
    """The name of a file that can be written."""
    try:
        if path:
            check_output(path)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return path


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@source_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_checked,
    metavar="FILE",
    help="Write the table to FILE: .parquet, .csv or .jsonl.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the account of every line as JSON.")
@click.option("--all-history", is_flag=True, help="Keep steps that were trained again, and every rank.")
def ingest(
    sources: Sequence[str],
    *,
    adapter: str | None,
    fields: Sequence[str],
    on_error: str,
    output: Path | None,
    as_json: bool,
    all_history: bool,
) -> None:
    """Read the logs of any framework into one table, and account for every line.

    Each SOURCE is a file, a folder, a pattern, or an address such as s3://bucket/run, for which fsspec is
    needed. Formats are recognised by what is in a file; `rldk adapters` lists them.

    \b
    rldk ingest outputs/checkpoint-250
    rldk ingest runs/*/metrics.jsonl -o runs.parquet
    rldk ingest my_log.jsonl --field-map step=iteration --field-map reward_mean=train.reward

    Exit codes: 0 all was read, 1 something could not be read, 2 wrong usage or no log.
    """
    options, report = options_of(adapter, fields, on_error), IngestReport()
    history = "all" if all_history else "effective"
    try:
        with counting("reading") as progress:
            write_output(output, list(sources), report, **options, history=history, progress=progress)
    except IngestError as error:
        if as_json:
            click.echo(msgspec.json.encode(report))
        fail(error, on_error)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        console = terminal()
        print_account(report, console)
        if output:
            console.print(f"wrote {output}", soft_wrap=True)
    sys.exit(1 if any(run.problems for run in report.runs) else 0)
