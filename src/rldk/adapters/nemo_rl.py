"""NeMo-RL: one JSON document, `{metric: {step: value}}`, which its tests make of a run's TensorBoard files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from rldk.adapters.base import Aside, Bad, Certainty, Claim, FormatAdapter, Parsed, Reading, no
from rldk.adapters.console import find_line, is_text
from rldk.adapters.foreign_json import document
from rldk.adapters.records import EventBuilder, run_name
from rldk.io.event_schema import INT_MAX
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rldk.adapters.base import Item
    from rldk.adapters.foreign_json import Document

__all__ = ["NeMoRLAdapter"]

_SHAPE: Final = re.compile(rb'\s*\{\s*"[^"\\]{1,400}"\s*:\s*\{\s*(?:"\d{1,19}"\s*:|\})')
_OWN: Final = re.compile(rb'"(?:train|validation(?:-[^/"]{0,200})?|timing/train|performance|ray)/[^"]{1,400}"\s*:\s*\{')
_BY_STEP: Final = re.compile(r"(?:train|timing|performance|validation(?:-[^/]*)?)/")
"""Series that NeMo-RL logs at a training step."""
_DIGITS: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_VALIDATION: Final = re.compile(r"validation(?:-(?P<set>[^/]+))?/(?P<name>.+)")
_MOST_FAULTS: Final = 5
"""How many series with something wrong are told one by one; the last of them stands for all others."""
_RESULTS: Final = "📊 Training Results:".encode()
_CONSOLE: Final = (
    "a console of NeMo-RL, which shows few metrics, with four decimals, by the step of an epoch; "
    "its TensorBoard folder has all of them by train step"
)
_BY_SECONDS: Final = Aside("series ray/...: by seconds since the run began, not by training step")
_BY_OTHER: Final = Aside("series with points where there was no training step")


class NeMoRLAdapter(FormatAdapter):
    """Reads the metrics.json of NeMo-RL, of which each point is a record.

    Only series by training step make events. Those of `ray/` are by seconds since the run began, and are set
    aside, as are unknown ones that have points where there was no training step.
    """

    name: ClassVar[str] = "nemo_rl"
    reads: ClassVar[str] = "NeMo-RL: metrics.json, {metric: {step: value}}"

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether the document has that form, and series that are called as NeMo-RL calls them."""
        if not _SHAPE.match(head):
            shown = is_text(head) and find_line(head, path, _RESULTS, lambda text: text.startswith(_RESULTS.decode()))
            return no(_CONSOLE if shown and shown.piece else "no JSON document {metric: {step: value}}")
        if not _OWN.search(head):
            return no("{name: {number: value}}, as of any table, without a series train/..., validation/... or ray/...")
        return Claim(Certainty.TYPICAL, "a JSON document {metric: {step: value}} with series of NeMo-RL")

    def read(self, path: Path) -> Reading:
        """The run whose metrics the document holds."""
        builder = EventBuilder(run_name(path), "nemo_rl", field_map=self.field_map)
        return Reading(_items(path, builder), "train step", builder.sources, "record")


def _items(path: Path, builder: EventBuilder) -> Iterator[Item]:
    found = document(path)
    if isinstance(found, Bad):
        yield found
        return
    if not isinstance(found.value, dict):
        yield found.bad(Problem("not_an_object", "an object, {metric: {step: value}}", "something else"))
        return
    faults = {name: wrong for name, points in found.value.items() if (wrong := _faults(points))}
    yield from _told(found, faults)
    series = {name: _points(points) for name, points in found.value.items() if isinstance(points, dict)}
    steps = {step for name, points in series.items() if name.startswith("train/") for step in points} | {0}
    kept: dict[str, dict[int, Any]] = {}
    for name, points in series.items():
        if name.startswith("ray/"):
            yield _BY_SECONDS._replace(lines=len(points))
        elif _BY_STEP.match(name) or points.keys() <= steps:
            kept[name] = points
        else:
            yield _BY_OTHER._replace(lines=len(points))
    yield from _made(found, kept, builder)


class _Fault(NamedTuple):
    problem: Problem
    keys: tuple[str, ...]
    """What leads to it from the series."""


def _faults(points: object) -> list[_Fault]:
    """What is wrong with the points of a series."""
    if not isinstance(points, dict):
        return [_Fault(Problem("wrong_type", "a series, {step: value}", "something else"), ())]
    found = [(key, _problem(key, value)) for key, value in points.items()]
    return [_Fault(problem, (key,)) for key, problem in found if problem]


def _problem(key: str, value: object) -> Problem | None:
    if not (_DIGITS.fullmatch(key) and int(key) <= INT_MAX):
        return Problem("bad_value", f"a step from 0 to {INT_MAX}", repr(key[:40]))
    if isinstance(value, (str, list, dict)):
        return Problem("wrong_type", "a number", "something else")
    return None


def _points(points: Mapping[str, Any]) -> dict[int, Any]:
    """The points of a series with which nothing is wrong."""
    return {int(key): value for key, value in points.items() if _problem(key, value) is None}


def _told(found: Document, faults: Mapping[str, list[_Fault]]) -> Iterator[Bad]:
    """What is wrong, once for each series."""
    left = sum(len(each) for each in faults.values())
    for count, (name, wrong) in enumerate(faults.items(), 1):
        records = len(wrong) if count < _MOST_FAULTS else left
        left -= records
        yield found.bad(wrong[0].problem, name, *wrong[0].keys, records=records)
        if not left:
            return


def _made(found: Document, series: Mapping[str, Mapping[int, Any]], builder: EventBuilder) -> Iterator[Item]:
    """The events of series by training step, in the order of their steps, training before validation."""
    points: dict[tuple[int, str], dict[str, Any]] = {}
    for full, values in series.items():
        match = _VALIDATION.fullmatch(full)
        name = match["name"] if match else full
        curve = f"eval {match['set'] or ''}" if match else ""
        for step, value in values.items():
            points.setdefault((step, curve), {})[name] = value
    for (step, curve), metrics in sorted(points.items(), key=lambda item: item[0]):
        phase, _, eval_set = curve.partition(" ")
        event = builder.event(metrics, step=step, phase=phase or "train", eval_set=eval_set or None)
        records = len(metrics)
        yield found.bad(event, records=records) if isinstance(event, Problem) else Parsed(event, records)
