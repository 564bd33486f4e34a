"""trackio, without a dashboard: a run is resumed by its name, each rank is a run of its own."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import trackio

from benchmarks.peers.interface import Row

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers.interface import Place

_SPELLED = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


class Log:
    """A run of trackio."""

    def __init__(self, place: Place) -> None:
        self._run = trackio.init(
            project="peers",
            name=place.name,
            group=place.run,
            resume="never" if place.resumed_from is None else "allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Hand the step to its sender."""
        trackio.log(metrics, step=step)

    def finish(self) -> None:
        """Wait for its sender."""
        trackio.finish()


def start(place: Place) -> Log:
    """Begin a run, or resume it; `TRACKIO_DIR` says where."""
    return Log(place)


def read(folder: Path) -> list[Row]:
    """The rows of its databases."""
    found = []
    for path in folder.glob("*.db"):
        with closing(sqlite3.connect(path)) as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'metrics'").fetchone():
                # Killed before it sent anything: the database was only begun.
                continue
            for run, step, metrics in database.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id"):
                found.append(Row(step, {name: _value(value) for name, value in json.loads(metrics).items()}, run))
    return found


def _value(value: Any) -> Any:
    return _SPELLED.get(value, value) if isinstance(value, str) else value
