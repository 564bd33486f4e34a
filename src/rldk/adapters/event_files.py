"""Runs that a folder of TensorBoard event files holds: each value is a record there, a step is one event here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from rldk.adapters.base import Aside, Bad, Parsed, Reading
from rldk.adapters.protobuf_wire import WireError
from rldk.adapters.records import EventBuilder, run_name
from rldk.adapters.tag_conventions import convention_of
from rldk.adapters.tfevents import Other, Scalar, logged
from rldk.adapters.tfrecord import Record, records, whole_records
from rldk.errors import RLDKError, UnknownFormatError
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from rldk.adapters.base import Item
    from rldk.adapters.tag_conventions import Convention, OpenRLHF
    from rldk.adapters.tfevents import Logged

__all__ = ["MARK", "event_unit", "first_tags", "folder_tags", "read_event_files"]

MARK: Final = "tfevents"
"""What TensorBoard finds in the name of every event file."""

_PEEK: Final = 2**19
"""How many bytes of records are looked at to know whose tags they have."""

_WAITING: Final = 2**18
"""How many values wait for others of their step that may come later."""


def first_tags(head: bytes) -> frozenset[str] | None:
    """The tags at the beginning of an event file; None when it has no record that can be read."""
    return _tags(whole_records(head))


def folder_tags(path: Path) -> frozenset[str] | None:
    """The tags at the beginning of the event files in a folder; None when there is none that can be read."""
    try:
        return _tags(_begin(_files(path)))
    except (OSError, RLDKError):
        return None


def event_unit(path: Path, root: Path) -> Path:
    """The folder of an event file, as far as it is searched; another file as it is."""
    return path.parent if MARK in path.name and path != root else path


def read_event_files(path: Path, field_map: Mapping[str, str], whose: type[OpenRLHF] | None = None) -> Reading:
    """The run that an event file, or a folder of them, holds.

    Args:
        path: the file or the folder.
        field_map: see `EventBuilder`.
        whose: whose tags they are, when that was told; otherwise they tell it themselves.

    Raises:
        UnknownFormatError: there is no event file.
    """
    files = _files(path)
    tags = _tags(_begin(files))
    if tags is None:
        found = "none; folders inside it are runs of their own" if path.is_dir() else "something else"
        raise UnknownFormatError(path, f"expected TensorBoard event files (*{MARK}*), found {found}")
    convention = whose(tags) if whose else convention_of(tags)
    named_by = path.parent if MARK in path.name and not path.is_dir() else path
    builder = EventBuilder(run_name(named_by), convention.framework, convention.algorithm, field_map=field_map)
    told = {"framework": convention.framework, "algorithm": convention.algorithm, "told_by": convention.why}
    facts = {name: value for name, value in told.items() if value}
    return Reading(_items(files, convention, builder), convention.axis, builder.sources, "record", facts)


def _files(path: Path) -> list[Path]:
    """The event files of a run: the file, or those that lie in the folder, in the order in which they were begun."""
    if not path.is_dir():
        return [path]
    found = [each for each in path.iterdir() if MARK in each.name and not each.name.startswith(".") and each.is_file()]
    return sorted(found, key=lambda each: (_began(each), each.name))


def _began(path: Path) -> float:
    """The time of a file's first record; files that have none come last."""
    first = next(_logged(_begin([path])), None)
    return first.wall_time if first and math.isfinite(first.wall_time) else math.inf


def _begin(files: list[Path]) -> Iterator[bytes]:
    """What is in the first records of the files, as far as is needed to know whose tags they have."""
    left = _PEEK
    for path in files:
        for record in records(path):
            if isinstance(record, Record):
                yield record.data
                left -= len(record.data)
            if left < 0:
                return


def _logged(begin: Iterable[bytes]) -> Iterator[Logged]:
    """What these records hold, without those that cannot be read."""
    plugins: dict[str, str] = {}
    for data in begin:
        try:
            yield logged(data, plugins)
        except WireError:
            continue


def _tags(begin: Iterable[bytes]) -> frozenset[str] | None:
    found = list(_logged(begin))
    return frozenset(value.tag for each in found for value in each.values) if found else None


class _Call:
    """What was logged at one time, for one step."""

    def __init__(self, step: int, wall_time: float, path: Path, record: Record) -> None:
        self.step = step
        self.wall_time = wall_time
        self.path = path
        self.record = record
        """Where it begins."""
        self.values: dict[str, float | int] = {}
        self.records = 0


class _Damage(NamedTuple):
    """What cannot be read, behind what was logged for a step."""

    step: int
    bad: Bad


def _items(files: list[Path], convention: Convention, builder: EventBuilder) -> Iterator[Item]:
    run = _Run(convention, builder)
    for path in files:
        plugins: dict[str, str] = {}
        for record in records(path):
            if isinstance(record, Bad):
                run.damage(record)
                continue
            try:
                found = logged(record.data, plugins, record.byte)
            except WireError as error:
                problem = Problem("bad_record", error.expected, error.found, byte=error.byte, line=record.number)
                run.damage(Bad(problem, path))
            else:
                yield from run.add(found, path, record)
    yield from run.rest()


class _Run:
    """Puts together what was logged at one time, and makes events of it.

    A value may come after values of later steps, when a tool writes one tag after the other; it still finds the
    others of its step, as long as not too many wait. But when a tag goes back to a step before its own last, the
    run was resumed there: what was logged before is not mixed with what follows.
    """

    def __init__(self, convention: Convention, builder: EventBuilder) -> None:
        self._convention = convention
        self._builder = builder
        self._began: float | None = None
        self._started = False
        self._waiting: list[_Call | _Damage] = []
        self._values = 0
        self._forget()

    def _forget(self) -> None:
        """Begin anew, as after a resume."""
        self._open: dict[tuple[int, int], _Call] = {}
        self._last: dict[str, int] = {}
        self._reached: dict[int, int] = {}
        self._late = False
        self._before: _Call | None = None
        self._call = 0

    def damage(self, bad: Bad) -> None:
        """Take in what cannot be read. It waits behind what was logged before, which a mode may still want."""
        self._waiting.append(_Damage(self._before.step if self._before else 0, bad))
        self._values += 1

    def add(self, found: Logged, path: Path, record: Record) -> Iterator[Item]:
        """Take in a record: what it completes, and what is set aside."""
        scalars: list[Scalar] = []
        others: list[str] = []
        for value in found.values:
            if isinstance(value, Other):
                others.append(f"{value.kind} {value.tag!r}")
            elif axis := self._convention.other_axis(value.tag):
                others.append(f"number by {axis}, {value.tag!r}")
            else:
                scalars.append(value)
        self._begin(found.wall_time, values=bool(scalars))
        if not found.values:
            yield Aside(found.what)
        for index, scalar in enumerate(scalars):
            if self._last.get(scalar.tag, found.step) > found.step:
                yield from self.rest()
            before = self._before if self._before and self._before.step == found.step else None
            self._call = self._convention.call(scalar.tag, before.values if before else None, self._call)
            call = self._open.get((found.step, self._call))
            if call is None or scalar.tag in call.values:
                call = self._opened(_Call(found.step, found.wall_time, path, record._replace(data=b"")))
            self._put(scalar, call)
            call.records += index == 0
        for index, other in enumerate(others):
            yield Aside(other, int(index == 0 and not scalars))
        if self._values > _WAITING:
            yield from self._release(len(self._waiting) // 2 or 1)

    def _begin(self, wall_time: float, *, values: bool) -> None:
        """When the run began: with its first record, or with its first value when that says an earlier time."""
        time = _known(wall_time)
        if not self._started and time:
            self._began = min(time, self._began or time)
        self._started = self._started or values

    def rest(self) -> Iterator[Item]:
        """All that waits; what follows is of a new attempt."""
        yield from self._release(len(self._waiting))
        self._forget()

    def _opened(self, call: _Call) -> _Call:
        """A call that was not there."""
        self._open[call.step, self._call] = call
        self._waiting.append(call)
        self._late = self._late or call.step < self._reached.get(self._call, 0)
        self._reached[self._call] = call.step
        return call

    def _put(self, scalar: Scalar, call: _Call) -> None:
        call.values[scalar.tag] = scalar.value
        self._values += 1
        self._last[scalar.tag] = call.step
        self._before = call

    def _release(self, count: int) -> Iterator[Item]:
        """Make the events of what waits the longest."""
        if self._late:
            self._waiting.sort(key=lambda each: each.step)
            self._late = False
        ready, self._waiting = self._waiting[:count], self._waiting[count:]
        gone = {id(each) for each in ready}
        self._open = {key: call for key, call in self._open.items() if id(call) not in gone}
        for each in ready:
            if isinstance(each, _Damage):
                self._values -= 1
                yield each.bad
            else:
                self._values -= len(each.values)
                yield from self._made(each)

    def _made(self, call: _Call) -> Iterator[Item]:
        """The events of a call; bad when one of them cannot be."""
        items: list[Item] = []
        time = _known(call.wall_time)
        passed = time - self._began if time and self._began else -1.0
        for made in self._convention.read(call.step, call.values):
            event = self._builder.event(
                made.metrics,
                step=call.step,
                phase=made.phase,
                wall_time=passed if passed >= 0 else None,
                time=time,
                data_slice=made.data_slice,
                notes=made.notes,
            )
            if isinstance(event, Problem):
                yield call.record.bad(call.path, event)._replace(lines=call.records)
                return
            items.append(Parsed(event, 0 if items else call.records))
        yield from items


def _known(wall_time: float) -> float | None:
    """A record's time, when it has one."""
    return wall_time if 0 < wall_time < math.inf else None
