"""Aim: a run is resumed by its hash, each rank is a run of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aim import Repo, Run

from benchmarks.peers.interface import Row, rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.peers.interface import Place


class Log:
    """A run of Aim."""

    def __init__(self, place: Place) -> None:
        earlier = None
        if place.resumed_from is not None:
            (earlier,) = Repo.from_path(str(place.folder)).list_all_runs()
        self._run = Run(
            earlier,
            repo=str(place.folder),
            system_tracking_interval=None,
            log_system_params=False,
            capture_terminal_logs=False,
        )

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Track the step."""
        self._run.track(metrics, step=step)

    def finish(self) -> None:
        """Close the run."""
        self._run.close()


def start(place: Place) -> Log:
    """Begin a run, or resume it."""
    return Log(place)


def read(folder: Path) -> list[Row]:
    """The rows of its repository, which first has to be indexed, as `aim storage reindex` does it."""
    repository = Repo.from_path(str(folder))
    repository._recreate_index()  # noqa: SLF001 - the command asks back
    return rows(_points(repository))


def _points(repository: Repo) -> Iterator[tuple[str, int, str, float]]:
    for run in repository.query_metrics("metric.name != ''").iter_runs():
        for metric in run:
            # Joined by key: Aim's own lists pair them by position, and a kill can leave a value without its step.
            values = dict(zip(*metric.values.sparse_list(), strict=True))
            for key, step in zip(*metric.data.steps.sparse_list(), strict=True):
                yield run.run.hash, step, metric.name, values.get(key)
