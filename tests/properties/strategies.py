"""Every event the schema allows, and the odd ones among them often."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from rldk.io.event_schema import INT_MAX, INT_MIN, PHASES, RULES, Event

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["ODD", "events", "exact", "histories", "metrics", "numbers", "sections", "texts", "timestamps"]

ODD: Final = [
    "",
    " ",
    ":",
    "a:b",
    "::",
    '"',
    "\\",
    '\\"',
    '"}',
    ',"rng":{',
    '{"step":',
    "\\u003a",
    "\n",
    "\r\n",
    "\t",
    "\x00",
    "\x1f",
    "\x7f",
    "\u2028",
    "\u2029",
    "\ufeff",
    "\ufffd",
    "\ud7ff",
    "é",
    "\U0001f600",
    "true",
    "null",
    "NaN",
    "step",
    "metrics",
    "rng",
    "nonfinite",
    "metric_0",
    "__class__",
    "run_id",
    "loss",
    "kl_mean",
]
"""Strings that a careless reader or writer trips over."""

texts: SearchStrategy[str] = st.sampled_from(ODD) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ints: SearchStrategy[int] = st.integers(INT_MIN, INT_MAX) | st.sampled_from(
    [0, 1, -1, INT_MIN, INT_MAX, 2**53, 2**53 + 1, -(2**53) - 1, 2**32, 10**15]
)
floats: SearchStrategy[float] = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0.0, -0.0, 0.1, 5e-324, -5e-324, 2.0**-1022, 1.7976931348623157e308, 1e16, 1e-7, 123456789.12345679, 1e22, 2.0**63]
)
numbers: SearchStrategy[float | None] = floats | ints | st.none() | st.sampled_from([math.nan, math.inf, -math.inf])
"""The values of metrics."""

primitives: SearchStrategy[Any] = st.none() | st.booleans() | ints | floats | texts
counts: SearchStrategy[int] = st.integers(0, INT_MAX) | st.sampled_from([0, 1, INT_MAX])
sections: SearchStrategy[dict[str, Any]] = st.dictionaries(texts, primitives, max_size=4)
metrics: SearchStrategy[dict[str, Any]] = st.dictionaries(texts, floats, max_size=5) | st.dictionaries(
    texts, numbers, max_size=5
)
timestamps: SearchStrategy[str] = st.datetimes().map(
    lambda moment: f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}".rjust(27, "0")
) | st.sampled_from(["0000-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z", "2026-02-31T00:00:00.000000Z"])

_RELIED_ON: Final[SearchStrategy[dict[str, Any]]] = st.fixed_dictionaries(
    {"run_id": texts.filter(bool)},
    optional={
        "phase": st.sampled_from([*PHASES, None]),
        "attempt": st.integers(1, INT_MAX) | st.none(),
        "rank": counts | st.none(),
        "resumed_from": counts | st.none(),
        "schema": st.sampled_from([1, None]),
    },
)
model_infos: SearchStrategy[dict[str, Any]] = st.builds(
    lambda free, known: {key: value for key, value in free.items() if key not in RULES} | known, sections, _RELIED_ON
)

events: SearchStrategy[Event] = st.builds(
    Event,
    step=counts,
    wall_time=st.floats(0, allow_infinity=False) | st.sampled_from([None, -0.0, 0.0, 2.0**63, 1e308]),
    timestamp=timestamps | st.none(),
    seq=counts | st.none(),
    metrics=metrics,
    rng=sections,
    data_slice=sections,
    model_info=model_infos,
    notes=st.lists(texts, max_size=3),
)
"""Every event the schema allows."""


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """The events of one log: few different sections and sets of names, so that shapes come back, and change."""
    names = draw(st.lists(st.lists(texts, max_size=4, unique=True), min_size=1, max_size=3))
    parts = [
        draw(st.lists(strategy, min_size=1, max_size=2))
        for strategy in (sections, sections, model_infos, st.lists(texts, max_size=2))
    ]
    values = floats | draw(st.sampled_from([floats, numbers]))
    moments = draw(st.sampled_from([timestamps, timestamps | st.none()]))
    made = []
    for seq in range(draw(st.integers(2, 10))):
        rng, data_slice, model_info, notes = (draw(st.sampled_from(choices)) for choices in parts)
        made.append(
            Event(
                step=draw(counts),
                wall_time=draw(st.floats(0, allow_infinity=False)),
                timestamp=draw(moments),
                seq=seq,
                metrics={name: draw(values) for name in draw(st.sampled_from(names))},
                rng=rng,
                data_slice=data_slice,
                model_info=model_info,
                notes=notes,
            )
        )
    return made


def exact(event: Event) -> tuple[Any, ...]:
    """An event as something that is equal only to the same, types and all bits of floats included."""
    return tuple(_exact(getattr(event, name)) for name in event.__struct_fields__)


def _exact(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else struct.pack(">d", value)
    return type(value), value
