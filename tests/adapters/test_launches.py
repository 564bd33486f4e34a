"""What is said of consoles in which training never got going."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rldk.adapters.launches import no_steps

if TYPE_CHECKING:
    from pathlib import Path


def test_the_exception_that_ended_it_is_named(tmp_path: Path) -> None:
    """With the line it stands in; without one nothing more is known."""
    traceback = b"Traceback (most recent call last):\n  File x\nValueError: no data\n"

    assert no_steps(traceback, tmp_path, "verl", "step:N") == (
        "a console of verl without a line `step:N`: it failed with 'ValueError: no data' (line 3)"
    )
    assert no_steps(b"hello\n", tmp_path, "verl", "step:N") == (
        "a console of verl without a line `step:N`: training did not get to its first step"
    )
