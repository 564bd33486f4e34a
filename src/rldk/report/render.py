"""Show a report on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from rldk.report.verdict import render_alerts, sentence
from rldk.report.words import duration, number, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from rldk.io.history import Seam
    from rldk.report.final import Report
    from rldk.report.summary import Curve

__all__ = ["IMPORTANT", "render_report", "sparkline"]

IMPORTANT: Final = (
    "reward_mean",
    "reward_std",
    "loss",
    "kl_mean",
    "entropy_mean",
    "clip_frac",
    "grad_norm",
    "lr",
    "response_len_mean",
    "truncation_rate",
    "accuracy",
    "margin",
)
"""The metrics that are shown, where a run has them."""

_NUMBERS: Final = ("first", "last", "min", "max")
_BARS: Final = "▁▂▃▄▅▆▇█"
_COLOURS: Final = {
    "completed": "green",
    "running": "cyan",
    "interrupted": "yellow",
    "crashed": "red",
    "stopped_by_rule": "yellow",
    "unknown": "yellow",
}


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """Finite values as a row of bars, each the mean of its share of them."""
    if not values:
        return ""
    size = max(1.0, len(values) / width)
    cuts = [int(index * size) for index in range(min(width, len(values)))]
    groups = [values[start : max(int(start + size), start + 1)] for start in cuts]
    # Halved, so that no sum and no difference is beyond the largest double.
    means = [sum(value / len(group) / 2 for value in group) for group in groups]
    low, high = min(means), max(means)
    top = len(_BARS) - 1
    return "".join(_BARS[round((mean - low) / (high - low) * top) if high > low else 0] for mean in means)


def render_report(report: Report, width: int = 80) -> RenderableType:
    """A report as something rich can print: the verdict first."""
    final, summary = report.final, report.summary
    head = Text.assemble(
        (final.run_id, "bold"),
        "  ",
        (final.outcome, f"bold {_COLOURS[final.outcome]}"),
        f"  {final.outcome_detail}".rstrip(),
    )
    lines: list[RenderableType] = [
        *sentence(final.run_id, report.verdict, width),
        head,
        Text(_facts(report), style="dim"),
    ]
    lines += [*map(Text, map(_seam, final.seams)), *_quality(report)]
    lines += render_alerts(report.verdict, width)
    for curve in summary.curves.values():
        if table := _table(curve, width):
            lines += [Text(), table]
    return Group(*lines)


def _facts(report: Report) -> str:
    final, summary = report.final, report.summary
    steps = "no training steps" if final.steps is None else f"steps {final.steps[0]} to {final.steps[1]}"
    facts = [steps, plural(summary.events, "event"), plural(len(final.attempts), "attempt")]
    if summary.replaced:
        facts.append(f"{summary.replaced} replaced by a later attempt")
    return ", ".join([*facts, duration(final.duration_seconds)])


def _seam(seam: Seam) -> str:
    """A seam in a line: `attempt 2 went on after step 10 of 16, 4.2 s later: loss 0.41 -> 0.43`."""
    if seam.resumed_from is None:
        place = f"began at step {seam.first_step}, the one before had reached step {seam.last_step}"
    else:
        of = f" of {seam.last_step}" if seam.last_step != seam.resumed_from else ""
        place = f"went on after step {seam.resumed_from}{of}"
    later = "" if seam.gap_seconds is None else f", {duration(seam.gap_seconds)} later"
    jumps = [f"{name} {number(before)} -> {number(after)}" for name, (before, after) in seam.jumps.items()]
    return f"attempt {seam.attempt} {place}{later}" + (f": {', '.join(jumps)}" if jumps else "")


def _quality(report: Report) -> list[Text]:
    quality = report.final.data_quality
    nonfinite = [f"{name} was NaN or infinite {plural(count, 'time')}" for name, count in quality.nonfinite.items()]
    if dropped := report.final.counters["dropped"]:
        nonfinite.append(f"{plural(dropped, 'event')} could not be written")
    damaged = [f"{each.file}, line {each.line}, byte {each.byte}: {each.kind}" for each in quality.problems]
    return [Text(text, style="red") for text in nonfinite] + [Text(text, style="yellow") for text in damaged]


def _table(curve: Curve, width: int) -> Table | None:
    shown = {name: curve.metrics[name] for name in IMPORTANT if name in curve.metrics and curve.metrics[name].count}
    if not shown:
        return None
    rows = [[name, *map(number, (each.first, each.last, each.min, each.max))] for name, each in shown.items()]
    table = Table(box=None, padding=(0, 2, 0, 0), title=f"{curve.name}, {plural(curve.points, 'point')}")
    table.title_justify, table.title_style = "left", "bold"
    table.add_column("", no_wrap=True)
    for title in _NUMBERS:
        table.add_column(title, justify="right", style="cyan", no_wrap=True)
    table.add_column("", no_wrap=True)
    taken = sum(max(len(row[column]) for row in [["", *_NUMBERS], *rows]) + 2 for column in range(5))
    bars = max(8, min(40, width - taken - 2))
    for row, each in zip(rows, shown.values(), strict=True):
        table.add_row(*row, sparkline(each.trace, bars) if curve.points > 1 else "")
    return table
