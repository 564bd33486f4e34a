"""Read the events of a run, with nothing skipped in silence."""

from __future__ import annotations

import heapq
import io
import logging
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

from rldk.errors import InvalidLineError
from rldk.io.codec import decode
from rldk.io.compression import DamagedSegmentError
from rldk.io.decoder import LineDecoder, event, names
from rldk.io.event_schema import MAX_LINE
from rldk.io.history import cuts, effective
from rldk.io.lock import is_held
from rldk.io.opened import newest_first, opened
from rldk.io.problems import Problem
from rldk.io.segments import Log, find_logs, has_segments, lock_path, run_log, whole_log

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from rldk.io.event_schema import Event
    from rldk.io.follow import follow
    from rldk.io.opened import Opened

__all__ = [
    "Block",
    "Mode",
    "blocks",
    "damage",
    "follow",
    "is_live",
    "last_event",
    "last_event_of",
    "problem",
    "read_events",
    "read_items",
    "read_log",
    "whole_size",
]

Mode = Literal["strict", "tolerate_torn_tail", "stop_at_first_bad", "salvage"]
"""What a reader does about damage: refuse any, forgive a torn tail, end there, or step over it."""

History = Literal["effective", "all"]
"""Which events a reader gives: those that no later attempt has replaced, or all."""

_CHUNK: Final = 2**16
_log: Final = logging.getLogger(__name__)


class Block(NamedTuple):
    """Some successive lines of a file, each with its newline, and the byte of the file the first begins at.

    `damage` is set when the text is no whole line: one without a newline at the end of the file, the beginning
    of one that is too long to be read, of which `skipped` more bytes were passed over, or what could be
    decompressed of one before a compressed file turned out to be damaged.
    """

    byte: int
    text: bytes
    damage: Literal["torn_tail", "line_too_long", "bad_compression"] | None = None
    skipped: int = 0
    reason: DamagedSegmentError | None = None


def blocks(file: IO[bytes]) -> Iterator[Block]:
    """The lines of a file in blocks of about 64 KiB; memory is bounded by the longest line allowed."""
    byte, rest = 0, b""
    try:
        chunk = file.read(_CHUNK)
        while chunk:
            beyond, end = b"", chunk.rfind(b"\n") + 1
            if end:
                text = b"".join((rest, memoryview(chunk)[:end]))
                yield Block(byte, text)
                byte, rest = byte + len(text), chunk[end:]
            else:
                rest += chunk
            if len(rest) > MAX_LINE:
                skipped, beyond = _skip_line(file)
                yield Block(byte, rest, "line_too_long", skipped)
                byte, rest = byte + len(rest) + skipped, b""
            chunk = beyond or file.read(_CHUNK)
        if rest:
            yield Block(byte, rest, "torn_tail")
    except DamagedSegmentError as error:
        yield Block(byte, rest, "bad_compression", reason=error)


def _skip_line(file: IO[bytes]) -> tuple[int, bytes]:
    """Read to the end of the line: the bytes read of it, newline included, and what was read beyond it."""
    skipped = 0
    while chunk := file.read(_CHUNK):
        head, newline, rest = chunk.partition(b"\n")
        skipped += len(head) + len(newline)
        if newline:
            return skipped, rest
    return skipped, b""


def damage(block: Block) -> Problem:
    """What to say of a block that is no whole line."""
    if block.reason:
        return Problem("bad_compression", block.reason.expected, block.reason.found)
    if block.damage == "torn_tail":
        return Problem("torn_tail", "a newline at the end of the last line", f"{len(block.text)} bytes without one")
    size = len(block.text) + block.skipped
    return Problem("line_too_long", f"at most {MAX_LINE} bytes, newline included", f"{size} bytes")


def read_events(
    path: str | os.PathLike[str],
    *,
    mode: Mode = "strict",
    history: History = "effective",
    on_problem: Callable[[Path, Problem], None] | None = None,
) -> Iterator[Event]:
    """The events of a run, one at a time, in the order they were written.

    A log is read with all its segments, compressed or not, also while a writer is at work on it.

    Args:
        path: a folder with one run; or a log, by the path of its live file; or any single file, as a segment.
        mode: `strict` refuses any damage; a torn tail too, unless a writer is at work on the file at this
            moment. `tolerate_torn_tail` leaves a torn last line of a file out. `stop_at_first_bad` ends before
            the first damaged line. `salvage` steps over damaged lines, and what cannot be decompressed.
        history: `effective` leaves out what a resumed attempt has replaced, `all` gives every event. Of a
            folder, `effective` reads the lowest rank, and `all` every rank, ordered by attempt, step and rank.
        on_problem: told of each line that was left out; a warning is logged when it is not given.

    Raises:
        InvalidLineError: damage that the mode does not allow, with file, line, byte and reason.
        RunNotFoundError: the folder holds no run, or several.
        MissingExtraError: a segment is compressed with zstd, and `zstandard` is not installed.
        OSError: a file cannot be read.
    """
    _check_choice("mode", mode, get_args(Mode))
    _check_choice("history", history, get_args(History))
    log, on_problem = run_log(Path(path)), on_problem or _warn
    if history == "effective":
        return _effective(log, mode, on_problem)
    logs = [each for each in find_logs(Path(path)) if each.run_id == log.run_id] if Path(path).is_dir() else [log]
    return heapq.merge(*(read_log(each, mode, on_problem) for each in logs), key=_position)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, found {value!r}")


def _position(event: Event) -> tuple[int, int, int]:
    return event.attempt, event.step, event.rank


def _effective(log: Log, mode: Mode, on_problem: Callable[[Path, Problem], None]) -> Iterator[Event]:
    events = read_log(log, mode, on_problem)
    last = last_event_of(log)
    if last and last.model_info.get("attempt") == 1:
        # No attempt can have replaced another.
        yield from events
    else:
        yield from effective(events, cuts(read_log(log, mode, lambda *_: None)))


def read_log(
    log: Log,
    mode: Mode,
    on_problem: Callable[[Path, Problem], None],
    on_file: Callable[[Opened], None] = lambda _: None,
) -> Iterator[Event]:
    """All events of one log; see `read_events`.

    Args:
        log: the log.
        mode: what to do about damage.
        on_problem: told of each line that was left out.
        on_file: told of each file before its first event is given.
    """
    decoder = LineDecoder()
    for segment in opened(log):
        on_file(segment)
        for item in _items(segment.file, decoder):
            if not isinstance(item, Problem):
                yield item
                continue
            if not _forgiven(item, mode, segment.path):
                raise item.error(segment.path)
            on_problem(segment.path, item)
            if mode == "stop_at_first_bad":
                return


def read_items(log: Log) -> Iterator[tuple[Path, Event | Problem]]:
    """Each line of a log with the file it is in: its event, or what is wrong with it."""
    decoder = LineDecoder()
    for segment in opened(log):
        for item in _items(segment.file, decoder):
            yield segment.path, item


def _items(file: IO[bytes], decoder: LineDecoder) -> Iterator[Event | Problem]:
    """Each line's event, or what is wrong with it."""
    number = 0
    for block in blocks(file):
        if block.damage:
            number += 1
            yield damage(block).at(number, block.byte)
            continue
        for run in decoder.runs(block.text):
            if isinstance(run.tails[0], InvalidLineError):
                yield problem(run.tails[0]).at(number + 1, block.byte + run.start)
            else:
                for head, tail in zip(run.heads, run.tails, strict=True):
                    yield event(head, tail, names(head))
            number += len(run.heads)


def problem(error: InvalidLineError) -> Problem:
    """The problem that an error was made from."""
    return Problem(error.kind, error.expected, error.found, error.field, error.byte)  # type: ignore[arg-type]


def _forgiven(problem: Problem, mode: Mode, path: Path) -> bool:
    if problem.kind == "torn_tail":
        return mode != "strict" or is_live(path)
    return mode in {"stop_at_first_bad", "salvage"}


def _warn(path: Path, problem: Problem) -> None:
    _log.warning("left out: %s", problem.error(path))


def is_live(path: Path) -> bool:
    """Whether a writer is at work on a file at this moment: it is the live file of a log whose lock is held."""
    log = whole_log(Log(path, path.stem, 0))
    return log.path == path and has_segments(log) and is_held(lock_path(path.parent, log.run_id, log.rank))


def whole_size(file: IO[bytes]) -> int:
    """How many bytes of a file are whole lines: those up to and with the last newline."""
    end = file.seek(0, io.SEEK_END)
    while end > 0:
        start = max(0, end - _CHUNK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def last_event_of(log: Log) -> Event | None:
    """The last event of a log with all its segments, None when there is none."""
    return next(filter(None, (last_event(segment.file) for segment in newest_first(log))), None)


def last_event(file: IO[bytes]) -> Event | None:
    """The last whole line of a file that is an event, found from the end where that can be; None when there is none."""
    if not file.seekable():
        return _last_of_stream(file)
    end, rest = whole_size(file), b""
    while end > 0 and len(rest) <= MAX_LINE:
        start = max(0, end - _CHUNK)
        file.seek(start)
        first, *lines = (file.read(end - start) + rest).split(b"\n")
        for line in reversed(lines if start else [first, *lines]):
            with suppress(InvalidLineError):
                return decode(line)
        end, rest = start, first
    return None


def _last_of_stream(file: IO[bytes]) -> Event | None:
    last = None
    for block in blocks(file):
        if not block.damage:
            last = last_event(io.BytesIO(block.text)) or last
    return last


def __getattr__(name: str) -> Any:
    """`follow`, which is built on what is here."""
    if name != "follow":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("rldk.io.follow").follow
