"""What is looked at when a training has ended."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from rldk.io.manifest import Manifest, read_manifest
from rldk.io.reader import read_events
from rldk.io.segments import find_logs
from rldk.io.validator import validate_jsonl_file

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.io.event_schema import Event

DERIVED = ["alerts.json", "events.jsonl", "final_report.json", "manifest.json", "metrics.csv", "metrics.json"]


def events(logs: Path) -> list[Event]:
    """All events of the one run in a folder, whose log must be valid by every rule."""
    (log,) = find_logs(logs)
    report = validate_jsonl_file(log.path, strict=True)
    assert report, report
    return list(read_events(log.path, history="all"))


def manifest(logs: Path) -> Manifest:
    """The manifest of the one run in a folder."""
    (log,) = find_logs(logs)
    return read_manifest(log)


def files(logs: Path) -> list[str]:
    """What the one run in a folder has left, by the ends of the names."""
    (log,) = find_logs(logs)
    return sorted(
        path.name.removeprefix(f"{log.run_id}_") for path in logs.iterdir() if not path.name.endswith(".lock")
    )


def curve(found: list[Event], phase: str) -> list[tuple[int, str | None]]:
    """The points of a phase, in the order in which they were written."""
    return [(event.step, event.eval_set) for event in found if event.phase == phase]


def tensorboard(folder: Path) -> dict[tuple[str, int], float]:
    """What OpenRLHF itself has written: the value of each tag at each step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        log = EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
        log.Reload()
        for tag in log.Tags()["scalars"]:
            found |= {(tag, scalar.step): scalar.value for scalar in log.Scalars(tag)}
    return found


def differences(found: list[Event], renamed: dict[str, Any], written: dict[tuple[str, int], float]) -> list[Any]:
    """The values in TensorBoard's file that are not those of the events, which hold them in full length."""
    recorded: dict[tuple[str, int], Any] = {}
    for event in found:
        natives = {native: source.canonical for native, source in renamed.items()} | {
            name: name for name in event.metrics
        }
        for native, name in natives.items():
            if name in event.metrics:
                recorded |= {(tag, event.step): event.metrics[name] for tag in _tags(event, native)}
    return [
        (key, value, recorded.get(key, "absent"))
        for key, value in written.items()
        if key not in recorded or _single(recorded[key]) != _single(value)
    ]


def _tags(event: Event, native: str) -> list[str]:
    """What OpenRLHF may call a key in TensorBoard: the prefix of an evaluation is taken off in an event."""
    if event.phase == "train":
        return [f"train/{native}"]
    of_a_set = f"eval_{event.eval_set}_" if event.eval_set else "eval_"
    return [f"eval/{prefix}{native}" for prefix in (of_a_set, "eval ", "")]


def _single(value: float) -> bytes:
    """A value in single precision, as TensorBoard keeps it; NaN is equal to itself."""
    return struct.pack("<f", value)
