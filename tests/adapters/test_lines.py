"""The lines of somebody else's file, and where they stand."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from rldk.adapters import lines
from rldk.adapters.base import Bad
from rldk.adapters.lines import Line, Piece, numbered, pieces, read_whole
from rldk.io.event_schema import MAX_LINE
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a log may be written."""
    return tmp_path / "mine.txt"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n", [(b"", 1, 0, True)]),
        (b"a\nbc\n", [(b"a", 1, 0, True), (b"bc", 2, 2, True)]),
        (b"a\nbc", [(b"a", 1, 0, True), (b"bc", 2, 2, False)]),
        (b"a\r\nb\r\n", [(b"a\r", 1, 0, True), (b"b\r", 2, 3, True)]),
        (b"\xef\xbb\xbfa\nb\n", [(b"a", 1, 3, True), (b"b", 2, 5, True)]),
        (b"\xef\xbb\xbfa", [(b"a", 1, 3, False)]),
        (b"a\n\xef\xbb\xbfb\n", [(b"a", 1, 0, True), (b"\xef\xbb\xbfb", 2, 2, True)]),
    ],
)
def test_each_line_knows_its_number_and_its_byte(
    log: Path, content: bytes, expected: list[tuple[bytes, int, int, bool]]
) -> None:
    """Only the last can be without its newline; a byte order mark counts as bytes and is no part of the first."""
    log.write_bytes(content)

    assert [tuple(line) for line in numbered(log)] == expected


def test_the_lines_of_a_long_file_join_up(log: Path) -> None:
    """Over the blocks in which it is read, each line begins where the one before ended."""
    content = b"".join(b"%d %s\n" % (number, b"x" * (number % 700)) for number in range(2000))
    log.write_bytes(content)
    found = [line for line in numbered(log) if isinstance(line, Line)]

    assert [line.number for line in found] == list(range(1, 2001))
    assert all(content[line.byte :].startswith(line.text + b"\n") for line in found)


def test_a_compressed_file_has_the_same_lines(log: Path) -> None:
    """Bytes are counted decompressed; where the file is damaged, the lines before it are given."""
    content = gzip.compress(b"a\nbc\n")
    whole, cut = log.with_name("mine.txt.gz"), log.with_name("cut.txt.gz")
    whole.write_bytes(content)
    cut.write_bytes(content[:-6])
    problem = Problem("bad_compression", "a whole gzip frame", "the end of the file", byte=5, line=3)
    *before, last = numbered(cut)

    assert [*numbered(whole)] == before == [Line(b"a", 1, 0, whole=True), Line(b"bc", 2, 2, whole=True)]
    assert isinstance(last, Bad)
    assert (last.problem.kind, last.problem.line, last.path) == (problem.kind, 3, cut)


def test_a_line_that_is_too_long_is_bad_and_the_next_is_read(log: Path) -> None:
    """It is one line of the file, and nothing of it is kept."""
    log.write_bytes(b"a\n" + b"x" * (MAX_LINE + 2**20) + b"\nb\n")
    first, bad, last = numbered(log)

    assert first == Line(b"a", 1, 0, whole=True)
    assert last == Line(b"b", 3, MAX_LINE + 2**20 + 3, whole=True)
    assert bad == Bad(
        Problem(
            "line_too_long",
            "at most 16777216 bytes, newline included",
            f"{MAX_LINE + 2**20 + 1} bytes",
            byte=2,
            line=2,
        ),
        log,
    )


def test_what_is_wrong_with_a_line_is_said_with_its_place(log: Path) -> None:
    """Bytes that were counted in the line become bytes of the file."""
    line = Line(b"abc", 7, 100, whole=False)

    assert line.bad(log, Problem("bad_json", "x", "y", byte=2)) == Bad(
        Problem("bad_json", "x", "y", byte=102, line=7), log
    )
    assert str(line.torn(log).problem.error(log)) == (
        f"{log}:7:100: expected a newline at the end of the last line, found 3 bytes without one: "
        "the file was cut short, or is still being written [torn_tail]"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", []),
        (b"step 1", [Piece("step 1", 0)]),
        (b"  step 1  \r", [Piece("step 1", 0)]),
        (b"10%\r20%\r  \rdone", [Piece("10%", 0), Piece("20%", 4), Piece("done", 11)]),
        (b"\x1b[31mred\x1b[0m and \x1b[1;38;5;9mmore\x1b[K", [Piece("red and more", 0)]),
        (b"\x1b]8;;https://x\x07link\x1b]8;;\x07", [Piece("link", 0)]),
        ("é\xff".encode("latin-1"), [Piece("\ufffd\ufffd", 0)]),
    ],
)
def test_the_pieces_of_a_line_are_what_stood_on_the_terminal(text: bytes, expected: list[Piece]) -> None:
    """Each part that a progress bar wrote over, without colours, with the byte where it began."""
    assert list(pieces(Line(text, 1, 0, whole=True))) == expected


def test_a_file_is_read_as_a_whole(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain or compressed; one that is too large is bad, and so is one that cannot be decompressed."""
    compressed = log.with_name("mine.txt.gz")
    log.write_bytes(b"0123456789")
    compressed.write_bytes(gzip.compress(b"0123456789"))

    assert read_whole(log) == read_whole(compressed) == b"0123456789"

    compressed.write_bytes(compressed.read_bytes()[:-3])
    damaged = read_whole(compressed)
    monkeypatch.setattr(lines, "_MAX_DOCUMENT", 9)

    assert isinstance(damaged, Bad)
    assert damaged.problem.kind == "bad_compression"
    assert read_whole(log) == Bad(
        Problem("too_large", "at most 9 bytes in a file that is read as a whole", "more"), log
    )
