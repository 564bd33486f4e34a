"""What a metric may be given as, and what is refused by name."""

from __future__ import annotations

import enum
import math
from decimal import Decimal
from fractions import Fraction

import pytest

from rldk.io.values import plain_metrics, plain_number, refusal, spelled, type_name

INT_MIN, INT_MAX = -(2**63), 2**63 - 1


class Level(enum.IntEnum):
    """An int that is not of type int."""

    HIGH = 3


class HalfPrecision(float):
    """A float that is not of type float, as numpy's float64 is."""

    __slots__ = ()


class OneElement:
    """What a tensor of one element with a dimension looks like."""

    ndim = 1

    def item(self) -> float:
        """Hand out the element, as numpy and torch do."""
        return 1.5


class Scalar:
    """What a 0-d tensor looks like."""

    ndim = 0

    def __init__(self, value: object) -> None:
        self._value = value

    def item(self) -> object:
        """Hand out the element."""
        return self._value


class bfloat16:  # noqa: N801 - its name is what it is known by
    """A scalar as those of ml_dtypes: not of a class of Python's, and its item is itself."""

    ndim = 0

    def item(self) -> bfloat16:
        """Hand out itself."""
        return self

    def __float__(self) -> float:
        return 1.5


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (0.1, 0.1),
        (math.inf, math.inf),
        (3, 3),
        (INT_MIN, INT_MIN),
        (INT_MAX, INT_MAX),
        (True, 1),
        (False, 0),
        (Level.HIGH, 3),
        (HalfPrecision(0.25), 0.25),
        (Scalar(2.5), 2.5),
        (Scalar(7), 7),
        (Scalar(value=True), 1),
        (bfloat16(), 1.5),
    ],
)
def test_a_scalar_becomes_a_plain_number(value: object, plain: float | None) -> None:
    """Numbers of any class become the int or float that equals them; None stays None."""
    number = plain_number(value)

    assert number == plain
    assert type(number) is type(plain)


def test_nan_and_negative_zero_stay_what_they_are() -> None:
    """Neither NaN nor the sign of zero is lost."""
    assert math.isnan(plain_number(math.nan) or 0)
    assert math.isnan(plain_number(Scalar(math.nan)) or 0)
    assert str(plain_number(HalfPrecision(-0.0))) == "-0.0"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("0.5", "str"),
        (b"1", "bytes"),
        ([0.5], "list"),
        ({"a": 1}, "dict"),
        (1j, "complex"),
        (Decimal("0.5"), "decimal.Decimal"),
        (Fraction(1, 2), "fractions.Fraction"),
        (OneElement(), f"{__name__}.OneElement"),
        (Scalar("0.5"), f"{__name__}.Scalar"),
        (Scalar(1j), f"{__name__}.Scalar"),
    ],
)
def test_what_is_no_scalar_number_is_refused_by_its_type(value: object, name: str) -> None:
    """The refusal names the type as its user writes it."""
    with pytest.raises(TypeError) as caught:
        plain_number(value)

    assert str(caught.value) == name


@pytest.mark.parametrize("value", [INT_MAX + 1, INT_MIN - 1, 10**400, Scalar(2**64)])
def test_an_integer_beyond_64_bits_is_refused(value: object) -> None:
    """No table engine could hold it exactly."""
    with pytest.raises(OverflowError, match=r"\Aan integer beyond 64 bits\Z"):
        plain_number(value)


def test_metrics_are_split_into_kept_and_refused() -> None:
    """One value that cannot be written does not keep the others from being written."""
    metrics = {"loss": 0.5, "name": "gpt2", "steps": 2**64, "flag": True, "half\ud800": 1.0, "none": None}

    kept, refused = plain_metrics(metrics)

    assert kept == {"loss": 0.5, "flag": 1, "none": None}
    assert refused == {
        "name": "str",
        "steps": "an integer beyond 64 bits",
        "'half\\ud800'": "its name holds half a surrogate pair",
    }


def test_a_name_that_is_no_string_is_refused() -> None:
    """JSON has string keys only; a number is not turned into one in silence."""
    kept, refused = plain_metrics({1: 0.5, "loss": 0.5})  # type: ignore[dict-item]

    assert kept == {"loss": 0.5}
    assert refused == {"1": "its name is int, no string"}


def test_a_refusal_shows_forty_characters_of_a_name() -> None:
    """A message stays readable, however long the name."""
    _, refused = plain_metrics({"x" * 1000: []})

    assert refused == {"x" * 40: "list"}


def test_a_refusal_names_each_metric_and_why() -> None:
    """The note lists what was left out."""
    assert refusal({"name": "str", "table": "list"}) == "refused: name (str), table (list)"


def test_a_type_is_named_with_its_module() -> None:
    """Built-in types go by their bare name, all others by their module too."""
    assert (type_name(1), type_name(Decimal(1))) == ("int", "decimal.Decimal")


@pytest.mark.parametrize(
    ("dtype", "given", "plain"),
    [
        ("float16", 0.1, 0.0999755859375),
        ("float32", 0.1, 0.10000000149011612),
        ("float64", 0.1, 0.1),
        ("int8", -5, -5),
        ("uint64", INT_MAX, INT_MAX),
        ("bool_", 1, 1),
    ],
)
def test_numpy_scalars_become_the_double_that_equals_them(dtype: str, given: float, plain: float) -> None:
    """A narrow float is widened exactly, not rounded to what it looked like; 0-d arrays count as scalars."""
    numpy = pytest.importorskip("numpy")
    scalar = getattr(numpy, dtype)(given)

    for value in (scalar, numpy.asarray(scalar)):
        assert plain_number(value) == plain
        assert type(plain_number(value)) is type(plain)


def test_numpy_values_that_are_no_scalar_number_are_refused() -> None:
    """Arrays, also those of one element, complex numbers and too large integers are refused by name."""
    numpy = pytest.importorskip("numpy")
    metrics = {
        "array": numpy.zeros(2),
        "one": numpy.zeros(1),
        "complex": numpy.complex64(1j),
        "text": numpy.str_("x"),
        "large": numpy.uint64(2**64 - 1),
    }

    assert plain_metrics(metrics) == (
        {},
        {
            "array": "numpy.ndarray",
            "one": "numpy.ndarray",
            "complex": "numpy.complex64",
            "text": "numpy.str_",
            "large": "an integer beyond 64 bits",
        },
    )


class _WithoutData:
    """A scalar that has a shape and no value, as a tensor on torch's meta device."""

    ndim = 0

    def item(self) -> float:
        """Fail as torch does."""
        raise RuntimeError("cannot be called on meta tensors")


def test_a_scalar_without_a_value_is_refused_by_name() -> None:
    """It costs the event one metric, not the event."""
    kept, refused = plain_metrics({"loss": 0.5, "empty": _WithoutData()})

    assert kept == {"loss": 0.5}
    assert refused == {"empty": f"{__name__}._WithoutData"}


def test_a_date_of_numpy_is_no_number() -> None:
    """Its item is the count of nanoseconds, and says so nowhere."""
    numpy = pytest.importorskip("numpy")
    kept, refused = plain_metrics({"when": numpy.datetime64("2026-01-31", "ns")})

    assert (kept, refused) == ({}, {"when": "numpy.datetime64"})


def test_a_float_is_spelled_where_a_text_file_cannot_hold_it() -> None:
    """NaN of either sign and the infinities have one spelling each; every other float is itself."""
    floats = [math.nan, -math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, 1.7976931348623157e308]

    assert [str(spelled(each)) for each in floats] == [
        *("NaN", "NaN", "Infinity", "-Infinity", "0.0", "-0.0", "5e-324", "1.7976931348623157e+308")
    ]
