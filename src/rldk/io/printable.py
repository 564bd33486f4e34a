"""Texts of a log that a terminal shows, and does not obey."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["printable"]

_OBEYED: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters, ends of a line among them, and what turns the direction of writing around."""


def printable(text: str) -> str:
    r"""A text on one line, with codes for what a terminal would obey instead of showing it: `\x1b`."""
    return _OBEYED.sub(lambda match: ascii(match[0])[1:-1] if match[0] > "\xff" else f"\\x{ord(match[0]):02x}", text)
