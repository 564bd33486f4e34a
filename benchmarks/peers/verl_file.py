"""Written by us after the behaviour of verl's FileLogger: orjson, and an unbuffered file opened with truncation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.peers.interface import Row

try:
    from orjson import dumps
except ImportError:
    # The tests of this benchmark do without orjson; msgspec too writes NaN as null.
    from msgspec.json import encode as dumps

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers.interface import Place


class Log:
    """An open file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Write a line, without a look at how much of it was taken."""
        self._file.write(dumps({"step": step, "data": metrics}) + b"\n")

    def finish(self) -> None:
        """Close the file."""
        self._file.close()


def start(place: Place) -> Log:
    """Open the file of the run, emptied."""
    return Log(place.folder / f"{place.run}.jsonl")


def read(folder: Path) -> list[Row]:
    """The rows of lines that parse; any other is passed over."""
    found = []
    for path in folder.glob("*.jsonl"):
        for line in path.read_bytes().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            found.append(Row(record["step"], record["data"]))
    return found
