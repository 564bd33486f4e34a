"""The terminal that commands print to."""

from __future__ import annotations

from rich.console import Console

__all__ = ["terminal"]


def terminal(*, stderr: bool = False) -> Console:
    """A console that leaves words as they are: no markup and no guessed colours in what users' files contain."""
    return Console(stderr=stderr, markup=False, highlight=False, soft_wrap=False)
