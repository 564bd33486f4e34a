"""LLaMA-Factory: trainer_log.jsonl, which its callback writes beside transformers' own log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from rldk.adapters.base import Aside, Certainty, Claim, FormatAdapter, Parsed, Reading, no
from rldk.adapters.durations import Elapsed, seconds
from rldk.adapters.foreign_json import JsonLine, json_lines, objects
from rldk.adapters.records import EventBuilder, number, run_name
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rldk.adapters.base import Item

__all__ = ["LLaMAFactoryAdapter"]

_STEPS: Final = ("current_steps", "total_steps")
_PROGRESS: Final = {*_STEPS, "percentage", "elapsed_time", "remaining_time"}
_SUMMARY: Final = {*_PROGRESS, "epoch", "throughput", "total_tokens", "vram_allocated", "vram_reserved"}
_ABSENT: Final = {"loss", "eval_loss", "predict_loss", "reward", "accuracy", "lr", "learning_rate", "epoch"}
"""Old versions write each of these on every line, and null where the trainer logged none."""
_TIMES: Final = ("elapsed_time", "remaining_time")
_EVAL: Final = {"eval_loss": ("eval_", None), "predict_loss": ("predict_", "predict")}
"""What only an evaluation has: the prefix of its keys, and its set."""


class LLaMAFactoryAdapter(FormatAdapter):
    """Reads the log that LLaMA-Factory's own callback writes.

    A null is no value there, but a field that the line does not have. After training, old versions count an
    evaluation's batches as steps; such a line is put at the last training step, with a note.
    """

    name: ClassVar[str] = "llamafactory"
    reads: ClassVar[str] = "LLaMA-Factory: trainer_log.jsonl, with current_steps and total_steps"

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether the lines have current_steps and total_steps."""
        if any(record.keys() >= set(_STEPS) for record in objects(head)):
            return Claim(Certainty.SURE, "JSON lines with current_steps and total_steps")
        return no("no JSON lines with current_steps and total_steps")

    def read(self, path: Path) -> Reading:
        """The run that the file is of."""
        builder = EventBuilder(run_name(path), "llamafactory", field_map=self.field_map)
        return Reading(_Log(path, builder).items(), "optimizer update", builder.sources)


class _Log:
    """Goes through a log.

    Args:
        path: the log.
        builder: makes the events.
    """

    def __init__(self, path: Path, builder: EventBuilder) -> None:
        self._path = path
        self._builder = builder
        self._elapsed = Elapsed()
        self._trained: tuple[Any, Any] = (0, None)
        """The last step of training, and how many there are to be."""

    def items(self) -> Iterator[Item]:
        """What becomes of each line."""
        for each in json_lines(self._path):
            yield self._item(each) if isinstance(each, JsonLine) else each

    def _item(self, each: JsonLine) -> Item:
        record = _values(each.members)
        if _STEPS[0] in record and record.keys() <= _PROGRESS:
            return Aside("progress of an evaluation, without metrics")
        phase, eval_set, prefix = _phase(record)
        current, total = record.pop("current_steps", None), record.get("total_steps")
        notes: tuple[str, ...] = ()
        step = current
        if phase != "eval":
            self._trained = (current, total)
        elif total != self._trained[1]:
            step = self._trained[0]
            notes = (f"own_axis: {current} of {total} counts batches of the evaluation; put at the last training step",)
        place = self._elapsed.place(current if phase == "train" else None, seconds(record.get("elapsed_time")))
        if place.wall_time is not None:
            record.pop("elapsed_time")
        event = self._builder.event(
            {key.removeprefix(prefix): value for key, value in record.items()},
            step=step,
            phase=phase,
            eval_set=eval_set,
            wall_time=place.wall_time,
            notes=(*place.notes, *notes),
        )
        if isinstance(event, Problem):
            return each.line.bad(self._path, event)
        return Parsed(place.mark(event))


def _values(members: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a line that are there, numbers in quotes as numbers."""
    return {
        key: number(value) if isinstance(value, str) and key not in _TIMES else value
        for key, value in members.items()
        if not (value is None and key in _ABSENT)
    }


def _phase(record: Mapping[str, Any]) -> tuple[str, str | None, str]:
    """The phase of a line, the set it was evaluated on, and what stands before its keys."""
    for key, (prefix, eval_set) in _EVAL.items():
        if key in record:
            return "eval", eval_set, prefix
    return "final" if record.keys() <= _SUMMARY else "train", None, ""
