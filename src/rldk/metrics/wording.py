"""What is said of the keys of several frameworks in the same words."""

from __future__ import annotations

from typing import Final

__all__ = ["BINDS", "TOKENS_OR_RESPONSES"]

BINDS: Final = "counts only where the sign of the advantage makes the clip bind; 0 with one update per rollout"
"""What counts as clipped, as a caveat."""

TOKENS_OR_RESPONSES: Final = "mean over tokens, or over responses of the mean over tokens, as the loss is"
"""A reduction that depends on how the loss is aggregated."""
