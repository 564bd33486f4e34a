"""Columns hold what the events hold, and there are none for a log that is not regular."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.ingest.columns import STAMP, Columns, Gatherer, Kind, columns
from rldk.io.codec import encode
from rldk.io.decoder import LineDecoder
from rldk.io.history import cuts, with_attempt
from tests.samples import an_event

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rldk.ingest.columns import Part
    from rldk.io.event_schema import Event

NAN: Final = float("nan")
INF: Final = float("inf")


def _columns(*pieces: Sequence[Event]) -> Columns | None:
    """The columns of a log of these events, gathered piece by piece."""
    layouts, parts = [], []
    for events in pieces:
        gatherer = Gatherer()
        if not all(map(gatherer.add, LineDecoder().runs(b"".join(map(encode, events))))):
            return None
        layouts.append(gatherer.layout())
        parts.append(layouts[-1].part(memoryview(b"".join(gatherer.buffers()))))
    return columns(layouts, parts)


def _rows(found: Columns | None) -> list[tuple[Any, ...]]:
    """The rows of columns: kind, step, wall_time, timestamp and metrics."""
    assert found
    return [row for part in found.parts for row in _part_rows(part)]


def _part_rows(part: Part) -> Iterator[tuple[Any, ...]]:
    metrics: dict[int, dict[str, Any]] = {}
    for block in part.blocks:
        nulls = set(block.nulls)
        for at, row in enumerate(block.rows):
            places = range(at * len(block.names), (at + 1) * len(block.names))
            values = [None if place in nulls else _bits(block.values[place]) for place in places]
            assert row not in metrics
            metrics[row] = dict(zip(block.names, values, strict=True))
    for row, step in enumerate(part.step):
        stamp = bytes(part.timestamps[row * STAMP : (row + 1) * STAMP]).decode() or None
        yield part.kinds[part.kind[row]], step, _bits(part.wall_time[row]), stamp, metrics.get(row, {})


def _bits(value: float) -> str:
    return "NaN" if value != value else struct.pack(">d", value).hex()  # noqa: PLR0124


def _expected(events: Sequence[Event]) -> list[tuple[Any, ...]]:
    """The rows that columns of these events must have."""
    return [
        (
            _kind(event),
            event.step,
            _bits(NAN if event.wall_time is None else event.wall_time),
            event.timestamp,
            {name: None if value is None else _bits(value) for name, value in event.metrics.items()},
        )
        for event in events
    ]


def _kind(event: Event) -> Kind:
    seed = event.rng.get("seed")
    return Kind(
        event.run_id,
        event.phase,
        event.eval_set,
        event.attempt if "attempt" in event.model_info else None,
        event.rank,
        seed if type(seed) is int else None,
        event.resumed_from,
        tuple(name for name, value in event.data_slice.items() if type(value) in {str, bool} and name != "eval_set"),
        any(note.startswith("left_out:") for note in event.notes),
    )


ODD: Final[list[dict[str, Any]]] = [
    {"metrics": {"loss": NAN, "kl_mean": INF, "lr": -INF, "grad_norm": None, "step": -0.0}},
    {"metrics": {"kl_mean": 0.5, "loss": 0.25}},
    {"metrics": {"loss": 3, "kl_mean": 2**53}},
    {"metrics": {"loss": 1e300, "kl_mean": -(2.0**60)}},
    {"metrics": {"late": 5e-324}},
    {"metrics": {}},
    {"metrics": {"loss": None, "kl_mean": None}},
    {"wall_time": None},
    {"info": {"phase": "eval"}, "data_slice": {"eval_set": "a"}, "metrics": {"loss": 2.0}},
    {"info": {"phase": "final"}, "notes": ["left_out: x"]},
    {"data_slice": {"file": "a", "shuffled": True, "tokens_in": 7}},
    {"rng": {}},
    {"rng": {"seed": True}},
    {"rng": {"seed": "7"}},
    {"rng": {"seed": -(2**63)}},
    {"info": {"run_id": "r2", "rank": 3}},
]


@pytest.mark.parametrize("changes", ODD)
def test_the_columns_hold_what_the_events_hold(changes: dict[str, Any]) -> None:
    """Whatever an event holds, and wherever it comes; absent, None, NaN and the infinities are told apart."""
    events = [an_event(step) for step in range(30)]
    for at in (0, 1, 2, 15, 16, 29):
        events[at] = an_event(at, **changes)

    assert _rows(_columns(events)) == _expected(events)
    for cut in (1, 10, 16, 29):
        assert _rows(_columns(events[:cut], events[cut:])) == _expected(events)


def test_alternating_events_keep_their_rows() -> None:
    """Two sets of metrics, an evaluation after every other step, and an ever new `data_slice`."""
    changes: list[dict[str, Any]] = [{}, {"metrics": {"loss": 7.5}}, {"info": {"phase": "eval"}}]
    events = [
        an_event(step, **changes[step % 3], data_slice={"tokens_in": step * (step % 5), "x": "a" if step % 7 else None})
        for step in range(60)
    ]
    found = _columns(events[:31], events[31:])

    assert _rows(found) == _expected(events)
    assert [len(part.kinds) for part in found.parts] == [4, 4]  # type: ignore[union-attr]


@pytest.mark.parametrize("absent", ["timestamp", "seq", "wall_time"])
def test_what_no_row_has_is_absent_from_all(absent: str) -> None:
    """A log without timestamps has no buffer for them."""
    events = [an_event(step, **{absent: None}) for step in range(20)]

    assert _rows(_columns(events[:7], events[7:])) == _expected(events)


def test_a_log_without_attempts_is_all_of_the_first() -> None:
    """The kinds say None, which is what the log says."""
    info = {"run_id": "r"}
    events = [an_event(step, model_info=info) for step in range(9)]

    assert {kind.attempt for part in _columns(events).parts for kind in part.kinds} == {None}  # type: ignore[union-attr]
    assert _rows(_columns(events)) == _expected(events)


def test_an_attempt_that_replaces_nothing_is_regular() -> None:
    """It goes on exactly where the one before had ended, by what it says or by its first step."""
    first = [an_event(step) for step in range(10)]
    for info in ({"attempt": 2, "resumed_from": 9}, {"attempt": 2, "resumed_from": 20}, {"attempt": 2}):
        second = [an_event(step, info=info) for step in range(10, 20)]

        assert _rows(_columns(first, second)) == _expected([*first, *second])
        assert _rows(_columns([*first, *second])) == _expected([*first, *second])


SECOND: Final = {"attempt": 2, "resumed_from": 8}
NAMELESS: Final = {"run_id": "r"}


@pytest.mark.parametrize(
    "others",
    [
        [an_event(9)],
        [an_event(5)],
        [an_event(10), an_event(10)],
        [an_event(10, info=SECOND)],
        [an_event(9, info={"attempt": 2})],
        [an_event(3, info={"attempt": 2, "phase": "eval"}), an_event(9, info={"attempt": 2})],
        [an_event(10, info={"attempt": 2}), an_event(11, info={"attempt": 3, "resumed_from": 9})],
        [an_event(10, model_info=NAMELESS)],
        [an_event(10, metrics={"loss": 2**53 + 1})],
        [an_event(10, metrics={"loss": -(2**53) - 1, "kl_mean": 0.5})] * 2,
        [an_event(10), an_event(11, metrics={"loss": 2**63 - 1, "kl_mean": None})],
        [an_event(10, timestamp=None)],
    ],
)
def test_what_is_not_regular_gives_no_columns(others: list[Event]) -> None:
    """Points to be merged, steps to be cut, integers that no double holds: the events have to be read one by one."""
    events = [an_event(step) for step in range(10)]

    assert _columns(events)
    assert _columns([*events, *others]) is None
    if others[0].timestamp:
        assert _columns(events, others) is None


def test_events_of_one_step_are_regular_when_they_are_of_several_curves() -> None:
    """Train, eval and final may have a point each at the same step."""
    curves: list[dict[str, Any]] = [{}, {"info": {"phase": "eval"}}, {"info": {"phase": "final"}}]
    curves += [{"info": {"phase": "eval"}, "data_slice": {"eval_set": name}} for name in "ab"]
    events = [an_event(step, **changes) for step in range(5) for changes in curves]

    assert _rows(_columns(events)) == _expected(events)


def test_without_attempts_only_one_curve_of_training_is_regular() -> None:
    """A step that goes back begins another attempt, on whatever curve of training."""
    info = {"run_id": "r", "phase": "train"}
    events = [an_event(step, model_info=info, data_slice={"eval_set": name}) for name in "ab" for step in range(3)]

    assert cuts(events)
    assert _columns(events) is None


def test_a_line_that_is_no_event_gives_no_columns() -> None:
    """Nothing is passed over."""
    gatherer = Gatherer()
    runs = list(LineDecoder().runs(encode(an_event(0)) + b"{}\n"))

    assert [gatherer.add(run) for run in runs] == [True, False]


def test_a_log_without_events_has_no_rows() -> None:
    """Nothing is not irregular."""
    found = _columns([])

    assert _rows(found) == []
    assert _columns() == Columns([])


INFOS: Final[list[dict[str, Any]]] = [{}, {"phase": "eval"}, {"attempt": 2}, {"attempt": 2, "resumed_from": 3}]


@given(
    st.lists(st.tuples(st.sampled_from(INFOS), st.integers(0, 8)), max_size=8),
    st.booleans(),
    st.integers(0, 8),
)
def test_columns_are_exact_or_there_are_none(
    drawn: list[tuple[dict[str, Any], int]],
    named: bool,  # noqa: FBT001 - drawn
    cut: int,
) -> None:
    """Of any log, gathered in any pieces: where there are columns, no event was replaced or merged, and none lacks."""
    events = [
        an_event(at if step < 5 else step, model_info={"run_id": "r"} | ({"attempt": 1} if named else {}) | info)
        for at, (info, step) in enumerate(drawn)
    ]
    found = _columns(events[:cut], events[cut:])
    if found:
        points = [(event.phase, event.eval_set, attempt, event.step) for attempt, event in with_attempt(events)]

        assert _rows(found) == _expected(events)
        assert len(set(points)) == len(points)
        last_steps = cuts(events)
        assert all(event.step <= last_steps.get(attempt, event.step) for attempt, event in with_attempt(events))
