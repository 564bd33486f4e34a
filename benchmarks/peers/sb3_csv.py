"""Written by us after the behaviour of Stable-Baselines3's CSV output: `progress.csv`, opened with truncation."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from benchmarks.peers.interface import Row

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers.interface import Place


class Log:
    """An open file and its columns; a step with another column has the whole file written again."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+", encoding="utf-8", newline="")
        self._columns: list[str] = []

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Write a row and flush it."""
        row = {"step": step, **metrics}
        if extra := [name for name in row if name not in self._columns]:
            self._widen(extra)
        csv.writer(self._file).writerow([row.get(name, "") for name in self._columns])
        self._file.flush()

    def _widen(self, extra: list[str]) -> None:
        self._file.seek(0)
        past = list(csv.reader(self._file))[1:]
        self._columns += extra
        self._file.seek(0)
        rows = csv.writer(self._file)
        rows.writerow(self._columns)
        rows.writerows([*row, *[""] * len(extra)] for row in past)

    def finish(self) -> None:
        """Close the file."""
        self._file.close()


def start(place: Place) -> Log:
    """Open the file, emptied."""
    return Log(place.folder / "progress.csv")


def read(folder: Path) -> list[Row]:
    """The rows whose cells are numbers; any other is passed over."""
    found = []
    with (folder / "progress.csv").open(encoding="utf-8", errors="replace", newline="") as file:
        for row in csv.DictReader(file):
            try:
                metrics = {str(name): float(value) for name, value in row.items() if value != ""}
            except (TypeError, ValueError):
                continue
            found.append(Row(int(metrics.pop("step")), metrics))
    return found
