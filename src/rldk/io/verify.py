"""Compare all that is left of a run's events with what its manifest says was sealed."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from rldk.io.compression import DamagedSegmentError
from rldk.io.manifest import Manifest, Segment, load_manifest
from rldk.io.opened import opened
from rldk.io.order import Order
from rldk.io.problems import Kind, Problem
from rldk.io.sealing import describe
from rldk.io.segments import (
    COMPRESSIONS,
    derived_path,
    find_logs,
    run_log,
    sealed_path,
    sealed_segments,
    segment_number,
    whole_log,
)
from rldk.io.validator import StrictCheck, check_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rldk.io.opened import Opened
    from rldk.io.segments import Log

__all__ = ["CheckedFile", "CheckedLog", "Difference", "LeftOver", "Verification", "verify"]

_SHOWN: Final = 10
"""How many problems of a file are kept; all are counted."""

_CONTENT: Final = tuple(
    name for name in Segment.__struct_fields__ if name not in {"file", "sealed", "stored_bytes", "stored_sha256"}
)
_STORED: Final = ("stored_bytes", "stored_sha256")


class Difference(msgspec.Struct, frozen=True):
    """Something that is not as the manifest says."""

    field: str
    """What differs: a field of `rldk.io.manifest.Segment`, or `file` for the file itself."""
    expected: str
    found: str


class CheckedFile(msgspec.Struct):
    """What was found of one file of a log; or of several, when they are missing without a trace."""

    file: str
    valid: bool = True
    sealed: bool = False
    recorded: bool = False
    """Whether the manifest has an entry of it as a sealed segment."""
    events: int | None = None
    """How many lines it has, None when there is no such file."""
    differences: list[Difference] = []
    counts: dict[Kind, int] = {}
    """How many problems of each kind its lines have."""
    problems: list[Problem] = []
    """The first of them."""


class CheckedLog(msgspec.Struct):
    """What was found of the log of one rank, its files in their order."""

    run_id: str
    rank: int
    valid: bool
    files: list[CheckedFile]
    removed_segments: int
    """How many segments retention has removed; what is missing so is not missed."""
    removed_events: int


class LeftOver(msgspec.Struct, frozen=True):
    """A file that is no harm and of no use."""

    file: str
    what: str


class Verification(msgspec.Struct):
    """What was found of a run; true when nothing is wrong."""

    valid: bool
    logs: list[CheckedLog]
    left_over: list[LeftOver]

    def __bool__(self) -> bool:
        return self.valid


def verify(path: Path) -> Verification:
    """Check every line of a run, and compare each sealed segment with the manifest.

    Args:
        path: a folder with one run, of which every rank is checked; or any file of a log, for all of that log.

    Raises:
        RunNotFoundError: the folder holds no run, or several.
        MissingExtraError: a segment is compressed with zstd, and `zstandard` is not installed.
        OSError: a file cannot be read.
    """
    log = whole_log(run_log(path))
    logs = [each for each in find_logs(path) if each.run_id == log.run_id] if path.is_dir() else [log]
    checked = [_check_log(each) for each in logs]
    left_over = [each for log in logs for each in _left_over(log)] + _temporary(log.path.parent)
    return Verification(all(each.valid for each in checked), checked, left_over)


def _check_log(log: Log) -> CheckedLog:
    checked = _check_files(log)
    # Looked at after the files, because a writer at work seals, enters and removes segments meanwhile.
    before = sealed_segments(log)
    manifest, trouble = _manifest(log)
    there = {each.number for each in (*before, *sealed_segments(log))}
    removed = manifest.removed
    files = [trouble] if trouble else []
    entries = {segment_number(each.file): each for each in manifest.segments if each.sealed}
    last = removed.last_number if removed else 0
    for number in sorted({number for number in (*checked, *entries, *there) if number and number > last}):
        if number > last + 1:
            files.append(_hole(log, last + 1, number - 1))
        last = number
        entry = entries.get(number)
        if number in checked:
            files.append(_compared(log, number, checked[number], entry))
        elif entry and number not in there:
            files.append(_missing(entry))
    if None in checked:
        files.append(checked[None])
    for each in files:
        each.valid = not (each.differences or each.counts)
    return CheckedLog(
        run_id=log.run_id,
        rank=log.rank,
        valid=all(each.valid for each in files),
        files=files,
        removed_segments=removed.segments if removed else 0,
        removed_events=removed.events if removed else 0,
    )


def _manifest(log: Log) -> tuple[Manifest, CheckedFile | None]:
    """The manifest of a log, an empty one when there is none; and what is wrong with it."""
    empty = Manifest(run_id=log.run_id, rank=log.rank)
    try:
        return load_manifest(log), None
    except FileNotFoundError:
        return empty, None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        name = derived_path(log, "manifest.json").name
        return empty, CheckedFile(name, differences=[Difference("file", "a manifest", str(error))])


class _Problems:
    """The problems of a file: the first few, and how many of each kind."""

    def __init__(self) -> None:
        self.counts: Counter[Kind] = Counter()
        self.first: list[Problem] = []

    def add(self, problem: Problem) -> None:
        """Take in the next problem."""
        self.counts[problem.kind] += 1
        if len(self.first) < _SHOWN:
            self.first.append(problem)

    def clear(self) -> None:
        """Begin with another file."""
        self.counts, self.first = Counter(), []


def _check_files(log: Log) -> dict[int | None, CheckedFile]:
    """Check the lines of all files, which follow each other as one; by the number, None for the live file."""
    manifest, _ = _manifest(log)
    known = max((segment_number(each.file) or 0 for each in manifest.segments), default=0)
    problems = _Problems()
    order = Order(problems.add)
    gone = last = 0
    if removed := manifest.removed:
        gone = last = removed.last_number
        order.skip(log.rank, removed.last_attempt, removed.last_seq)
    checked: dict[int | None, CheckedFile] = {}
    for segment in opened(log):
        number = segment.number
        if number and number <= gone:
            continue
        if (number or known + 1) > last + 1:
            # Segments are missing, and told so: what was in them is not told again as missing events.
            order.skip()
        last = number or last
        problems.clear()
        checked[number] = _check_lines(segment, order, problems)
    return checked


def _check_lines(segment: Opened, order: Order, problems: _Problems) -> CheckedFile:
    check = StrictCheck(problems.add, order)
    check_file(segment, check, problems.add)
    if problems.counts["bad_compression"]:
        order.skip()
    counts = {kind: count for kind, count in sorted(problems.counts.items()) if count}
    return CheckedFile(
        segment.path.name,
        sealed=segment.number is not None,
        events=check.lines,
        counts=counts,
        problems=problems.first,
    )


def _compared(log: Log, number: int, checked: CheckedFile, entry: Segment | None) -> CheckedFile:
    """Compare a sealed segment with its entry in the manifest."""
    if entry:
        checked.recorded = True
        if found := _described(log, number, checked.file):
            checked.differences = list(_differences(entry, found))
    return checked


def _described(log: Log, number: int, name: str) -> Segment | None:
    """What a sealed segment amounts to; None when it is gone by now, or cannot be decompressed."""
    paths = [log.path.with_name(name), *(sealed_path(log, number, compression) for compression in COMPRESSIONS)]
    for path in paths:
        with suppress(FileNotFoundError, DamagedSegmentError):
            return describe(path)
    return None


def _differences(entry: Segment, found: Segment) -> Iterator[Difference]:
    """What differs in the events; when nothing does, and it is the same file, what differs in how it is stored."""
    differ = _differing(entry, found, _CONTENT)
    if not differ and entry.file == found.file:
        differ = _differing(entry, found, _STORED)
    for name in differ:
        yield Difference(name, _said(getattr(entry, name)), _said(getattr(found, name)))


def _said(value: int | str | None) -> str:
    return "nothing" if value is None else str(value)


def _differing(entry: Segment, found: Segment, names: Iterable[str]) -> list[str]:
    return [name for name in names if getattr(entry, name) != getattr(found, name)]


def _missing(entry: Segment) -> CheckedFile:
    seq = f", seq {entry.first_seq} to {entry.last_seq}" if entry.first_seq is not None else ""
    missing = Difference("file", f"{entry.events} events{seq}", "no such file")
    return CheckedFile(entry.file, sealed=True, recorded=True, differences=[missing])


def _hole(log: Log, first: int, last: int) -> CheckedFile:
    """Segments that are neither there nor in the manifest, though later ones are."""
    name = sealed_path(log, first).name
    if last > first:
        name += f" to {sealed_path(log, last).name}"
    return CheckedFile(name, sealed=True, differences=[Difference("file", "a segment", "no such file")])


def _left_over(log: Log) -> Iterator[LeftOver]:
    manifest, _ = _manifest(log)
    gone = manifest.removed.last_number if manifest.removed else 0
    for sealed in sealed_segments(log):
        if sealed.number <= gone:
            yield LeftOver(sealed.path.name, "already counted as removed by retention")
        for compression in COMPRESSIONS:
            path = sealed_path(log, sealed.number, compression)
            if path != sealed.path and path.exists():
                yield LeftOver(path.name, f"beside {sealed.path.name}, which counts")
    for path in sorted(log.path.parent.glob("*.torn")):
        # The name of the file it was cut from, then the attempt that did it.
        name, *_ = path.name.rsplit(".", 2)
        if whole_log(log._replace(path=path.with_name(name))) == log:
            yield LeftOver(path.name, "bytes of an unfinished line")


def _temporary(folder: Path) -> list[LeftOver]:
    what = "a temporary file, of a crash or of a process at work"
    return [LeftOver(path.name, what) for path in sorted(folder.glob(".rldk-*"))]
