"""Check a log line by line and report everything that is wrong with it."""

from __future__ import annotations

import os
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from rldk.io.compression import open_segment
from rldk.io.decoder import Head, LineDecoder, Tail, names
from rldk.io.event_schema import INT_MAX, INT_MIN, MAX_LINE
from rldk.io.explain import explain, explain_foreign
from rldk.io.manifest import read_manifest
from rldk.io.opened import Opened
from rldk.io.order import Order
from rldk.io.problems import Kind, Problem
from rldk.io.reader import blocks, damage, is_live
from rldk.io.segments import is_log, run_log, sealed_segments, segment_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rldk.io.decoder import Run
    from rldk.io.reader import Block

__all__ = ["Report", "StrictCheck", "check_file", "goes_on", "make_check", "validate_jsonl_file", "validate_opened"]

_STEP_NAMES: Final = ("step", "global_step", "_step")
_json: Final = msgspec.json.Decoder().decode


class Report(msgspec.Struct):
    """What a validation found; true when it found nothing wrong."""

    path: str
    strict: bool
    valid: bool = True
    lines: int = 0
    bytes: int = 0
    """Of the lines, decompressed."""
    stopped: bool = False
    """Whether the check ended early because `max_errors` problems were found."""
    counts: dict[Kind, int] = {}
    problems: list[Problem] = []

    def __bool__(self) -> bool:
        return self.valid


class _Enough(Exception):  # noqa: N818 - it ends the check, it is no error
    """As many problems as were asked for have been found."""


class Check(Protocol):
    """Checks the lines of a file, block by block."""

    lines: int
    """How many lines were checked so far."""
    size: int
    """How many bytes were looked at so far, counted by `check_file`."""

    def block(self, text: bytes, byte: int) -> None:
        """Check lines, each with its newline, that begin `byte` bytes into the file."""
        ...

    def lose(self) -> None:
        """Pass over one line that cannot be read."""
        ...


def validate_jsonl_file(
    path: str | os.PathLike[str],
    *,
    strict: bool = False,
    check_consistency: bool = False,
    require: Sequence[str] = (),
    max_errors: int = 100,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Check a file of JSON lines, compressed or not.

    A sealed segment, and the live file of a log with sealed segments, is checked by itself: its first event may
    have any `seq`.

    Args:
        path: the file.
        strict: every line must be an RLDK event, and the events must follow each other as one writer's do.
            Otherwise any JSON lines with a step are accepted: they must be JSON, and of primitive types.
        check_consistency: without `strict`, check too that step, wall_time and seq do not go back or skip.
        require: fields that every line must have, as `metrics.loss` or `model_info.git_sha`.
        max_errors: stop after so many problems; 0 means never.
        progress: told the size in bytes of each part of the file that was checked, as it is stored.

    Returns:
        a report that is true when the file is valid.

    Raises:
        MissingExtraError: the file is compressed with zstd, and `zstandard` is not installed.
        OSError: the file cannot be read.
    """
    path = Path(path)
    with open_segment(path) as file:
        return validate_opened(
            Opened(path, segment_number(path.name), file),
            strict=strict,
            check_consistency=check_consistency,
            require=require,
            max_errors=max_errors,
            progress=progress,
        )


def validate_opened(
    segment: Opened,
    *,
    strict: bool,
    check_consistency: bool,
    require: Sequence[str],
    max_errors: int,
    progress: Callable[[int], None] | None,
) -> Report:
    """Check a file that is open; see `validate_jsonl_file`."""
    report = Report(path=os.fspath(segment.path), strict=strict)

    def add(problem: Problem) -> None:
        report.problems.append(problem)
        if len(report.problems) == max_errors:
            raise _Enough

    order = Order(add)
    if goes_on(segment.path):
        order.skip()
    check = make_check(add, order, strict=strict, check_consistency=check_consistency, require=require)
    try:
        check_file(segment, check, add, strict=strict, progress=progress)
        if not check.lines and not (goes_on(segment.path) and segment.number is None):
            add(Problem("empty_file", "events, one on each line", "an empty file"))
    except _Enough:
        report.stopped = True
    report.lines, report.bytes = check.lines, check.size
    report.counts = dict(Counter(problem.kind for problem in report.problems))
    report.valid = not report.problems
    return report


def make_check(
    add: Callable[[Problem], None], order: Order, *, strict: bool, check_consistency: bool, require: Sequence[str]
) -> Check:
    """What checks the lines as `validate_jsonl_file` says; problems are told to `add` and by `order`."""
    if strict:
        return StrictCheck(add, order, require)
    return _ForeignCheck(add, order if check_consistency else None, require)


def goes_on(path: Path) -> bool:
    """Whether a file goes on where another one ended."""
    number = segment_number(path.name)
    if number is not None or not is_log(path):
        return number is not None and number > 1
    log = run_log(path)
    return bool(sealed_segments(log)) or read_manifest(log).removed is not None


def check_file(
    segment: Opened,
    check: Check,
    add: Callable[[Problem], None],
    *,
    strict: bool = True,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Check the lines of a file that is open.

    Args:
        segment: the file.
        check: what is asked of its lines.
        add: told of what is wrong with the file itself.
        strict: a last line without newline is torn, whoever wrote the file.
        progress: told the size in bytes of each part that was checked, as it is stored.
    """
    done = 0
    for block in blocks(segment.file):
        size = len(block.text) + block.skipped
        check.size += size
        _check_block(block, segment.path, check, add, strict=strict)
        if progress:
            if not segment.file.seekable():
                # Of a pipe nothing is stored: its bytes count as they come.
                with suppress(OSError):
                    stored = os.lseek(segment.file.fileno(), 0, os.SEEK_CUR)
                    size, done = stored - done, stored
            progress(size)


def _check_block(block: Block, path: Path, check: Check, add: Callable[[Problem], None], *, strict: bool) -> None:
    torn = block.damage == "torn_tail"
    if torn and not strict and not is_log(path) and _parses(block.text):
        check.block(block.text + b"\n", block.byte)
    elif block.damage:
        check.lose()
        if not torn or not is_live(path):
            add(damage(block).at(check.lines, block.byte))
    else:
        check.block(block.text, block.byte)


def _parses(line: bytes) -> bool:
    try:
        _json(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


class StrictCheck:
    """Every line is an event of the schema."""

    def __init__(self, add: Callable[[Problem], None], order: Order, require: Sequence[str] = ()) -> None:
        self._add = add
        self._order = order
        self._require = require
        self._decoder = LineDecoder()
        self.lines = self.size = 0

    def block(self, text: bytes, byte: int) -> None:
        """Check lines."""
        for run in self._decoder.runs(text):
            if run.heads[0] is None:
                self._explain(text, run.start, byte)
            elif not self._follows(run, byte):
                self._each(run, text, byte)

    def _follows(self, run: Run, byte: int) -> bool:
        """Check many events that are of one tail together, which is what makes this fast."""
        tail, order = run.tails[0], self._order
        if not run.regular or self._require or run.tails.count(tail) < len(run.tails):
            return False
        if tail is not order.tail:
            order.turn(tail, self.lines + 1, byte + run.start)
        if not order.follow(run.heads):
            return False
        self.lines += len(run.heads)
        return True

    def _each(self, run: Run, text: bytes, byte: int) -> None:
        order, start = self._order, run.start
        for head, tail in zip(run.heads, run.tails, strict=True):
            if tail is not order.tail:
                order.turn(tail, self.lines + 1, byte + start)
            order.check(head, tail, self.lines + 1, byte + start)
            if self._require:
                self._check_required(head, tail, self.lines + 1, byte + start)
            self.lines += 1
            start = text.find(b"\n", start) + 1

    def lose(self) -> None:
        """Pass over one line that cannot be read."""
        self.lines += 1
        self._order.lose()

    def _explain(self, text: bytes, start: int, byte: int) -> None:
        self.lose()
        for problem in explain(text[start : text.index(b"\n", start)]):
            self._add(problem.at(self.lines, byte + start))

    def _check_required(self, head: Any, tail: Tail, number: int, byte: int) -> None:
        known = names(head)
        metrics = head.metrics if known is None else known
        for field in self._require:
            section, _, name = field.partition(".")
            if section == "metrics" and name:
                present = name in metrics
            elif name:
                present = name in getattr(tail, section, ())
            else:
                present = getattr(head, section, None) is not None or hasattr(tail, section)
            if not present:
                self._add(_missing(field, number, byte))


def _missing(field: str, number: int, byte: int) -> Problem:
    return Problem("missing_field", "the required field", "nothing", f"$.{field}", byte, number)


class _ForeignCheck:
    """Every line is a JSON object with a step and primitive values, whoever wrote it."""

    def __init__(self, add: Callable[[Problem], None], order: Order | None, require: Sequence[str]) -> None:
        self._add = add
        self._order = order
        self._require = require
        self.lines = self.size = 0

    def block(self, text: bytes, byte: int) -> None:
        """Check lines."""
        for line in text[:-1].split(b"\n"):
            self.lines += 1
            self._line(line, byte)
            byte += len(line) + 1

    def lose(self) -> None:
        """Pass over one line that cannot be read."""
        self.lines += 1
        if self._order:
            self._order.lose()

    def _line(self, line: bytes, byte: int) -> None:
        try:
            record = _json(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            record = None
        if not _is_plain(record, line):
            problems = explain_foreign(line, _STEP_NAMES)
            for problem in problems:
                self._add(problem.at(self.lines, byte))
            if problems:
                if self._order:
                    self._order.lose()
                return
        if self._order:
            self._check_order(self._order, record, byte)
        for field in self._require:
            section, _, name = field.partition(".")
            inner = record.get(section)
            if field not in record and not (isinstance(inner, dict) and name in inner):
                self._add(_missing(field, self.lines, byte))

    def _check_order(self, order: Order, record: dict[str, Any], byte: int) -> None:
        info, data_slice, notes = (record.get(name) for name in ("model_info", "data_slice", "notes"))
        tail = Tail({}, _section(data_slice), _section(info), _strings(notes))
        order.turn(tail, self.lines, byte)
        step = next(record[name] for name in _STEP_NAMES if name in record)
        head = Head(step, _number(record, "wall_time"), None, _number(record, "seq"), {})
        order.check(head, tail, self.lines, byte)


def _section(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _number(record: dict[str, Any], name: str) -> Any:
    value = record.get(name)
    return value if type(value) in {int, float} else None


def _is_plain(record: object, line: bytes) -> bool:
    """Whether a record is surely fine. The exact check, which says what is wrong, is ten times slower."""
    if not isinstance(record, dict) or b"\\u" in line or len(line) >= MAX_LINE:
        return False
    objects = [record, *(value for value in record.values() if isinstance(value, dict))]
    lists = [value for value in record.values() if isinstance(value, list)]
    values = [value for value in record.values() if not isinstance(value, (dict, list))]
    values += [value for inner in objects[1:] for value in inner.values()] + [item for inner in lists for item in inner]
    texts = [name for inner in objects for name in inner] + [value for value in values if isinstance(value, str)]
    steps = [record[name] for name in _STEP_NAMES if name in record]
    return (
        bool(steps)
        and all(type(step) in {int, float} for step in steps)
        and not any(isinstance(value, (dict, list)) for value in values)
        and not any(type(value) is int and not INT_MIN <= value <= INT_MAX for value in values)
        and line.count(b":") == sum(map(len, objects)) + "".join(texts).count(":")
    )


if __name__ == "__main__":
    from rldk.cli import main

    main(["validate", *sys.argv[1:]])
