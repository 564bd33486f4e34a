"""Rows of a W&B history, whatever file they come from, made into events."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rldk.adapters.base import Aside
from rldk.adapters.records import EventBuilder
from rldk.adapters.tag_conventions import Convention, convention_of
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rldk.io.event_schema import Event, Primitive

__all__ = ["OWN", "Plan", "RowReader", "flattened", "plan_of"]

OWN: Final = ("_step", "_runtime", "_timestamp")
"""What W&B itself writes into every row: calls of `log` so far, seconds since the run began, seconds since 1970."""

_STEPS: Final = (
    ("train/global_step", "eval/global_step"),
    ("global_step",),
    ("trainer/global_step",),
    ("training/global_step",),
)
"""What trainers call their own step: transformers and OpenRLHF, what is taken over from TensorBoard, Lightning."""

_PREFIXED: Final = ("ms_swift", "openrlhf", "transformers", "trl")
"""Who puts `train/` before every key of training."""
_STEP_GIVEN: Final = ("verl",)
"""Who gives W&B its own step, so that the two are one."""

_SPELLED: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""What W&B's servers make of floats that JSON cannot hold."""

_MOST_KEYS: Final = 2**16
"""How many keys are looked at to know whose they are."""
_SHOWN: Final = 6


class Plan(NamedTuple):
    """How the rows of a run are to be read, which all of them decide."""

    convention: Convention
    steps: tuple[str, ...] = ("_step",)
    """Which keys hold the step."""
    axis: str = "W&B logging call"
    """What the steps count."""
    timed: bool = False
    """Whether every row has `_runtime`; otherwise times are counted from the first `_timestamp`."""
    table: bool = False
    """Whether the rows are those of a table, in which null stands for a blank cell."""
    keys: frozenset[str] = frozenset()
    """All keys of the history, those inside others with dots."""


class Flat(NamedTuple):
    """A row, objects taken apart."""

    values: dict[str, Any]
    media: list[str]
    """The names of tables, pictures, histograms and the like, which are objects with a `_type`."""


def flattened(row: Mapping[str, Any]) -> Flat | Problem:
    """A row with the keys of objects joined with dots, and without media."""
    flat = Flat({}, [])
    waiting = [*row.items()][::-1]
    while waiting:
        key, value = waiting.pop()
        if not isinstance(value, dict):
            if key in flat.values:
                return Problem("duplicate_key", "each key once", f"{key[:40]!r} again, once inside an object")
            flat.values[key] = _SPELLED.get(value, value) if isinstance(value, str) else value
        elif isinstance(value.get("_type"), str):
            flat.media.append(f"{key} ({value['_type']})")
        else:
            waiting += [(f"{key}.{inner}", each) for inner, each in reversed([*value.items()])]
    return flat


def plan_of(rows: Iterable[Mapping[str, Any]], field_map: Mapping[str, str]) -> Plan:
    """How rows are to be read.

    The step is the trainer's own where every row with numbers has it, and the count of W&B otherwise.
    """
    keys: set[str] = set()
    families = set(_STEPS)
    count, nulls, timed, first, table = 0, False, True, None, True
    for row in rows:
        flat = flattened(row)
        if isinstance(flat, Problem):
            continue
        values = flat.values
        count += 1
        first = first or values.keys()
        table = table and values.keys() == first
        nulls = nulls or None in values.values()
        if not any(_is_number(value) for key, value in values.items() if key not in OWN):
            continue
        timed = timed and _is_number(values.get("_runtime"))
        families = {family for family in families if any(_is_number(values.get(name)) for name in family)}
        if len(keys) < _MOST_KEYS:
            keys.update(values)
    found = frozenset(keys) - set(OWN)
    convention = convention_of(found - {name for family in _STEPS for name in family})
    plan = Plan(convention, timed=timed, table=table and nulls and count > 1, keys=found)
    if "step" in field_map:
        return plan._replace(steps=(field_map["step"],), axis="step")
    if convention.framework in _STEP_GIVEN:
        return plan._replace(axis=convention.axis)
    steps = next((family for family in _STEPS if family in families and keys), None)
    return plan._replace(steps=steps, axis=convention.axis) if steps else plan


def _is_number(value: Any) -> bool:
    return type(value) in {int, float}


class RowReader:
    """Makes the events of the rows of one run, one after the other."""

    def __init__(self, plan: Plan, run_id: str, field_map: Mapping[str, str]) -> None:
        self._plan = plan
        self._began: float | None = None
        self._last: _Place | None = None
        self._windows = 0
        others = {name: field for name, field in field_map.items() if name != "step"}
        whose = plan.convention
        self._builder = EventBuilder(run_id, whose.framework, whose.algorithm, field_map=others)
        self.sources = self._builder.sources
        """The keys that were renamed so far."""

    def read(self, row: Mapping[str, Any]) -> list[Event] | Aside | Problem:
        """The events of a row: training, evaluation, or both; or why there are none."""
        flat = flattened(row)
        if isinstance(flat, Problem):
            return flat
        values, media = flat
        if self._plan.table:
            values = {key: value for key, value in values.items() if value is not None}
        place = self._place(values)
        if not any(value is None or _is_number(value) for value in values.values()):
            return Aside(f"a row of media: {', '.join(media[:_SHOWN])}" if media else "a row without numbers")
        notes = [f"media: {', '.join(media)}"] if media else []
        events: list[Event] = []
        for made in self._plan.convention.read(place.step if isinstance(place.step, int) else 0, values):
            event = self._builder.event(
                made.metrics,
                step=place.step,
                phase=made.phase,
                wall_time=place.wall_time,
                time=place.time,
                data_slice={**place.own, **self._windowed(made.data_slice)},
                notes=[*made.notes, *notes],
            )
            if isinstance(event, Problem):
                return event
            events.append(event)
            self._last, notes = place._replace(step=event.step), []
        return events

    def _windowed(self, data_slice: dict[str, Primitive]) -> dict[str, Primitive]:
        """What a log was computed on. Nobody knows of how many steps the first is the mean: the run may be resumed."""
        self._windows += "window" in data_slice
        return data_slice if self._windows > 1 else {key: data_slice[key] for key in data_slice if key != "window"}

    def read_summary(self, summary: Mapping[str, Any]) -> Event | Aside | Problem:
        """The event of what only the summary holds: the last values of what the history does not have.

        Its step and time are those of the last row; without rows, those that the summary has.
        """
        flat = flattened(summary)
        if isinstance(flat, Problem):
            return flat
        own = self._place(flat.values)
        place = self._last or own
        values = {key: value for key, value in flat.values.items() if not self._is_known(key)}
        if not any(value is None or _is_number(value) for value in values.values()):
            return Aside("a summary that holds no more than the history")
        return self._builder.event(
            {self._bare(key, values): value for key, value in values.items()},
            step=place.step,
            phase="final",
            wall_time=place.wall_time,
            time=place.time,
            notes=[f"media: {', '.join(flat.media)}"] if flat.media else [],
        )

    def _is_known(self, key: str) -> bool:
        return key in self._plan.keys or key.startswith("_wandb.")

    def _bare(self, key: str, values: Mapping[str, Any]) -> str:
        """A key of the summary without the `train/` that a logger put before it."""
        bare = key.removeprefix("train/")
        return bare if self._plan.convention.framework in _PREFIXED and bare not in values else key

    def _place(self, values: dict[str, Any]) -> _Place:
        """Where a row stands; what says so is taken out of it."""
        of_eval = not any(key.startswith("train/") for key in values if key not in self._plan.steps)
        names = [name for name in self._plan.steps if name in values]
        step = values[names[-1 if of_eval else 0]] if names else None
        own = {name: values.pop(name, None) for name in OWN}
        for name in names:
            values.pop(name, None)
        time = own["_timestamp"]
        if self._began is None and _is_number(time):
            self._began = time
        wall_time = own["_runtime"] if self._plan.timed else self._passed(time)
        kept = {"_step": own["_step"]} if self._plan.steps != ("_step",) and _is_number(own["_step"]) else {}
        return _Place(step, wall_time, time, kept)

    def _passed(self, time: Any) -> float | None:
        passed = time - self._began if _is_number(time) and self._began is not None else -1.0
        return passed if passed >= 0 else None


class _Place(NamedTuple):
    step: Any
    wall_time: Any
    time: Any
    own: dict[str, Any]
    """W&B's count, where it is not the step."""
