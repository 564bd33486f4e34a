"""`rldk validate`."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from rldk.cli.terminal import terminal
from rldk.errors import RunNotFoundError
from rldk.ingest.executors import automatic, shares, stored
from rldk.ingest.validation import valid_files
from rldk.io.compression import open_segment
from rldk.io.opened import Opened, opened
from rldk.io.printable import printable
from rldk.io.problems import KINDS
from rldk.io.segments import Log, find_logs, segment_number, segments
from rldk.io.validator import Report, validate_opened
from rldk.report.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.console import Console

    from rldk.ingest.validation import Identity

__all__ = ["validate"]

_LARGE: Final = 20_000_000
"""From this size in bytes on, a file is worth a progress bar."""


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--strict", is_flag=True, help="Every line must be an RLDK event, and the events must be in order.")
@click.option("--check-consistency", is_flag=True, help="Without --strict: check the order of events too.")
@click.option("--require", multiple=True, metavar="FIELD", help="A field every line must have: model_info.git_sha.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON report for each file, one on each line.")
@click.option(
    "--jobs", type=click.IntRange(1), metavar="N", help="Check in N processes; by default large files in all."
)
@click.option(
    "--max-errors", default=100, show_default=True, type=click.IntRange(0), help="Stop after N problems; 0: never."
)
def validate(
    paths: Sequence[Path],
    *,
    strict: bool,
    check_consistency: bool,
    require: Sequence[str],
    as_json: bool,
    jobs: int | None,
    max_errors: int,
) -> None:
    """Check event logs, or any JSON lines, line by line.

    Each PATH is a file, or a folder of which every segment of every event log is checked. Files that end in .gz
    or .zst are decompressed. A problem is reported with file, line and byte, the field, what was expected and
    what was found. Without --strict any JSON lines with a step are accepted, and only JSON and primitive types
    are checked.

    \b
    rldk validate --strict rldk_logs
    rldk validate train_log.jsonl --check-consistency --require loss

    Exit codes: 0 valid, 1 invalid, 2 cannot be read.
    """
    console, valid = terminal(), True
    known = _valid(paths, jobs, strict=strict, check_consistency=check_consistency, require=require)
    for segment in _files(paths):
        status = os.fstat(segment.file.fileno())
        report = known.get((segment.path, status.st_dev, status.st_ino))
        if report is None:
            with _progress(segment.path.name, status.st_size) as progress:
                report = validate_opened(
                    segment,
                    strict=strict,
                    check_consistency=check_consistency,
                    require=require,
                    max_errors=max_errors,
                    progress=progress,
                )
        valid = valid and report.valid
        report.path = os.fsencode(report.path).decode(errors="backslashreplace")
        if as_json:
            click.echo(msgspec.json.encode(report))
        else:
            _print(console, report)
    sys.exit(0 if valid else 1)


def _files(paths: Sequence[Path]) -> Iterator[Opened]:
    """The files that are meant, each open until the next one is asked for."""
    for each in _named(paths):
        if isinstance(each, Log):
            yield from opened(each)
        else:
            with open_segment(each) as file:
                yield Opened(each, segment_number(each.name), file)


def _named(paths: Sequence[Path]) -> list[Path | Log]:
    """The files that are named, and the logs in the folders that are.

    Raises:
        RunNotFoundError: a folder holds no log.
    """
    named: list[Path | Log] = []
    for path in paths:
        logs = find_logs(path) if path.is_dir() else [path]
        if not logs:
            raise RunNotFoundError(path, [])
        named += logs
    return named


def _valid(
    paths: Sequence[Path], jobs: int | None, *, strict: bool, check_consistency: bool, require: Sequence[str]
) -> Mapping[Identity, Report]:
    """The reports of those files that are found to be valid by several processes; none when there is one."""
    files = stored([file for each in _named(paths) for file in (segments(each) if isinstance(each, Log) else [each])])
    files = list({file.name: file for file in files}.values())
    count = automatic(files) if jobs is None else jobs
    if count == 1 or len(shares(files, count)) == 1:
        return {}
    name = files[0].path.name if len(files) == 1 else plural(len(files), "file")
    with _progress(name, sum(file.status.st_size for file in files)) as progress:
        return valid_files(
            files,
            count,
            strict=strict,
            check_consistency=check_consistency,
            require=require,
            progress=progress,
        )


@contextmanager
def _progress(name: str, size: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, when that is a terminal and so many bytes are large."""
    console = terminal(stderr=True)
    if not console.is_terminal or size < _LARGE:
        yield lambda _: None
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(name, *columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=size)
        yield lambda size: bar.advance(task, size)


def _print(console: Console, report: Report) -> None:
    lines = plural(report.lines, "line")
    if report.valid:
        console.print(f"{report.path}: ", end="")
        console.print("valid", style="bold green", end="")
        console.print(f", {lines}", soft_wrap=True)
        return
    for problem in report.problems:
        where = f"{report.path}:{problem.line}:{problem.byte}"
        field = f"{problem.field}: " if problem.field else ""
        message = f"{where}: {field}expected {problem.expected}, found {problem.found}"
        console.print(printable(message), end=" ", soft_wrap=True)
        console.print(f"[{problem.kind}]", style="yellow", soft_wrap=True)
    for kind, count in sorted(report.counts.items()):
        console.print(f"  {count:>5}  {kind}: {KINDS[kind]}", style="dim", soft_wrap=True)
    end = f"{report.path}: {plural(len(report.problems), 'problem')}"
    more = "; stopped there, --max-errors 0 finds all" if report.stopped else ""
    console.print(end, style="bold red", end="", soft_wrap=True)
    console.print(f" in {lines}{more}", soft_wrap=True)
