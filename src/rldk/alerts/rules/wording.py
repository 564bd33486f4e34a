"""How numbers stand in a sentence."""

from __future__ import annotations

__all__ = ["number", "percent", "steps", "times"]


def number(value: float) -> str:
    """A number in three digits."""
    return f"{value:.3g}"


def percent(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.3g} %"


def times(ratio: float) -> str:
    """A ratio: `3.2 times`."""
    return f"{ratio:.2g} times" if ratio < 100 else f"{ratio:.0f} times"  # noqa: PLR2004 - 1.2e+02 is hard to read


def steps(count: int) -> str:
    """How many steps: `1 step`, `5 steps`."""
    return "1 step" if count == 1 else f"{count:,} steps"
