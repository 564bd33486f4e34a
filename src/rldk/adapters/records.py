"""Make events of the records that other tools log: each number a metric, and nothing lost that is none."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rldk.io.clock import timestamp
from rldk.io.event_schema import INT_MAX, PHASES, TIMESTAMP, Event
from rldk.io.problems import Problem
from rldk.metrics import Source, Translator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from rldk.io.event_schema import Number, Primitive

__all__ = ["PLACES", "EventBuilder", "fit", "instant", "number", "run_name", "whole_step"]

PLACES: Final = ("step", "wall_time", "timestamp", "phase", "eval_set", "attempt", "rank", "seed")
"""What a field map can give beside metrics."""

_NUMBER: Final = re.compile(
    r"[+-]?(?:[0-9]+(?P<float>\.?[0-9]*(?:[eE][+-]?[0-9]+)?)|(?P<point>\.[0-9]+(?:[eE][+-]?[0-9]+)?))"
)
_NONFINITE: Final = {
    "nan": math.nan,
    "+nan": math.nan,
    "-nan": math.nan,
    "inf": math.inf,
    "+inf": math.inf,
    "-inf": -math.inf,
    "infinity": math.inf,
    "+infinity": math.inf,
    "-infinity": -math.inf,
}
_LONGEST: Final = 400
"""No number that a tool prints has more characters."""

_PLAIN: Final = frozenset(
    {"all_results", "events", "files", "history", "log", "logging", "logs", "metrics", "metrics_summary", "monitor"}
    | {"nohup", "output", "progress", "results", "stdout", "tensorboard", "train", "train_log", "trainer_log"}
    | {"trainer_state", "training", "training_history", "training_metrics", "wandb-history", "wandb-summary"}
)
"""Names of files that say nothing of the run; the name of their folder does."""

_EARLIEST: Final = 1e8
_LATEST: Final = 1e11
"""Seconds since 1970, from 1973 to 5138: what is less, or more, is something else."""

_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")
_ENDINGS: Final = {".gz", ".zst", ".jsonl", ".json", ".csv", ".log", ".txt", ".out", ".ndjson", ".wandb", ".tsv"}


def run_name(path: Path) -> str:
    """What a run is called that does not say: the stem of its file, or its folder's name where that says more.

    Characters that a run id cannot have become `-`.
    """
    names = [_stem(path.absolute().name), *(parent.name for parent in path.absolute().parents if parent.name)]
    return fit(next((name for name in names if name.lower() not in _PLAIN), names[0]))


def fit(name: str) -> str:
    """A name as a run id can be: characters that none can have become `-`."""
    return _UNFIT.sub("-", name).lstrip("._-")[:128] or "run"


def _stem(name: str) -> str:
    """A file's name without its endings."""
    while "." in name and (ending := "." + name.rpartition(".")[2]) in _ENDINGS:
        name = name.removesuffix(ending)
    return name


def number(text: str) -> Number | str:
    """The number that a text spells, NaN and infinities among them; the text itself when it spells none."""
    text = text.strip()
    if match := _NUMBER.fullmatch(text) if len(text) <= _LONGEST else None:
        if match["float"] or match["point"]:
            value = float(text)
            return value if math.isfinite(value) else text
        return int(text) if abs(int(text)) <= INT_MAX else float(text)
    return _NONFINITE.get(text.lower(), text)


def whole_step(value: object, field: str = "$.step") -> int | Problem:
    """A step, which may be written as a float, or what is wrong with it."""
    value = _spelled(value)
    if value is None:
        return Problem("missing_field", "a step", "nothing", field)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int:
        return Problem("wrong_type", "a whole number", _shown(value), field)
    if not 0 <= value <= INT_MAX:
        return Problem("bad_value", f"a step from 0 to {INT_MAX}", _shown(value), field)
    return value


def _shown(value: object) -> str:
    if value is None:
        return "null"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."  # noqa: PLR2004 - a message stays on one line


def instant(value: object) -> str | None:
    """A point in time as RLDK's timestamp, when it is surely one.

    Seconds since 1970, as a number, and ISO 8601 texts with an offset from UTC are taken. A text without offset
    is some clock's local time, and is not.
    """
    if isinstance(value, str):
        return value if TIMESTAMP.fullmatch(value) else _with_offset(value)
    if type(value) in {int, float} and _EARLIEST < value < _LATEST:  # type: ignore[operator]
        return timestamp(value)  # type: ignore[arg-type]
    return None


def _with_offset(text: str) -> str | None:
    try:
        moment = datetime.fromisoformat(text)
        # A year before 1000 would have fewer than four digits.
        early = moment.tzinfo is None or moment.year <= 1000  # noqa: PLR2004
        return None if early else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
    except (OverflowError, ValueError):
        return None


class EventBuilder:
    """Makes the events of one run out of records.

    Args:
        run_id: the run.
        framework: who logged it, a framework of `rldk.metrics`; empty when that is not known.
        algorithm: what is trained with, as `grpo`; empty when that is not known.
        field_map: for each of RLDK's names the field that holds it, dots leading into objects.
        info: what else is known of run and model.
    """

    def __init__(
        self,
        run_id: str,
        framework: str = "",
        algorithm: str = "",
        *,
        field_map: Mapping[str, str] | None = None,
        info: Mapping[str, Primitive] | None = None,
    ) -> None:
        named: dict[str, Primitive] = {"run_id": run_id, "framework": framework, "algorithm": algorithm}
        self._info: dict[str, Primitive] = {**{key: value for key, value in named.items() if value}, **(info or {})}
        self._translator = Translator(framework, algorithm)
        self.field_map = dict(field_map or {})
        """For each of RLDK's names the field that holds it."""
        self.sources = self._translator.applied
        """The keys that were renamed so far, by the key as it was logged."""

    def event(
        self,
        record: Mapping[str, Any],
        *,
        step: object = None,
        phase: str = "train",
        eval_set: str | None = None,
        wall_time: object = None,
        time: object = None,
        data_slice: Mapping[str, Primitive] | None = None,
        notes: Iterable[str] = (),
    ) -> Event | Problem:
        """The event of a record, or what keeps it from being one.

        Numbers and nulls become metrics. Texts and truth values are kept in `data_slice`. Objects are taken
        apart, their keys joined with dots. A list, which no event can hold, is named in a note.

        Args:
            record: keys and values, without those that are given beside it.
            step: the step. What the field map gives goes before it, and before all that follows.
            phase: train, eval or final.
            eval_set: the evaluation set.
            wall_time: seconds since the run began.
            time: the point in time, taken when it surely is one; see `instant`.
            data_slice: what the step was computed on.
            notes: short sentences, each beginning with a code and a colon.
        """
        leaves: dict[str, Any] = {}
        if repeated := _flatten(record, leaves):
            return repeated
        place: dict[str, Any] = {"step": step, "phase": phase, "eval_set": eval_set, "wall_time": wall_time}
        place["timestamp"] = time
        mapped = {name: leaves.pop(field) for name, field in self.field_map.items() if field in leaves}
        place.update({name: mapped.pop(name) for name in PLACES if name in mapped})
        checked = _checked(place, self.field_map)
        if isinstance(checked, Problem):
            return checked
        numbers, kept, left_out = _sort(leaves)
        metrics = self._translator.translate(numbers)
        own, texts, lists = _sort({name: _spelled(value) for name, value in mapped.items()})
        for name in own:
            native = self.field_map[name]
            self.sources.setdefault(native, Source(native, name, "field map"))
        if isinstance(place["timestamp"], list):
            left_out["timestamp"] = len(place["timestamp"])
        elif place["timestamp"] is not None and checked["timestamp"] is None:
            kept = {"timestamp": place["timestamp"], **kept}
        if checked["eval_set"] is not None:
            kept["eval_set"] = checked["eval_set"]
        lost = left_out | lists
        return Event(
            step=checked["step"],
            wall_time=checked["wall_time"],
            timestamp=checked["timestamp"],
            metrics={**metrics, **own},
            rng={"seed": checked["seed"]} if checked["seed"] is not None else {},
            data_slice={**kept, **texts, **(data_slice or {})},
            model_info={
                **self._info,
                "phase": checked["phase"],
                **{name: checked[name] for name in ("attempt", "rank") if checked[name] is not None},
            },
            notes=[
                *notes,
                *([f"left_out: {', '.join(f'{key} ({size} items)' for key, size in lost.items())}"] * bool(lost)),
            ],
        )


def _flatten(record: Mapping[str, Any], leaves: dict[str, Any], prefix: str = "") -> Problem | None:
    """Put what is no object into `leaves`, under the keys that lead to it joined with dots."""
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            if repeated := _flatten(value, leaves, f"{name}."):
                return repeated
        elif name in leaves:
            return Problem("duplicate_key", "each key once", f"{name!r} again, once inside an object")
        else:
            leaves[name] = value
    return None


def _sort(leaves: Mapping[str, Any]) -> tuple[dict[str, Number], dict[str, Primitive], dict[str, int]]:
    """The numbers and nulls, the texts and truth values, and the sizes of the lists."""
    numbers: dict[str, Number] = {}
    kept: dict[str, Primitive] = {}
    lists: dict[str, int] = {}
    for name, value in leaves.items():
        if isinstance(value, (str, bool)):
            kept[name] = value
        elif isinstance(value, list):
            lists[name] = len(value)
        else:
            numbers[name] = value
    return numbers, kept, lists


def _spelled(value: Any) -> Any:
    """A number, when that is what a text spells; anything else as it is."""
    return number(value) if isinstance(value, str) else value


def _checked(place: Mapping[str, Any], field_map: Mapping[str, str]) -> dict[str, Any] | Problem:
    """Step, phase, evaluation set, time, attempt, rank and seed as an event holds them."""
    found: dict[str, Any] = {}
    for name, check in _CHECKS.items():
        value = check(place.get(name))
        if isinstance(value, Problem):
            return msgspec.structs.replace(value, field=f"$.{field_map.get(name, name)}")
        found[name] = value
    return found


def _phase(value: object) -> str | Problem:
    if value in PHASES:
        return str(value)
    return Problem("bad_value", f"a phase: {', '.join(PHASES)}", _shown(value))


def _seconds(value: object) -> float | Problem | None:
    value = _spelled(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return Problem("wrong_type", "seconds, a number", _shown(value))
    if not 0 <= value <= INT_MAX:
        return Problem("bad_value", "seconds, a number >= 0", _shown(value))
    return float(value)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _attempt(value: object) -> int | Problem | None:
    found = _rank(value)
    return Problem("bad_value", "an attempt, from 1", "0") if found == 0 else found


def _rank(value: object) -> int | Problem | None:
    found = None if value is None else whole_step(value)
    return msgspec.structs.replace(found, expected="a whole number >= 0") if isinstance(found, Problem) else found


def _seed(value: object) -> Primitive | Problem:
    value = _spelled(value)
    return value if isinstance(value, (int, float, str, bool)) else None


_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "step": whole_step,
    "phase": _phase,
    "eval_set": _text,
    "wall_time": _seconds,
    "timestamp": instant,
    "attempt": _attempt,
    "rank": _rank,
    "seed": _seed,
}
