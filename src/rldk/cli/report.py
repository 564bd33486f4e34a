"""`rldk report`."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

import click
import msgspec

from rldk.cli.rules import own_rules, rule_options
from rldk.cli.terminal import terminal
from rldk.dashboard.snapshot import snapshot
from rldk.errors import RLDKError
from rldk.io.replace import replacing
from rldk.io.segments import is_log, run_log, segments
from rldk.report.files import write_files
from rldk.report.final import build_report
from rldk.report.html import report_page
from rldk.report.render import render_report

__all__ = ["report"]

_PAGE: Final = b"<!doctype html>"
"""What a page begins with."""


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@rule_options
@click.option("--json", "as_json", is_flag=True, help="Print the final report as JSON.")
@click.option("--no-files", is_flag=True, help="Only print; leave the derived files as they are.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the web page of the run into this file, with all it needs inside.",
)
def report(run: Path, *, preset: str, rules: Path | None, as_json: bool, no_files: bool, output: Path | None) -> None:
    """Say what became of RUN, and build its derived files anew.

    RUN is an event log, or a folder with one run. The derived files (metrics.csv, metrics.json, alerts.json,
    final_report.json and the manifest) are put beside the log; the log itself is never touched. With -o an earlier
    page is replaced, and no other file.

    \b
    rldk report rldk_logs
    rldk report rldk_logs/grpo-20260131T235959-1f3a_events.jsonl --json
    rldk report rldk_logs -o run.html
    """
    log = run_log(run)
    if output:
        _check_page(output)
        if not any(path.stat().st_size for path in segments(log)):
            raise RLDKError(f"{log.path}: expected events to make a page of, found an empty log")
    build = build_report if no_files else write_files
    found = build(log, preset=preset, rules=own_rules(rules))
    if output:
        page = report_page(snapshot(log.path, found.verdict))
        with replacing(output) as file:
            file.write(page.encode())
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found.final)).decode())
    else:
        console = terminal()
        console.print(render_report(found, console.width))


def _check_page(path: Path) -> None:
    """Do nothing when a page can be written there without the loss of anything but an earlier page.

    Raises:
        FileExistsError: there is something else.
        RLDKError: it is named like a log.
    """
    if is_log(path):
        raise RLDKError(f"{path}: expected a name for a web page, as run.html, found that of an event log")
    if path.exists():
        if path.is_file():
            with path.open("rb") as file:
                found = file.read(len(_PAGE))
            if found in {b"", _PAGE}:
                return
        raise FileExistsError(errno.EEXIST, "it is there already, is no web page, and is not written over", str(path))
