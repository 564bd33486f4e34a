"""SwanLab offline: a run is resumed by its id, each rank is a run of its own in one group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import swanlab
from swanlab.proto.swanlab.record.v1.record_pb2 import Record
from swanlab.sdk.internal.core_python.store import DataStoreReader

from benchmarks.peers.interface import Row, rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.peers.interface import Place


class Log:
    """A run of SwanLab."""

    def __init__(self, place: Place) -> None:
        swanlab.init(
            project="peers",
            id=place.name,
            group=place.run,
            resume=None if place.resumed_from is None else "allow",
            log_dir=str(place.folder),
            mode="offline",
        )

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Hand the step to its thread."""
        swanlab.log(metrics, step=step)

    def finish(self) -> None:
        """Wait for its thread."""
        swanlab.finish()


def start(place: Place) -> Log:
    """Begin a run, or resume it."""
    return Log(place)


def read(folder: Path) -> list[Row]:
    """The rows of its files, as far as its own reader gets."""
    return rows(point for path in sorted(folder.glob("run-*/*.swanlab")) for point in _points(path))


def _points(path: Path) -> Iterator[tuple[str, int, str, float]]:
    reader = DataStoreReader()
    reader.open(path)
    for text in reader:
        record = Record.FromString(text)
        if record.WhichOneof("record_type") == "scalar":
            yield path.parent.name, record.scalar.step, record.scalar.key, record.scalar.value.number
    reader.close()
