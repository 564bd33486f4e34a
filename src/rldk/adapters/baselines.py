"""OpenAI baselines, Stable-Baselines 2 and Spinning Up: progress files, and the tables they print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from rldk.adapters.base import Certainty, Claim, FormatAdapter, Reading, no
from rldk.adapters.console import find_line, is_text
from rldk.adapters.console_tables import Table, read_row, tables
from rldk.adapters.csv_rows import columns, csv_rows, first_rows
from rldk.adapters.custom_csv import CustomCSVAdapter
from rldk.adapters.custom_jsonl import STEP_NAMES
from rldk.adapters.durations import Elapsed
from rldk.adapters.foreign_json import json_lines, objects
from rldk.adapters.lines import read_head
from rldk.adapters.logged_rows import Logged, items, logged, seconds_of
from rldk.adapters.records import EventBuilder, number, run_name, whole_step
from rldk.errors import UnknownFormatError
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from rldk.adapters.base import Item
    from rldk.adapters.logged_rows import Found
    from rldk.io.event_schema import Event

__all__ = ["BaselinesAdapter"]

_ENVIRONMENT: Final = "environment step"
_STEPS: Final = {
    "misc/total_timesteps": _ENVIRONMENT,
    "total_timesteps": _ENVIRONMENT,
    "total timesteps": _ENVIRONMENT,
    "TimestepsSoFar": _ENVIRONMENT,
    "TotalEnvInteracts": _ENVIRONMENT,
    "total/steps": _ENVIRONMENT,
    "steps": _ENVIRONMENT,
    "misc/nupdates": "update",
    "nupdates": "update",
    "n_updates": "update",
    "total/epochs": "epoch",
    "Epoch": "epoch",
    "epoch": "epoch",
}
"""What counts steps, the most exact first, and what it counts."""

_ROWS: Final = "row: one dump of the logger"

_TIMES: Final = ("misc/time_elapsed", "time_elapsed", "TimeElapsed", "Time", "total/duration")
"""Seconds since training began."""

_TYPICAL: Final = frozenset(
    {
        *("misc/total_timesteps", "misc/nupdates", "misc/serial_timesteps", "serial_timesteps", "nupdates"),
        *("eprewmean", "eplenmean", "ep_reward_mean", "ep_rew_mean", "ep_rewmean", "total timesteps"),
        *("ev_tdlam_before", "loss_ent", "loss_kl", "loss_pol_entpen"),
        *("EpRewMean", "EpLenMean", "EpThisIter", "EpisodesSoFar", "TimestepsSoFar"),
        *("AverageEpRet", "TotalEnvInteracts", "TestEpRet", "AverageTestEpRet"),
        *("mean 100 episode reward", "% time spent exploring"),
        *("test/success_rate", "stats_o/mean", "rollout/return", "total/steps", "mean_episode_reward"),
    }
)
"""Names that algorithms of these packages log under."""

_ROUNDED: Final = "numbers have three significant digits where the logger printed them; long names are cut"


class BaselinesAdapter(FormatAdapter):
    """Reads what the loggers of OpenAI baselines, Stable-Baselines 2 and Spinning Up write.

    Where nothing counts steps, rows are counted, from 0: each is one dump of the logger. In printed tables that
    is done too when the count of steps was rounded, which these loggers do to all numbers they print: 2048 is
    shown as 2.05e+03. Long names and texts end in `...` there.
    """

    name: ClassVar[str] = "baselines"
    reads: ClassVar[str] = "OpenAI baselines, Spinning Up: progress.csv, progress.txt, progress.json, printed tables"

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether the file has names under which baselines logs."""
        records = objects(head)
        keys = {key for record in records for key in record} if records else set(columns(head))
        if own := sorted(keys & _TYPICAL):
            return Claim(Certainty.TYPICAL, f"{own[0]!r}, as in logs of baselines and Spinning Up")
        if keys:
            return self._by_name(head, path, keys)
        found = find_line(head, path, b"| ", _is_typical).piece if is_text(head) else None
        if found:
            return Claim(Certainty.TYPICAL, f"a table as baselines prints it, {found.text!r}")
        return no("no column and no table with a name under which baselines logs")

    def _by_name(self, head: bytes, path: Path, keys: set[str]) -> Claim:
        if CustomCSVAdapter(self.field_map).handles(head, path):
            return no("no column with a name under which baselines logs, but one with a step")
        rows = first_rows(head)
        named = path.name.startswith("progress.") and keys.isdisjoint({*STEP_NAMES, "time/total_timesteps"})
        if named and rows and not any(isinstance(number(cell), str) for cell in rows[0].values()):
            return Claim(Certainty.GENERIC, "the name of a progress file, and rows of numbers without a step")
        return no("no column or field with a name under which baselines logs")

    def read(self, path: Path) -> Reading:
        """The run that the file is of."""
        head = read_head(path)
        if records := objects(head):
            return self._reading(path, json_lines(path), _counted({key for record in records for key in record}))
        names = set(columns(head))
        if names & _TYPICAL or any(_has_number(row) for row in first_rows(head)[:1]):
            return self._reading(path, csv_rows(path), _counted(names))
        printed = _printed(path)
        if printed is None:
            raise UnknownFormatError(path, "expected a log of baselines, found no columns, no JSON and no table")
        return self._reading(path, tables(path), printed)._replace(facts={"rounded": _ROUNDED})

    def _reading(self, path: Path, found: Iterable[Found], count: _Count) -> Reading:
        builder = EventBuilder(run_name(path), "baselines", field_map=self.field_map)
        count = _Count(self.field_map["step"], "step", timed=count.timed) if "step" in self.field_map else count
        return Reading(_items(found, path, builder, count), count.axis, builder.sources)


class _Count(NamedTuple):
    """How steps are counted."""

    field: str
    """What holds them; empty when rows are counted."""
    axis: str
    timed: bool = True
    """Whether times are exact."""


def _counted(keys: set[str]) -> _Count:
    return next((_Count(name, axis) for name, axis in _STEPS.items() if name in keys), _Count("", _ROWS))


def _printed(path: Path) -> _Count | None:
    """How the steps of printed tables are counted: by the first count that every table has, and none rounded."""
    names: list[str] | None = None
    for each in tables(path):
        if isinstance(each, Table):
            names = [name for name in (_STEPS if names is None else names) if each.cells.get(name, "").isdecimal()]
    if names is None:
        return None
    return _Count(names[0], _STEPS[names[0]], timed=False) if names else _Count("", _ROWS, timed=False)


def _has_number(row: Mapping[str, str]) -> bool:
    return any(not isinstance(number(cell), str) for cell in row.values())


def _is_typical(text: str) -> bool:
    row = read_row(text)
    return row is not None and row.key.strip() in _TYPICAL and not isinstance(number(row.value), str)


def _items(found: Iterable[Found], path: Path, builder: EventBuilder, count: _Count) -> Iterator[Item]:
    elapsed, row = Elapsed(), 0
    for each in logged(found):
        if isinstance(each, Logged):
            yield from items(each, path, _events(each.values, builder, count, elapsed, row))
            row += 1
        else:
            yield each


def _events(
    values: dict[str, Any], builder: EventBuilder, count: _Count, elapsed: Elapsed, row: int
) -> list[Event | Problem]:
    step = values.pop(count.field, None) if count.field else row
    if not values:
        return []
    known = whole_step(step, f"$.{count.field}")
    if isinstance(known, Problem):
        return [known]
    place = elapsed.place(known, seconds_of(values, _TIMES) if count.timed else None)
    event = builder.event(values, step=known, wall_time=place.wall_time, notes=place.notes)
    return [event if isinstance(event, Problem) else place.mark(event)]
