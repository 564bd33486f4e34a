"""What a Trainer saves of its history: `trainer_state.json`, in the output folder and in every checkpoint."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from rldk.adapters.base import HEAD, Bad, Parsed, Reading
from rldk.adapters.foreign_json import document
from rldk.adapters.records import EventBuilder, run_name, whole_step
from rldk.adapters.trl_algorithm import Trained, trained_by_files, trained_by_keys
from rldk.adapters.trl_beside import completions, results
from rldk.adapters.trl_logs import LogReader, read_entry
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from rldk.adapters.base import Item
    from rldk.adapters.foreign_json import Document

__all__ = ["CHECKPOINT", "STATE", "current_state", "global_step", "output_folder", "read_state", "rounded"]

STATE: Final = "trainer_state.json"
CHECKPOINT: Final = re.compile(r"checkpoint-([0-9]{1,18})")
"""What a Trainer calls the folder of a checkpoint."""

_AXIS: Final = "optimizer update"
_STEP: Final = re.compile(rb'"global_step"\s*:\s*([0-9]{1,18})')
_FACTS: Final = (
    "global_step",
    "max_steps",
    "num_train_epochs",
    "logging_steps",
    "eval_steps",
    "save_steps",
    "train_batch_size",
    "num_input_tokens_seen",
    "total_flos",
    "best_metric",
    "best_global_step",
    "best_model_checkpoint",
)
"""What a state says of the run beside its history."""


def output_folder(folder: Path) -> Path:
    """The folder that a checkpoint was saved in; any other folder is its own."""
    return folder.parent if CHECKPOINT.fullmatch(folder.name) else folder


def current_state(folder: Path) -> Path | None:
    """The state that went furthest, of those in a folder and in its checkpoints; None when there is none.

    Each state holds the history from the beginning, cut back on resume to what the run went on from. Of two that
    went equally far, the one in the folder itself was saved last.
    """
    found = [folder / STATE, *(each / STATE for each in folder.glob("checkpoint-*") if CHECKPOINT.fullmatch(each.name))]
    states = [(global_step(path), path == found[0], path) for path in found if path.is_file()]
    return max(states)[2] if states else None


def global_step(path: Path) -> int:
    """How far a state went; -1 when it does not say."""
    try:
        with path.open("rb") as file:
            match = _STEP.search(file.read(HEAD))
    except OSError:
        return -1
    if match:
        return int(match[1])
    checkpoint = CHECKPOINT.fullmatch(path.parent.name)
    return int(checkpoint[1]) if checkpoint else -1


def read_state(path: Path, field_map: Mapping[str, str]) -> Reading:
    """The run whose history a state holds. A bare list of the history's rows is taken too."""
    found = document(path)
    folder = output_folder(path.parent)
    run_id = run_name(folder if path.name == STATE else path)
    rows = _rows(found)
    trained = trained_by_files(path.parent, folder) or trained_by_keys(_keys(rows))
    made = EventBuilder(run_id, trained.framework, trained.algorithm, field_map=field_map)
    facts: dict[str, Any] = {"history": str(path), **trained.facts()}
    if isinstance(found, Bad):
        return Reading(iter([found]), _AXIS, made.sources, "record", facts)
    if isinstance(found.value, dict):
        facts |= {name: found.value[name] for name in _FACTS if name in found.value}
    facts |= results(folder)
    items = _then_count(_items(found, made, trained), folder, facts)
    return Reading(items, _AXIS, made.sources, "record", facts)


def _rows(found: Document | Bad) -> list[Any]:
    """The rows of the history; none when there is no list of them."""
    value = None if isinstance(found, Bad) else found.value
    rows = value.get("log_history") if isinstance(value, dict) else value
    return rows if isinstance(rows, list) else []


def _keys(rows: list[Any]) -> set[str]:
    return {key for row in rows if isinstance(row, dict) for key in read_entry(row).metrics}


def rounded(losses: Iterable[Any]) -> bool:
    """Whether losses were rounded to four decimals, as transformers did before 5.0: then 0.0 says little."""
    return all(isinstance(loss, (int, float)) and round(loss, 4) == loss for loss in losses)


def _then_count(items: Iterator[Item], folder: Path, facts: dict[str, Any]) -> Iterator[Item]:
    yield from items
    facts.update(completions(folder))


def _items(found: Document, made: EventBuilder, trained: Trained) -> Iterator[Item]:
    rows, at = _rows(found), ("log_history",) if isinstance(found.value, dict) else ()
    if not rows:
        problem = Problem("empty_file", "rows in the history", "none: it was saved before anything was logged")
        yield found.bad(problem, *at)
    losses = [row["loss"] for row in rows if isinstance(row, dict) and "loss" in row]
    logs = LogReader(zero_is_healthy=trained.zero_is_healthy or rounded(losses))
    for index, row in enumerate(rows):
        where = ".".join(("$", *at)) + f"[{index}]"
        event = _event(row, where, logs, made) if isinstance(row, dict) else _no_row(where)
        yield found.bad(event, *at, index) if isinstance(event, Problem) else Parsed(event)


def _no_row(where: str) -> Problem:
    return Problem("not_an_object", "an object", "something else", where)


def _event(row: dict[str, Any], where: str, logs: LogReader, made: EventBuilder) -> Any:
    name = made.field_map.get("step", "step")
    step = whole_step(row.get(name), f"{where}.{name}")
    if isinstance(step, Problem):
        return step
    phase, metrics, data_slice, notes = logs.read(step, {key: value for key, value in row.items() if key != name})
    return made.event(
        metrics,
        step=step,
        phase=phase,
        eval_set=data_slice.pop("eval_set", None),  # type: ignore[arg-type]
        data_slice=data_slice,
        notes=notes,
    )
