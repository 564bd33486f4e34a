"""Read the events of a run, with nothing skipped in silence."""

from __future__ import annotations

import io
import logging
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Literal, NamedTuple, get_args

from rldk.errors import InvalidLineError
from rldk.io.codec import decode
from rldk.io.decoder import LineDecoder, event
from rldk.io.event_schema import MAX_LINE
from rldk.io.history import cuts, effective
from rldk.io.lock import is_held
from rldk.io.problems import Problem
from rldk.io.segments import lock_path, run_log

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from rldk.io.event_schema import Event

__all__ = ["Block", "Mode", "blocks", "damage", "is_live", "last_event", "read_events", "whole_size"]

Mode = Literal["strict", "tolerate_torn_tail", "stop_at_first_bad", "salvage"]
"""What a reader does about damage: refuse any, forgive a torn tail, end there, or step over it."""

History = Literal["effective", "all"]
"""Which events a reader gives: those that no later attempt has replaced, or all."""

_CHUNK: Final = 2**18
_log: Final = logging.getLogger(__name__)


class Block(NamedTuple):
    """Some successive lines of a file, each with its newline, and the byte of the file the first begins at.

    `damage` is set when the text is no whole line: one without a newline at the end of the file, or the
    beginning of one that is too long to be read, of which `skipped` more bytes were passed over.
    """

    byte: int
    text: bytes
    damage: Literal["torn_tail", "line_too_long"] | None = None
    skipped: int = 0


def blocks(file: IO[bytes]) -> Iterator[Block]:
    """The lines of a file in blocks of about 256 KiB; memory is bounded by the longest line allowed."""
    byte, rest, chunk = 0, b"", file.read(_CHUNK)
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

    Args:
        path: a log, or a folder with one run, of which the lowest rank is read.
        mode: `strict` refuses any damage; a torn tail too, unless a writer is at work on the file at this
            moment. `tolerate_torn_tail` leaves a torn last line out. `stop_at_first_bad` ends before the first
            damaged line. `salvage` steps over damaged lines.
        history: `effective` leaves out what a resumed attempt has replaced, `all` gives every event.
        on_problem: told of each line that was left out; a warning is logged when it is not given.

    Raises:
        InvalidLineError: damage that the mode does not allow, with file, line, byte and reason.
        RunNotFoundError: the folder holds no run, or several.
        OSError: the file cannot be read.
    """
    _check_choice("mode", mode, get_args(Mode))
    _check_choice("history", history, get_args(History))
    log = run_log(Path(path)).path
    return _events(log, mode, history, on_problem or _warn)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, found {value!r}")


def _events(log: Path, mode: Mode, history: History, on_problem: Callable[[Path, Problem], None]) -> Iterator[Event]:
    with log.open("rb", buffering=0) as file:
        if history == "all" or _one_attempt(file):
            file.seek(0)
            yield from _decoded(file, log, mode, on_problem)
            return
        file.seek(0)
        last_steps = cuts(_decoded(file, log, mode, lambda *_: None))
        file.seek(0)
        yield from effective(_decoded(file, log, mode, on_problem), last_steps)


def _one_attempt(file: IO[bytes]) -> bool:
    """Whether no attempt can have replaced another: the last event belongs to the first attempt."""
    last = last_event(file)
    return last is not None and last.model_info.get("attempt") == 1


def _decoded(file: IO[bytes], log: Path, mode: Mode, on_problem: Callable[[Path, Problem], None]) -> Iterator[Event]:
    for item in _items(file):
        if not isinstance(item, Problem):
            yield item
            continue
        if not _forgiven(item, mode, log):
            raise item.error(log)
        on_problem(log, item)
        if mode == "stop_at_first_bad":
            return


def _items(file: IO[bytes]) -> Iterator[Event | Problem]:
    """Each line's event, or what is wrong with it."""
    decoder = LineDecoder()
    number = 0
    for block in blocks(file):
        if block.damage:
            number += 1
            yield damage(block).at(number, block.byte)
            continue
        for start, _, head, tail, names in decoder.parts(block.text):
            number += 1
            if isinstance(tail, InvalidLineError):
                yield problem(tail).at(number, block.byte + start)
            else:
                yield event(head, tail, names)


def problem(error: InvalidLineError) -> Problem:
    """The problem that an error was made from."""
    return Problem(error.kind, error.expected, error.found, error.field, error.byte)  # type: ignore[arg-type]


def _forgiven(problem: Problem, mode: Mode, log: Path) -> bool:
    if problem.kind == "torn_tail":
        return mode != "strict" or is_live(log)
    return mode in {"stop_at_first_bad", "salvage"}


def _warn(path: Path, problem: Problem) -> None:
    _log.warning("left out: %s", problem.error(path))


def is_live(path: Path) -> bool:
    """Whether a writer is at work on a log at this moment."""
    log = run_log(path)
    return is_held(lock_path(path.parent, log.run_id, log.rank))


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


def last_event(file: IO[bytes]) -> Event | None:
    """The last whole line of a log that is an event, found from the end; None when there is none."""
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
