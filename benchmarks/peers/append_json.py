"""A reference of ours: append one line of JSON per step to a file and flush it, nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.peers.interface import Row

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers.interface import Place


class Log:
    """An open file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Write a line."""
        self._file.write(json.dumps({"step": step, **metrics}) + "\n")
        self._file.flush()

    def finish(self) -> None:
        """Close the file."""
        self._file.close()


def start(place: Place) -> Log:
    """Open the file for appending."""
    return Log(place.folder / "metrics.jsonl")


def read(folder: Path) -> list[Row]:
    """The rows of lines that parse; any other is passed over."""
    found = []
    for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            metrics = json.loads(line)
        except ValueError:
            continue
        found.append(Row(int(metrics.pop("step")), metrics))
    return found
