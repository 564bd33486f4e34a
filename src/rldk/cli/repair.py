"""`rldk repair`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click
import msgspec

from rldk.io import repair as log_repair
from rldk.io.printable import printable
from rldk.report.words import plural

__all__ = ["repair"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--salvage", is_flag=True, help="Leave FILE as it is, and copy the lines that can be read.")
@click.option(
    "-o",
    "--out",
    metavar="OUT",
    type=click.Path(path_type=Path),
    help="With --salvage: the file to copy to; FILE's name with .salvaged when not given.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def repair(file: Path, *, salvage: bool, out: Path | None, as_json: bool) -> None:
    """Bring the event log FILE back to whole lines, or copy what can be read of it.

    A crash may leave an unfinished line at the end of a log. It is moved to a .torn file beside the log, as the
    next attempt would do; no byte is lost. Damaged lines are reported and left where they are.

    With --salvage, FILE is not touched: each line that can be read is copied to OUT byte for byte, and what
    cannot be read is put into a file beside OUT, with the reason. Neither replaces a file that is there.

    \b
    rldk repair rldk_logs/grpo-20260131T235959-1f3a_events.jsonl
    rldk repair --salvage rldk_logs/grpo-20260131T235959-1f3a_events.jsonl -o readable.jsonl

    Exit codes: 0 all lines can be read, 1 some cannot, 2 nothing could be done, as while the run is being written.
    """
    if out and not salvage:
        raise click.UsageError("-o is for --salvage: without it, FILE itself is repaired.")
    done = log_repair.salvage(file, out) if salvage else log_repair.repair(file)
    if as_json:
        click.echo(msgspec.json.encode(done))
    elif isinstance(done, log_repair.Salvage):
        _print_salvage(done)
    else:
        _print_repair(done)
    sys.exit(1 if done.damaged else 0)


def _print_repair(done: log_repair.Repair) -> None:
    if done.torn:
        moved = f"moved {plural(done.moved_bytes, 'byte')} of an unfinished line to {Path(done.torn).name}"
        click.echo(f"{done.path}: {moved}; {_lines(done.lines)} left")
    elif not done.damaged:
        click.echo(f"{done.path}: nothing to repair, {plural(done.lines, 'line')}")
    if done.damaged:
        _print_problems(done)
        damaged = f"{done.damaged:,} of {plural(done.lines, 'line')} cannot be read; nothing was done about that"
        click.echo(f"{done.path}: {damaged}. Copy the others with: rldk repair --salvage {shlex.quote(done.path)}")


def _print_salvage(done: log_repair.Salvage) -> None:
    _print_problems(done)
    if done.unreadable:
        click.echo(f"{done.path}: {plural(done.damaged, 'piece')} that cannot be read, saved in {done.unreadable}")
    click.echo(f"{done.path}: copied {plural(done.lines, 'line')} to {done.out}")


def _print_problems(done: log_repair.Repair | log_repair.Salvage) -> None:
    for problem in done.problems:
        click.echo(printable(str(problem.error(Path(done.path)))))
    if more := done.damaged - len(done.problems):
        click.echo(f"and {more:,} more: rldk validate --strict {shlex.quote(done.path)}")


def _lines(count: int) -> str:
    return f"{plural(count, 'whole line')} {'is' if count == 1 else 'are'}"
