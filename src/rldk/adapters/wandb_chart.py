"""The CSV files that the pages of W&B export: a chart, one column for each run and metric."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from rldk.adapters.base import Aside, Parsed, Reading
from rldk.adapters.csv_rows import Comment, Row, csv_rows
from rldk.adapters.records import EventBuilder, run_name
from rldk.errors import UnknownFormatError
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rldk.adapters.base import Item

__all__ = ["Chart", "chart_of", "read_chart"]

_BETWEEN: Final = " - "
"""Between the name of a run and that of a metric."""
_EXTREMES: Final = ("__MIN", "__MAX")
"""W&B draws at most 1500 points; these are the extremes of what each stands for."""
_COUNT: Final = ("Step", "_step")
_STEP: Final = re.compile(r"(?:.*[/.])?global_step")
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")


class Chart(NamedTuple):
    """What the columns of an export are."""

    x: str
    """What is drawn along the horizontal axis."""
    metrics: dict[str, tuple[str, str]]
    """The run and the metric of each other column."""
    sure: bool
    """Whether a metric has its extremes beside it."""

    @property
    def runs(self) -> list[str]:
        """The runs, each once."""
        return list(dict.fromkeys(run for run, _ in self.metrics.values()))


def chart_of(names: Sequence[str]) -> Chart | None:
    """The chart that these columns are of, None when they are of none."""
    metrics: dict[str, tuple[str, str]] = {}
    for name in names[1:]:
        run, between, metric = name.rpartition(_BETWEEN)
        if not between or not run or not metric:
            return None
        metrics[name] = (run, metric)
    sure = any(name + ending in metrics for name in metrics for ending in _EXTREMES)
    return Chart(names[0], metrics, sure) if metrics else None


def read_chart(path: Path, chart: Chart, field_map: Mapping[str, str]) -> Reading:
    """The run whose chart was exported.

    Raises:
        UnknownFormatError: there are several runs in it, or nothing that counts steps.
    """
    if len(chart.runs) > 1:
        named = ", ".join(chart.runs[:20])
        reason = f"expected an export of one run, found {len(chart.runs)}: {named}; export each by itself"
        raise UnknownFormatError(path, reason)
    run = chart.runs[0]
    counted = next((name for name, (_, metric) in chart.metrics.items() if metric == "_step"), "")
    step = field_map.get("step") or (chart.x if chart.x in _COUNT or _STEP.fullmatch(chart.x) else counted)
    if not step:
        reason = (
            f"expected a chart over steps, found one over {chart.x!r}; choose Step for its x axis and export it again"
        )
        raise UnknownFormatError(path, reason)
    own = step != counted and step not in _COUNT
    run_id = _UNFIT.sub("-", run).lstrip("._-")[:128] or run_name(path)
    builder = EventBuilder(run_id, field_map={**field_map, "step": step})
    axis = "step, as its writer counts it" if own else "W&B logging call"
    return Reading(_items(path, chart, builder), axis, builder.sources, facts={"name": run})


def _items(path: Path, chart: Chart, builder: EventBuilder) -> Iterator[Item]:
    named = {name: metric for name, (_, metric) in chart.metrics.items()}
    step = builder.field_map["step"]
    for each in csv_rows(path):
        if not isinstance(each, Row):
            yield Aside("comment") if isinstance(each, Comment) else each
            continue
        cells = {name if name == step else named.get(name, name): value for name, value in each.numbers().items()}
        if cells.keys() <= {step, chart.x}:
            yield Aside("a row without metrics", each.lines)
            continue
        event = builder.event(cells)
        yield each.bad(path, event) if isinstance(event, Problem) else Parsed(event, each.lines)
