"""Which settings are secrets, by their names."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["names_secret"]

_SECRET: Final = re.compile(
    r"(?i)(?:\A|[-_.])(?:token|secrets?|passwords?|passwd|credentials?|(?:api|access)_?keys?|key|use_wandb)\Z"
)
"""The value of `use_wandb`, which OpenRLHF had up to 0.10.1, is a key."""


def names_secret(name: str) -> bool:
    """Whether a setting of this name holds a key, a token or a password; its value is not looked at."""
    return _SECRET.search(name) is not None
