"""`rldk seal`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from rldk.io.segments import COMPRESSIONS
from rldk.io.writer import policy
from rldk.report.seal import SealedLog, seal_run
from rldk.report.words import plural

__all__ = ["seal"]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--compress", type=click.Choice(COMPRESSIONS), help="Compress the sealed segments.")
@click.option("--keep", metavar="AMOUNT", help="Remove all but so many segments: '20 segments', '2 GB', '30 days'.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def seal(run: Path, *, compress: str | None, keep: str | None, as_json: bool) -> None:
    """Finish RUN, whose process has ended: close its log and build its derived files.

    RUN is an event log, or a folder with one run. For every rank the live file becomes the last sealed segment,
    without the unfinished line that a crash may have left, and its count and hash go into the manifest.
    Attempts that no process came back from are entered as crashed. The run can still be resumed.

    \b
    rldk seal rldk_logs
    rldk seal rldk_logs --compress gz --keep '2 GB'

    Exit codes: 0 done, 1 some of it could not be done, 2 nothing was, as while the run is being written.
    """
    try:
        wanted = policy(compress, keep)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    done = seal_run(run, wanted)
    if as_json:
        click.echo(msgspec.json.encode(done))
    else:
        for log in done.logs:
            _print_log(done.run_id, log)
        click.echo(f"{done.run_id}: {done.outcome}" + (f", {done.outcome_detail}" if done.outcome_detail else ""))
    sys.exit(0 if done else 1)


def _print_log(run_id: str, log: SealedLog) -> None:
    name = f"{run_id} rank {log.rank}" if log.rank else run_id
    if log.moved_bytes:
        click.echo(f"{name}: {log.moved_bytes:,} bytes of an unfinished line were moved to a .torn file")
    segments = plural(log.segments, "sealed segment")
    click.echo(f"{name}: sealed {log.segment}; {segments}" if log.segment else f"{name}: nothing to seal; {segments}")
    for problem in log.problems:
        click.echo(f"{name}: {problem}", err=True)
