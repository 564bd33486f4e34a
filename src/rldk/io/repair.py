"""Bring a log back to whole lines, or copy what can be read of one that is damaged."""

from __future__ import annotations

import base64
import codecs
import errno
import os
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Final, NamedTuple

import msgspec

from rldk.errors import InvalidLineError, RLDKError
from rldk.io.compression import open_segment
from rldk.io.decoder import LineDecoder
from rldk.io.lock import Lock
from rldk.io.problems import Problem
from rldk.io.reader import blocks, damage, is_live, last_event_of, problem
from rldk.io.replace import replacing
from rldk.io.segments import COMPRESSIONS, is_log, lock_path, run_log
from rldk.io.torn import move_torn_tail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rldk.io.event_schema import Event

__all__ = ["Repair", "Salvage", "copies", "repair", "salvage"]

_LISTED: Final = 5
"""How many problems a result holds; `rldk validate` lists them all."""

_SHOWN: Final = 64 * 2**10
"""How many bytes of an unreadable piece are saved; the file that it stands in keeps them all."""


class Repair(msgspec.Struct):
    """What a repair did. Paths are text, with escapes for bytes that are none."""

    path: str
    lines: int = 0
    """Whole lines that are left, damaged ones among them."""
    moved_bytes: int = 0
    """Bytes of an unfinished line that were moved out of the log."""
    torn: str | None = None
    """Where they were moved to."""
    damaged: int = 0
    """Lines that cannot be read, and were left as they are."""
    problems: list[Problem] = []
    """The first five of them."""


class Salvage(msgspec.Struct):
    """What could be copied. Paths are text, with escapes for bytes that are none."""

    path: str
    out: str
    """Where the readable lines were copied to."""
    lines: int = 0
    """How many there were."""
    unreadable: str | None = None
    """Where the others, and what is wrong with each, were put; None when all was readable."""
    damaged: int = 0
    """How many of those there were."""
    problems: list[Problem] = []
    """The first five of them."""


def repair(path: Path) -> Repair:
    """Move the unfinished line at the end of a log to `{path}.{attempt}.torn`, as the next writer would.

    The log is cut only when the side file is on the disk. Whole lines stay as they are, damaged or not. The lock
    of the run is held meanwhile, so no writer is at work.

    Raises:
        RunLockedError: a writer is at work on the run.
        RLDKError: the file is compressed, or is no log at all.
        OSError: the file cannot be read or written.
    """
    if path.suffix[1:] in COMPRESSIONS:
        raise RLDKError(f"{path}: expected a plain log, found a compressed one; copy it with rldk repair --salvage")
    log = run_log(path)
    lock = Lock(lock_path(path.parent, log.run_id, log.rank))
    try:
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(fd, "rb", buffering=0) as file:
            return _repair(file, path, last_event_of(log))
    finally:
        lock.release()


def _repair(file: IO[bytes], path: Path, last: Event | None) -> Repair:
    if last is None and not is_log(path):
        # The last line of a foreign log may well be whole without a newline.
        raise RLDKError(f"{path}: expected an event log, found no event in it")
    moved, torn = move_torn_tail(file.fileno(), path, 1 + (last.attempt if last else 0))
    done = Repair(_text(path), moved_bytes=moved, torn=_text(torn) if moved else None)
    file.seek(0)
    for piece in _pieces(file):
        done.lines += 1
        _note(done, piece)
    return done


def salvage(path: Path, out: Path | None = None) -> Salvage:
    """Copy each line that can be read, byte for byte, to another file, and what cannot be read to a second one.

    The log itself is only read. It may be a compressed segment, which is copied as far as it can be decompressed.
    Both files appear when all has been copied.

    Args:
        path: the log.
        out: where to; `{name}.salvaged.jsonl` beside the log when it is not given. What cannot be read goes to
            `{out's name}.unreadable.jsonl`.

    Raises:
        FileExistsError: there is something in the place of one of the two files.
        RLDKError: `out` is named as a compressed file, which it would not be.
        OSError: a file cannot be read or written.
    """
    out = out or copies(path)[0]
    if out.suffix[1:] in COMPRESSIONS:
        raise RLDKError(
            f"{out}: expected a name ending in .jsonl, found one of a compressed file; lines are copied plain"
        )
    unreadable = _unreadable(out)
    for each in (out, unreadable):
        if os.path.lexists(each):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(each))
    done = Salvage(_text(path), _text(out))
    with ExitStack() as stack:
        file = stack.enter_context(open_segment(path))
        good = stack.enter_context(replacing(out))
        bad: IO[bytes] | None = None
        for piece in _pieces(file):
            if piece.problem is None:
                good.write(piece.text)
                done.lines += 1
            elif piece.problem.kind != "torn_tail" or not is_live(path):
                bad = bad or stack.enter_context(replacing(unreadable))
                bad.write(_record(piece, piece.problem))
                _note(done, piece)
    done.unreadable = _text(unreadable) if bad else None
    return done


def copies(path: Path) -> tuple[Path, Path]:
    """The files beside a log that `salvage` copies to: what can be read of it, and what cannot."""
    out = path.with_name(f"{_name(path)}.salvaged.jsonl")
    return out, _unreadable(out)


def _unreadable(out: Path) -> Path:
    return out.with_name(f"{_name(out)}.unreadable.jsonl")


class _Piece(NamedTuple):
    """A line, or what stands in the place of one."""

    byte: int
    text: bytes
    """The line with its newline; only the beginning of one that is too long to be read."""
    length: int
    problem: Problem | None


def _pieces(file: IO[bytes]) -> Iterator[_Piece]:
    decoder, number = LineDecoder(), 0
    for block in blocks(file):
        if block.damage:
            number += 1
            found = damage(block).at(number, block.byte)
            yield _Piece(block.byte, block.text, len(block.text) + block.skipped, found)
            continue
        for start, end, _, tail, _ in decoder.parts(block.text):
            number += 1
            byte, text = block.byte + start, block.text[start : end + 1]
            bad = problem(tail).at(number, byte) if isinstance(tail, InvalidLineError) else None
            yield _Piece(byte, text, len(text), bad)


def _note(done: Repair | Salvage, piece: _Piece) -> None:
    if piece.problem:
        done.damaged += 1
        if len(done.problems) < _LISTED:
            done.problems.append(piece.problem)


def _record(piece: _Piece, found: Problem) -> bytes:
    """What is said of an unreadable piece, on a line."""
    facts = {**msgspec.structs.asdict(found), "start": piece.byte, "length": piece.length, **_raw(piece)}
    return msgspec.json.encode(facts) + b"\n"


def _raw(piece: _Piece) -> dict[str, str | bool]:
    shown = piece.text[:_SHOWN]
    truncated = len(shown) < piece.length
    try:
        # A character that is cut in two at the end is left out.
        text = codecs.getincrementaldecoder("utf-8")().decode(shown, final=not truncated)
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(shown).decode(), "truncated": truncated}
    return {"text": text, "truncated": truncated}


def _name(path: Path) -> str:
    """The name of a file without its endings."""
    return path.name.removesuffix(".gz").removesuffix(".zst").removesuffix(".jsonl")


def _text(path: Path) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")
