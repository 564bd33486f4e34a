"""tinker-cookbook: metrics.jsonl, in which a line holds training and evaluation beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from rldk.adapters.base import Bad, Certainty, Claim, FormatAdapter, Reading, no
from rldk.adapters.foreign_json import JsonLine, document, json_lines, objects
from rldk.adapters.phases import line_items, parts
from rldk.adapters.records import EventBuilder, run_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rldk.adapters.base import Item

__all__ = ["TinkerAdapter"]

_BATCH: Final = "progress/batch"
_SUPERVISED: Final = {"train_mean_nll", "num_loss_tokens"}
_WANDB: Final = {"_step", "_runtime", "_timestamp", "_wandb"}
"""What the same metrics have beside them in files of Weights & Biases."""
_SECRETS: Final = ("key", "token", "secret", "password")


class TinkerAdapter(FormatAdapter):
    """Reads the metrics of tinker-cookbook, and the config.json beside them."""

    name: ClassVar[str] = "tinker"
    reads: ClassVar[str] = "tinker-cookbook: metrics.jsonl with progress/batch, and config.json beside it"

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether the lines have the fields of tinker-cookbook."""
        records = [record for record in objects(head) if record.keys().isdisjoint(_WANDB)]
        if any(_BATCH in record for record in records):
            return Claim(Certainty.SURE, f"JSON lines with {_BATCH}")
        if any(record.keys() >= _SUPERVISED for record in records):
            return Claim(Certainty.TYPICAL, f"JSON lines with {' and '.join(sorted(_SUPERVISED))}")
        return no(f"no JSON lines with {_BATCH} or train_mean_nll")

    def read(self, path: Path) -> Reading:
        """The run that the file is of."""
        facts = _config(path.parent / "config.json")
        info = {"model_name": facts["model_name"]} if isinstance(facts.get("model_name"), str) else {}
        builder = EventBuilder(run_name(path), "tinker", field_map=self.field_map, info=info)
        return Reading(_items(path, builder), "batch: one optimizer step or more", builder.sources, facts=facts)


def _config(path: Path) -> dict[str, Any]:
    """The settings beside a log that are no objects, without secrets; none when there is no such file."""
    found = document(path) if path.is_file() else None
    if found is None or isinstance(found, Bad) or not isinstance(found.value, dict):
        return {}
    return {
        key: value
        for key, value in found.value.items()
        if isinstance(value, (str, int, float)) and not key.lower().endswith(_SECRETS)
    }


def _items(path: Path, builder: EventBuilder) -> Iterator[Item]:
    for each in json_lines(path):
        if isinstance(each, JsonLine):
            record = dict(each.members)
            step = record.pop("step", record.get(_BATCH))
            events = [builder.event(part.metrics, step=step, phase=part.phase) for part in parts(record, ("test/",))]
            yield from line_items(each.line, path, events)
        else:
            yield each
