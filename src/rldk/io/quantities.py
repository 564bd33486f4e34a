"""Amounts as people write them: `64 MB`, `1 h`, `100 events`, `20 segments`."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final, Literal, NamedTuple

__all__ = ["Quantity", "QuantityKind", "parse"]

QuantityKind = Literal["bytes", "seconds", "events", "segments"]
"""What an amount is an amount of."""

_EXAMPLES: Final[dict[QuantityKind, str]] = {
    "bytes": "a size such as '64 MB'",
    "seconds": "a time such as '1 h'",
    "events": "a number of events such as '100 events'",
    "segments": "a number of segments such as '20 segments'",
}
_SIZES: Final[dict[str, int]] = {
    "B": 1,
    **{prefix + "B": 1000 ** (power + 1) for power, prefix in enumerate("kMGT")},
    **{prefix + "iB": 1024 ** (power + 1) for power, prefix in enumerate("KMGT")},
}
_TIMES: Final[dict[str, Fraction | int]] = {
    "ms": Fraction(1, 1000),
    "s": 1,
    "min": 60,
    "h": 3600,
    "day": 86_400,
    "days": 86_400,
}
_UNITS: Final[dict[str, tuple[QuantityKind, Fraction | int]]] = {
    **{unit.lower(): ("bytes", size) for unit, size in _SIZES.items()},
    **{unit: ("seconds", time) for unit, time in _TIMES.items()},
    "event": ("events", 1),
    "events": ("events", 1),
    "segment": ("segments", 1),
    "segments": ("segments", 1),
}
# So few digits that every amount is a finite float, and far more than any disk or any training needs.
_AMOUNT: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([A-Za-z]+)")


class Quantity(NamedTuple):
    """So much of something."""

    kind: QuantityKind
    amount: float
    """More than 0. An int, unless it is of seconds; a size with a decimal point is rounded to whole bytes."""


def parse(text: str, *, of: tuple[QuantityKind, ...], name: str) -> Quantity:
    """The amount that a text means.

    Sizes are in B, kB, MB, GB and TB (powers of 1000) or KiB, MiB, GiB and TiB (powers of 1024), times in ms, s,
    min, h and days; `mb` is taken for `MB`. Sizes and times may have decimals, events and segments are whole.

    >>> parse("1.5 kB", of=("bytes", "seconds"), name="rotation")
    Quantity(kind='bytes', amount=1500)

    Args:
        text: the amount, as its user wrote it.
        of: the kinds that make sense here.
        name: what the user knows the argument by.

    Raises:
        ValueError: the text is no such amount.
    """
    match = _AMOUNT.fullmatch(text) if isinstance(text, str) else None
    kind, size = _UNITS.get(match[2].lower(), (None, 0)) if match else (None, 0)
    if match is None or kind is None or kind not in of:
        raise _error(text, of, name)
    amount = Fraction(match[1]) * size
    if kind == "seconds":
        number: float = float(amount)
    elif kind == "bytes":
        number = round(amount)
    else:
        number = int(amount) if amount.denominator == 1 else 0
    if not number:
        raise _error(text, of, name)
    return Quantity(kind, number)


def _error(text: object, of: tuple[QuantityKind, ...], name: str) -> ValueError:
    *others, last = (_EXAMPLES[kind] for kind in of)
    expected = f"{', '.join(others)} or {last}" if others else last
    return ValueError(f"{name}: expected {expected}, found {text!r}")
