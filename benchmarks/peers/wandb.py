"""W&B offline: a run is resumed by its id, each rank is a run of its own in one group."""

from __future__ import annotations

import json
import struct
import zlib
from typing import TYPE_CHECKING

import wandb
from wandb.proto import wandb_internal_pb2

from benchmarks.peers.interface import Row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.peers.interface import Place

_BLOCK = 32768
_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _LAST = 1, 2, 4


class Log:
    """A run of W&B."""

    def __init__(self, place: Place) -> None:
        self._run = wandb.init(
            project="peers",
            id=place.name,
            group=place.run,
            resume=None if place.resumed_from is None else "allow",
            dir=place.folder,
            mode="offline",
            settings=wandb.Settings(x_disable_stats=True),
        )

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Hand the step to its service."""
        self._run.log(metrics, step=step)

    def finish(self) -> None:
        """Wait for its service."""
        self._run.finish()


def start(place: Place) -> Log:
    """Begin a run, or resume it."""
    return Log(place)


def read(folder: Path) -> list[Row]:
    """The rows of its transaction logs, each up to the first damage."""
    found = []
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for text in _records(path.read_bytes()):
            record = wandb_internal_pb2.Record.FromString(text)
            if record.WhichOneof("record_type") == "history":
                metrics = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
                values = {name: json.loads(value) for name, value in metrics.items()}
                values = {name: _value(value) for name, value in values.items()}
                found.append(Row(int(values.pop("_step")), values, f"{path.parent.name}/{path.name}"))
    return found


def _value(value: object) -> object:
    """What a text stands for: W&B spells numbers that are not finite."""
    return float(value) if isinstance(value, str) and value in {"NaN", "Infinity", "-Infinity"} else value


def _records(text: bytes) -> Iterator[bytes]:
    """The whole records of a log in LevelDB's format, which stands behind a header of seven bytes."""
    at, begun = _HEADER.size, b""
    while at + _HEADER.size <= len(text):
        room = _BLOCK - at % _BLOCK
        if room < _HEADER.size:
            at += room
            continue
        checksum, length, kind = _HEADER.unpack_from(text, at)
        at += _HEADER.size
        part = text[at : at + length]
        if len(part) < length or zlib.crc32(part, zlib.crc32(bytes([kind]))) != checksum:
            return
        at += length
        begun = part if kind in {_FULL, _FIRST} else begun + part
        if kind in {_FULL, _LAST}:
            yield begun
