"""The text a training printed: what a terminal showed of it, without what launchers put before each line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from rldk.adapters.base import HEAD
from rldk.adapters.lines import Line, Piece, pieces
from rldk.errors import RLDKError
from rldk.io.compression import open_segment
from rldk.io.reader import Block, blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["LIMIT", "Failure", "Search", "find_line", "is_text", "last_error", "spoken", "strip_prefixes"]

LIMIT: Final = 2**26
"""How far into a file is looked for a line, in bytes: launchers may print for long before training begins."""

_TIME: Final = r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
_DATE: Final = r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d"
_LEVEL: Final = r"(?:TRACE|DEBUG|INFO|SUCCESS|NOTICE|WARNING|WARN|ERROR|CRITICAL)"
_PREFIX: Final = re.compile(
    r"\((?:[^()\n]|\([^()\n]{0,80}\)){0,120}?\bpid=\d+(?:, ip=[^)\s]{1,60})?\) *"  # Ray: (main_task pid=1, ip=10.0.0.1)
    r"|\[?(?:rank|default)\d+\]?: ?"  # torchrun: [rank0]: and [default0]:
    r"|\d{1,4}: +(?=\S)"  # srun --label
    rf"|\[{_TIME}\] *|(?:{_TIME}|{_DATE})(?: *[|-] *| +)"
    rf"|\[{_LEVEL}(?:[|:][^\]\n]{{1,120}})?\] *"  # [INFO] and [INFO|trainer.py:2026]
    rf"|[\w.]{{1,80}} - {_LEVEL} - "  # __main__ - INFO -
    rf"|{_LEVEL} - [\w.]{{1,80}} - "  # INFO - __main__ -, as scripts of transformers log
    rf"|{_LEVEL} *\| [^|\n]{{1,160}}? - "  # loguru: INFO | module:function:12 -
    rf"|{_LEVEL}:[\w.]{{1,80}}: ?"  # INFO:root:
    rf"|{_LEVEL} [\w./]{{1,80}}:\d+ -- "  # Ray itself: INFO worker.py:1642 --
    r"|\[[\w./-]{1,80}\.py:\d+(?::\w+)?\] *"  # [launch.py:319:sigkill_handler]
    r"|[\w.]{1,80}:\d+ >> |>> "
)
_MOST_PREFIXES: Final = 6

_ERROR: Final = re.compile(
    r"[A-Za-z_][\w.]{0,200}(?:Error|Exception|Interrupt|SystemExit|Timeout)(?:\([\w, ]{0,80}\))?(?::.*)?"
)
_RAISED: Final = re.compile(rb"Error|Exception|Interrupt|SystemExit|Timeout")
_TRACEBACK: Final = b"Traceback (most recent call last)"
_LAUNCHERS: Final = ("CalledProcessError", "ChildFailedError", "SystemExit", "RayTaskError")
"""What launchers raise because the training failed; it is not why."""
_SHOWN: Final = 120


def is_text(head: bytes) -> bool:
    """Whether a file may be text: it is not empty, and begins without a NUL byte, which every binary log soon has."""
    return bool(head.strip()) and b"\0" not in head[:4096]


def strip_prefixes(text: str) -> str:
    """A text without the actor, rank, time, level and place that Ray, torchrun, srun and loggers put before it."""
    for _ in range(_MOST_PREFIXES):
        match = _PREFIX.match(text)
        if not match:
            break
        text = text[match.end() :]
    return text


def spoken(line: Line) -> Iterator[Piece]:
    """The parts of a line that a terminal showed one after the other, without prefixes; see `lines.pieces`."""
    for piece in pieces(line):
        if text := strip_prefixes(piece.text):
            yield Piece(text, piece.byte)


class Search(NamedTuple):
    """What came of looking for a line."""

    piece: Piece | None
    """The part of the line that was looked for, None when there is none."""
    number: int
    """The number of its line, or how many lines there are."""


def find_line(head: bytes, path: Path, mark: bytes, accepts: Callable[[str], object]) -> Search:
    """Look for the first part of a line that is accepted, in the head and then in the file, as far as `LIMIT`.

    Nothing is raised: what cannot be read holds no such line.

    Args:
        head: the first bytes of the file, as `Adapter.handles` is given them.
        path: the file; it is only opened when the head is not all of it.
        mark: bytes that every line to be accepted contains, so that the others are passed by quickly.
        accepts: is asked about each part of these lines, prefixes stripped.
    """
    number = 0
    for block in _blocks(head, path):
        if mark in block.text:
            for line in _lines(block, number):
                if mark in line.text and (piece := next((each for each in spoken(line) if accepts(each.text)), None)):
                    return Search(piece, line.number)
        number += block.text.count(b"\n") + (not block.text.endswith(b"\n"))
    return Search(None, number)


def _blocks(head: bytes, path: Path) -> Iterator[Block]:
    """The text of a file in pieces of whole lines: the head when it is all of it, or all that can be read."""
    if len(head) < HEAD:
        yield from [Block(0, head)] if head else []
        return
    try:
        with open_segment(path) as file:
            for block in blocks(file):
                if block.byte > LIMIT:
                    return
                yield block
    except (OSError, RLDKError):
        return


def _lines(block: Block, number: int) -> Iterator[Line]:
    """The lines of a block that begins after so many."""
    byte = block.byte
    for text in block.text.removesuffix(b"\n").split(b"\n"):
        number += 1
        yield Line(text, number, byte, whole=True)
        byte += len(text) + 1


class Failure(NamedTuple):
    """An exception that ended something, as its traceback says it."""

    text: str
    """The exception's name and the beginning of its message."""
    number: int
    """The line it stands in."""


def last_error(head: bytes, path: Path) -> Failure | None:
    """The exception of the last traceback, as far as `LIMIT`; one of a launcher only when there is no other."""
    found: Failure | None = None
    launcher: Failure | None = None
    number, traced = 0, False
    for block in _blocks(head, path):
        if traced or _TRACEBACK in block.text:
            for line in _lines(block, number):
                traced = traced or _TRACEBACK in line.text
                text = _raised(line) if traced else ""
                if text.partition(":")[0].partition("(")[0].endswith(_LAUNCHERS):
                    launcher = Failure(_shortened(text), line.number)
                elif text:
                    found = Failure(_shortened(text), line.number)
        number += block.text.count(b"\n") + (not block.text.endswith(b"\n"))
    return found or launcher


def _raised(line: Line) -> str:
    """The exception that a line names as the last of a traceback does, at its beginning; empty when it does not."""
    if line.text[:1] in {b" ", b"\t"} or not _RAISED.search(line.text):
        return ""
    return next((piece.text for piece in spoken(line) if _ERROR.fullmatch(piece.text)), "")


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
