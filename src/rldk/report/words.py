"""Numbers as a person reads them."""

from __future__ import annotations

__all__ = ["duration", "number", "plural"]


def number(value: float | None) -> str:
    """A number to four digits, a dash for none; whole numbers below a billion in full."""
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) and abs(value) < 10**9 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: `3.2 s`, `4 min 05 s`, `7 h 12 min`."""
    if round(seconds, 1) < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def plural(count: int, noun: str) -> str:
    """So many of something: `1 event`, `2,000 events`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
