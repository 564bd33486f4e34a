"""Thin columns to what a screen can show."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rldk.dashboard import columns as columns_module
from rldk.dashboard.blocks import NODE
from rldk.dashboard.charts import Query, Series, join, series
from rldk.dashboard.columns import Columns
from rldk.dashboard.kept import Kept
from rldk.io.codec import encode
from rldk.io.log_tail import Chunk
from rldk.io.position import START, Position
from tests.runs import eval_event, make_event

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rldk.io.event_schema import Event

_VALUES = st.one_of(
    st.floats(width=32), st.none(), st.just("absent"), st.sampled_from([math.nan, math.inf, -math.inf, 1e308, 0.0])
)


def add(columns: Columns, events: Iterable[Event]) -> None:
    """Add events, a few at a time."""
    lines = [encode(event) for event in events]
    for begin in range(0, len(lines), 50):
        text = b"".join(lines[begin : begin + 50])
        columns.add(Chunk(Path("r_events.jsonl"), START, Position(1, begin, begin, 1), text))


def one(found: list[Series]) -> Series:
    """The only one."""
    assert len(found) == 1
    return found[0]


def attempt(step: int, number: int, resumed_from: int | None = None, **changes: Any) -> Event:
    """An event of an attempt."""
    info = {"run_id": "r", "attempt": number} | ({} if resumed_from is None else {"resumed_from": resumed_from})
    return make_event(step, model_info=info, **changes)


def test_few_points_are_given_as_they_are() -> None:
    """Fewer points than four for each bucket are given whole, and are not called thinned."""
    columns = Columns()
    add(columns, [make_event(step, metrics={"loss": step / 2}) for step in range(5)])

    found = one(series(columns, Query(metrics=("loss",), points=10)))

    assert (found.x, found.y, found.points, found.thinned) == ([0, 1, 2, 3, 4], [0.0, 0.5, 1.0, 1.5, 2.0], 5, False)


def test_of_each_bucket_first_least_greatest_and_last() -> None:
    """A bucket of many points is given as these four, in the order of x, each once."""
    columns = Columns()
    values = [5.0, 1.0, 9.0, 4.0, 6.0, 5.0, 5.0, 5.0, 5.0, 5.0]
    add(columns, [make_event(step, metrics={"loss": value}) for step, value in enumerate(values)])

    found = one(series(columns, Query(metrics=("loss",), points=2)))

    assert (found.x, found.y) == ([0, 1, 2, 4, 5, 9], [5.0, 1.0, 9.0, 6.0, 5.0, 5.0])
    assert (found.points, found.thinned) == (10, True)


def test_a_spike_and_a_nan_among_a_hundred_thousand(tmp_path: Path) -> None:
    """On disk or in memory, one spike and one NaN among very many points are there at any width."""
    columns = Columns(lambda _: Kept(tmp_path))
    text = encode(make_event(0, metrics={"loss": 1.0})).replace(b'"step":0', b'"step":%d')
    lines = [text % step for step in range(60_000)]
    lines[41_234] = encode(make_event(41_234, metrics={"loss": 1e6}))
    lines[17_777] = encode(make_event(17_777, metrics={"loss": math.nan}))
    columns.add(Chunk(Path("x"), START, Position(1, 1, 1, 1), b"".join(lines[:30_000])))
    columns.add(Chunk(Path("x"), START, Position(1, 2, 1, 1), b"".join(lines[30_000:])))

    for points in (1, 7, 100, 800, 9999):
        found = one(series(columns, Query(metrics=("loss",), points=points)))
        assert (41_234, 1e6) in zip(found.x, found.y, strict=True)
        assert found.nonfinite == [(17_777, "NaN", 1)]
        assert len(found.x) <= 4 * points
        assert found.points == 59_999
    columns.close()


def test_what_a_later_attempt_replaced() -> None:
    """It is left out, or given as a series of its own with its attempt."""
    columns = Columns()
    add(columns, [attempt(step, 1) for step in range(6)])
    add(columns, [attempt(step, 2, 3, metrics={"loss": 9.0}) for step in range(4, 7)])

    effective = one(series(columns, Query(metrics=("loss",))))
    both = series(columns, Query(metrics=("loss",), rewound=True))

    assert (effective.x, effective.y) == ([0, 1, 2, 3, 4, 5, 6], [0.5] * 4 + [9.0] * 3)
    assert [(each.attempt, each.rewound, each.x) for each in both] == [
        (None, False, effective.x),
        (1, True, [4, 5]),
    ]


def test_curves_axes_and_ranges() -> None:
    """Every phase and evaluation set is a series; a range and the other axis are as asked for."""
    columns = Columns()
    add(columns, [make_event(step, wall_time=step * 2.0) for step in range(10)])
    add(columns, [eval_event(step, "math", metrics={"loss": 1.0}) for step in (3, 6)])

    everything = series(columns, Query(metrics=("loss", "nothing")))
    part = one(series(columns, Query(metrics=("loss",), x="wall_time", low=4, high=8, phase="train")))
    alone = one(series(columns, Query(metrics=("loss",), eval_set="math")))

    assert [(each.phase, each.eval_set, each.points) for each in everything] == [
        ("train", None, 10),
        ("eval", "math", 2),
    ]
    assert part.x == [4.0, 6.0, 8.0]
    assert alone.x == [3, 6]


def test_events_without_time() -> None:
    """On the axis of time, points without one are left out."""
    columns = Columns()
    add(columns, [make_event(0, wall_time=None), make_event(1), make_event(2, wall_time=None), make_event(3)])

    assert one(series(columns, Query(metrics=("loss",), x="wall_time"))).x == [1.0, 3.0]


def test_a_part_that_has_not_been_read() -> None:
    """Between what was read and the newest points stands null, in x and in y."""
    old, new = Columns(), Columns()
    add(old, [make_event(step) for step in range(2)])
    add(new, [make_event(step) for step in (8, 9)])
    query = Query(metrics=("loss",))

    found = one(join(series(old, query), series(new, query)))

    assert (found.x, found.y, found.points) == ([0, 1, None, 8, 9], [0.5, 0.5, None, 0.5, 0.5], 4)


@given(values=st.lists(_VALUES, max_size=400), points=st.integers(1, 60), store=st.booleans(), gaps=st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_nothing_extreme_is_lost(values: list[Any], points: int, *, store: bool, gaps: int) -> None:
    """Whatever the values are, finite extremes and ends are given exactly, and every kind of what is not finite."""
    steps = [index * (1 + (index % (gaps + 1)) * 7) for index in range(len(values))]
    steps = sorted(steps)
    events = [
        make_event(step, metrics={} if value == "absent" else {"loss": value})
        for step, value in zip(steps, values, strict=True)
    ]
    with TemporaryDirectory() as folder:
        columns = Columns(partial(_kept, folder) if store else lambda _: None)
        before, columns_module._FULL = columns_module._FULL, 130
        try:
            add(columns, events)
        finally:
            columns_module._FULL = before
        found = series(columns, Query(metrics=("loss",), points=points))
        columns.close()
    present = [(x, v) for x, v in zip(steps, values, strict=True) if v != "absent" and v is not None]
    finite = [(x, float(v)) for x, v in present if math.isfinite(v)]
    bad = [(x, v) for x, v in present if not math.isfinite(v)]

    if not present and not found:
        return
    given_points = list(zip(found[0].x, found[0].y, strict=True)) if found else []
    assert set(given_points) <= set(finite)
    assert [x for x, _ in given_points] == sorted(x for x, _ in given_points)
    if finite:
        assert found[0].points == len(finite)
        ys = [y for _, y in given_points]
        assert (min(ys), max(ys)) == (min(v for _, v in finite), max(v for _, v in finite))
        assert {given_points[0], given_points[-1]} == {finite[0], finite[-1]}
    marks = found[0].nonfinite if found else []
    assert sum(count for _, _, count in marks) == len(bad)
    assert {kind for _, kind, _ in marks} == {
        "NaN" if math.isnan(v) else "Infinity" if v > 0 else "-Infinity" for _, v in bad
    }


def _kept(folder: str, create: bool) -> Kept | None:  # noqa: FBT001 - as it is called
    return Kept(Path(folder)) if create else None


@pytest.mark.parametrize(("count", "off"), [(3000, 0), (5000, NODE // 2), (5017, NODE // 2), (40_000, NODE // 2)])
def test_the_extremes_of_each_pixel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, off: int) -> None:
    """Least and greatest of each bucket are there, with their x; with many rows, its bounds are half a node off."""
    monkeypatch.setattr(columns_module, "_FULL", 1000)
    columns = Columns(lambda _: Kept(tmp_path))
    values = [math.sin(step * step) for step in range(count)]
    add(columns, [make_event(step, metrics={"loss": value}) for step, value in enumerate(values)])

    found = one(series(columns, Query(metrics=("loss",), points=50)))
    columns.close()
    given_points = list(zip(found.x, found.y, strict=True))

    assert all(y == values[x] for x, y in given_points)
    for bucket in range(50):
        rows = [step for step in range(count) if min(int(step / ((count - 1) / 50)), 49) == bucket]
        near = [y for x, y in given_points if rows[0] - off <= x <= rows[-1] + off]
        inner, outer = values[rows[0] + off : rows[-1] + 1 - off], values[max(rows[0] - off, 0) : rows[-1] + 1 + off]
        assert min(outer) <= min(near) <= min(inner)
        assert max(inner) <= max(near) <= max(outer)
    assert len(given_points) <= 4 * 50


def test_a_column_with_holes_is_thinned_by_its_nodes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First, least, greatest and last of the finite values, where whole nodes have none."""
    monkeypatch.setattr(columns_module, "_FULL", 3000)
    columns = Columns(lambda _: Kept(tmp_path))
    values = {step: math.sin(step * step) for step in range(40, 2800) if not 300 < step < 900 and step % 3}
    bad = {step: math.nan for step in range(0, 3000, 100) if step not in values}
    add(columns, [make_event(step, metrics={"loss": {**values, **bad}.get(step)}) for step in range(3000)])

    found = one(series(columns, Query(metrics=("loss",), points=2)))
    columns.close()
    given_points = [(step, value) for step, value in zip(found.x, found.y, strict=True)]
    halves = [[step for step in values if (step < 1504) == half] for half in (True, False)]

    assert found.points == len(values)
    assert given_points == [
        (step, values[step])
        for rows in halves
        for step in sorted({rows[0], min(rows, key=values.__getitem__), max(rows, key=values.__getitem__), rows[-1]})
    ]
    assert sum(count for _, _, count in found.nonfinite) == len(bad)
