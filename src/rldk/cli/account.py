"""Show the account of an ingest on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table

from rldk.cli.terminal import print_table
from rldk.report.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import Console

    from rldk.ingest import IngestReport, RunReport

__all__ = ["print_account", "print_passed_over"]

_SHOWN: Final = 10
"""How many names, problems or files are listed of each kind."""

_FATES: Final = {
    "parsed": "parsed",
    "aside": "set aside",
    "duplicate": "duplicate",
    "rewound": "rewound",
    "filtered": "filtered",
    "torn_tail": "torn",
    "bad": "bad",
}
"""What can become of a line, and how it is called."""


def print_account(report: IngestReport, console: Console) -> None:
    """Say what was read, run by run, and what was not."""
    print_table(_table(report.runs), console)
    if len(report.runs) > 1:
        console.print(f"{plural(len(report.runs), 'run')}, {plural(report.events, 'event')}", style="bold")
    _print(_remarks(report.runs), console)
    for found in [*report.problems][:_SHOWN]:
        console.print(str(found), style="red", soft_wrap=True)
    _print(_more(sum(len(run.problems) + run.more_problems for run in report.runs), "problem"), console)
    print_passed_over(report, console)


def print_passed_over(report: IngestReport, console: Console) -> None:
    """Name the files that were not read."""
    passed_over = [f"not read: {each.path}: {each.why}" for each in report.passed_over]
    _print([*passed_over[:_SHOWN], *_more(len(passed_over), "file")], console)


def _print(lines: Iterable[str], console: Console) -> None:
    """Print sentences, wrapped between words where there is a terminal, and not at all in a pipe."""
    for line in lines:
        console.print(line, style="dim", soft_wrap=not console.is_terminal)


def _table(runs: Sequence[RunReport]) -> Table:
    """What each run was read as, and what became of its lines where that is not the same for all."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("run", overflow="fold")
    table.add_column("read as", overflow="fold")
    table.add_column("events", justify="right", no_wrap=True)
    table.add_column("lines", justify="right", no_wrap=True)
    table.add_column("")
    for run in runs:
        fates = [f"{getattr(run, name):,} {word}" for name, word in _FATES.items() if getattr(run, name)]
        lines = f"{run.lines:,}" if run.unit == "line" else plural(run.lines, run.unit)
        style = "red" if run.problems else None
        split = "" if run.parsed == run.lines else ", ".join(fates)
        table.add_row(run.run_id, run.adapter, f"{run.events:,}", lines, split, style=style)
    return table


def _remarks(runs: Sequence[RunReport]) -> Iterator[str]:
    """What is worth knowing of the events, each remark once with the runs that it is about."""
    about: dict[str, list[str]] = {}
    for run in runs:
        for remark in _remarks_on(run):
            about.setdefault(remark, []).append(run.run_id)
    for remark, run_ids in [*about.items()][: 2 * _SHOWN]:
        whose = run_ids[0] if len(run_ids) == 1 else f"{len(run_ids)} runs"
        yield f"{whose}: {remark}" if len(runs) > 1 else remark
    yield from _more(len(about), "remark", 2 * _SHOWN)


def _remarks_on(run: RunReport) -> Iterator[str]:
    if run.nonfinite:
        yield f"NaN or infinite: {_named(run.nonfinite)}"
    if run.null:
        yield f"null where a number was expected: {_named(run.null)}"
    if run.unknown:
        yield f"kept under their own names, of unknown meaning: {_listed([*run.unknown])}"
    if run.texts:
        yield f"texts and truth values, kept in the events only: {_listed([*run.texts])}"
    if run.left_out:
        yield f"lists, which no event can hold, were left out of {plural(run.left_out, 'event')}"
    if run.reasons:
        yield f"set aside: {_named(run.reasons)}"


def _named(found: dict[str, int]) -> str:
    return _listed([f"{name} ({count:,}x)" for name, count in found.items()])


def _listed(names: list[str]) -> str:
    more = [f"and {len(names) - _SHOWN:,} more"] if len(names) > _SHOWN else []
    return ", ".join(names[:_SHOWN] + more)


def _more(count: int, noun: str, shown: int = _SHOWN) -> list[str]:
    return [f"and {plural(count - shown, f'more {noun}')}; --json has all"] if count > shown else []
