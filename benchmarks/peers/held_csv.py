"""Written by us after the behaviour of Lightning's CSVLogger: rows are held, and each 100 the file is written anew."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from benchmarks.peers.sb3_csv import read as read_progress

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers.interface import Place, Row

HELD = 100


class Log:
    """The rows of a run."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._path = path
        self._rows: list[dict[str, float]] = []
        self._columns: dict[str, None] = {}
        self._saved = 0

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Hold a row; at each hundredth, write those that are held."""
        row = {"step": step, **metrics}
        self._rows.append(row)
        if len(self._rows) % HELD == 0:
            self._save()

    def _save(self) -> None:
        columns = dict.fromkeys(name for row in self._rows[self._saved :] for name in row)
        anew = not columns.keys() <= self._columns.keys()
        self._columns |= columns
        with self._path.open("w" if anew else "a", encoding="utf-8", newline="") as file:
            rows = csv.DictWriter(file, list(self._columns))
            if anew:
                rows.writeheader()
            rows.writerows(self._rows if anew else self._rows[self._saved :])
        self._saved = len(self._rows)

    def finish(self) -> None:
        """Write what is held."""
        if self._saved < len(self._rows):
            self._save()


def start(place: Place) -> Log:
    """Begin without what is there."""
    return Log(place.folder / "progress.csv")


def read(folder: Path) -> list[Row]:
    """The rows whose cells are numbers; none while there is no file."""
    return read_progress(folder) if (folder / "progress.csv").exists() else []
