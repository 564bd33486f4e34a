"""What a metric may hold, and how numpy and torch scalars become that without importing either."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rldk.io.event_schema import INT_MAX, INT_MIN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rldk.io.event_schema import Number

__all__ = ["plain_metrics", "plain_number", "refusal", "spelled", "type_name"]

SHOWN: Final = 40
"""Characters of a refused name that a message shows."""


def plain_number(value: object) -> Number:
    """A metric's value as a plain Python number, or None where the trainer said None.

    Floats of any width become the double that is exactly equal to them, booleans 1 or 0. Only scalars are
    taken: a tensor of one element that still has a dimension is refused, because it may as well hold two.

    Raises:
        TypeError: the value is no scalar number; the message names its type.
        OverflowError: the value is an integer beyond 64 bits.
    """
    if value is None or type(value) is float:
        return value
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        number = int(value)
        if not INT_MIN <= number <= INT_MAX:
            raise OverflowError("an integer beyond 64 bits")
        return number
    if getattr(value, "ndim", None) == 0 and callable(item := getattr(value, "item", None)):
        return _scalar(value, item)
    raise TypeError(type_name(value))


def _scalar(value: object, take: Callable[[], object]) -> Number:
    if getattr(getattr(value, "dtype", None), "kind", None) in {"m", "M"}:
        # A date or a duration of numpy hands out a number, whose unit would be lost.
        raise TypeError(type_name(value))
    try:
        item = take()
    except (RuntimeError, TypeError, ValueError) as error:
        # A tensor without data, as one on torch's meta device.
        raise TypeError(type_name(value)) from error
    if isinstance(item, (int, float)):
        return plain_number(item)
    if "float" in type_name(item):
        # ml_dtypes' bfloat16 and its kin hand out themselves.
        return float(item)  # type: ignore[arg-type]
    raise TypeError(type_name(value))


def plain_metrics(metrics: Mapping[str, object]) -> tuple[dict[str, Number], dict[str, str]]:
    """Split metrics into what an event can hold and what it cannot.

    Returns:
        the metrics as plain numbers, and for each refused key why it was refused.
    """
    kept: dict[str, Number] = {}
    refused: dict[str, str] = {}
    for name, value in metrics.items():
        if why := _refused_name(name):
            refused[ascii(name)[:SHOWN]] = why
            continue
        try:
            kept[name] = plain_number(value)
        except (TypeError, OverflowError) as error:
            refused[name[:SHOWN]] = str(error)
    return kept, refused


def refusal(refused: Mapping[str, str]) -> str:
    """The note that says which metrics were left out of an event, and why."""
    return "refused: " + ", ".join(f"{name} ({why})" for name, why in refused.items())


def _refused_name(name: object) -> str:
    if type(name) is not str:
        return f"its name is {type_name(name)}, no string"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name holds half a surrogate pair"
    return ""


def spelled(value: float) -> float | str:
    """A float as text files can hold it: NaN and infinities spelled out, as everywhere in RLDK."""
    if value - value == 0:
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124 - NaN


def type_name(value: object) -> str:
    """The type of a value as its user writes it: `str`, `torch.Tensor`, `numpy.ndarray`."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
