"""Any JSON lines, or a list, of records: those of a step or one metric each, with a field map to explain names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple

from rldk.adapters.base import Aside, Bad, Certainty, Claim, FormatAdapter, Parsed, Reading, no
from rldk.adapters.foreign_json import JsonElement, JsonLine, decode, json_records, listed, objects
from rldk.adapters.lines import read_head
from rldk.adapters.records import EventBuilder, instant, run_name, whole_step
from rldk.io.event_schema import PHASES
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rldk.adapters.base import Item
    from rldk.adapters.foreign_json import Element
    from rldk.adapters.lines import Line
    from rldk.io.event_schema import Event

__all__ = ["COUNTS", "STEP_NAMES", "CustomJSONLAdapter", "plain_event"]

STEP_NAMES: Final = ("step", "global_step", "_step", "train_step", "training_step", "iteration", "update")
"""What a step may be called without a field map; the first that the first record has."""

COUNTS: Final = {
    "timesteps": "environment step",
    "total_timesteps": "environment step",
    "num_timesteps": "environment step",
    "training_iteration": "training iteration",
    "epoch": "epoch",
    "episode": "episode",
}
"""What else may count steps where nothing is called one, and what it counts."""

_STREAMS: Final = (("name", "value"), ("metric", "value"), ("key", "value"), ("tag", "value"))
"""What name and value are called in a stream with one metric on each line."""

_TIMES: Final = ("timestamp", "_timestamp", "time", "created_at")
"""Where a point in time may stand."""

_DEBUG: Final = {"time", "level", "msg"}
"""What W&B writes on each line of `debug-internal.log` and `debug-core.log`; some tell of a step."""

_SHOWN: Final = 6
"""How many names of fields a message shows."""


class CustomJSONLAdapter(FormatAdapter):
    """Reads JSON lines that no other adapter knows.

    Records before the first one with a step are headers, and set aside; so are records of texts alone. A record
    with numbers but without a step is bad.
    """

    name: ClassVar[str] = "custom_jsonl"
    reads: ClassVar[str] = (
        "any JSON lines, or a JSON list, with a step: records, or one metric each; field map for other names"
    )

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether the file is JSON lines and one of the first has a step."""
        records = objects(head) or listed(head)
        if not records:
            return no(f"the first line is no JSON object{_why_not(head)}")
        if path.name.startswith("debug-") and records[0].keys() >= _DEBUG:
            return no("a log of W&B about itself, without metrics")
        names = _step_names(records, self.field_map)
        for members in records:
            if name := next((name for name in names if _has(members, name)), None):
                if path.suffix == ".json" and [*map(len, records)] == [1] and name in members:
                    return no(f"one JSON object with nothing but {name!r}, as beside a checkpoint")
                form = "a JSON list" if listed(head) else "JSON lines"
                return Claim(Certainty.GENERIC, f"{form} with a step, {name!r}")
        keys = ", ".join(list(dict.fromkeys(key for members in records for key in members))[:12])
        return no(f"JSON lines without a step: expected {' or '.join(names)}, found {keys}; say which with step=FIELD")

    def read(self, path: Path) -> Reading:
        """The run that a file of JSON lines is."""
        builder = EventBuilder(run_name(path), field_map=self.field_map)
        head = read_head(path)
        names = _step_names(objects(head) or listed(head), self.field_map)
        axis = "step" if "step" in self.field_map else COUNTS.get(names[0], "step")
        unit: Literal["record", "line"] = "record" if listed(head) else "line"
        return Reading(_items(json_records(path, head), path, builder, names), axis, builder.sources, unit)


def _why_not(head: bytes) -> str:
    """What is wrong with a first line that begins as an object does, after a colon."""
    value = decode(head.lstrip().partition(b"\n")[0]) if head.lstrip().startswith(b"{") else None
    return f": expected {value.expected}, found {value.found}" if isinstance(value, Problem) else ""


def _step_names(records: list[dict[str, Any]], field_map: Mapping[str, str]) -> tuple[str, ...]:
    """What the step may be called; another count only where the first records have no step, but it beside numbers."""
    if "step" in field_map:
        return (field_map["step"],)
    if any(name in members for members in records for name in STEP_NAMES):
        return STEP_NAMES
    return next(((name,) for name in COUNTS if any(_counts(name, members) for members in records)), STEP_NAMES)


def _counts(name: str, members: Mapping[str, Any]) -> bool:
    """Whether a field is a whole number beside others that are numbers."""
    others = {key: value for key, value in members.items() if key != name}
    return not isinstance(whole_step(members.get(name)), Problem) and _has_numbers(others)


def _has(members: Mapping[str, Any], name: str) -> bool:
    """Whether a record has a field, by its whole name or by the way that its dots lead."""
    first, _, rest = name.partition(".")
    inner = members.get(first)
    return name in members or (rest != "" and isinstance(inner, dict) and _has(inner, rest))


def _items(
    found: Iterable[JsonLine | JsonElement | Aside | Bad], path: Path, builder: EventBuilder, names: tuple[str, ...]
) -> Iterator[Item]:
    """Each line's item; in a stream of single metrics, one item for the successive lines of a step."""
    step, pair = "", None
    group = _Group({}, {}, [])
    for each in found:
        if not isinstance(each, (JsonLine, JsonElement)):
            yield each
            continue
        line, members = each
        step = step or next((name for name in names if _has(members, name)), "")
        if not step:
            yield Aside(f"header with {_names(members)}")
            continue
        builder.field_map.setdefault("step", step)
        pair = next((pair for pair in _STREAMS if _is_pair(members, pair)), None)
        if not _has(members, step) and not _has_numbers(members):
            yield Aside(f"no metrics, only {_names(members)}")
            continue
        if pair and group.takes(members, pair):
            group.metrics[str(members[pair[0]])] = members[pair[1]]
            group.lines.append(line)
            continue
        if group.lines:
            yield _made(group.lines, group.shared | group.metrics, builder, path)
            group = _Group({}, {}, [])
        if pair:
            shared = {key: value for key, value in members.items() if key not in pair}
            group = _Group(shared, {str(members[pair[0]]): members[pair[1]]}, [line])
        else:
            yield _made([line], members, builder, path)
    if group.lines:
        yield _made(group.lines, group.shared | group.metrics, builder, path)
    if not step:
        expected = f"a step in one of the lines, as {' or '.join(names)}"
        yield Bad(Problem("missing_field", expected, "none; say which field holds it: step=FIELD", "$"), path, 0)


class _Group(NamedTuple):
    """The successive lines of one step in a stream with one metric on each line."""

    shared: dict[str, Any]
    metrics: dict[str, Any]
    lines: list[Line | Element]

    def takes(self, members: Mapping[str, Any], pair: tuple[str, str]) -> bool:
        """Whether a line belongs to the step, with another metric than those before it."""
        others = {key: value for key, value in members.items() if key not in (*pair, *_TIMES)}
        own = {key: value for key, value in self.shared.items() if key not in _TIMES}
        return bool(self.lines) and others == own and members[pair[0]] not in self.metrics


def _is_pair(members: Mapping[str, Any], pair: tuple[str, str]) -> bool:
    name, value = (members.get(each, "") for each in pair)
    return isinstance(name, str) and name != "" and not isinstance(value, (str, list, dict))


def _made(lines: Sequence[Line | Element], members: Mapping[str, Any], builder: EventBuilder, path: Path) -> Item:
    """The event of a record, or what is wrong with it."""
    event = plain_event(members, builder)
    if isinstance(event, Problem):
        return lines[0].bad(path, event)._replace(lines=len(lines))
    return Parsed(event, len(lines))


def plain_event(members: Mapping[str, Any], builder: EventBuilder) -> Event | Problem:
    """The event of a record whose names are nobody's: time, phase and evaluation set are taken where they are sure."""
    record = dict(members)
    names = [name for name in _TIMES if name not in builder.field_map.values() and instant(record.get(name))]
    time = record.pop(names[0]) if names else None
    place = {name: record.pop(name) for name in _OWN if _is_own(name, record.get(name), builder.field_map)}
    return builder.event(record, time=time, **place)


_OWN: Final[dict[str, Callable[[Any], bool]]] = {
    "phase": lambda value: value in PHASES,
    "eval_set": lambda value: isinstance(value, str),
    "wall_time": lambda value: isinstance(value, (int, float)) and 0 <= value < 1e8,  # noqa: PLR2004 - 3 years
}
"""Fields that are taken for what RLDK means by the same name, when they hold what it would."""


def _is_own(name: str, value: Any, field_map: Mapping[str, str]) -> bool:
    return name not in field_map.values() and name not in field_map and _OWN[name](value)


def _has_numbers(members: Mapping[str, Any]) -> bool:
    return any(
        _has_numbers(value) if isinstance(value, dict) else type(value) in {int, float} for value in members.values()
    )


def _names(members: Mapping[str, Any]) -> str:
    names = [*members][:_SHOWN]
    return ", ".join(names) + (", ..." if len(members) > _SHOWN else "") or "nothing"
