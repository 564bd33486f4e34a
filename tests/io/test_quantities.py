"""Amounts are read as a person means them, or refused with an example of what was expected."""

from __future__ import annotations

import doctest
from typing import TYPE_CHECKING, Any

import pytest

from rldk.io import quantities
from rldk.io.quantities import Quantity, parse

if TYPE_CHECKING:
    from rldk.io.quantities import QuantityKind

ALL: tuple[QuantityKind, ...] = ("bytes", "seconds", "events", "segments")


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1 B", 1),
        ("2 kB", 2_000),
        ("64 MB", 64_000_000),
        ("3 GB", 3_000_000_000),
        ("4 TB", 4_000_000_000_000),
        ("2 KiB", 2_048),
        ("1 MiB", 1_048_576),
        ("3 GiB", 3_221_225_472),
        ("4 TiB", 4_398_046_511_104),
        ("1.5 GB", 1_500_000_000),
        ("0.1 kB", 100),
        ("1.1 KiB", 1_126),
        ("64MB", 64_000_000),
        ("64 mb", 64_000_000),
        ("64 Mb", 64_000_000),
        ("2 kib", 2_048),
        ("007 B", 7),
    ],
)
def test_a_size_is_in_whole_bytes(text: str, amount: int) -> None:
    """Powers of 1000 and of 1024 are told apart, small and capital letters are not; decimals are exact."""
    found = parse(text, of=ALL, name="rotation")

    assert found == Quantity("bytes", amount)
    assert type(found.amount) is int


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("500 ms", 0.5),
        ("1 s", 1.0),
        ("0.1 s", 0.1),
        ("1 min", 60.0),
        ("2 h", 7_200.0),
        ("1.5 H", 5_400.0),
        ("1 day", 86_400.0),
        ("30 days", 2_592_000.0),
        ("1min", 60.0),
    ],
)
def test_a_time_is_in_seconds(text: str, amount: float) -> None:
    """From milliseconds to days, as the float that is nearest to what was written."""
    found = parse(text, of=ALL, name="sync")

    assert found == Quantity("seconds", amount)
    assert type(found.amount) is float


@pytest.mark.parametrize(
    ("text", "quantity"),
    [
        ("1 event", Quantity("events", 1)),
        ("100 events", Quantity("events", 100)),
        ("100events", Quantity("events", 100)),
        ("1 segment", Quantity("segments", 1)),
        ("20 Segments", Quantity("segments", 20)),
        ("2.0 segments", Quantity("segments", 2)),
    ],
)
def test_a_count_is_whole(text: str, quantity: Quantity) -> None:
    """Events and segments are counted, in the singular too."""
    found = parse(text, of=ALL, name="keep")

    assert found == quantity
    assert type(found.amount) is int


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "64",
        "MB",
        "64 parsecs",
        "64  MB",
        " 64 MB",
        "64 MB\n",
        "-1 MB",
        "+1 MB",
        "0 MB",
        "0.4 B",
        "0.0 s",
        "0 events",
        "0.5 events",
        "1.5 segments",
        "1e3 B",
        "1_000 B",
        "1,000 B",
        ".5 s",
        "5. s",
        "nan s",
        "inf s",
        "٣ s",
        "1 m",
        "1 M",
        "9" * 16 + " B",
        "9" * 5000 + " s",
        "1 \u212aB",
    ],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    """Nothing is guessed: no unit, no zero, no part of an event, no digits of other scripts, no number without end."""
    with pytest.raises(ValueError, match=r"^sync: expected a size ") as caught:
        parse(text, of=ALL, name="sync")

    assert str(caught.value) == (
        "sync: expected a size such as '64 MB', a time such as '1 h', a number of events such as '100 events' or "
        f"a number of segments such as '20 segments', found {text!r}"
    )


@pytest.mark.parametrize(
    ("text", "of", "message"),
    [
        (
            "64 parsecs",
            ("bytes", "seconds"),
            "rotation: expected a size such as '64 MB' or a time such as '1 h', found '64 parsecs'",
        ),
        ("1 h", ("bytes",), "rotation: expected a size such as '64 MB', found '1 h'"),
        ("64 MB", ("segments",), "rotation: expected a number of segments such as '20 segments', found '64 MB'"),
        (64, ("bytes",), "rotation: expected a size such as '64 MB', found 64"),
        (None, ("seconds",), "rotation: expected a time such as '1 h', found None"),
    ],
)
def test_the_message_names_what_makes_sense_here(text: Any, of: tuple[QuantityKind, ...], message: str) -> None:
    """An amount of another kind is refused as any other text, with an example of each kind that is taken."""
    with pytest.raises(ValueError, match=r"^rotation: ") as caught:
        parse(text, of=of, name="rotation")

    assert str(caught.value) == message


def test_the_example_is_true() -> None:
    """What the docstring shows is what comes out."""
    assert doctest.testmod(quantities).failed == 0
