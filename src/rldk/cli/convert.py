"""`rldk convert`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rldk.cli.account import print_account
from rldk.cli.sources import counting, fail, options_of, source_options
from rldk.cli.terminal import terminal
from rldk.errors import IngestError
from rldk.ingest import IngestReport
from rldk.ingest import convert as convert_runs
from rldk.io.printable import printable
from rldk.io.validator import validate_jsonl_file

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["convert"]

_SHOWN: Final = 10
"""How many problems of a new log are shown."""


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The file to write, or a folder for a file of each run.",
)
@source_options
def convert(sources: Sequence[str], *, output: Path, adapter: str | None, fields: Sequence[str], on_error: Any) -> None:
    """Write the logs of any framework as RLDK event logs.

    Every event is kept, also those that were trained again. The new logs are checked strictly.

    \b
    rldk convert outputs/checkpoint-250 -o run_events.jsonl
    rldk convert runs -o converted

    Exit codes: 0 all is well, 1 something could not be read or is out of order, 2 wrong usage or no log.
    """
    options, report, console = options_of(adapter, fields, on_error), IngestReport(), terminal()
    try:
        with counting("converting") as progress:
            written = convert_runs(list(sources), output, report=report, progress=progress, **options)
    except IngestError as error:
        fail(error, on_error)
    print_account(report, console)
    valid = bool(written) and not any(run.problems for run in report.runs)
    for path in written:
        found = validate_jsonl_file(path, strict=True, max_errors=_SHOWN)
        valid = valid and found.valid
        console.print(f"wrote {path}: {'strictly valid' if found.valid else 'not in order'}", soft_wrap=True)
        for problem in found.problems:
            console.print(printable(str(problem.error(path))), soft_wrap=True)
    if not written:
        console.print("nothing was written: there are no events", style="red")
    sys.exit(0 if valid else 1)
