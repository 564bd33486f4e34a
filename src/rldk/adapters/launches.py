"""What to say of a console in which no training step was logged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rldk.adapters.console import last_error

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["no_steps"]


def no_steps(head: bytes, path: Path, framework: str, line: str) -> str:
    """Why a console is no log, as the end of a sentence: what is missing, and the exception that it ends with.

    Args:
        head: the first bytes of the file.
        path: the file.
        framework: whose console it is.
        line: what a line with metrics looks like.
    """
    failure = last_error(head, path)
    why = f"a console of {framework} without a line `{line}`"
    if failure is None:
        return f"{why}: training did not get to its first step"
    return f"{why}: it failed with {failure.text!r} (line {failure.number})"
