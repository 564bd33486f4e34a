"""The parts of the benchmark, each measured in a process of its own: what one leaves in memory slows the next."""

import importlib
from pathlib import Path

PARTS = ("writing", "recording", "rollouts", "checking", "alerting", "ingesting", "watching")


def measured(part: str, folder: str) -> list[tuple[str, str, str, str]]:
    """The figures of a part: what, how much, what is required, and the goal."""
    return list(importlib.import_module(f"benchmarks.{part}").measure(Path(folder)))
