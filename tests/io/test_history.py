"""Which events still count after resumes and restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rldk.io.history import cuts, effective, with_attempt
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
