"""Written by us after the behaviour of Stable-Baselines3's JSON output: `progress.json`, opened with truncation."""

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
        self._file = path.open("w", encoding="utf-8")

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Write a line and flush it."""
        self._file.write(json.dumps({**metrics, "step": step}) + "\n")
        self._file.flush()

    def finish(self) -> None:
        """Close the file."""
        self._file.close()


def start(place: Place) -> Log:
    """Open the file, emptied."""
    return Log(place.folder / "progress.json")


def read(folder: Path) -> list[Row]:
    """The rows of lines that parse; any other is passed over."""
    found = []
    for line in (folder / "progress.json").read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            metrics = json.loads(line)
        except ValueError:
            continue
        found.append(Row(int(metrics.pop("step")), metrics))
    return found
