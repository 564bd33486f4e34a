"""Show runs on a terminal while they train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from rldk.dashboard.charts import Query
from rldk.dashboard.entry import entry_of
from rldk.report.render import IMPORTANT, sparkline
from rldk.report.words import duration, number, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from rldk.dashboard.charts import Series
    from rldk.dashboard.entry import Entry
    from rldk.dashboard.watched import Watched

__all__ = ["pace", "remaining", "screen"]

_COLOURS: Final = {
    "training": "green",
    "stalled": "bold red",
    "finished": "cyan",
    "interrupted": "yellow",
    "crashed": "bold red",
    "unknown": "yellow",
    "critical": "bold red",
    "warning": "yellow",
    "info": "dim",
}
_RECENT: Final = 64
"""So many points back the pace is measured."""
_NAME: Final = 26
"""Characters of a metric's name that are shown where there is room."""
_NUMBER: Final = 11
"""Columns that a number takes."""
_BARS: Final = 8
"""Columns that a course takes at least."""
_ALERTS: Final = 4
_OTHERS: Final = 4
_LEAST: Final = 4
"""Rows of metrics that are shown however low the terminal is."""


def screen(runs: Sequence[Watched], width: int, height: int) -> RenderableType:
    """The run that was written last, and the others in a line each.

    Args:
        runs: the runs.
        width: columns of the terminal.
        height: its lines.
    """
    entries = sorted(((entry_of(run), run) for run in runs), key=lambda pair: -pair[0].updated)
    if not entries:
        return Text("no run yet; they appear here as they begin", style="dim")
    entry, run = entries[0]
    top = [*_head(entry, run, width), *_alerts(run, width)]
    others = [_line(other, width) for other, _ in entries[1 : 1 + _OTHERS]]
    if len(entries) > 1 + _OTHERS:
        others.append(Text(f"and {len(entries) - 1 - _OTHERS} more", style="dim"))
    rows = max(_LEAST, height - len(top) - len(others) - 3)
    return Group(*top, _table(run, rows, width), *others)


def _head(entry: Entry, run: Watched, width: int) -> list[Text]:
    head = Text.assemble((entry.name, "bold"), "  ", (entry.state, _COLOURS[entry.state]), f"  {entry.state_detail}")
    facts = [_steps(entry), plural(entry.events, "event")]
    if entry.attempts > 1:
        facts.append(plural(entry.attempts, "attempt"))
    if entry.state == "training" and (steps := pace(run)):
        facts.append(f"{number(steps)} steps/s" if steps >= 1 else f"{duration(1 / steps)} a step")
        if (seconds := remaining(entry, steps)) is not None:
            facts.append(f"{duration(seconds)} left")
    if entry.progress < 1:
        facts.append(f"{entry.progress:.0%} read")
    lines = [head, Text(", ".join(facts), style="dim")]
    if entry.error:
        lines.append(Text(entry.error, style="red"))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _steps(entry: Entry) -> str:
    if entry.steps is None:
        return "no training steps"
    of = f" of {entry.total_steps}" if entry.total_steps else ""
    return f"step {entry.steps[1]}{of}"


def pace(run: Watched) -> float | None:
    """Steps in a second, over the last points of training; None while it is not known."""
    for view in run.columns.view([]):
        if view.phase == "train" and view.spans:
            begin = max(view.spans[-1].begin, view.rows - _RECENT)
            places = [
                (step, wall)
                for piece in list(view.pieces())[-2:]
                for row, (step, wall) in enumerate(zip(piece.steps, piece.walls, strict=True), piece.begin)
                if row >= begin
            ]
            if len(places) > 1:
                (first, began), (last, ended) = places[0], places[-1]
                return (last - first) / (ended - began) if ended > began and last > first else None
    return None


def remaining(entry: Entry, steps: float) -> float | None:
    """Seconds until the end; None when the trainer does not say how many steps it plans."""
    if entry.total_steps is None or entry.steps is None:
        return None
    return max(0, entry.total_steps - entry.steps[1]) / steps


def _alerts(run: Watched, width: int) -> list[Text]:
    firing = [alert for alert in run.verdict.alerts if alert.state == "firing"] if run.verdict else []
    lines = []
    for alert in firing[:_ALERTS]:
        lines.append(Text.assemble((f"{alert.severity}: ", _COLOURS[alert.severity]), alert.message))
        lines[-1].truncate(width, overflow="ellipsis")
    if len(firing) > _ALERTS:
        lines.append(Text(f"and {plural(len(firing) - _ALERTS, 'more alert')}", style="dim"))
    return lines


def _line(entry: Entry, width: int) -> Text:
    alerts = "".join(f", {count} {severity}" for severity, count in entry.alerts.items() if count)
    line = Text.assemble((entry.state, _COLOURS[entry.state]), f"  {entry.name}, {_steps(entry)}{alerts}")
    line.truncate(width, overflow="ellipsis")
    return line


def _table(run: Watched, rows: int, width: int) -> RenderableType:
    """The important metrics, those of training first, as far as there is room: numbers are never cut."""
    known = run.metrics
    names: list[str] = [name for name in IMPORTANT if name in known]
    names += [name for name in known if name not in names][: max(0, rows - len(names))]
    titles = ("last", "min", "max") if width >= _NAME + 3 * _NUMBER + _BARS + 2 else ("last",)
    first = max(_BARS, min(_NAME, width - _NUMBER - _BARS - 2))
    bars = min(40, width - first - len(titles) * _NUMBER - 2)
    found = run.series(Query(metrics=tuple(names), points=max(_BARS, bars)))
    shown = sorted(found, key=lambda each: (each.phase != "train", names.index(each.metric)))[:rows]
    if not shown:
        return Text("no metrics yet", style="dim")
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True, width=first)
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True, width=_NUMBER - 1)
    if bars >= _BARS:
        table.add_column("", no_wrap=True, width=bars)
    for each in shown:
        values = [value for value in each.y if value is not None]
        ends = (number(min(values)), number(max(values))) if values else ("-", "-")
        numbers = (_last(each), *ends)[: len(titles)]
        course = (sparkline(values, bars) if len(values) > 1 else "",) if bars >= _BARS else ()
        table.add_row(_name(each, first), *numbers, *course)
    return table


def _name(series: Series, width: int) -> Text:
    where = "" if series.phase == "train" else f"{series.eval_set or series.phase}: "
    name = Text(where + series.metric)
    name.truncate(width, overflow="ellipsis")
    return name


def _last(series: Series) -> Text:
    """The last value; when it was not finite, what it was."""
    places = [x for x in series.x if x is not None]
    if series.nonfinite and (not places or series.nonfinite[-1][0] > places[-1]):
        return Text(series.nonfinite[-1][1], style="bold red")
    value = Text(number(next((value for value in reversed(series.y) if value is not None), None)), style="cyan")
    if series.nonfinite:
        value.append(f" {sum(count for _, _, count in series.nonfinite)}!", style="red")
    return value
