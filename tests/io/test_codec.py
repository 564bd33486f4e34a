"""Events to lines and lines to events: the cases one can name; `tests/properties` has the rest."""

from __future__ import annotations

import json
import math
import struct

import pytest

from rldk.errors import InvalidEventError, InvalidLineError
from rldk.io.codec import LineEncoder, decode, encode
from rldk.io.event_schema import INT_MAX, MAX_LINE, Event
from tests.samples import EXAMPLE, FIELDS, REQUIRED, an_event


def test_the_example_decodes_to_what_it_says() -> None:
    """The seven-field example of the specification is an event."""
    assert decode(EXAMPLE) == Event(
        step=0,
        wall_time=10.5,
        metrics={
            "reward_mean": 0.5,
            "reward_std": 0.1,
            "kl_mean": 0.1,
            "entropy_mean": 0.8,
            "clip_frac": 0.2,
            "grad_norm": 1.0,
            "lr": 0.001,
            "loss": 0.4,
        },
        rng={"seed": 42, "python_hash_seed": 42, "torch_seed": 42, "numpy_seed": 42, "random_seed": 42},
        data_slice={"tokens_in": 1000, "tokens_out": 500, "batch_size": 32, "sequence_length": 512},
        model_info={
            "run_id": "my_training_run",
            "git_sha": "abc123",
            "phase": "train",
            "model_name": "gpt2",
            "model_size": 124000000,
            "optimizer": "AdamW",
            "scheduler": "CosineAnnealingLR",
        },
        notes=[],
    )


def test_the_example_encodes_to_the_same_bytes() -> None:
    """Nothing is added to an event without optional fields, and nothing is reordered."""
    assert encode(decode(EXAMPLE)) == EXAMPLE + b"\n"


def test_a_line_is_decoded_with_or_without_its_newline() -> None:
    """The newline belongs to the file; a carriage return before it is white space to JSON."""
    assert decode(EXAMPLE) == decode(EXAMPLE + b"\n") == decode(EXAMPLE + b"\r\n")


def test_the_fields_stand_in_the_order_of_the_schema() -> None:
    """What differs from step to step comes first, what seldom does comes last."""
    line = encode(an_event(metrics={"loss": math.nan}))

    assert list(json.loads(line)) == FIELDS


def test_what_json_cannot_hold_is_null_and_spelled_out() -> None:
    """NaN and the infinities differ from each other, and from the None of a trainer."""
    metrics = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": None, "e": 0.5}
    line = encode(an_event(metrics=metrics))
    wire = json.loads(line)

    assert wire["metrics"] == {"a": None, "b": None, "c": None, "d": None, "e": 0.5}
    assert wire["nonfinite"] == {"a": "NaN", "b": "Infinity", "c": "-Infinity"}
    assert decode(line) == an_event(metrics=metrics)
    assert decode(line).nonfinite == {}


def test_absent_optional_fields_are_absent_from_the_line() -> None:
    """An event without timestamp, seq and values that are not finite has the seven required fields only."""
    line = encode(an_event(timestamp=None, seq=None))

    assert list(json.loads(line)) == REQUIRED


def test_an_optional_field_may_be_null() -> None:
    """Null in timestamp or seq, in attempt, phase or rank means as little as absence."""
    line = encode(an_event(timestamp=None, seq=None, info={"attempt": None}))
    nulls = line.replace(b'"metrics":', b'"timestamp":null,"seq":null,"metrics":')

    assert decode(nulls) == decode(line)


@pytest.mark.parametrize(
    "value", [0.1, 5e-324, 1.7976931348623157e308, -0.0, 1e16, 123456789.12345679, 2.0**-1022, 1 / 3]
)
def test_a_float_keeps_every_bit(value: float) -> None:
    """Doubles come back bit for bit, whole ones as floats."""
    back = decode(encode(an_event(metrics={"loss": value}))).metrics["loss"]

    assert type(back) is float
    assert struct.pack(">d", back) == struct.pack(">d", value)


def test_the_longest_line_is_written_and_read() -> None:
    """A line may have exactly 16 MiB, its newline included; with one byte more it is neither written nor read."""
    bare = len(encode(an_event(notes=[""])))
    longest = an_event(notes=["x" * (MAX_LINE - bare)])
    longer = an_event(notes=["x" * (MAX_LINE - bare + 1)])
    line = encode(longest)

    assert len(line) == MAX_LINE
    assert decode(line) == decode(line[:-1]) == longest
    with pytest.raises(InvalidEventError) as refused:
        encode(longer)
    assert str(refused.value) == "$: expected a line of at most 16777216 bytes, found one of 16777217"
    for text in (line[:-4] + b'x"]}\n', line[:-4] + b'x"]}'):
        with pytest.raises(InvalidLineError) as unread:
            decode(text)
        assert str(unread.value) == (
            "<line>:1:0: expected at most 16777216 bytes, newline included, found 16777217 bytes [line_too_long]"
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": -1}, "$.step: expected an integer >= 0, found -1"),
        ({"step": 1.0}, "$.step: expected an integer >= 0, found 1.0"),
        ({"step": True}, "$.step: expected an integer >= 0, found True"),
        ({"step": INT_MAX + 1}, "$.step: expected an integer >= 0, found 9223372036854775808"),
        ({"wall_time": -0.5}, "$.wall_time: expected a finite number >= 0, found -0.5"),
        ({"wall_time": math.nan}, "$.wall_time: expected a finite number >= 0, found nan"),
        ({"wall_time": math.inf}, "$.wall_time: expected a finite number >= 0, found inf"),
        ({"wall_time": "1"}, "$.wall_time: expected a finite number >= 0, found '1'"),
        ({"wall_time": 2**63}, "$.wall_time: expected a finite number >= 0, found 9223372036854775808"),
        ({"timestamp": "now"}, "$.timestamp: expected 2026-01-31T23:59:59.000000Z, found 'now'"),
        ({"timestamp": 5}, "$.timestamp: expected 2026-01-31T23:59:59.000000Z, found 5"),
        ({"seq": -1}, "$.seq: expected an integer >= 0, found -1"),
        ({"seq": 0.5}, "$.seq: expected an integer >= 0, found 0.5"),
        ({"metrics": None}, "$.metrics: expected a dict, found NoneType"),
        ({"metrics": {"loss": "0.5"}}, "$.metrics['loss']: expected an int, a float or None, found str"),
        ({"metrics": {"loss": True}}, "$.metrics['loss']: expected an int, a float or None, found bool"),
        ({"metrics": {"loss": [1]}}, "$.metrics['loss']: expected an int, a float or None, found list"),
        ({"metrics": {"n": 2**63}}, "$.metrics['n']: expected an integer of 64 bits, found one of 65 bits"),
        ({"metrics": {7: 0.5}}, "$.metrics[7]: expected a string, found int"),
        (
            {"metrics": {"\ud800": 1.0}},
            "$.metrics['\\\\ud800']: expected whole characters, found half of a surrogate pair",
        ),
        (
            {"nonfinite": {"loss": "NaN"}},
            "$.nonfinite: expected nothing: put the value itself in metrics, found {'loss': 'NaN'}",
        ),
        ({"rng": None}, "$.rng: expected a dict, found NoneType"),
        ({"rng": {"seed": [1]}}, "$.rng['seed']: expected an int, float, bool, str or None, found list"),
        ({"rng": {"seed": -(2**63) - 1}}, "$.rng['seed']: expected an integer of 64 bits, found one of 65 bits"),
        (
            {"data_slice": {"part": math.nan}},
            "$.data_slice['part']: expected a finite number; only metrics can be otherwise, found nan",
        ),
        (
            {"data_slice": {"name": "\udfff"}},
            "$.data_slice['name']: expected whole characters, found half of a surrogate pair",
        ),
        ({"data_slice": []}, "$.data_slice: expected a dict, found list"),
        ({"model_info": {}}, "$.model_info.run_id: expected a string that is not empty, found nothing"),
        ({"info": {"run_id": ""}}, "$.model_info.run_id: expected a string that is not empty, found ''"),
        ({"info": {"run_id": None}}, "$.model_info.run_id: expected a string that is not empty, found None"),
        ({"info": {"phase": "warm-up"}}, "$.model_info.phase: expected one of train, eval, final, found 'warm-up'"),
        ({"info": {"attempt": 0}}, "$.model_info.attempt: expected an integer >= 1, found 0"),
        ({"info": {"rank": True}}, "$.model_info.rank: expected an integer >= 0, found True"),
        ({"info": {"resumed_from": 1.5}}, "$.model_info.resumed_from: expected an integer >= 0, found 1.5"),
        ({"info": {"schema": "1"}}, "$.model_info.schema: expected an integer >= 1, found '1'"),
        ({"notes": "a: b"}, "$.notes: expected a list, found str"),
        ({"notes": [1]}, "$.notes[0]: expected a string, found int"),
        ({"notes": ["a: b", "\ud83d"]}, "$.notes[1]: expected whole characters, found half of a surrogate pair"),
    ],
)
def test_an_event_that_the_schema_does_not_allow_is_refused_by_name(changes: dict[str, object], message: str) -> None:
    """What could not be read back is never written; the message says where it stood."""
    with pytest.raises(InvalidEventError) as caught:
        encode(an_event(**changes))  # type: ignore[arg-type]

    assert str(caught.value) == message


class Array:
    """What numpy's and torch's arrays do when they are compared."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("The truth value of an array with more than one element is ambiguous")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("section", ["rng", "data_slice", "model_info"])
def test_an_array_in_a_section_is_refused_by_name(section: str) -> None:
    """Also by an encoder that would compare it with what stood there before."""
    encoder = LineEncoder()
    encoder.encode(an_event(1, **{section: {"run_id": "r1", "shape": 1}}))
    with pytest.raises(InvalidEventError) as caught:
        encoder.encode(an_event(2, **{section: {"run_id": "r1", "shape": Array()}}))

    assert str(caught.value) == (
        f"$.{section}['shape']: expected an int, float, bool, str or None, found {__name__}.Array"
    )


def test_the_first_rule_that_is_broken_is_named() -> None:
    """Which of several rules a message names does not depend on chance."""
    with pytest.raises(InvalidEventError, match=r"\$\.model_info\.phase"):
        encode(an_event(info={"schema": 0, "rank": -1, "attempt": 0, "phase": "x"}))


def test_an_encoder_refuses_what_it_would_have_written_before() -> None:
    """After a regular event the quick way is taken, and that refuses the same."""
    encoder = LineEncoder()
    encoder.encode(an_event(1))
    wrong = [
        an_event(2, step=-1),
        an_event(2, step=True),
        an_event(2, wall_time=-1.0),
        an_event(2, wall_time=math.nan),
        an_event(2, timestamp="2026"),
        an_event(2, metrics={"loss": "0.5", "kl_mean": 1.0}),
        an_event(2, nonfinite={"loss": "NaN"}),
        an_event(2, seq="2"),
        an_event(2, notes=None),
        an_event(2, metrics={"loss": 0.5, 7: 0.5}),
        an_event(2, metrics={"loss": 0.5, "\ud800": 0.5}),
    ]

    for event in wrong:
        with pytest.raises(InvalidEventError):
            encoder.encode(event)
    assert encoder.encode(an_event(2)) == encode(an_event(2))


def test_an_encoder_that_has_encoded_nothing_refuses_an_empty_event() -> None:
    """Nothing is mistaken for what an encoder remembers before it has seen an event."""
    empty = {"metrics": {}, "data_slice": {}, "model_info": {}, "notes": []}

    for rng in ({}, None):
        with pytest.raises(InvalidEventError):
            LineEncoder().encode(an_event(rng=rng, **empty))


def test_the_encoder_is_given_what_the_writer_knows_better() -> None:
    """Stamps replace the same keys of `model_info`, and the seq given replaces the event's own."""
    encoder = LineEncoder({"run_id": "r2", "attempt": 5, "world_size": 2})
    lines = [bytes(encoder.encode(an_event(step, seq=99), step + 7)) for step in range(3)]

    info = {"run_id": "r2", "phase": "train", "schema": 1, "attempt": 5, "rank": 0, "world_size": 2}
    assert [decode(line) for line in lines] == [an_event(step, seq=step + 7, model_info=info) for step in range(3)]


def test_the_buffer_of_an_encoder_is_used_again() -> None:
    """A line is good until the next call, which saves an allocation for each event."""
    encoder = LineEncoder()
    first = encoder.encode(an_event(1))
    second = encoder.encode(an_event(2))

    assert first is second
    assert bytes(second) == encode(an_event(2))


@pytest.mark.parametrize("section", ["metrics", "rng", "data_slice", "model_info"])
def test_an_encoder_notices_what_was_changed_in_place(section: str) -> None:
    """What is remembered is the content: a section that a trainer changes in place is written as it is now."""
    encoder = LineEncoder()
    event = an_event(1)
    first = bytes(encoder.encode(event))
    getattr(event, section)["added"] = 16
    second = decode(bytes(encoder.encode(event)))

    assert second == event
    assert second != decode(first)


def test_an_encoder_notices_a_note_that_was_added_in_place() -> None:
    """Notes, too, are remembered by content."""
    encoder = LineEncoder()
    event = an_event(1)
    encoder.encode(event)
    event.notes.append("a: b")

    assert decode(bytes(encoder.encode(event))) == event


def test_a_section_that_python_calls_equal_is_written_as_it_was() -> None:
    """A 1 that turns into True within one log stays the 1 it was: the price of comparing sections as they are."""
    encoder = LineEncoder()
    lines = [bytes(encoder.encode(an_event(data_slice={"x": value}))) for value in (1, True, 1.0)]

    assert lines == [lines[0]] * 3
    assert decode(lines[1]) == an_event(data_slice={"x": True})


def test_decoding_starts_from_the_line() -> None:
    """The error of a single line has no path, and counts from the line's own first byte."""
    with pytest.raises(InvalidLineError) as caught:
        decode(EXAMPLE.replace(b'"seed":42', b'"seed":[]'))

    error = caught.value
    assert (error.path, error.line, error.byte, error.field) == (None, 1, EXAMPLE.index(b"42"), "$.rng['seed']")
    assert str(error) == (
        f"<line>:1:{EXAMPLE.index(b'42')}: $.rng['seed']: "
        "expected a number, a string, true, false or null, found a list [non_primitive]"
    )
