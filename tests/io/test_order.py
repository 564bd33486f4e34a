"""How the events of a log have to follow each other."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.io.decoder import Head, Tail
from rldk.io.order import Order
from rldk.io.problems import Problem
from tests.samples import an_event

if TYPE_CHECKING:
    from rldk.io.event_schema import Event


class _Log:
    """Puts events in order, each a hundred bytes long, and keeps what was found."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.order = Order(self.problems.append)
        self._lines = 0

    def add(
        self,
        step: float,
        wall_time: float | None = None,
        seq: int | None = None,
        *,
        eval_set: str | None = None,
        notes: list[str] | None = None,
        **info: Any,
    ) -> None:
        """Follow the log to one more event."""
        self._lines += 1
        tail = Tail({}, {"eval_set": eval_set} if eval_set else {}, {"run_id": "r1"} | info, notes or [])
        byte = 100 * (self._lines - 1)
        self.order.turn(tail, self._lines, byte)
        self.order.check(Head(step, wall_time, None, seq, None), tail, self._lines, byte)  # type: ignore[arg-type]


def test_events_that_follow_each_other_are_in_order() -> None:
    """Steps and times may stay where they are, and steps may skip; only seq is dense."""
    log = _Log()
    for step, wall_time, seq in ((0, 0.0, 0), (0, 0.0, 1), (5, 1.5, 2), (5, 1.5, 3), (900, 1e9, 4)):
        log.add(step, wall_time, seq)

    assert log.problems == []


def test_a_step_back_is_found_once() -> None:
    """Order goes on from the new place: the steps after a step back are not found again."""
    log = _Log()
    for step in (1, 5, 3, 4, 5, 6):
        log.add(step)

    assert log.problems == [Problem("step_back", "step >= 5", "3", "$.step", 200, 3)]


def test_a_time_that_goes_back_is_found() -> None:
    """Wall time is that of the attempt, whichever phase logs it."""
    log = _Log()
    log.add(1, 10.0)
    log.add(1, 12.0, phase="eval")
    log.add(2, 11.0)
    log.add(3, None)
    log.add(4, 11.5)

    assert log.problems == [Problem("wall_time_back", "wall_time >= 12.0", "11.0", "$.wall_time", 200, 3)]


def test_a_first_time_is_not_before_the_beginning() -> None:
    """Seconds since the run began are not negative."""
    log = _Log()
    log.add(1, -1.0)

    assert log.problems == [Problem("wall_time_back", "wall_time >= 0.0", "-1.0", "$.wall_time", 0, 1)]


@pytest.mark.parametrize(
    ("seqs", "problems"),
    [
        ([0, 1, 2], []),
        ([0, 1, 1, 2], [Problem("seq_repeat", "seq 2", "1", "$.seq", 200, 3)]),
        ([0, 1, 2, 0, 1], [Problem("seq_repeat", "seq 3", "0", "$.seq", 300, 4)]),
        ([0, 2, 3], [Problem("seq_gap", "seq 1", "2: 1 event is missing", "$.seq", 100, 2)]),
        ([0, 1, 11], [Problem("seq_gap", "seq 2", "11: 9 events are missing", "$.seq", 200, 3)]),
        ([3, 4], [Problem("seq_gap", "seq 0", "3: 3 events are missing", "$.seq", 0, 1)]),
        ([0, None, 1], []),
    ],
)
def test_seq_is_dense(seqs: list[int | None], problems: list[Problem]) -> None:
    """It begins with 0 and misses nothing; events without one do not count."""
    log = _Log()
    for seq in seqs:
        log.add(1, seq=seq)

    assert log.problems == problems


@pytest.mark.parametrize(
    ("note", "explained"),
    [
        ("events_dropped: 3, seq 1-3", True),
        ("events_dropped: 5, seq 0-4", True),
        ("events_dropped: 2, seq 1-2", False),
        ("events_dropped: 2, seq 2-3", False),
        ("events_dropped: 1, seq 1", False),
        ("dropped: seq 1-3", False),
        (" events_dropped: 3, seq 1-3", False),
        ("events_dropped: all of them", False),
    ],
)
def test_a_gap_that_a_note_explains_is_none(note: str, *, explained: bool) -> None:
    """The note has to account for every number that is missing."""
    log = _Log()
    log.add(1, seq=0)
    log.add(2, seq=4, notes=["other: note", note])

    assert log.problems == (
        [] if explained else [Problem("seq_gap", "seq 1", "4: 3 events are missing", "$.seq", 100, 2)]
    )


def test_one_dropped_event_is_explained_by_its_number() -> None:
    """A note may name a single seq."""
    log = _Log()
    log.add(1, seq=0)
    log.add(2, seq=2, notes=["events_dropped: 1, seq 1"])

    assert log.problems == []


def test_a_line_that_could_not_be_read_is_not_missing() -> None:
    """It is damaged, and told as that; what is missing beside it is still told."""
    log = _Log()
    log.add(1, seq=0)
    log.order.lose()
    log.add(3, seq=2)
    log.order.lose()
    log.order.lose()
    log.add(9, seq=7)
    log.add(10, seq=9)

    assert log.problems == [
        Problem("seq_gap", "seq 3", "7: 2 events are missing", "$.seq", 200, 3),
        Problem("seq_gap", "seq 8", "9: 1 event is missing", "$.seq", 300, 4),
    ]


def test_a_line_that_was_no_event_excuses_no_later_gap() -> None:
    """An unreadable line is forgotten as soon as the event after it has been seen."""
    log = _Log()
    log.add(1, seq=0)
    log.order.lose()
    log.add(2, seq=1)
    log.add(3, seq=3)

    assert log.problems == [Problem("seq_gap", "seq 2", "3: 1 event is missing", "$.seq", 200, 3)]


def test_phases_and_evaluation_sets_have_steps_of_their_own() -> None:
    """A point on a curve is compared with the curve it is on."""
    log = _Log()
    log.add(10)
    log.add(5, phase="eval")
    log.add(4, phase="eval", eval_set="hard")
    log.add(3, phase="final")
    log.add(11)
    log.add(4, phase="eval")

    assert log.problems == [Problem("step_back", "step >= 5", "4", "$.step", 500, 6)]


def test_attempts_and_ranks_begin_anew() -> None:
    """A new attempt may go back in step, time and seq; each rank has its own."""
    log = _Log()
    log.add(10, 100.0, 0, attempt=1)
    log.add(5, 50.0, 0, attempt=2)
    log.add(1, 1.0, 0, attempt=1, rank=1)
    log.add(6, 51.0, 1, attempt=2)

    assert log.problems == []


def test_an_attempt_does_not_go_back() -> None:
    """Once a later attempt has begun, an earlier one of the same rank has ended."""
    log = _Log()
    log.add(1, attempt=2)
    log.add(2, attempt=1)
    log.add(3, attempt=2)

    assert log.problems == [Problem("attempt_back", "attempt >= 2", "1", "$.model_info.attempt", 100, 2)]


def test_an_attempt_that_is_no_number_is_not_compared() -> None:
    """Another tool may mean something else by it."""
    log = _Log()
    log.add(1, attempt="second")
    log.add(2, attempt="first")
    log.add(3, attempt=1.5)

    assert log.problems == []


def test_a_log_is_of_one_run() -> None:
    """Each event of another run is found."""
    log = _Log()
    log.add(1)
    log.add(2, run_id="r2")
    log.add(3)

    assert log.problems == [Problem("mixed_runs", "events of 'r1' only", "'r2'", "$.model_info.run_id", 100, 2)]


def test_what_is_absent_has_the_meaning_of_the_schema() -> None:
    """Missing phase is train, missing attempt 1, missing rank 0; so is null."""
    log = _Log()
    log.add(5, seq=0)
    log.add(4, seq=1, phase="train", attempt=1, rank=0)
    log.add(3, seq=2, phase=None, attempt=None, rank=None)

    assert [(problem.kind, problem.found) for problem in log.problems] == [("step_back", "4"), ("step_back", "3")]


def test_after_a_skip_the_next_event_may_have_any_seq() -> None:
    """The one after it may not, and neither may the first of another attempt."""
    log = _Log()
    log.order.skip()
    for seq, attempt in ((7, 1), (9, 1), (3, 2)):
        log.add(0, None, seq, attempt=attempt)

    assert log.problems == [
        Problem("seq_gap", "seq 8", "9: 1 event is missing", "$.seq", 100, 2),
        Problem("seq_gap", "seq 0", "3: 3 events are missing", "$.seq", 200, 3),
    ]


def test_a_skip_waits_for_an_event_that_has_a_seq() -> None:
    """One without tells nothing of where the log goes on."""
    log = _Log()
    log.order.skip()
    for seq in (None, 7, 8):
        log.add(0, None, seq)

    assert log.problems == []


def test_after_a_skip_to_a_known_event_the_next_one_follows_it() -> None:
    """In its attempt by `seq`; a later attempt begins at 0, an earlier one may not come back."""
    following, later, gap = _Log(), _Log(), _Log()
    for log in (following, later, gap):
        log.order.skip(0, 2, 6)
    following.add(0, None, 7, attempt=2)
    later.add(0, None, 0, attempt=3)
    gap.add(0, None, 8, attempt=2)
    gap.add(0, None, 0, attempt=1)

    assert (following.problems, later.problems) == ([], [])
    assert gap.problems == [
        Problem("seq_gap", "seq 7", "8: 1 event is missing", "$.seq", 0, 1),
        Problem("attempt_back", "attempt >= 2", "1", "$.model_info.attempt", 100, 2),
    ]


def _tail(event: Event) -> Tail:
    return Tail(event.rng, event.data_slice, event.model_info, event.notes)


def _followed(order: Order, events: list[Event]) -> Order:
    for event in events:
        order.turn(_tail(event), 1, 0)
        order.check(event, _tail(event), 1, 0)
    return order


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 12), max_size=3), st.booleans(), st.data())
def test_parts_that_follow_each_other_are_joined(
    kinds: list[int],
    cuts: list[int],
    goes_on: bool,  # noqa: FBT001 - drawn
    data: st.DataObject,
) -> None:
    """Where nothing is wrong in any part, joining says whether anything is in the whole; it may err to no only."""
    infos: list[dict[str, Any]] = [{}, {"phase": "eval"}, {"attempt": 2}, {"rank": 1}]
    seqs: dict[tuple[Any, Any], int] = {}
    events = []
    for number, kind in enumerate(kinds):
        key = (infos[kind].get("rank"), infos[kind].get("attempt"))
        seqs[key] = seqs.get(key, 2 if goes_on and not events else -1) + 1 + data.draw(st.sampled_from([0] * 9 + [1]))
        step = number + data.draw(st.sampled_from([0] * 9 + [-3]))
        events.append(an_event(max(step, 0), wall_time=max(step, 0) / 2, seq=seqs[key], info=infos[kind]))
    places = sorted({0, *(min(cut, len(events)) for cut in cuts), len(events)})
    found: list[list[Problem]] = [[] for _ in places]
    whole, joined = Order(found[0].append), Order(found[0].append)
    if goes_on:
        whole.skip()
        joined.skip()
    _followed(whole, events)
    follows = True
    for problems, (first, end) in zip(found[1:], pairwise(places), strict=False):
        part = Order(problems.append)
        part.skip()
        ends = _followed(part, events[first:end]).ends()
        follows = follows and not problems and joined.join(ends)

    if follows:
        assert found[0] == []
    elif not found[0] and not goes_on:
        assert any(event.rank for event in events)
