"""Numbers are taken as they were stored; all else is known by its kind."""

from __future__ import annotations

import struct

import pytest

from rldk.adapters.protobuf_wire import WireError
from rldk.adapters.tfevents import Logged, Other, Scalar, logged
from tests.adapters.event_file import BEGAN, double, event, field, header, number, scalar, single, tensor


def value(content: bytes) -> Scalar | Other:
    """The one value of an event."""
    (found,) = logged(event(0, content), {}).values
    return found


def test_a_value_is_read_with_its_step_and_time() -> None:
    """A float is widened exactly; step and time are those of the event."""
    assert logged(event(7, scalar("loss", 0.1)), {}) == Logged(
        BEGAN + 7, 7, [Scalar("loss", 0.10000000149011612)], "a record without values"
    )


@pytest.mark.parametrize(
    ("content", "number_of_it"),
    [
        (number(1, 1) + single(5, 0.1), 0.10000000149011612),
        (number(1, 1) + field(5, struct.pack("<f", 0.5)), 0.5),
        (number(1, 2) + double(6, 0.1), 0.1),
        (number(1, 2) + field(4, struct.pack("<d", 0.1)), 0.1),
        (number(1, 3) + number(7, -7), -7),
        (number(1, 9) + number(10, 2**62), 2**62),
        (number(1, 10) + number(11, 1), 1),
        (number(1, 14) + number(13, 0x3EAB), 0.333984375),
        (number(1, 19) + number(13, 0x2E66), 0.0999755859375),
        (number(1, 22) + number(16, 2**32 - 1), 2**32 - 1),
        (number(1, 1) + field(2, field(2, number(1, 1))) + single(5, 0.5), 0.5),
    ],
)
def test_a_tensor_of_one_number_is_a_number(content: bytes, number_of_it: float) -> None:
    """Whatever the type of its elements, and however they are stored, a scalar is read exactly."""
    found = value(tensor("x", content))

    assert found == Scalar("x", number_of_it)
    assert type(found[1]) is type(number_of_it)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (tensor("x", number(1, 7), field(8, b"words"), plugin="text"), "text"),
        (tensor("x", number(1, 1), single(5, 0.0), plugin="hparams"), "hparams"),
        (tensor("x", number(1, 1), field(2, field(2, number(1, 2))), plugin=""), "tensor"),
        (field(1, b"x") + field(5, b""), "histogram"),
        (field(1, b"x") + field(4, b""), "image"),
        (field(1, b"x") + field(6, b""), "audio"),
        (field(1, b"x"), "value without content"),
    ],
)
def test_what_is_no_number_is_known_by_its_kind(content: bytes, kind: str) -> None:
    """Texts, pictures, histograms and hyperparameters are none of the metrics."""
    found = value(content)

    assert isinstance(found, Other)
    assert (found.kind, found.tag) == (kind, "x")


def test_the_plugin_of_a_tag_is_remembered() -> None:
    """A writer may say only with the first value of a tag who shows it."""
    plugins: dict[str, str] = {}
    logged(event(0, tensor("x", number(1, 1), single(5, 0.0), plugin="hparams")), plugins)

    assert logged(event(1, tensor("x", number(1, 1), single(5, 0.0), plugin="")), plugins).values == [
        Other("hparams", "x")
    ]


def test_records_without_values_are_named() -> None:
    """The header, session logs and graphs say what they are."""
    assert logged(header(), {}).what == "header, brain.Event:2"
    assert logged(field(7, number(1, 1)), {}).what == "session log, start"
    assert logged(field(4, b"..."), {}).what == "graph"
    assert logged(b"", {}) == Logged(0.0, 0, [], "a record without values")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (tensor("x", number(1, 1)), "one number under 'x', found none"),
        (tensor("x", number(1, 1), single(5, 1.0), single(5, 2.0)), "one number under 'x', found several"),
        (
            tensor("x", number(1, 1), field(2, field(2, number(1, 2)))),
            "a tensor of one number under 'x', which is shown as a scalar, found one of 2 elements of type 1",
        ),
        (tensor("x", number(1, 2), field(4, b"abc")), "one element of 8 bytes, found 3 bytes"),
        (
            tensor("x", number(1, 23), number(17, 2**63)),
            f"a number of at most {2**63 - 1} under 'x', found {2**63}",
        ),
        (field(1, b"x") + number(2, 1), "4 bytes in field 2, found a varint"),
    ],
)
def test_a_number_that_is_none_is_refused(content: bytes, said: str) -> None:
    """What should be one number, and is not, is said with what was expected and found."""
    with pytest.raises(WireError) as caught:
        value(content)

    assert str(caught.value).partition(": expected ")[2] == said
