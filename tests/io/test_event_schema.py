"""The event, and the JSON Schema that describes it to others."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from rldk.io.codec import decode, encode
from rldk.io.event_schema import MAX_LINE, PHASES, RULES, SCHEMA_VERSION, TIMESTAMP, json_schema
from tests.samples import EXAMPLE, FIELDS, REQUIRED, an_event

LINE = encode(an_event(3))


def test_the_example_validates_against_the_json_schema() -> None:
    """The seven-field example of the specification is valid by the published schema."""
    schema = json_schema()
    Draft202012Validator.check_schema(schema)

    assert list(Draft202012Validator(schema).iter_errors(json.loads(EXAMPLE))) == []


def test_the_json_schema_has_the_event_at_the_top() -> None:
    """Who reads the schema finds its dialect, its name and the event's fields without following references."""
    schema = json_schema()

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == "urn:rldk:event:1"
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert list(schema["properties"]) == FIELDS
    assert schema["required"] == REQUIRED


def test_every_field_of_the_json_schema_is_described() -> None:
    """Each property carries a sentence that says what it means."""
    assert all(field["description"].endswith(".") for field in json_schema()["properties"].values())


def test_the_json_schema_knows_the_keys_of_model_info_that_rldk_relies_on() -> None:
    """Each rule for `model_info` is in the schema, so that other tools refuse what RLDK refuses."""
    info = json_schema()["properties"]["model_info"]

    assert info["properties"].keys() == RULES.keys()
    assert info["required"] == ["run_id"]
    assert info["properties"]["phase"] == {"enum": ["train", "eval", "final", None]}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"step":3', b'"step":"3"'),
        (b'"step":3', b'"step":3.5'),
        (b'"step":3', b'"step":-1'),
        (b'"step":3', b'"step":9223372036854775808'),
        (b'"step":3,', b""),
        (b'"wall_time":3.5', b'"wall_time":-3.5'),
        (b'"wall_time":3.5', b'"wall_time":"3.5"'),
        (b'"seq":3', b'"seq":-3'),
        (b"2026-01-31T", b"2026-01-31 "),
        (b"250000Z", b"25Z"),
        (b'"loss":0.25', b'"loss":true'),
        (b'"loss":0.25', b'"loss":"0.25"'),
        (b'"loss":0.25', b'"loss":[0.25]'),
        (b'"rng":{"seed":42}', b'"rng":null'),
        (b'"seed":42', b'"seed":{}'),
        (b'"batch_size":8', b'"batch_size":[8]'),
        (b'"run_id":"r1",', b""),
        (b'"run_id":"r1"', b'"run_id":""'),
        (b'"run_id":"r1"', b'"run_id":null'),
        (b'"phase":"train"', b'"phase":"training"'),
        (b'"attempt":1', b'"attempt":0'),
        (b'"rank":0', b'"rank":-1'),
        (b'"rank":0', b'"rank":0,"resumed_from":"4"'),
        (b'"schema":1', b'"schema":2'),
        (b'"schema":1', b'"schema":0'),
        (b'"notes":[]', b'"notes":{}'),
        (b'"notes":[]', b'"notes":[1]'),
        (b'"rng":', b'"nonfinite":{"loss":"nan"},"rng":'),
        (b'"rng":', b'"extra":1,"rng":'),
    ],
)
def test_the_json_schema_refuses_what_the_decoder_refuses(old: bytes, new: bytes) -> None:
    """Damage that JSON Schema has words for is refused by it as by `decode`."""
    line = LINE.replace(old, new, 1)

    assert line != LINE
    assert not Draft202012Validator(json_schema()).is_valid(json.loads(line))
    with pytest.raises(ValueError, match=r"expected .*, found "):
        decode(line)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"loss": math.nan}, {"loss": float("nan")}, True),
        ({"loss": math.nan}, {"loss": 0.0}, False),
        ({"loss": math.nan}, {"loss": None}, False),
        ({"loss": math.nan}, {"kl_mean": math.nan}, False),
        ({"loss": math.inf}, {"loss": math.inf}, True),
        ({"loss": math.inf}, {"loss": -math.inf}, False),
        ({"loss": None}, {"loss": None}, True),
        ({"loss": None}, {}, False),
        ({"a": 1.0, "b": 2}, {"b": 2, "a": 1.0}, True),
    ],
)
def test_metrics_are_equal_when_all_are_or_are_nan(one: dict[str, Any], other: dict[str, Any], *, equal: bool) -> None:
    """NaN counts as equal to NaN, and to nothing else; absent is not None."""
    assert (an_event(metrics=one) == an_event(metrics=other)) is equal
    assert (an_event(metrics=one) != an_event(metrics=other)) is not equal


@pytest.mark.parametrize(
    "other",
    [
        an_event(3, step=4),
        an_event(3, wall_time=9.0),
        an_event(3, timestamp=None),
        an_event(3, seq=9),
        an_event(3, metrics={}),
        an_event(3, rng={}),
        an_event(3, data_slice={}),
        an_event(3, info={"phase": "eval"}),
        an_event(3, notes=["a: b"]),
        EXAMPLE,
        None,
    ],
)
def test_events_are_equal_when_all_fields_are(other: object) -> None:
    """Any field that differs makes two events differ, and an event equals nothing that is no event."""
    event = an_event(3)

    assert (event == an_event(3), event != an_event(3)) == (True, False)
    assert (event == other, event != other) == (False, True)


def test_an_event_cannot_be_a_key() -> None:
    """Events are compared by their content, which may be large and hold NaN, so they have no hash."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(an_event())


def test_an_event_cannot_be_changed() -> None:
    """The fields of an event are fixed once it is made."""
    with pytest.raises(AttributeError, match="immutable"):
        an_event().step = 5  # type: ignore[misc]


def test_a_bare_event_is_of_rank_0_attempt_1_and_training() -> None:
    """What `model_info` leaves out, or has as null, has the meaning the schema gives it."""
    bare = decode(EXAMPLE)
    nulls = an_event(info={"phase": None, "attempt": None, "rank": None, "resumed_from": None})

    for event in (bare, nulls):
        assert (event.phase, event.attempt, event.rank) == ("train", 1, 0)
        assert (event.resumed_from, event.eval_set) == (None, None)


def test_the_properties_say_what_model_info_and_data_slice_hold() -> None:
    """Run, phase, attempt, rank, resume step and evaluation set are read from their sections."""
    info = {"run_id": "r7", "phase": "eval", "attempt": 3, "rank": 2, "resumed_from": 40}
    event = an_event(info=info, data_slice={"eval_set": "hard"})

    assert (event.run_id, event.phase, event.attempt, event.rank) == ("r7", "eval", 3, 2)
    assert (event.resumed_from, event.eval_set) == (40, "hard")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("2026-01-31T23:59:59.000000Z", True),
        ("0001-12-01T00:00:00.999999Z", True),
        ("2026-01-31T23:59:59.000000+00:00", False),
        ("2026-01-31T23:59:59Z", False),
        ("2026-01-31T23:59:59.000Z", False),
        ("2026-01-31T24:00:00.000000Z", False),
        ("2026-01-31T23:60:00.000000Z", False),
        ("2026-01-31T23:59:60.000000Z", False),
        ("2026-13-01T00:00:00.000000Z", False),
        ("2026-00-01T00:00:00.000000Z", False),
        ("2026-01-32T00:00:00.000000Z", False),
        ("2026-01-31T23:59:59.000000Z\n", False),
        ("٢٠٢٦-01-31T23:59:59.000000Z", False),  # digits to \d, and to int()
    ],
)
def test_a_timestamp_has_one_form(text: str, *, is_one: bool) -> None:
    """UTC with microseconds and Z is a timestamp, any other spelling is none."""
    assert bool(TIMESTAMP.fullmatch(text)) is is_one


def test_the_constants_are_those_of_the_specification() -> None:
    """Schema version, phases and the longest line are promises to other tools."""
    assert (SCHEMA_VERSION, PHASES, MAX_LINE) == (1, ("train", "eval", "final"), 16_777_216)
