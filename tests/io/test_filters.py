"""What filters leave out is what they were told to leave out, and no NaN and no note is among it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from rldk.io.filters import FilterWriter, drop, every_n_steps, keep, on_change, redact
from rldk.io.reader import read_events
from rldk.io.validator import validate_jsonl_file
from rldk.io.writer import open_writer
from tests.runs import eval_event, make_event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rldk.io.event_schema import Event
    from rldk.io.filters import Filter

nan, inf = math.nan, math.inf
NOTE = ["loss_filtered: was shown as 0.0"]


class ListWriter:
    """A writer that keeps what it is given in a list."""

    def __init__(self, *, takes: bool = True) -> None:
        self.events: list[Event] = []
        self.calls: list[str] = []
        self._takes = takes

    def write(self, event: Event) -> bool:
        """Keep the event, and say whether it counts as written."""
        self.events.append(event)
        return self._takes

    def flush(self) -> None:
        """Note the call."""
        self.calls.append("flush")

    def close(self) -> None:
        """Note the call."""
        self.calls.append("close")


class Scalar:
    """A number as torch and numpy have them, of no dimension."""

    ndim = 0

    def __init__(self, value: float) -> None:
        self._value = value

    def item(self) -> float:
        """The number itself."""
        return self._value


def left(one: Filter, *events: Event) -> list[tuple[int, list[str]] | None]:
    """Step and names of metrics of what a filter leaves of each event."""
    return [event and (event.step, list(event.metrics)) for event in map(one, events)]


# keep and drop

METRICS = {"loss": 0.5, "reward_mean": nan, "reward/a": None, "Loss": 1, "kl": inf}


@pytest.mark.parametrize(
    ("one", "names"),
    [
        (keep("loss"), ["loss"]),
        (keep("loss", "reward*"), ["loss", "reward_mean", "reward/a"]),
        (keep("[lL]oss", "k?"), ["loss", "Loss", "kl"]),
        (keep("*"), ["loss", "reward_mean", "reward/a", "Loss", "kl"]),
        (drop("loss"), ["reward_mean", "reward/a", "Loss", "kl"]),
        (drop("reward*", "kl"), ["loss", "Loss"]),
        (drop("nothing"), ["loss", "reward_mean", "reward/a", "Loss", "kl"]),
        (keep("los"), None),
        (keep("nothing"), None),
        (drop("*"), None),
    ],
)
def test_metrics_are_chosen_by_their_names(one: Filter, names: list[str] | None) -> None:
    """Patterns match whole names, letter by letter, whatever the value is; an event with no metric left is left out."""
    event = make_event(3, metrics=METRICS)

    assert left(one, event) == [names and (3, names)]


def test_all_else_of_an_event_survives() -> None:
    """Only the metrics differ, and the event that came in is as it was."""
    event = make_event(3, metrics=METRICS, notes=NOTE, rng={"seed": 1}, data_slice={"batch_size": 2}, seq=7)
    found = keep("loss")(event)

    assert found == make_event(
        3, metrics={"loss": 0.5}, notes=NOTE, rng={"seed": 1}, data_slice={"batch_size": 2}, seq=7
    )
    assert event.metrics is METRICS


@pytest.mark.parametrize("one", [keep("loss"), drop("loss"), on_change()], ids=["keep", "drop", "on_change"])
def test_an_event_without_metrics_passes(one: Filter) -> None:
    """It had none to lose."""
    event = make_event(metrics={})

    assert one(event) is event


@pytest.mark.parametrize("one", [keep("x"), drop("*"), every_n_steps(2)], ids=["keep", "drop", "every_n_steps"])
def test_no_note_is_lost(one: Filter) -> None:
    """An event with notes is written for their sake, though none of its metrics is."""
    assert one(make_event(1, notes=NOTE)) == make_event(1, notes=NOTE, metrics={})
    assert one(make_event(1)) is None


@pytest.mark.parametrize(
    "one",
    [keep("*"), drop("x"), every_n_steps(5), every_n_steps(2, exempt=["*"]), on_change(), redact("*")],
    ids=["keep", "drop", "every_n_steps", "exempt", "on_change", "redact"],
)
def test_an_event_that_is_not_changed_is_the_same_object(one: Filter) -> None:
    """Nothing is copied for nothing."""
    event = make_event(5)

    assert one(event) is event


@pytest.mark.parametrize(("one", "names"), [(keep("*"), ["loss"]), (drop("x"), [7, "loss"])], ids=["keep", "drop"])
def test_a_name_that_is_no_text_matches_nothing(one: Filter, names: list[Any]) -> None:
    """It is for the writer to refuse it by name."""
    assert left(one, make_event(metrics={7: 1.0, "loss": 0.5})) == [(0, names)]


# every_n_steps


def test_of_n_training_events_one_is_written() -> None:
    """Those at the steps that n divides, step 0 among them."""
    events = [make_event(step) for step in range(7)]

    assert left(every_n_steps(3), *events) == [(0, ["loss"]), None, None, (3, ["loss"]), None, None, (6, ["loss"])]
    assert left(every_n_steps(1), *events) == [(step, ["loss"]) for step in range(7)]


def test_evaluations_and_the_final_event_are_written_at_any_step() -> None:
    """Only training is thinned; an event that does not say its phase is of training."""
    final = make_event(7, model_info={"run_id": "r", "phase": "final"})
    silent = make_event(7, model_info={"run_id": "r"})

    assert left(every_n_steps(5), eval_event(7), final, silent) == [(7, ["loss"]), (7, ["loss"]), None]


def test_metrics_that_are_exempt_are_written_at_every_step() -> None:
    """What alerts need is there all the same, in a thinner event."""
    thin = every_n_steps(2, exempt=["kl*", "loss"])
    events = [make_event(step, metrics={"loss": 0.5, "lr": 0.1, "kl_mean": 0.2}) for step in (1, 2)]

    assert left(thin, *events, make_event(3, metrics={"lr": 0.1})) == [
        (1, ["loss", "kl_mean"]),
        (2, ["loss", "lr", "kl_mean"]),
        None,
    ]


@pytest.mark.parametrize("value", [nan, inf, -inf, Scalar(nan)], ids=["nan", "inf", "-inf", "tensor"])
@pytest.mark.parametrize("one", [every_n_steps(2), on_change()], ids=["every_n_steps", "on_change"])
def test_no_nan_is_lost(one: Filter, value: Any) -> None:
    """An event with a metric that is not finite passes whole, each time."""
    events = [make_event(step, metrics={"lr": 0.1, "loss": value}) for step in (1, 3, 5)]

    assert [one(event) is event for event in events] == [True] * 3


def test_an_event_with_nothing_in_it_is_thinned_too() -> None:
    """A training event without metrics and notes between two that are written says nothing."""
    assert every_n_steps(2)(make_event(1, metrics={})) is None
    assert every_n_steps(2)(make_event(1, metrics={}, notes=NOTE)) == make_event(1, metrics={}, notes=NOTE)


# on_change


def values(one: Filter, *metrics: dict[str, Any]) -> list[dict[str, Any] | None]:
    """What a filter leaves of these metrics, each of a step later than the one before."""
    found = [one(make_event(step, metrics=each)) for step, each in enumerate(metrics)]
    return [event and event.metrics for event in found]


def test_a_value_is_written_when_it_changes() -> None:
    """Against the last one written of that metric, however long ago; an event of which nothing is left is left out."""
    assert values(
        on_change(),
        {"lr": 0.1, "loss": 1.0},
        {"lr": 0.1, "loss": 2.0},
        {"loss": 2.0},
        {"lr": 0.2},
        {"lr": 0.1, "loss": 2.0},
    ) == [{"lr": 0.1, "loss": 1.0}, {"loss": 2.0}, None, {"lr": 0.2}, {"lr": 0.1}]


@pytest.mark.parametrize(
    ("first", "second", "written"),
    [
        (0.1, 0.1, False),
        (1, 1, False),
        (None, None, False),
        (Scalar(0.5), 0.5, False),
        (Scalar(0.5), Scalar(0.5), False),
        (True, 1, False),
        (0.0, -0.0, True),
        (1, 1.0, True),
        (None, 0.0, True),
        (0.1, math.nextafter(0.1, 1), True),
        (2**53, 2**53 + 1, True),
        ("text", "text", True),
        (2**64, 2**64, True),
    ],
)
def test_values_are_the_same_when_they_are_written_alike(first: Any, second: Any, written: bool) -> None:  # noqa: FBT001
    """Type and all bits count, after numpy and torch scalars became numbers; what is no number is never the same."""
    assert values(on_change(), {"x": first}, {"x": second})[1] == ({"x": second} if written else None)


def test_a_nan_that_ends_is_a_change() -> None:
    """The first finite value after it is written, even if it is the one before it."""
    assert values(on_change(), {"x": 1.0}, {"x": nan}, {"x": 1.0}, {"x": 1.0}) == [
        {"x": 1.0},
        {"x": pytest.approx(nan, nan_ok=True)},
        {"x": 1.0},
        None,
    ]


def test_curves_are_compared_with_themselves() -> None:
    """Phases and evaluation sets have values of their own."""
    one = on_change()
    events = [
        make_event(1),
        eval_event(1),
        eval_event(1, "math"),
        eval_event(1, "code"),
        make_event(2),
        eval_event(2, "math"),
        eval_event(2, "code", metrics={"loss": 0.25}),
    ]

    assert [one(event) is not None for event in events] == [True, True, True, True, False, False, True]


def test_only_the_metrics_it_is_about_are_compared() -> None:
    """All others are written as they come, and so are those that are exempt."""
    assert values(on_change("lr*", exempt=["lr_max"]), *[{"lr": 0.1, "lr_max": 0.1, "loss": 1.0}] * 2) == [
        {"lr": 0.1, "lr_max": 0.1, "loss": 1.0},
        {"lr_max": 0.1, "loss": 1.0},
    ]


def test_steps_that_are_trained_again_are_written_again() -> None:
    """A resumed attempt replaces what was written, so the values of its steps are not taken as known."""
    one = on_change()
    events = [make_event(step) for step in (1, 2, 3, 3, 4, 2, 3)]

    assert [one(event) is not None for event in events] == [True, False, False, True, False, True, False]


# redact


def test_texts_are_hidden_by_their_keys() -> None:
    """In model_info, data_slice and rng; numbers, other keys, notes and metrics stay."""
    event = make_event(
        metrics={"secret": 1.0},
        rng={"seed": 1, "secret_seed": "abc"},
        data_slice={"secret_path": "/home/me", "secret_size": 7, "secret_none": None},
        model_info={"run_id": "r", "phase": "train", "model_name": "m", "secret": "x"},
        notes=["refused: secret (str)"],
    )

    assert redact("secret*", "model_name")(event) == make_event(
        metrics={"secret": 1.0},
        rng={"seed": 1, "secret_seed": "<redacted>"},
        data_slice={"secret_path": "<redacted>", "secret_size": 7, "secret_none": None},
        model_info={"run_id": "r", "phase": "train", "model_name": "<redacted>", "secret": "<redacted>"},
        notes=["refused: secret (str)"],
    )


def test_an_event_stays_one_of_its_run_and_curve() -> None:
    """run_id, phase and eval_set are not hidden, whatever the pattern."""
    event = eval_event(1, "math", rng={"seed": 1})

    assert redact("*", "run_id", "phase", "eval_set")(event) is event


# Arguments


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (keep, "keep: expected patterns such as 'reward*', found none"),
        (drop, "drop: expected patterns such as 'reward*', found none"),
        (redact, "redact: expected patterns such as 'reward*', found none"),
        (lambda: keep(["loss"]), "keep: expected patterns such as 'reward*', found (['loss'],)"),  # type: ignore[arg-type]
        (lambda: on_change(exempt="loss"), "on_change: expected patterns such as 'reward*', found 'loss'"),
        (lambda: every_n_steps(2, exempt="loss"), "every_n_steps: expected patterns such as 'reward*', found 'loss'"),
        (lambda: every_n_steps(0), "every_n_steps: expected an integer >= 1, found 0"),
        (lambda: every_n_steps(2.0), "every_n_steps: expected an integer >= 1, found 2.0"),  # type: ignore[arg-type]
        (lambda: every_n_steps("2"), "every_n_steps: expected an integer >= 1, found '2'"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_argument_is_shown(make: Callable[[], Filter], message: str) -> None:
    """When the filter is made, not when the first event comes."""
    with pytest.raises(ValueError, match="expected") as caught:
        make()

    assert str(caught.value) == message


# The writer


def test_filters_are_asked_in_turn() -> None:
    """Each is given what the one before left; what one leaves out the next never sees."""
    seen: list[int] = []

    def look(event: Event) -> Event | None:
        seen.append(event.step)
        return event if event.step != 4 else None

    behind = ListWriter()
    writer = FilterWriter([every_n_steps(2), look, keep("loss")], to=behind)
    taken = [writer.write(make_event(step, metrics={"loss": 0.5, "kl": 0.1, "lr": 0.1})) for step in range(6)]

    assert taken == [True, False, True, False, False, False]
    assert seen == [0, 2, 4]
    assert behind.events == [make_event(0), make_event(2)]
    assert (writer.filtered, writer.filtered_metrics) == (4, 4)


def test_without_filters_everything_passes() -> None:
    """The very events, and the answer of the writer behind."""
    behind = ListWriter(takes=False)
    writer = FilterWriter([], to=behind)
    event = make_event()

    assert writer.write(event) is False
    assert behind.events[0] is event
    assert (writer.filtered, writer.filtered_metrics) == (0, 0)


def test_flush_and_close_are_passed_on() -> None:
    """Filters hold nothing back themselves."""
    behind = ListWriter()
    writer = FilterWriter([keep("loss")], to=behind)
    writer.flush()
    writer.close()

    assert behind.calls == ["flush", "close"]


def fail(_event: Event) -> Event | None:
    """A filter with a mistake in it."""
    raise KeyError("kl")


def wants(event: Event) -> Any:
    """A filter that answers yes or no, as filters of lists do."""
    return event.step > 0


def test_what_a_filter_raises_reaches_whoever_writes() -> None:
    """The event is not handed on: a filter that fails to hide something must not let it pass."""
    behind = ListWriter()
    with pytest.raises(KeyError, match="kl"):
        FilterWriter([drop("lr"), fail], to=behind).write(make_event())

    assert behind.events == []


def test_a_filter_that_answers_yes_or_no_is_told_so() -> None:
    """What it gives back must be an event or None."""
    behind = ListWriter()
    with pytest.raises(TypeError) as caught:
        FilterWriter([wants], to=behind).write(make_event())

    assert str(caught.value) == f"filter {wants!r}: expected an event or None, found bool"
    assert behind.events == []


def test_a_thinned_log_is_a_valid_log(tmp_path: Path) -> None:
    """The writer gives seq behind the filters, so there is no gap in it."""
    behind = open_writer(tmp_path, run_id="r")
    writer = FilterWriter([every_n_steps(4, exempt=["kl"]), on_change("lr")], to=behind)
    for step in range(1, 10):
        writer.write(make_event(step, metrics={"lr": 0.1, "loss": nan if step == 6 else 1.0 / step, "other": 1.0}))
    writer.close()
    events = list(read_events(behind.path))

    assert validate_jsonl_file(behind.path, strict=True).problems == []
    assert [(event.step, event.seq) for event in events] == [(4, 0), (6, 1), (8, 2)]
    assert [list(event.metrics) for event in events] == [
        ["lr", "loss", "other"],
        ["lr", "loss", "other"],
        ["loss", "other"],
    ]
