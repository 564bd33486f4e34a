"""Make events of the records that other tools log: each number a metric, and nothing lost that is none."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

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
    {"all_results", "console", "events", "files", "history", "log", "logging", "logs", "metrics", "metrics_summary"}
    | {"monitor", "nohup", "output", "progress", "results", "running_log", "stdout", "tensorboard", "train"}
    | {"train_log", "trainer_log", "trainer_state", "training", "training_history", "training_metrics"}
    | {"wandb-history", "wandb-summary"}
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
        mapped = {name: leaves.pop(field) for name, field in self.field_map.items() if field in leaves}
        place = {"step": step, "phase": phase, "eval_set": eval_set, "wall_time": wall_time, "timestamp": time}
        place |= {name: mapped.pop(name) for name in PLACES if name in mapped}
        known = _checked(place, self.field_map)
        if isinstance(known, Problem):
            return known
        logged, own = _sorted(leaves), _sorted({name: _spelled(value) for name, value in mapped.items()})
        self._note_mapped(own.numbers)
        untimed = _untimed(place["timestamp"], known["timestamp"])
        return Event(
            step=known["step"],
            wall_time=known["wall_time"],
            timestamp=known["timestamp"],
            metrics={**self._translator.translate(logged.numbers), **own.numbers},
            rng=_given(known, "seed"),
            data_slice={**untimed.kept, **logged.kept, **_given(known, "eval_set"), **own.kept, **(data_slice or {})},
            model_info={**self._info, **_given(known, "phase", "attempt", "rank")},
            notes=[*notes, *_left_out(logged.lists | untimed.lists | own.lists)],
        )

    def _note_mapped(self, names: Iterable[str]) -> None:
        """Remember that the field map gave these metrics their names."""
        for name in names:
            native = self.field_map[name]
            self.sources.setdefault(native, Source(native, name, "field map"))


class _Sorted(NamedTuple):
    """The values of a record by what becomes of them."""

    numbers: dict[str, Number]
    kept: dict[str, Primitive]
    """Texts and truth values."""
    lists: dict[str, int]
    """The sizes of the lists."""


def _untimed(time: Any, instant: str | None) -> _Sorted:
    """What stands where a point in time should, and is none."""
    if time is None or instant is not None:
        return _Sorted({}, {}, {})
    if isinstance(time, list):
        return _Sorted({}, {}, {"timestamp": len(time)})
    return _Sorted({}, {"timestamp": time}, {})


def _given(known: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Those of some places that are known."""
    return {name: known[name] for name in names if known[name] is not None}


def _left_out(lists: Mapping[str, int]) -> list[str]:
    """The note on lists, when there are some."""
    return [f"left_out: {', '.join(f'{key} ({size} items)' for key, size in lists.items())}"] if lists else []


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


def _sorted(leaves: Mapping[str, Any]) -> _Sorted:
    found = _Sorted({}, {}, {})
    for name, value in leaves.items():
        if isinstance(value, (str, bool)):
            found.kept[name] = value
        elif isinstance(value, list):
            found.lists[name] = len(value)
        else:
            found.numbers[name] = value
    return found


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
