"""`rldk verify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec
from rich.text import Text

from rldk.cli.terminal import terminal
from rldk.io import verify as run
from rldk.io.printable import printable
from rldk.report.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["verify"]

_DIGITS: Final = 12
"""How much of a SHA-256 is printed."""


@click.command()
@click.argument("path", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def verify(path: Path, *, as_json: bool) -> None:
    """Check that all of RUN is there, and as it was written.

    RUN is a folder with one run, of which every rank is checked, or an event log. Every line is checked
    strictly, and all segments of a log as one, so that events missing between two of them are found. Count, size
    and SHA-256 of a sealed segment must be those of the manifest: a single flipped bit is found. Segments that
    retention removed are not missed.

    \b
    rldk verify rldk_logs
    rldk verify rldk_logs/grpo-20260131T235959-1f3a_events.jsonl --json

    Exit codes: 0 all is as it was written, 1 something is not, 2 cannot be read.
    """
    found = run.verify(path)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        console = terminal()
        for line in _lines(found):
            console.print(line, soft_wrap=True)
    sys.exit(0 if found.valid else 1)


def _lines(found: run.Verification) -> Iterator[Text]:
    files = [each for log in found.logs for each in log.files]
    present = [each for each in files if each.events is not None]
    width = max(len(each.file) for each in files)
    digits = max((len(f"{each.events:,}") for each in present), default=1)
    for log in found.logs:
        if log.removed_segments:
            removed = f"{plural(log.removed_segments, 'segment')} with {plural(log.removed_events, 'event')}"
            of = f" of rank {log.rank}" if log.rank else ""
            yield Text(f"{removed}{of} removed by retention", style="dim")
        for each in log.files:
            yield from _file(each, width, digits)
    for left in found.left_over:
        yield Text(f"{left.file}: left over, {left.what}", style="dim")
    yield _summary(found, present)


def _file(checked: run.CheckedFile, width: int, digits: int) -> Iterator[Text]:
    """A line for a file, and one more for each thing that is wrong with it."""
    if checked.events is None:
        count = " " * (digits + len(" events"))
    else:
        count = f"{checked.events:>{digits},} {'event ' if checked.events == 1 else 'events'}"
    yield Text.assemble(f"{checked.file:<{width}}  {count}  ", *_verdict(checked))
    for difference in checked.differences:
        expected, found = (_short(difference.field, text) for text in (difference.expected, difference.found))
        yield Text(f"  {difference.field}: expected {expected}, found {found}")
    for problem in checked.problems:
        field = f"{problem.field}: " if problem.field else ""
        where = f"line {problem.line}, byte {problem.byte}"
        message = f"{where}: {field}expected {problem.expected}, found {problem.found} [{problem.kind}]"
        yield Text(f"  {printable(message)}")
    if more := sum(checked.counts.values()) - len(checked.problems):
        yield Text(f"  and {plural(more, 'problem')} more")


def _verdict(checked: run.CheckedFile) -> list[tuple[str, str]]:
    if not checked.valid:
        return [("missing" if checked.sealed and checked.events is None else "bad", "bold red")]
    return [("ok", "green"), (", not yet recorded" * (checked.sealed and not checked.recorded), "yellow")]


def _short(field: str, text: str) -> str:
    return text[:_DIGITS] + "..." if field.endswith("sha256") else text


def _summary(found: run.Verification, present: list[run.CheckedFile]) -> Text:
    events = sum(each.events or 0 for each in present)
    bad = sum(not each.valid for log in found.logs for each in log.files)
    unrecorded = sum(each.valid and each.sealed and not each.recorded for each in present)
    ranks = f", {len(found.logs)} ranks" if len(found.logs) > 1 else ""
    facts = f"{plural(len(present), 'file')} with {plural(events, 'event')}{ranks}"
    return Text.assemble(
        f"{found.logs[0].run_id}: ",
        (f"{bad} bad", "bold red") if bad else ("ok", "bold green"),
        f", {facts}",
        (f", {unrecorded} not yet recorded", "yellow") if unrecorded else "",
    )
