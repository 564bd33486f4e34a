"""Which events still count after resumes and restarts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.io import history
from rldk.io.history import Cuts, Seam, Seams, curve_key, cuts, effective, merged, seams, with_attempt
from tests.samples import an_event

if TYPE_CHECKING:
    from rldk.io.event_schema import Event


def _events(*points: tuple[Any, ...]) -> list[Event]:
    """Events given as (step, attempt, resumed_from, phase), of which the last three may be left out."""
    events = []
    for step, *rest in points:
        attempt, resumed_from, phase = (*rest, *(None, None, "train")[len(rest) :])
        info = {"run_id": "r1", "phase": phase, "attempt": attempt, "resumed_from": resumed_from}
        events.append(an_event(step, model_info={key: value for key, value in info.items() if value is not None}))
    return events


def _kept(events: list[Event]) -> list[int]:
    """The indices of the events that count."""
    kept = list(effective(events, cuts(events)))
    return [index for index, event in enumerate(events) if any(event is one for one in kept)]


@pytest.mark.parametrize(
    ("points", "last_steps", "kept"),
    [
        pytest.param([], {}, [], id="nothing"),
        pytest.param([(1, 1), (2, 1)], {}, [0, 1], id="one attempt"),
        pytest.param([(1, 1), (2, 1), (3, 1), (2, 2, 1), (3, 2, 1)], {1: 1}, [0, 3, 4], id="resumed"),
        pytest.param([(1, 1), (2, 1), (3, 2, 2)], {1: 2}, [0, 1, 2], id="resumed at the very end"),
        pytest.param([(1, 1), (2, 1), (1, 2, 0), (2, 2, 0)], {1: 0}, [2, 3], id="train() twice"),
        pytest.param(
            [(0, 1, None, "eval"), (1, 1), (0, 2, 0, "eval"), (1, 2, 0)],
            {1: 0},
            [0, 2, 3],
            id="train() twice, with step 0",
        ),
        pytest.param([(1, 1), (2, 1), (3, 1), (3, 2)], {1: 2}, [0, 1, 3], id="attempt without resumed_from"),
        pytest.param(
            [(2, 1, None, "eval"), (3, 1), (4, 1, None, "eval"), (4, 2, 2, "eval"), (3, 2, 2)],
            {1: 2},
            [0, 3, 4],
            id="evaluations are cut too",
        ),
        pytest.param(
            [(1, 1), (2, 1), (3, 1), (2, 2, 1), (3, 2, 1), (4, 2, 1), (4, 3, 3)],
            {1: 1, 2: 3},
            [0, 3, 4, 6],
            id="three attempts",
        ),
        pytest.param(
            [(5, 1), (6, 1), (7, 1), (7, 2, 6), (8, 2, 6), (6, 3, 5)],
            {1: 5, 2: 5},
            [0, 5],
            id="a later attempt goes back before an earlier one's start",
        ),
        pytest.param([(1, 1), (2, 1), (0, 2, None, "eval")], {}, [0, 1, 2], id="an attempt that has not trained"),
        pytest.param(
            [(1, 1), (2, 1), (0, 2, None, "eval"), (2, 2)], {1: 1}, [0, 2, 3], id="an attempt that evaluates first"
        ),
        pytest.param([(1,), (2,), (3,), (2,), (3,)], {1: 1}, [0, 3, 4], id="implied by a step that goes back"),
        pytest.param([(1,), (2,), (2,), (3,)], {}, [0, 1, 2, 3], id="a step that is repeated implies nothing"),
        pytest.param(
            [(1,), (2,), (2, None, None, "eval"), (3,), (1, None, None, "eval"), (4,)],
            {},
            [0, 1, 2, 3, 4, 5],
            id="only train steps imply an attempt",
        ),
        pytest.param([(1,), (2,), (3,), (2,), (1,), (2,)], {1: 0, 2: 0}, [4, 5], id="two attempts implied"),
        pytest.param([(0,), (1,), (0,), (1,)], {1: -1}, [2, 3], id="implied from step 0"),
    ],
)
def test_an_attempt_cuts_what_earlier_ones_did_after_it_began(
    points: list[tuple[Any, ...]], last_steps: dict[int, int], kept: list[int]
) -> None:
    """Each earlier attempt counts up to the lowest step a later one continued after."""
    events = _events(*points)

    assert cuts(events) == last_steps
    assert _kept(events) == kept


def test_each_event_is_given_its_attempt() -> None:
    """The attempt an event names holds; without one, it is counted from the steps."""
    events = _events((1,), (2,), (1,), (1, 7), (0, 7), (2,))

    assert [attempt for attempt, _ in with_attempt(events)] == [1, 1, 2, 7, 7, 2]


def test_the_history_is_read_as_it_comes() -> None:
    """Events are taken from an iterator, one at a time."""
    events = _events((1, 1), (2, 1))
    taken = effective(iter(events), {1: 1})

    assert next(taken) is events[0]
    assert list(taken) == []


def _attempt(number: int, steps: dict[int, float | None], resumed_from: int | None = None) -> list[Event]:
    """The training events of an attempt, given as step to loss."""
    info = {"run_id": "r1", "attempt": number, "resumed_from": resumed_from}
    return [an_event(step, metrics={"loss": loss}, model_info=info) for step, loss in steps.items()]


def _seam(*facts: Any, loss: tuple[float | None, float | None] | None = None, gap: float | None = None) -> Seam:
    """A seam of these facts, over which only the loss can be compared."""
    return Seam(*facts, {"loss": loss} if loss else {}, gap)


FIRST = _attempt(1, {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4})
ALONE = {"run_id": "r1"}
EVAL = {**ALONE, "phase": "eval"}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(FIRST, [], id="one attempt"),
        pytest.param(_attempt(2, {5: 0.5}, 4), [], id="a resumed attempt in a log of its own"),
        pytest.param([*FIRST, *_attempt(2, {3: 3.0, 4: 4.0}, 2)], [_seam(2, 2, 4, 3, loss=(0.2, 3.0))], id="resumed"),
        pytest.param(
            [*FIRST, *_attempt(2, {5: 5.0}, 4)], [_seam(2, 4, 4, 5, loss=(0.4, 5.0), gap=1.0)], id="at the very end"
        ),
        pytest.param(
            [*FIRST, *_attempt(2, {5: 5.0}, 3)], [_seam(2, 3, 4, 5, loss=(0.3, 5.0), gap=1.0)], id="a step is missing"
        ),
        pytest.param([*FIRST, *_attempt(2, {1: 1.0}, 0)], [_seam(2, 0, 4, 1)], id="from the beginning"),
        pytest.param(
            [*FIRST, *_attempt(2, {3: 3.0})],
            [_seam(2, None, 4, 3, loss=(0.2, 3.0))],
            id="an attempt without resumed_from",
        ),
        pytest.param(
            [
                an_event(step, metrics={"loss": loss}, model_info=ALONE)
                for step, loss in ((1, 0.1), (2, 0.2), (2, 0.3), (1, 1.0))
            ],
            [_seam(2, None, 2, 1)],
            id="implied by a step that goes back",
        ),
        pytest.param(
            [*FIRST, *_attempt(2, {3: 3.0, 4: 4.0}, 2), *_attempt(3, {4: 9.0, 5: 9.0, 6: 9.0}, 3)],
            [_seam(2, 2, 4, 3, loss=(0.2, 3.0)), _seam(3, 3, 4, 4, loss=(3.0, 9.0), gap=0.0)],
            id="the value before is of the attempt that trained that step last",
        ),
        pytest.param(
            [*FIRST, *_attempt(2, {3: 3.0, 4: 4.0, 5: 5.0}, 2), *_attempt(3, {2: 9.0}, 1)],
            [_seam(2, 2, 4, 3, loss=(0.2, 3.0)), _seam(3, 1, 5, 2, loss=(0.1, 9.0))],
            id="back before the attempt before",
        ),
        pytest.param(
            [*FIRST, an_event(4, model_info={**EVAL, "attempt": 2, "resumed_from": 4}), *_attempt(3, {4: 4.0}, 3)],
            [_seam(3, 3, 4, 4, loss=(0.3, 4.0), gap=0.0)],
            id="an attempt between that did not train",
        ),
        pytest.param(
            [*FIRST, an_event(2, model_info={**EVAL, "attempt": 2, "resumed_from": 2}), *_attempt(3, {4: 4.0}, 3)],
            [_seam(3, 3, 4, 4, loss=(0.2, 4.0), gap=2.0)],
            id="an attempt between that did not train cuts all the same",
        ),
        pytest.param(
            [an_event(0, model_info={**EVAL, "attempt": 1}), *_attempt(2, {1: 1.0}, 0)],
            [],
            id="nothing was trained before",
        ),
        pytest.param(
            [*FIRST, *_attempt(3, {5: 5.0}, 4), *_attempt(2, {3: 9.0}, 2), *_attempt(3, {6: 6.0}, 4)],
            [_seam(3, 4, 4, 5, loss=(0.4, 5.0), gap=1.0)],
            id="an attempt that goes back is passed over",
        ),
    ],
)
def test_a_seam_is_where_a_later_attempt_took_over(events: list[Event], expected: list[Seam]) -> None:
    """Both sides are named, and the values on them: before, of the history that counts; after, of the first step."""
    assert list(seams(events)) == expected


def test_only_what_both_sides_have_is_compared() -> None:
    """Loss, reward_mean and lr, None and NaN among their values; other metrics are not."""
    before = {"loss": 0.5, "reward_mean": None, "lr": 1, "kl_mean": 0.1}
    after = {"loss": math.nan, "reward_mean": 0.25, "kl_mean": 0.2}
    (seam,) = seams(
        [
            an_event(1, metrics=before),
            an_event(2, metrics=after, info={"attempt": 2, "resumed_from": 1}),
        ]
    )

    assert seam.jumps == {"loss": (0.5, pytest.approx(math.nan, nan_ok=True)), "reward_mean": (None, 0.25)}


def test_two_events_of_one_step_are_one_point() -> None:
    """What was logged in two events just before the seam is compared as if it had been one; the later value counts."""
    (seam,) = seams(
        [
            an_event(1, metrics={"loss": 0.5, "lr": 0.1}),
            an_event(1, metrics={"loss": 0.4, "reward_mean": 0.3}),
            an_event(2, metrics={"loss": 1.0, "lr": 1.0, "reward_mean": 1.0}, info={"attempt": 2, "resumed_from": 1}),
        ]
    )

    assert seam.jumps == {"loss": (0.4, 1.0), "lr": (0.1, 1.0), "reward_mean": (0.3, 1.0)}


@pytest.mark.parametrize(
    ("ended", "began", "gap"),
    [(10.0, 70.5, 60.5), (10.0, 10.0, 0.0), (10.0, 9.0, None), (None, 9.0, None), (9.0, None, None)],
)
def test_the_gap_is_from_event_to_event(ended: float | None, began: float | None, gap: float | None) -> None:
    """From the last event before to the first after, of whatever phase; None when a time is missing or went back."""
    events = [
        an_event(1, wall_time=5.0),
        an_event(1, wall_time=ended, info={"phase": "eval"}),
        an_event(1, wall_time=began, info={"phase": "eval", "attempt": 2}),
        an_event(2, wall_time=99.0, info={"attempt": 2}),
    ]

    assert [seam.gap_seconds for seam in seams(events)] == [gap]


def test_a_seam_is_known_at_the_first_training_event_behind_it() -> None:
    """A live log need not have ended: each event is answered at once."""
    found = Seams()
    events = [
        *FIRST,
        an_event(2, model_info={**EVAL, "attempt": 2, "resumed_from": 2}),
        *_attempt(2, {3: 3.0, 4: 4.0}, 2),
    ]

    assert [found.add(event) for event in events] == [*[None] * 5, _seam(2, 2, 4, 3, loss=(0.2, 3.0)), None]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the last points are remembered: an attempt from further back has a seam without values."""
    monkeypatch.setattr(history, "_REACH", 3)
    near, far = ([*FIRST, *_attempt(2, {step + 1: 9.0}, step)] for step in (2, 1))

    assert list(seams(near)) == [_seam(2, 2, 4, 3, loss=(0.2, 9.0))]
    assert list(seams(far)) == [_seam(2, 1, 4, 2)]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6)), min_size=1, max_size=5))
def test_the_value_before_is_the_last_of_the_effective_history(attempts: list[tuple[int, int]]) -> None:
    """Whatever the attempts are, and however far each goes back: what the reader gives last is what is compared."""
    events: list[Event] = []
    expected = []
    for number, (resumed_from, length) in enumerate(attempts, 1):
        steps = range(resumed_from + 1, resumed_from + 1 + length)
        new = _attempt(number, {step: number + step / 100 for step in steps}, resumed_from)
        known = [*events, *new]
        counts = [event for event in effective(known, cuts(known)) if event.attempt < number]
        expected.append(counts[-1].metrics["loss"] if counts else None)
        events = known

    assert [seam.jumps.get("loss", (None, 0))[0] for seam in seams(events)] == expected[1:]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 3), st.none() | st.integers(0, 9)), max_size=12))
def test_cuts_are_found_event_by_event(points: list[tuple[int, int, int | None]]) -> None:
    """Each attempt that a later one branched off from is cut at the lowest step from which any later one went on."""
    found, events = Cuts(), _events(*points)
    for attempt, event in with_attempt(events):
        found.add(attempt, event)
    starts: dict[int, int] = {}
    for step, attempt, resumed_from in points:
        starts.setdefault(attempt, step - 1 if resumed_from is None else resumed_from)

    assert found.last_steps == cuts(events)
    assert found.last_steps == {
        attempt: min(later)
        for attempt in starts
        if (later := [start for other, start in starts.items() if other > attempt])
    }


def test_a_curve_is_of_one_phase_and_one_evaluation_set() -> None:
    """An event that does not say is of training."""
    train, math_set = an_event(1, model_info={"run_id": "r1"}), an_event(1, data_slice={"eval_set": "math"}, info=EVAL)

    assert [curve_key(train), curve_key(math_set)] == [("train", None), ("eval", "math")]


def test_events_of_one_point_are_merged_key_by_key() -> None:
    """The later value wins, an earlier one that is not repeated stays; notes of both are kept, and no time is lost."""
    before = an_event(1, metrics={"a": 1, "b": 2}, rng={"seed": 1}, data_slice={"text": "x", "n": 1}, notes=["a: 1"])
    after = an_event(1, metrics={"b": None, "c": 3}, rng={}, data_slice={"n": 2}, notes=["b: 2"], wall_time=None)
    later = an_event(1, timestamp="2027-01-01T00:00:00.000000Z", seq=9)

    assert merged(before, after) == an_event(
        1,
        metrics={"a": 1, "b": None, "c": 3},
        rng={"seed": 1},
        data_slice={"text": "x", "n": 2},
        notes=["a: 1", "b: 2"],
    )
    assert merged(before, later).timestamp == later.timestamp
    assert merged(before, later).seq == 9
