"""ms-swift: logging.jsonl, which its callback writes with the step as `"12/438"`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rldk.adapters.base import Aside, Certainty, Claim, FormatAdapter, Parsed, Reading, no
from rldk.adapters.durations import Elapsed, seconds
from rldk.adapters.foreign_json import JsonLine, json_lines, objects
from rldk.adapters.records import EventBuilder, run_name, whole_step
from rldk.adapters.trl_logs import read_entry
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rldk.adapters.base import Item

__all__ = ["MSSwiftAdapter"]

_STEPS: Final = ("global_step/max_steps", "iteration")
"""Where the step stands as `12/438`; the second is Megatron-SWIFT's."""
_OF: Final = re.compile(r"(\d{1,18})/(-?\d{1,18})")
_SURE: Final = ("global_step/max_steps", "train_speed(iter/s)", "train_speed(s/it)", "memory(GiB)")
_ADDED: Final = (
    "train_speed(iter/s)",
    "train_speed(s/it)",
    "memory(GiB)",
    "percentage",
    "elapsed_time",
    "remaining_time",
)
"""What ms-swift adds to every log of the trainer, whatever its phase."""
_TYPICAL: Final = ("loss", "eval_loss", "learning_rate")
_SUMMARY: Final = ("last_model_checkpoint", "best_model_checkpoint", "log_history", "model_parameter_info")


class MSSwiftAdapter(FormatAdapter):
    """Reads the log that ms-swift writes beside transformers' own.

    Its last line, the summary with the checkpoints and all that was logged once more, is set aside.
    """

    name: ClassVar[str] = "ms_swift"
    reads: ClassVar[str] = "ms-swift: logging.jsonl, with global_step/max_steps, or global_step in old versions"

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether the lines have the fields of ms-swift."""
        records = objects(head)
        for name in _SURE:
            if any(name in record for record in records):
                return Claim(Certainty.SURE, f"JSON lines with {name}")
        for record in records:
            if {"global_step", "epoch"} <= record.keys() and not record.keys().isdisjoint(_TYPICAL):
                return Claim(Certainty.TYPICAL, "JSON lines with global_step, epoch and loss, as of old versions")
        return no("no JSON lines with global_step/max_steps, train_speed, or global_step and epoch")

    def read(self, path: Path) -> Reading:
        """The run that the file is of."""
        builder = EventBuilder(run_name(path), "ms_swift", field_map=self.field_map)
        facts: dict[str, Any] = {}
        return Reading(_items(path, builder, facts), "optimizer update", builder.sources, facts=facts)


def _items(path: Path, builder: EventBuilder, facts: dict[str, Any]) -> Iterator[Item]:
    elapsed = Elapsed()
    for each in json_lines(path):
        if not isinstance(each, JsonLine):
            yield each
        elif any(name in each.members for name in _SUMMARY):
            facts.update({key: value for key, value in each.members.items() if isinstance(value, (str, int, float))})
            yield Aside("summary of the run")
        else:
            yield _item(each, path, builder, elapsed)


def _item(each: JsonLine, path: Path, builder: EventBuilder, elapsed: Elapsed) -> Item:
    record = dict(each.members)
    step, limit = _step(record)
    added = {key: record.pop(key) for key in _ADDED if key in record}
    entry = read_entry(record)
    whole = whole_step(step)
    place = elapsed.place(whole if entry.phase == "train" else None, seconds(added.get("elapsed_time")))
    if place.wall_time is not None:
        added.pop("elapsed_time")
    event = builder.event(
        entry.metrics | added,
        step=step,
        phase=entry.phase,
        eval_set=entry.eval_set,
        wall_time=place.wall_time,
        data_slice=limit,
        notes=place.notes,
    )
    return each.line.bad(path, event) if isinstance(event, Problem) else Parsed(place.mark(event))


def _step(record: dict[str, Any]) -> tuple[Any, dict[str, int]]:
    """The step, taken out of a record, and how many there are to be."""
    for name in _STEPS:
        match = _OF.fullmatch(record[name]) if isinstance(record.get(name), str) else None
        if match:
            record.pop(name)
            return match[1], {"max_steps": int(match[2])}
    return record.pop("global_step", None), {}
