"""The files `*.monitor.csv` of the Monitor of OpenAI baselines and Stable-Baselines: a row for each episode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rldk.adapters.base import Aside, Bad, Parsed, Reading
from rldk.adapters.csv_rows import Comment, Row, columns, csv_rows
from rldk.adapters.foreign_json import decode
from rldk.adapters.records import EventBuilder, run_name
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rldk.adapters.base import Item

__all__ = ["is_monitor", "read_monitor"]

_COLUMNS: Final = ("r", "l", "t")
_BOM: Final = b"\xef\xbb\xbf"


def is_monitor(head: bytes) -> bool:
    """Whether a file begins as a Monitor writes it: `#{"t_start": ...}`, then the columns `r,l,t`."""
    first = head.removeprefix(_BOM).partition(b"\n")[0]
    members = decode(first[1:]) if first.startswith(b"#") else None
    return isinstance(members, dict) and "t_start" in members and columns(head)[:3] == _COLUMNS


def read_monitor(path: Path, field_map: Mapping[str, str]) -> Reading:
    """The run that a Monitor has seen: an event for each episode, counted from 0."""
    facts: dict[str, Any] = {}
    builder = EventBuilder(run_name(path), field_map=field_map)
    return Reading(_items(path, builder, facts), "episode", builder.sources, facts=facts)


def _items(path: Path, builder: EventBuilder, facts: dict[str, Any]) -> Iterator[Item]:
    clock, episode = _Clock(), 0
    for each in csv_rows(path):
        if isinstance(each, Comment):
            clock.begin(each.members.get("t_start"))
            facts |= {key: value for key, value in each.members.items() if key not in facts}
            yield Aside("header of a Monitor")
        elif isinstance(each, (Aside, Bad)):
            yield each
        else:
            yield _item(each, path, builder, episode, clock)
            episode += 1


def _item(row: Row, path: Path, builder: EventBuilder, episode: int, clock: _Clock) -> Item:
    values = row.numbers()
    wall_time, time = clock.read(values.get("t"))
    event = builder.event(values, step=episode, wall_time=wall_time, time=time)
    return row.bad(path, event) if isinstance(event, Problem) else Parsed(event, row.lines)


class _Clock:
    """Reads `t`, the seconds since a Monitor was made.

    A Monitor that is told to append writes no header: when `t` goes back, nobody knows since when it counts.
    """

    def __init__(self) -> None:
        self._first: float | None = None
        self._start: float | None = None
        self._last = -1.0

    def begin(self, start: object) -> None:
        """Take the time at which a Monitor was made, in seconds since 1970."""
        self._start = float(start) if isinstance(start, (int, float)) and not isinstance(start, bool) else None
        self._first = self._start if self._first is None else self._first
        self._last = -1.0

    def read(self, t: object) -> tuple[float | None, float | None]:
        """The seconds since the first Monitor was made, and since 1970."""
        if self._start is None or not isinstance(t, (int, float)) or t < self._last:
            self._start = None
            return None, None
        self._last = float(t)
        passed = self._start - (self._first or 0.0) + self._last
        return (passed if passed >= 0 else None), self._start + self._last
