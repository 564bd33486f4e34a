"""DreamerV3: metrics.jsonl and scores.jsonl, of the original and of dreamerv3-torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from rldk.adapters.base import Certainty, Claim, FormatAdapter, Reading, no
from rldk.adapters.foreign_json import JsonLine, json_lines, objects
from rldk.adapters.phases import line_items, parts
from rldk.adapters.records import EventBuilder, number, run_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rldk.adapters.base import Item

__all__ = ["DreamerAdapter"]

_SURE: Final = (
    ("train_return", "train_episodes"),
    ("train_return", "dataset_size"),
    ("train/loss/", "train/opt/"),
    ("train/dyn_loss", "train/rep_loss"),
    ("dyn_loss", "rep_loss"),
)
"""Beginnings of keys that nobody else has together."""
_TYPICAL: Final = (("episode/score",), ("eval_episode/score",), ("train/loss/",), ("eval_return", "eval_length"))
_WANDB: Final = {"_step", "_runtime", "_timestamp", "_wandb"}
"""What the same metrics have beside them in files of Weights & Biases."""
_EVAL: Final = ("eval_", "eval/")


class DreamerAdapter(FormatAdapter):
    """Reads what DreamerV3 logs: an episode, or the means of some training, on each line."""

    name: ClassVar[str] = "dreamer"
    reads: ClassVar[str] = "DreamerV3: metrics.jsonl, scores.jsonl, of dreamerv3-torch too"

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether the lines have the fields of DreamerV3."""
        records = [record for record in objects(head) if "step" in record and record.keys().isdisjoint(_WANDB)]
        for certainty, choices in ((Certainty.SURE, _SURE), (Certainty.TYPICAL, _TYPICAL)):
            for names in choices:
                if any(_has(record, names) for record in records):
                    return Claim(certainty, f"JSON lines with step, {', '.join(names)}")
        return no("no JSON lines with step and episode/score, train/loss/... or train_return")

    def read(self, path: Path) -> Reading:
        """The run that the file is of."""
        builder = EventBuilder(run_name(path), "dreamer", field_map=self.field_map)
        return Reading(_items(path, builder), "environment frame, action repeats included", builder.sources)


def _items(path: Path, builder: EventBuilder) -> Iterator[Item]:
    for each in json_lines(path):
        if isinstance(each, JsonLine):
            record = {key: number(value) if isinstance(value, str) else value for key, value in each.members.items()}
            step = record.pop("step", None)
            events = [builder.event(part.metrics, step=step, phase=part.phase) for part in parts(record, _EVAL)]
            yield from line_items(each.line, path, events)
        else:
            yield each


def _has(record: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    return all(any(key.startswith(name) for key in record) for name in names)
