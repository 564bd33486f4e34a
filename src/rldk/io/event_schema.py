"""The event: what one line of an RLDK log means."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "INT_MAX",
    "INT_MIN",
    "MAX_LINE",
    "PHASES",
    "RULES",
    "SCHEMA_VERSION",
    "TIMESTAMP",
    "Event",
    "Nonfinite",
    "Number",
    "Primitive",
    "Rule",
    "Section",
    "json_schema",
]

SCHEMA_VERSION: Final = 1
"""The version that `model_info.schema` carries; a reader refuses events of a later one."""

PHASES: Final = ("train", "eval", "final")
"""The phases an event can belong to; `final` is the summary a trainer logs when it ends."""

MAX_LINE: Final = 16 * 2**20
"""The longest line in bytes, its newline included, that is written or read."""

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1

Integer = Annotated[int, Meta(ge=INT_MIN, le=INT_MAX)]
"""An integer of 64 bits: what every table engine can hold exactly."""

Number = Integer | float | None
"""The value of a metric. None means the trainer itself said None; a metric that was not measured is absent."""

Primitive = Integer | float | bool | str | None
"""A value in one of the open sections."""

Nonfinite = Literal["NaN", "Infinity", "-Infinity"]
"""How a float that JSON cannot hold is spelled beside its null."""

Section = dict[str, Primitive]
"""One of the open parts of an event: any keys, primitive values."""

TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z"
)
"""RFC 3339, narrowed to the one form RLDK writes: UTC, microseconds, Z."""


class Rule(NamedTuple):
    """What a known key of `model_info` has to be; a key that is absent, or null, says nothing and is fine."""

    expected: str
    holds: Callable[[Any], bool]
    schema: dict[str, Any]
    """The same as JSON Schema."""


def _count_from(least: int) -> Rule:
    schema = {"type": ["integer", "null"], "minimum": least}
    return Rule(f"an integer >= {least}", lambda value: type(value) is int and value >= least, schema)


RULES: Final[dict[str, Rule]] = {
    "run_id": Rule(
        "a string that is not empty",
        lambda value: type(value) is str and value != "",
        {"type": "string", "minLength": 1},
    ),
    "phase": Rule("one of " + ", ".join(PHASES), lambda value: value in PHASES, {"enum": [*PHASES, None]}),
    "attempt": _count_from(1),
    "rank": _count_from(0),
    "resumed_from": _count_from(0),
    "schema": _count_from(1),
}
"""The keys of `model_info` that RLDK itself relies on. All others are free."""

_MODEL_INFO: Final = {
    "properties": {name: rule.schema for name, rule in RULES.items()} | {"schema": {"enum": [SCHEMA_VERSION, None]}},
    "required": ["run_id"],
}


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, eq=False):
    """One step of one phase of one run.

    In memory `metrics` holds NaN and infinities as floats and `nonfinite` is empty; on the line they are
    null in `metrics` and spelled out in `nonfinite`. Two events are equal when their fields are, NaN counting
    as equal to NaN.
    """

    step: Annotated[
        int, Meta(ge=0, le=INT_MAX, description="The trainer's own step; in TRL the count of optimizer updates.")
    ]
    wall_time: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="Seconds since the run began, downtime included; null only in foreign logs without time."),
    ]
    timestamp: Annotated[
        str | None,
        Meta(
            description="The same instant, RFC 3339 in UTC with microseconds and Z.",
            extra_json_schema={"pattern": f"^{TIMESTAMP.pattern}$"},
        ),
    ] = None
    seq: Annotated[
        Annotated[int, Meta(ge=0, le=INT_MAX)] | None,
        Meta(description="Dense counter from 0 within one attempt of one rank."),
    ] = None
    metrics: Annotated[
        dict[str, Number],
        Meta(description="Canonical name, or the trainer's own key where its meaning is not known, to value."),
    ]
    nonfinite: Annotated[
        dict[str, Nonfinite], Meta(description="For each metric that is null because it was not finite: what it was.")
    ] = msgspec.field(default_factory=dict)
    rng: Annotated[Section, Meta(description="Seeds as found, null when unknown.")]
    data_slice: Annotated[
        Section, Meta(description="What the step was computed on: batch_size, window, tokens, eval_set.")
    ]
    model_info: Annotated[
        Section,
        Meta(
            description="The run and the model: run_id, phase, attempt, rank, model_name and more.",
            extra_json_schema=_MODEL_INFO,
        ),
    ]
    notes: Annotated[list[str], Meta(description="Short sentences, each beginning with a code and a colon.")]

    @property
    def run_id(self) -> str:
        """The run this event belongs to."""
        return str(self.model_info["run_id"])

    @property
    def phase(self) -> str:
        """Train, eval or final; an event that does not say is of training."""
        return str(self.model_info.get("phase") or "train")

    @property
    def eval_set(self) -> str | None:
        """The name of the evaluation set, None outside evaluation or when there is only one."""
        name = self.data_slice.get("eval_set")
        return None if name is None else str(name)

    @property
    def attempt(self) -> int:
        """The attempt, from 1; an event that does not say is of the first."""
        return int(self.model_info.get("attempt") or 1)

    @property
    def resumed_from(self) -> int | None:
        """The step this attempt continued after, None when it did not resume."""
        step = self.model_info.get("resumed_from")
        return None if step is None else int(step)

    @property
    def rank(self) -> int:
        """The rank that wrote the event; an event that does not say is of rank 0."""
        return int(self.model_info.get("rank") or 0)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event):
            return NotImplemented
        return all(
            getattr(self, name) == getattr(other, name) for name in self.__struct_fields__ if name != "metrics"
        ) and _same_metrics(self.metrics, other.metrics)

    def __ne__(self, other: object) -> bool:
        # The one a Struct has by itself does not ask __eq__.
        return not self == other

    __hash__ = None  # type: ignore[assignment]


def _same_metrics(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        value == other[name] or (_is_nan(value) and _is_nan(other[name])) for name, value in one.items()
    )


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a line, with the event's properties at the top."""
    (_,), definitions = msgspec.json.schema_components([Event], ref_template="#/$defs/{name}")
    event = definitions.pop("Event")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:rldk:event:{SCHEMA_VERSION}",
        **event,
        **({"$defs": definitions} if definitions else {}),
    }
