"""verl: the JSON lines of its file logger, and the lines `step:12 - actor/entropy:0.2 - ...` of its console."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rldk.adapters.base import Aside, Bad, Certainty, Claim, FormatAdapter, Reading, no
from rldk.adapters.console import find_line, is_text, spoken
from rldk.adapters.foreign_json import JsonLine, json_lines, objects
from rldk.adapters.launches import no_steps
from rldk.adapters.lines import numbered, read_head
from rldk.adapters.phases import line_items, parts
from rldk.adapters.records import EventBuilder, number, run_name
from rldk.adapters.verl_keys import KEPT, SECTION, STRIPPED
from rldk.errors import UnknownFormatError
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rldk.adapters.base import Item
    from rldk.adapters.lines import Line
    from rldk.io.event_schema import Event

__all__ = ["VerlAdapter"]

_AXIS: Final = "global step: one batch of rollouts trained on"
_SHAPE: Final = "step:N - key:value"

_STEP: Final = re.compile(r"(?:.{0,300}? \d{1,9}/\d{1,9} \[[^\]]{0,80}\] ?)?step:(\d{1,20}) - (\S.*)", re.DOTALL)
"""A step, at the beginning or behind a progress bar that was not ended."""
_VALUE: Final = re.compile(
    r"(?:np|numpy)\.[a-z]+\d*\((?P<numpy>[^()]*)\)|tensor\((?P<tensor>[^(),]*)(?:, [^()]*)?\)|(?P<plain>[^\s()]+)"
)
_WRAPPED: Final = re.compile(r":(?:np\.|numpy\.|tensor\()")
_DECIMALS: Final = re.compile(r"-?\d+\.\d{3}|-?inf|nan")
"""A number as versions before 0.5 print it."""
_MARKS: Final = (b"actor_rollout_ref", b"main_ppo", b"verl.trainer", b"verl/")
_MOST_DASHES: Final = 4
"""How many times ` - ` may stand inside a key."""
_SHOWN: Final = 60


class VerlAdapter(FormatAdapter):
    """Reads what verl logs to a file, and what it prints.

    verl writes NaN and infinity as null to its file. Such a metric is None, and a note names it.
    """

    name: ClassVar[str] = "verl"
    reads: ClassVar[str] = "verl: JSON lines of the file logger; a console with lines step:12 - actor/entropy:0.2 - ..."

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether a line has the form that verl writes or prints."""
        records = objects(head)
        if records:
            data = next((record.get("data") for record in records if record.keys() == {"step", "data"}), None)
            if not isinstance(data, dict):
                return no("JSON lines, but not verl's {step, data}")
            certainty = Certainty.SURE if any(SECTION.match(key) for key in data) else Certainty.TYPICAL
            return Claim(certainty, "JSON lines of verl's file logger, {step, data}")
        if not is_text(head) or head.lstrip().startswith((b"{", b"[")):
            return no("neither verl's JSON lines, {step, data}, nor a console")
        piece = find_line(head, path, b"step:", _has_metric).piece
        if piece:
            sure = SECTION.match(_split(piece.text)[1])
            certainty = Certainty.SURE if sure else Certainty.TYPICAL
            return Claim(certainty, f"a line {_SHAPE}, {piece.text[:_SHOWN]!r}")
        if any(mark in head for mark in _MARKS):
            return no(no_steps(head, path, "verl", _SHAPE))
        return no(f"no line `{_SHAPE}`")

    def read(self, path: Path) -> Reading:
        """The run that the file is of."""
        builder = EventBuilder(run_name(path), "verl", field_map=self.field_map)
        head = read_head(path)
        if objects(head) or head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b'{"'):
            return Reading(_file_items(path, builder), _AXIS, builder.sources)
        if find_line(head, path, b"step:", _has_metric).piece is None:
            raise UnknownFormatError(path, f"expected a log of verl, found {no_steps(head, path, 'verl', _SHAPE)}")
        return Reading(_console_items(path, builder), _AXIS, builder.sources)


def _file_items(path: Path, builder: EventBuilder) -> Iterator[Item]:
    for each in json_lines(path):
        if not isinstance(each, JsonLine):
            yield each
            continue
        line, members = each
        data = members.get("data")
        if isinstance(data, dict):
            others = {key: value for key, value in members.items() if key not in {"step", "data"}}
            yield from line_items(line, path, _events(builder, members.get("step"), {**others, **data}))
        else:
            found = "nothing" if "data" not in members else "something else"
            yield line.bad(path, Problem("wrong_type", "the metrics, an object", found, "$.data"))


def _events(builder: EventBuilder, step: object, record: Mapping[str, Any]) -> list[Event | Problem]:
    made = []
    for part in parts(record, STRIPPED, KEPT):
        lost = ", ".join(key for key, value in part.metrics.items() if value is None)
        notes = [f"nan_lost: {lost} (verl writes NaN and infinity as null)"] if lost else []
        made.append(builder.event(part.metrics, step=step, phase=part.phase, notes=notes))
    return made


def _console_items(path: Path, builder: EventBuilder) -> Iterator[Item]:
    for line in numbered(path):
        if isinstance(line, Bad):
            yield line
        elif b"step:" not in line.text:
            yield _OTHER
        else:
            yield from _printed(line, path, builder)


_OTHER: Final = Aside("console output")


def _printed(line: Line, path: Path, builder: EventBuilder) -> Iterator[Item]:
    """The items of a line, which progress bars may have made of several."""
    found = False
    for piece in spoken(line):
        if not _is_step(piece.text):
            continue
        step, text = _split(piece.text)
        metrics = _metrics(text)
        if not line.whole and not _is_whole(text, metrics):
            items: list[Item] = [line.torn(path)]
        elif isinstance(metrics, Problem):
            items = [line.bad(path, metrics)]
        else:
            items = list(line_items(line, path, _events(builder, step, metrics)))
        for item in items:
            yield item._replace(lines=0) if found else item
            found = True
    if not found:
        yield _OTHER


def _split(text: str) -> tuple[str, str]:
    match = _STEP.match(text)
    return (match[1], match[2]) if match else ("", "")


def _has_metric(text: str) -> bool:
    """Whether a text is a step that verl printed: its first key has a slash and a number."""
    pair = _pair(_split(text)[1].partition(" - ")[0])
    return pair is not None and "/" in pair[0] and not any(letter.isspace() for letter in pair[0])


def _is_step(text: str) -> bool:
    """Whether a text is a step that verl printed, or what is left of one; prose after `step:1 - ` is none."""
    metrics = _split(text)[1]
    first, dash, _ = metrics.partition(" - ")
    if "/" not in metrics:
        return False
    cut = not dash and "/" in first and not any(letter.isspace() for letter in first)
    return cut or _has_metric(text) or isinstance(_metrics(metrics), dict)


def _metrics(text: str) -> dict[str, Any] | Problem:
    """The metrics of a step, or what keeps them from being read."""
    metrics: dict[str, Any] = {}
    waiting: list[str] = []
    for segment in text.split(" - "):
        waiting.append(segment)
        pair = _pair(" - ".join(waiting))
        if pair is None:
            if len(waiting) > _MOST_DASHES:
                break
            continue
        if pair[0] in metrics:
            return Problem("duplicate_key", "each key once", f"{pair[0]!r} again")
        metrics[pair[0]] = pair[1]
        waiting = []
    if waiting:
        return Problem("bad_value", "key:number, as everywhere between ` - `", repr(" - ".join(waiting)[:_SHOWN]))
    return metrics


def _pair(text: str) -> tuple[str, Any] | None:
    """Key and value; None when what follows the last colon is no number."""
    wrapped = [match.start() for match in _WRAPPED.finditer(text)] if text.endswith(")") else []
    colon = wrapped[-1] if wrapped else text.rfind(":")
    match = _VALUE.fullmatch(text, colon + 1)
    if colon < 1 or not match:
        return None
    spelled = match["numpy"] or match["tensor"] or match["plain"] or ""
    value = {"True": True, "False": False}.get(spelled, number(spelled))
    return None if isinstance(value, str) else (text[:colon], value)


def _is_whole(text: str, metrics: dict[str, Any] | Problem) -> bool:
    """Whether a step that no newline ends was printed to its end, so that its last number is not cut."""
    values = [segment.rpartition(":")[2] for segment in text.split(" - ")]
    decimals = all(_DECIMALS.fullmatch(value) for value in values)
    return not isinstance(metrics, Problem) and (decimals or text.endswith(")"))
