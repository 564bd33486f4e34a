"""Stable-Baselines3: progress.csv, progress.json, monitor.csv, and the tables it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from rldk.adapters.base import Certainty, Claim, FormatAdapter, Reading, no
from rldk.adapters.console import find_line, is_text
from rldk.adapters.console_tables import read_row, tables
from rldk.adapters.csv_rows import columns, csv_rows
from rldk.adapters.durations import Elapsed
from rldk.adapters.foreign_json import json_lines, objects
from rldk.adapters.lines import read_head
from rldk.adapters.logged_rows import Logged, items, logged, seconds_of
from rldk.adapters.monitors import is_monitor, read_monitor
from rldk.adapters.phases import parts
from rldk.adapters.records import EventBuilder, run_name, whole_step
from rldk.errors import UnknownFormatError
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rldk.adapters.base import Item
    from rldk.adapters.logged_rows import Found
    from rldk.io.event_schema import Event

__all__ = ["SB3Adapter"]

_STEP: Final = "time/total_timesteps"
_ELAPSED: Final = "time/time_elapsed"
_AXIS: Final = "environment step"
_EVAL: Final = "eval/"
_BESIDE: Final = frozenset(
    {"eval/mean_reward", "rollout/ep_len_mean", "rollout/ep_rew_mean", "time/episodes", "time/fps", "time/iterations"}
)
"""What SB3 logs beside the step."""
_SECTIONS: Final = ("eval/", "rollout/", "time/")
_ROUNDED: Final = "floats have three significant digits, as SB3 prints them; progress.csv has them all"


class SB3Adapter(FormatAdapter):
    """Reads what the logger of Stable-Baselines3 and its Monitor write.

    In the tables it prints, floats have three significant digits, and long keys and texts end in `...`. What is
    read of them is that.
    """

    name: ClassVar[str] = "sb3"
    reads: ClassVar[str] = "Stable-Baselines3: progress.csv, progress.json, *.monitor.csv, and the tables it prints"

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether the file has the step and the keys of SB3, or is of its Monitor."""
        if is_monitor(head):
            return Claim(Certainty.SURE, "the header #{...} of a Monitor, and its columns r, l, t")
        keys = _keys(head)
        if _STEP in keys:
            sure = not _BESIDE.isdisjoint(keys)
            return Claim(Certainty.SURE if sure else Certainty.TYPICAL, f"{_STEP}, which SB3 counts its steps by")
        if keys or not is_text(head):
            return no(f"no column and no field {_STEP}")
        found = find_line(head, path, b"/ ", _is_section).piece
        return Claim(Certainty.SURE, f"a table of SB3, {found.text!r}") if found else no("no table of SB3")

    def read(self, path: Path) -> Reading:
        """The run that the file is of."""
        head = read_head(path)
        if is_monitor(head):
            return read_monitor(path, self.field_map)
        builder = EventBuilder(run_name(path), "sb3", field_map={"step": _STEP, **self.field_map})
        if objects(head):
            return Reading(_items(json_lines(path), path, builder), _AXIS, builder.sources)
        if columns(head) and _STEP in columns(head):
            return Reading(_items(csv_rows(path), path, builder), _AXIS, builder.sources)
        if find_line(head, path, b"/ ", _is_section).piece is None:
            raise UnknownFormatError(path, f"expected a log of Stable-Baselines3, found no {_STEP} and no table of it")
        return Reading(_items(tables(path), path, builder), _AXIS, builder.sources, facts={"rounded": _ROUNDED})


def _keys(head: bytes) -> set[str]:
    """The columns of a table, or the keys of JSON lines."""
    records = objects(head)
    return {key for record in records for key in record} if records else set(columns(head))


def _is_section(text: str) -> bool:
    row = read_row(text)
    return row is not None and row.key in _SECTIONS and not row.value


def _items(found: Iterable[Found], path: Path, builder: EventBuilder) -> Iterator[Item]:
    elapsed = Elapsed()
    for each in logged(found):
        if isinstance(each, Logged):
            yield from items(each, path, _events(each.values, builder, elapsed))
        else:
            yield each


def _events(values: dict[str, Any], builder: EventBuilder, elapsed: Elapsed) -> list[Event | Problem]:
    """The events of what was logged at once: SB3 logs an evaluation with whatever waits to be logged."""
    step = values.pop(builder.field_map["step"], None)
    known = whole_step(step)
    place = elapsed.place(known if isinstance(known, int) else None, seconds_of(values, (_ELAPSED,)))
    made: list[Event | Problem] = []
    for part in parts(values, (_EVAL,)):
        event = builder.event(
            part.metrics, step=step, phase=part.phase, wall_time=place.wall_time, notes=place.notes if not made else ()
        )
        made.append(event if isinstance(event, Problem) else place.mark(event))
    return made
