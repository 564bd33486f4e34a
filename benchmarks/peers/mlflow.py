"""MLflow on SQLite, its default: a run is resumed by its id, each rank is a run of its own."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import mlflow

from benchmarks.peers.interface import Row

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers.interface import Place


class Log:
    """A run of MLflow."""

    def __init__(self, place: Place) -> None:
        mlflow.set_tracking_uri(f"sqlite:///{place.folder}/mlflow.db")
        mlflow.set_experiment("peers")
        earlier = None
        if place.resumed_from is not None:
            query = f"attributes.run_name = '{place.name}'"
            earlier = mlflow.search_runs(filter_string=query, output_format="list")[0].info.run_id
        mlflow.start_run(run_id=earlier, run_name=None if earlier else place.name)

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Commit the step."""
        mlflow.log_metrics(metrics, step=step)

    def finish(self) -> None:
        """End the run."""
        mlflow.end_run()


def start(place: Place) -> Log:
    """Begin a run, or resume it."""
    return Log(place)


def read(folder: Path) -> list[Row]:
    """The rows of its database: values of one run, step and millisecond belong together."""
    found: dict[tuple[str, int, int], dict[str, float]] = {}
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        for run, step, instant, name, value, is_nan in database.execute(
            "SELECT run_uuid, step, timestamp, key, value, is_nan FROM metrics ORDER BY rowid"
        ):
            found.setdefault((run, step, instant), {})[name] = math.nan if is_nan else value
    return [Row(step, metrics, run) for (run, step, _), metrics in found.items()]
