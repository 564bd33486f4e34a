"""The lines of a text file that somebody else wrote, each with where it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from rldk.adapters.base import HEAD, Bad
from rldk.errors import UnknownFormatError
from rldk.io.compression import DamagedSegmentError, open_segment
from rldk.io.problems import Problem
from rldk.io.reader import blocks, damage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Line", "Piece", "numbered", "pieces", "read_head", "read_whole", "shown"]

_BOM: Final = b"\xef\xbb\xbf"
_ANSI: Final = re.compile(rb"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]")
_BLANK: Final = _BOM + b" \t\r"
_CHUNK: Final = 2**20
_MAX_FIRST: Final = 2**20
"""How much longer than `HEAD` a first line may be that a format is known by."""
_MAX_DOCUMENT: Final = 2**28
"""The largest file in bytes that is read as a whole."""


class Line(NamedTuple):
    """A line without its newline."""

    text: bytes
    number: int
    """From 1."""
    byte: int
    """Where it begins in the file, decompressed."""
    whole: bool
    """Whether a newline ended it; only the last line of a file can be without."""

    def bad(self, path: Path, problem: Problem) -> Bad:
        """What is wrong with the line, said with the byte counted from its start."""
        return Bad(problem.at(self.number, self.byte), path)

    def torn(self, path: Path) -> Bad:
        """The line as the unfinished end of a file."""
        found = f"{len(self.text)} bytes without one: the file was cut short, or is still being written"
        return self.bad(path, Problem("torn_tail", "a newline at the end of the last line", found))


def numbered(path: Path) -> Iterator[Line | Bad]:
    """The lines of a file, compressed or not; a byte order mark before the first is passed over.

    Raises:
        MissingExtraError: it is compressed with zstd, and `zstandard` is not installed.
        OSError: it cannot be read.
    """
    number = 0
    with open_segment(path) as file:
        for block in blocks(file):
            if block.damage and block.damage != "torn_tail":
                number += 1
                yield Bad(damage(block).at(number, block.byte), path)
                continue
            byte, whole = block.byte, not block.damage
            for text in (block.text[:-1] if whole else block.text).split(b"\n"):
                number += 1
                skipped = len(_BOM) if byte == 0 and text.startswith(_BOM) else 0
                yield Line(text[skipped:], number, byte + skipped, whole)
                byte += len(text) + 1


class Piece(NamedTuple):
    """What a terminal shows of a part of a line: a progress bar goes back to its start and is written over."""

    text: str
    """Without colours; bytes that are no UTF-8 are replaced."""
    byte: int
    """Where it begins in its line."""


def pieces(line: Line) -> Iterator[Piece]:
    """The parts of a line that stood on the terminal one after the other, empty ones left out."""
    byte = 0
    for part in line.text.split(b"\r"):
        if text := shown(part).strip():
            yield Piece(text, byte)
        byte += len(part) + 1


def shown(part: bytes) -> str:
    """What a terminal shows of bytes without a carriage return in them: text without colours."""
    return _ANSI.sub(b"", part).decode(errors="replace")


def read_whole(path: Path) -> bytes | Bad:
    """All bytes of a file that is no list of lines, compressed or not; bad when it is too large or damaged."""
    content = bytearray()
    with open_segment(path) as file:
        try:
            while chunk := file.read(_CHUNK):
                content += chunk
                if len(content) > _MAX_DOCUMENT:
                    expected = f"at most {_MAX_DOCUMENT} bytes in a file that is read as a whole"
                    return Bad(Problem("too_large", expected, "more"), path)
        except DamagedSegmentError as error:
            return Bad(Problem("bad_compression", error.expected, error.found, byte=len(content)), path)
    return bytes(content)


def read_head(path: Path) -> bytes:
    """The first bytes of a file, decompressed; none of a folder.

    They are `HEAD` at most, and more only where an object of JSON on the first of several lines is longer: up to
    its end then.
    """
    if path.is_dir():
        return b""
    content = b""
    with open_segment(path) as file:
        try:
            while len(content) < HEAD and (chunk := file.read(HEAD - len(content))):
                content += chunk
            if content.lstrip(_BLANK).startswith(b"{") and b"\n" not in content:
                rest = b""
                while b"\n" not in rest and len(rest) < _MAX_FIRST and (chunk := file.read(_CHUNK)):
                    rest += chunk
                first, newline, more = rest.partition(b"\n")
                content += first + newline if more or (newline and file.read(1)) else b""
        except DamagedSegmentError as error:
            if not content:
                raise UnknownFormatError(path, f"expected {error.expected}, found {error.found}") from error
    return content
