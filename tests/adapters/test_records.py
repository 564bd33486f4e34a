"""What becomes of a record of another tool: metrics, texts, its place in the run, and nothing lost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from rldk.adapters.records import EventBuilder, fit, instant, number, run_name, whole_step
from rldk.io.codec import decode, encode
from rldk.io.event_schema import INT_MAX, Event
from rldk.io.problems import Problem


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("runs/sarsa/metrics.jsonl", "sarsa"),
        ("runs/sarsa/metrics.jsonl.gz", "sarsa"),
        ("runs/sarsa/seed1.jsonl", "seed1"),
        ("runs/sarsa/train.log", "sarsa"),
        ("runs/sarsa/console.log", "sarsa"),
        ("runs/sarsa/running_log.txt", "sarsa"),
        ("runs/sarsa/logs/events.jsonl", "sarsa"),
        ("runs/a b/metrics.jsonl", "a-b"),
        ("runs/a b (2).csv", "a-b-2-"),
        ("runs/.hidden.csv", "hidden"),
        ("runs/模型.csv", "run"),
        ("/metrics.jsonl", "metrics"),
        ("/" + "x" * 200 + ".csv", "x" * 128),
    ],
)
def test_a_run_is_called_after_its_file_or_its_folder(path: str, name: str) -> None:
    """The file's name where it says something; characters that no run id can have are replaced."""
    assert run_name(Path(path)) == name
    assert fit(name) == name


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-12", -12),
        ("+3", 3),
        (" 1.5 ", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("-2.5E+2", -250.0),
        (str(INT_MAX), INT_MAX),
        (str(INT_MAX + 1), float(INT_MAX + 1)),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000),
        ("12/438", "12/438"),
        ("1_000", "1_000"),
        ("1,5", "1,5"),
        ("0x10", "0x10"),
        ("٣", "٣"),
        ("", ""),
        (".", "."),
        ("e5", "e5"),
    ],
)
def test_a_text_spells_a_number_or_is_a_text(text: str, value: object) -> None:
    """What a tool prints for a number, and nothing that needs guessing."""
    found = number(text)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["nan", "NaN", "-nan", "+NAN"])
def test_nan_is_spelled_in_many_ways(text: str) -> None:
    """Capitals and signs do not matter."""
    assert math.isnan(number(text))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3),
        (3.0, 3),
        ("3", 3),
        ("3.0", 3),
        (INT_MAX, INT_MAX),
        (None, "$.step: expected a step, found nothing"),
        (3.5, "$.step: expected a whole number, found 3.5"),
        (math.nan, "$.step: expected a whole number, found nan"),
        (True, "$.step: expected a whole number, found True"),
        ("three", "$.step: expected a whole number, found 'three'"),
        ([3], "$.step: expected a whole number, found [3]"),
        (-1, f"$.step: expected a step from 0 to {INT_MAX}, found -1"),
        (1e300, f"$.step: expected a step from 0 to {INT_MAX}, found {str(10**300)[:0]}"),
    ],
)
def test_a_step_is_a_whole_number_however_it_is_written(value: object, expected: int | str) -> None:
    """Anything else is named."""
    found = whole_step(value)

    if isinstance(found, Problem):
        assert f"{found.field}: expected {found.expected}, found {found.found}".startswith(str(expected))
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1769903999.25, "2026-01-31T23:59:59.250000Z"),
        (1769903999, "2026-01-31T23:59:59.000000Z"),
        ("2026-01-31T23:59:59.250000Z", "2026-01-31T23:59:59.250000Z"),
        ("2026-02-01T00:59:59+01:00", "2026-01-31T23:59:59.000000Z"),
        ("2026-01-31 23:59:59Z", "2026-01-31T23:59:59.000000Z"),
        ("2026-01-31T23:59:59", None),
        ("0999-01-01T00:00:00+00:00", None),
        ("9999-12-31T23:59:59-23:00", None),
        ("yesterday", None),
        (12.5, None),
        (1769903999250, None),
        (math.nan, None),
        (True, None),
        (None, None),
    ],
)
def test_an_instant_is_taken_when_it_surely_is_one(value: object, expected: str | None) -> None:
    """Seconds since 1970 and times with an offset; some clock's local time is none, nor are milliseconds."""
    assert instant(value) == expected


def _event(record: dict[str, Any], field_map: dict[str, str] | None = None, **place: Any) -> Event:
    event = EventBuilder("r1", field_map=field_map).event(record, **place)
    assert isinstance(event, Event)
    return event


def _problem(record: dict[str, Any], field_map: dict[str, str] | None = None, **place: Any) -> str:
    problem = EventBuilder("r1", field_map=field_map).event(record, **place)
    assert isinstance(problem, Problem)
    return f"{problem.field}: expected {problem.expected}, found {problem.found} [{problem.kind}]"


def test_numbers_are_metrics_and_the_rest_is_kept_elsewhere() -> None:
    """Floats, integers and nulls; texts and truth values are in `data_slice`, and a note names the lists."""
    event = _event(
        {"loss": 0.5, "n": 2**62, "none": None, "inf": math.inf, "text": "x", "yes": True, "items": [1, 2]},
        step=3,
        data_slice={"window": 4},
        notes=["a: b"],
    )

    assert event == Event(
        step=3,
        wall_time=None,
        metrics={"loss": 0.5, "n": 2**62, "none": None, "inf": math.inf},
        rng={},
        data_slice={"text": "x", "yes": True, "window": 4},
        model_info={"run_id": "r1", "phase": "train"},
        notes=["a: b", "left_out: items (2 items)"],
    )


def test_objects_are_taken_apart() -> None:
    """Their keys are joined with dots; a key that is there twice that way is refused."""
    event = _event({"train": {"loss": 0.5, "deep": {"er": 1}}, "empty": {}}, step=0)

    assert event.metrics == {"train.loss": 0.5, "train.deep.er": 1}
    assert _problem({"a": {"b": 1}, "a.b": 2}, step=0) == (
        ": expected each key once, found 'a.b' again, once inside an object [duplicate_key]"
    )
    assert _problem({"x": {"a.b": 1, "a": {"b": 2}}}, step=0) == (
        ": expected each key once, found 'x.a.b' again, once inside an object [duplicate_key]"
    )


def test_a_framework_gives_keys_their_meaning() -> None:
    """Its keys get canonical names, and the source of each is remembered."""
    builder = EventBuilder("r1", "verl", "grpo", info={"model_name": "m"})
    event = builder.event({"actor/pg_loss": 0.5, "mine": 1}, step=0)

    assert isinstance(event, Event)
    assert event.metrics == {"policy_loss": 0.5, "mine": 1}
    assert event.model_info == {
        "run_id": "r1",
        "framework": "verl",
        "algorithm": "grpo",
        "model_name": "m",
        "phase": "train",
    }
    assert [(native, source.canonical) for native, source in builder.sources.items()] == [
        ("actor/pg_loss", "policy_loss")
    ]


def test_a_field_map_gives_the_place_and_names_metrics() -> None:
    """Its fields lead into objects; numbers may be spelled as texts; what it names is known to be of the map."""
    field_map = {
        "step": "trainer.iteration",
        "wall_time": "t",
        "timestamp": "when",
        "phase": "split",
        "eval_set": "set",
        "attempt": "try",
        "rank": "node.rank",
        "seed": "seed_value",
        "reward_mean": "score.mean",
        "kl_mean": "absent",
    }
    builder = EventBuilder("r1", field_map=field_map)
    event = builder.event(
        {
            "trainer": {"iteration": "7"},
            "t": "1.5",
            "when": 1769903999,
            "split": "eval",
            "set": "math",
            "try": 2,
            "node": {"rank": 3},
            "seed_value": 42,
            "score": {"mean": "0.25", "std": 0.5},
        },
        step=1,
        phase="train",
    )

    assert event == Event(
        step=7,
        wall_time=1.5,
        timestamp="2026-01-31T23:59:59.000000Z",
        metrics={"score.std": 0.5, "reward_mean": 0.25},
        rng={"seed": 42},
        data_slice={"eval_set": "math"},
        model_info={"run_id": "r1", "phase": "eval", "attempt": 2, "rank": 3},
        notes=[],
    )
    assert {native: (each.canonical, each.framework) for native, each in builder.sources.items()} == {
        "score.mean": ("reward_mean", "field map")
    }


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"i": "x"}, "$.i: expected a whole number, found 'x' [wrong_type]"),
        ({}, "$.i: expected a step, found nothing [missing_field]"),
        ({"i": 1, "p": "val"}, "$.p: expected a phase: train, eval, final, found 'val' [bad_value]"),
        ({"i": 1, "p": None}, "$.p: expected a phase: train, eval, final, found null [bad_value]"),
        ({"i": 1, "w": "soon"}, "$.w: expected seconds, a number, found 'soon' [wrong_type]"),
        ({"i": 1, "w": -1}, "$.w: expected seconds, a number >= 0, found -1 [bad_value]"),
        ({"i": 1, "w": math.nan}, "$.w: expected seconds, a number >= 0, found nan [bad_value]"),
        ({"i": 1, "a": 0}, "$.a: expected an attempt, from 1, found 0 [bad_value]"),
        ({"i": 1, "a": 1.5}, "$.a: expected a whole number >= 0, found 1.5 [wrong_type]"),
        ({"i": 1, "r": -1}, "$.r: expected a whole number >= 0, found -1 [bad_value]"),
    ],
)
def test_a_place_that_cannot_be_is_named_by_its_own_field(record: dict[str, Any], message: str) -> None:
    """Not by RLDK's name, which is not in the log."""
    field_map = {"step": "i", "phase": "p", "wall_time": "w", "attempt": "a", "rank": "r"}

    assert _problem(record, field_map) == message


@pytest.mark.parametrize(
    ("value", "timestamp", "data_slice", "notes"),
    [
        (1769903999, "2026-01-31T23:59:59.000000Z", {}, []),
        ("yesterday", None, {"timestamp": "yesterday"}, []),
        (12.5, None, {"timestamp": 12.5}, []),
        ([1, 2], None, {}, ["left_out: timestamp (2 items)"]),
        (None, None, {}, []),
    ],
)
def test_a_time_that_is_no_instant_is_kept_as_it_is(
    value: object, timestamp: str | None, data_slice: dict[str, Any], notes: list[str]
) -> None:
    """Nothing is guessed of it, and nothing is lost."""
    event = _event({"when": value}, {"timestamp": "when"}, step=0)

    assert (event.timestamp, event.data_slice, event.notes) == (timestamp, data_slice, notes)


def test_every_event_can_be_written_and_read_again() -> None:
    """What is made of a record is an event as RLDK's own logs have them."""
    event = _event({"loss": math.nan, "n": 3, "text": "x", "list": [1], "when": [2]}, {"timestamp": "when"}, step=3)

    assert decode(encode(event)) == event
