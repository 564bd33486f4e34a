"""The terminal that commands print to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from rich.console import Console

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["paragraph_width", "print_table", "terminal", "widen"]

_WIDE: Final = 10_000
"""More columns than any table has."""


def terminal(*, stderr: bool = False) -> Console:
    """A console that leaves words as they are: no markup and no guessed colours in what users' files contain."""
    return Console(stderr=stderr, markup=False, highlight=False, soft_wrap=False)


def paragraph_width(console: Console) -> float:
    """The columns in which a paragraph is to be broken: those of the terminal; in a pipe each is one line."""
    return console.width if console.is_terminal else math.inf


def widen(console: Console) -> None:
    """Let what is printed be as wide as it needs to be where there is no terminal, as in a pipe."""
    if not console.is_terminal:
        console.width = _WIDE


def print_table(table: Table, console: Console) -> None:
    """Print a table as wide as the terminal; as wide as it needs to be where there is none, as in a pipe."""
    widen(console)
    console.print(table)
