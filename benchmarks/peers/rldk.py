"""RLDK itself: `open_writer`, and one `Event` per step."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchmarks.peers.interface import Row
from rldk import Event, open_writer, read_events
from rldk.io.clock import RunClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.peers.interface import Place

_RNG = {"seed": 42, "python_hash_seed": None, "torch_seed": 42, "numpy_seed": None, "random_seed": None}
_DATA = {"batch_size": 128, "window": 1}
_MODEL = {"phase": "train", "git_sha": "de64283750a04529dae8474e30cc748f6af3682a", "model_name": "Qwen/Qwen2.5-7B"}


class Log:
    """A writer, and the clock of the run."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._open(place.resumed_from)

    def _open(self, resumed_from: int | None) -> None:
        folder, run, rank, ranks, _ = self._place
        self._writer = open_writer(folder, run_id=run, rank=rank, world_size=ranks, resumed_from=resumed_from)
        self._clock = RunClock(self._writer.past)

    def log(self, step: int, metrics: dict[str, float]) -> bool:
        """Write an event: True when it is in the kernel's hands."""
        wall_time, timestamp = self._clock.now()
        return self._writer.write(
            Event(
                step=step,
                wall_time=wall_time,
                timestamp=timestamp,
                metrics=metrics,
                rng=_RNG,
                data_slice=_DATA,
                model_info=_MODEL,
                notes=[],
            )
        )

    def rewind(self, step: int) -> None:
        """Go on in a new attempt, which says what it continues after."""
        self._writer.close()
        self._open(step - 1)

    def finish(self) -> None:
        """Close the writer."""
        self._writer.close()


def start(place: Place) -> Log:
    """Open the log of this rank; what it holds stays."""
    return Log(place)


def read(folder: Path) -> list[Row]:
    """The events of every rank, replaced attempts among them; a torn last line is left out, any other damage raises."""
    logs = [path for path in sorted(folder.iterdir()) if re.search(r"_events(\.rank\d+)?\.jsonl$", path.name)]
    return [row for path in logs for row in _rows(path)]


def _rows(path: Path) -> Iterator[Row]:
    counting = {_identity(event) for event in read_events(path, mode="tolerate_torn_tail")}
    for event in read_events(path, mode="tolerate_torn_tail", history="all"):
        identity = _identity(event)
        rank, attempt, _ = identity
        source = f"rank {rank}, attempt {attempt}"
        yield Row(event.step, dict(event.metrics), source, identity not in counting, _missing(event))


def _identity(event: Event) -> tuple[object, object, int | None]:
    return event.model_info.get("rank"), event.model_info.get("attempt"), event.seq


def _missing(event: Event) -> int:
    """How many events the notes account for, as in `events_dropped: 17, seq 120-136`."""
    return sum(int(found) for note in event.notes for found in re.findall(r"^events_dropped: (\d+)", note))
