"""What the events of a run amount to."""

from __future__ import annotations

import math
import random
import statistics
import sys

import pytest

from rldk.report.summary import Aggregate, AttemptSummary, Running, Summary, points, summarise
from tests.runs import eval_event, make_event


def aggregate(*values: float | None) -> Aggregate:
    """The aggregate of some values."""
    running = Running()
    for value in values:
        running.add(value)
    return running.result()


@pytest.mark.parametrize("size", [2, 3, 100, 5000])
@pytest.mark.parametrize("offset", [0.0, 1e9, -1e-9])
def test_mean_and_deviation_are_those_of_statistics(size: int, offset: float) -> None:
    """Welford's method agrees with exact arithmetic, also far from zero; the rest is exact."""
    chance = random.Random(size)  # noqa: S311 - numbers, no secrets
    values = [offset + chance.gauss(0.0, 1.0) for _ in range(size)]
    found = aggregate(*values)

    assert found.mean == pytest.approx(statistics.fmean(values), rel=1e-12, abs=1e-12)
    assert found.std == pytest.approx(statistics.stdev(values), rel=1e-6)
    assert (found.count, found.nonfinite, found.null) == (size, 0, 0)
    assert (found.first, found.last, found.min, found.max) == (values[0], values[-1], min(values), max(values))


def test_of_no_value_there_is_nothing_to_say() -> None:
    """Without a finite value all but the counts is None, never 0."""
    assert aggregate() == Aggregate(0, 0, 0, None, None, None, None, None, None)
    assert aggregate(math.nan, math.inf, -math.inf, None) == Aggregate(0, 3, 1, None, None, None, None, None, None)


def test_one_value_has_no_deviation() -> None:
    """A sample of one says nothing of its spread; two equal ones say that it is 0."""
    assert aggregate(0.5) == Aggregate(1, 0, 0, 0.5, 0.5, 0.5, 0.5, 0.5, None)
    assert aggregate(0.5, 0.5) == Aggregate(2, 0, 0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.0)


def test_what_is_not_finite_is_counted_and_not_mixed_in() -> None:
    """NaN, infinities and None between values change none of the numbers; first and last are of finite values."""
    found = aggregate(math.nan, None, 3.0, math.inf, 1.0, -math.inf, 2.0, None, math.nan)

    assert found == Aggregate(count=3, nonfinite=4, null=2, first=3.0, last=2.0, min=1.0, max=3.0, mean=2.0, std=1.0)


def test_integers_stay_integers() -> None:
    """A count of tokens is shown as it was logged, to the last digit of 64 bits."""
    found = aggregate(2**63 - 1, -(2**63))

    assert (found.first, found.last, found.min, found.max) == (2**63 - 1, -(2**63), -(2**63), 2**63 - 1)
    assert found.mean == 0.0


@pytest.mark.parametrize("values", [[1e308, -1e308], [sys.float_info.max] * 3 + [-1e300], [1e200, -1e200, 0.5]])
def test_what_no_double_can_hold_is_none(values: list[float]) -> None:
    """Values whose differences or squares overflow have no mean or deviation; it does not become infinite."""
    found = aggregate(*values)

    assert (found.count, found.max) == (len(values), max(values))
    assert found.std is None
    assert found.mean is None or math.isfinite(found.mean)


def test_the_trace_is_thinned_and_spans_the_run() -> None:
    """A curve of any length is drawn from at most 512 of its values, evenly taken from first to last."""
    running = Running()
    for value in range(100_000):
        running.add(float(value))
    steps = {second - first for first, second in zip(running.trace, running.trace[1:], strict=False)}

    assert 256 <= len(running.trace) <= 512
    assert running.trace[0] == 0.0
    assert running.trace[-1] >= 100_000 - 2 * max(steps)
    assert len(steps) == 1


# Points


def test_events_at_one_point_are_merged() -> None:
    """The later key wins, the later time counts, and the notes of both are kept; other points stay apart."""
    merged = list(
        points(
            [
                make_event(1, metrics={"a": 1.0, "b": 1.0}, notes=["one: 1"]),
                make_event(1, wall_time=1.5, metrics={"b": 2.0, "c": 2.0}, notes=["two: 2"]),
                make_event(2, metrics={"a": 3.0}),
            ]
        )
    )

    assert merged == [
        make_event(1, wall_time=1.5, metrics={"a": 1.0, "b": 2.0, "c": 2.0}, notes=["one: 1", "two: 2"]),
        make_event(2, metrics={"a": 3.0}),
    ]


def test_only_the_same_curve_and_attempt_is_one_point() -> None:
    """Phase, evaluation set and attempt keep events of one step apart."""
    info = {"run_id": "r", "phase": "train", "attempt": 2}
    events = [
        make_event(1),
        eval_event(1),
        eval_event(1, "math"),
        eval_event(1, "code"),
        make_event(1, model_info=info),
    ]

    assert sorted(map(repr, points(events))) == sorted(map(repr, events))


def test_an_evaluation_between_two_halves_of_a_point_does_not_part_them() -> None:
    """Events of one point are merged though another curve's event stands between them."""
    events = [make_event(1, metrics={"a": 1.0}), eval_event(1), make_event(1, metrics={"b": 2.0})]

    assert [event.metrics for event in points(events) if event.phase == "train"] == [{"a": 1.0, "b": 2.0}]


# The summary


def test_a_summary_of_a_run() -> None:
    """Curves by phase and set, columns in the order they came, steps of training, events and duplicates."""
    summary = summarise(
        [
            make_event(1, metrics={"loss": 3.0, "reward": 0.1}),
            make_event(2, metrics={"loss": 2.0}),
            eval_event(2, "math", metrics={"accuracy": 0.5}),
            make_event(3, metrics={"loss": 9.0}),
            make_event(3, metrics={"loss": 1.0, "kl": 0.2}),
        ]
    )
    curves = {
        key: (curve.name, curve.points, curve.first_step, curve.last_step) for key, curve in summary.curves.items()
    }

    assert curves == {("train", None): ("train", 3, 1, 3), ("eval", "math"): ("eval: math", 1, 2, 2)}
    assert summary.columns == ["loss", "reward", "kl", "accuracy"]
    assert (summary.steps, summary.events, summary.duplicates) == ((1, 3), 5, 1)
    assert summary.curves["train", None].metrics["loss"].result() == aggregate(3.0, 2.0, 1.0)


def test_an_empty_run_has_no_steps() -> None:
    """Of no events there is a summary too."""
    summary = summarise([])

    assert (summary.steps, summary.events, summary.duplicates, summary.columns) == (None, 0, 0, [])
    assert (summary.curves, summary.attempts, summary.dropped) == ({}, {}, {})


def test_attempts_are_counted_with_what_was_replaced() -> None:
    """Each attempt has its events and steps of training; the difference to what counts was replaced."""
    summary = Summary()
    for step in range(1, 6):
        summary.note_attempt(1, make_event(step))
    summary.note_attempt(1, eval_event(9))
    resumed = {"run_id": "r", "phase": "train", "resumed_from": 2}
    for step in range(3, 5):
        summary.note_attempt(2, make_event(step, wall_time=100.0 + step, model_info=resumed))
    summarise([make_event(step) for step in range(1, 5)], summary)
    first, second = summary.attempts.values()

    assert (first.attempt, first.resumed_from, first.events, first.first_step, first.last_step) == (1, None, 6, 1, 5)
    assert (second.attempt, second.resumed_from, second.events, second.first_step, second.last_step) == (2, 2, 2, 3, 4)
    assert isinstance(first, AttemptSummary)
    assert summary.replaced == 4
    assert summary.wall_time == 104.0


def test_dropped_events_are_counted_from_their_notes() -> None:
    """Ranges are added up by attempt; a note that an interrupt had repeated counts once."""
    summary = Summary()
    summary.note_attempt(1, make_event(1, notes=["events_dropped: 17, seq 120-136", "other: 5"]))
    summary.note_attempt(1, make_event(2, notes=["events_dropped: 17, seq 120-136"]))
    summary.note_attempt(1, make_event(3, notes=["events_dropped: 1, seq 140-140"]))
    summary.note_attempt(2, make_event(4, notes=["events_dropped: 2, seq 0-1"]))

    assert summary.dropped == {1: 18, 2: 2}
