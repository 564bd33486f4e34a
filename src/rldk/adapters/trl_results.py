"""What the scripts of transformers save at their end: `all_results.json`, `train_results.json`, `eval_results.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rldk.adapters.base import Bad, Parsed, Reading
from rldk.adapters.foreign_json import document
from rldk.adapters.records import EventBuilder, run_name
from rldk.adapters.trl_algorithm import trained_by_files, trained_by_keys
from rldk.adapters.trl_logs import read_entry
from rldk.adapters.trl_state import current_state, global_step
from rldk.errors import UnknownFormatError
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rldk.adapters.base import Item
    from rldk.adapters.foreign_json import Document

__all__ = ["is_results", "read_results"]

_AXIS: Final = "optimizer update"


def is_results(members: Mapping[str, Any]) -> bool:
    """Whether an object is what `Trainer.save_metrics` saves: a runtime with its rate, and no step."""
    return "step" not in members and any(
        key.endswith("_runtime") and f"{key.removesuffix('_runtime')}_samples_per_second" in members for key in members
    )


def read_results(path: Path, field_map: Mapping[str, str]) -> Reading:
    """The last events of a run. The step is that of the state beside; the file has none.

    Raises:
        UnknownFormatError: there is no state beside it.
    """
    found = document(path)
    if isinstance(found, Bad):
        return Reading(iter([found]), _AXIS, {}, "record")
    state = current_state(path.parent)
    step = global_step(state) if state else -1
    if step < 0 and "step" not in field_map:
        reason = (
            "expected trainer_state.json beside it, or in a checkpoint there, found none: the results say nothing of "
            "their step; put it there, or ingest the state or the console of the run instead"
        )
        raise UnknownFormatError(path, reason)
    parts = _parts(found.value) if isinstance(found.value, dict) else []
    keys = {key for part in parts for key in read_entry(part).metrics}
    trained = trained_by_files(path.parent) or trained_by_keys(keys)
    made = EventBuilder(run_name(path), trained.framework, trained.algorithm, field_map=field_map)
    facts = trained.facts() | ({"step_told_by": str(state)} if state else {})
    return Reading(_items(found, parts, step, made), _AXIS, made.sources, "record", facts)


def _parts(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What belongs to each evaluation, by its prefix; then what is left, which belongs to the training."""
    prefixes = [key.removesuffix("_runtime") for key in results if key.endswith("_runtime")]
    prefixes = sorted((prefix for prefix in prefixes if prefix != "train"), key=len, reverse=True)
    parts: dict[str, dict[str, Any]] = {prefix: {} for prefix in prefixes}
    rest: dict[str, Any] = {}
    for key, value in results.items():
        prefix = next((prefix for prefix in prefixes if key.startswith(f"{prefix}_")), None)
        (rest if prefix is None else parts[prefix])[key] = value
    found = [parts[prefix] for prefix in reversed(prefixes)]
    if "train_loss" in rest or not found:
        return [*found, rest]
    return [*found[:-1], found[-1] | rest]


def _items(found: Document, parts: list[dict[str, Any]], step: int, made: EventBuilder) -> Iterator[Item]:
    if not parts:
        yield found.bad(Problem("not_an_object", "an object", "something else"))
    for index, part in enumerate(parts):
        phase, eval_set, metrics = read_entry(part)
        event = made.event(metrics, step=step if step >= 0 else None, phase=phase, eval_set=eval_set)
        lines = 0 if index else 1
        yield found.bad(event, records=lines) if isinstance(event, Problem) else Parsed(event, lines)
