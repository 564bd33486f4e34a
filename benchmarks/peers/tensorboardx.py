"""tensorboardX: all in one folder; a resumed run says with `purge_step` which earlier steps no longer count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboardX import SummaryWriter

from benchmarks.peers.interface import Row, rows

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers.interface import Place


class Log:
    """A writer of tensorboardX."""

    def __init__(self, place: Place) -> None:
        purge = None if place.resumed_from is None else place.resumed_from + 1
        self._writer = SummaryWriter(str(place.folder / place.run), purge_step=purge)

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Hand over one scalar after the other."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def finish(self) -> None:
        """Wait for its thread."""
        self._writer.close()


def start(place: Place) -> Log:
    """Open a file of its own in the folder of the run."""
    return Log(place)


def read(folder: Path) -> list[Row]:
    """The rows of its files, up to the first damage of each; those from a purged step on are replaced."""
    found: list[Row] = []
    for path in sorted(folder.glob("*/events*")):
        points = []
        for record in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(record)
            if event.session_log.status == SessionLog.START:
                found = [row._replace(replaced=row.replaced or row.step >= event.step) for row in found]
            points += [(path.name, event.step, value.tag, value.simple_value) for value in event.summary.value]
        found += rows(points)
    return found
