"""CSV is read strictly, and every line of it is accounted for."""

from __future__ import annotations

import gzip
import math
import time
from typing import TYPE_CHECKING

import pytest

from rldk.adapters.base import Aside, Bad
from rldk.adapters.csv_rows import Comment, Row, columns, csv_rows, first_rows

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path, content: bytes) -> list[Row | Comment | Aside | Bad]:
    """What is read of a file with this content."""
    path.write_bytes(content)
    return list(csv_rows(path))


def said(found: list[Row | Comment | Aside | Bad]) -> list[object]:
    """The cells of each row, the members of each comment, why a line was set aside, or what is wrong with it."""
    told: list[object] = []
    for each in found:
        if isinstance(each, Row):
            told.append(each.cells)
        elif isinstance(each, Comment):
            told.append(each.members)
        else:
            told.append(each.why if isinstance(each, Aside) else str(each.problem.error()))
    return told


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1,2\n",
        b"a,b\r\n1,2\r\n",
        b"\xef\xbb\xbfa,b\n1,2\n",
        b"a\tb\n1\t2\n",
        b"a;b\n1;2\n",
        b'"a","b"\n"1","2"\n',
        b'"a","b"\n"1","2"',
        b" a , b\n1,2\n",
    ],
)
def test_a_row_is_read_whatever_the_dialect(content: bytes, tmp_path: Path) -> None:
    """Line ends, a byte order mark, quotes and separators make no difference where the header tells them."""
    assert said(read(tmp_path / "f", content)) == ["header", {"a": "1", "b": "2"}]
    assert columns(content) == ("a", "b")
    assert first_rows(content + b"\n") == [{"a": "1", "b": "2"}]


def test_blank_cells_are_absent_and_numbers_are_exact(tmp_path: Path) -> None:
    """A blank cell is no null; NaN and infinities, integers and floats are what they spell, and texts stay."""
    (_, row) = read(tmp_path / "f", b"a,b,c,d,e,f,g\n,1, ,0.1,nan,-Infinity,tensor(1)\n")

    assert isinstance(row, Row)
    values = row.numbers()
    assert math.isnan(values.pop("e"))  # type: ignore[arg-type]
    assert values == {"b": 1, "d": 0.1, "f": -math.inf, "g": "tensor(1)"}


def test_quoted_fields_hold_separators_quotes_and_newlines(tmp_path: Path) -> None:
    """A row that takes several lines counts them all, and the next has its own line and byte."""
    found = read(tmp_path / "f", b'a,b\n"1,\n""2""","\n"\n3,4\n')

    rows = [each for each in found if isinstance(each, Row)]
    assert [row.cells for row in rows] == [{"a": '1,\n"2"'}, {"a": "3", "b": "4"}]
    assert [(row.line.number, row.line.byte, row.lines) for row in rows] == [(2, 4, 3), (5, 19, 1)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"1\n", "2:4: expected 2 fields, as the header has, found 1 [bad_row]"),
        (b"1,2,3\n", "2:4: expected 2 fields, as the header has, found 3 [bad_row]"),
        (b'1,x"y"\n', "2:6: expected quotes around whole fields only, found 'x\"y\"' [bad_row]"),
        (b"1,\xff\n", "2:6: expected UTF-8, found the byte 0xff [invalid_utf8]"),
        (
            b'"1,2\n',
            "2:4: expected a quote that is closed within 1000 lines and 16777216 bytes, found one that is not",
        ),
        (b"#{1}\n", "2:6: expected a JSON value, found"),
    ],
)
def test_a_damaged_row_is_bad_and_the_next_is_read(content: bytes, expected: str, tmp_path: Path) -> None:
    """What is wrong is said with line and byte, and nothing else is lost."""
    _, bad, row = said(read(tmp_path / "f", b"a,b\n" + content + b"5,6\n"))

    assert str(bad).startswith(f"<line>:{expected}") or (content == b"#{1}\n" and "[bad_json]" in str(bad))
    assert row == {"a": "5", "b": "6"}


def test_a_last_row_without_newline_is_torn(tmp_path: Path) -> None:
    """Cut at any byte behind the header, the whole rows are read, and what is left is one torn tail."""
    content = b'a,b\n1,"2"\n33,0.125\n'
    for end in range(4, len(content) - 1):
        found = read(tmp_path / "f", content[:end])
        rest = content[:end].rpartition(b"\n")[2]
        torn = [each for each in found if isinstance(each, Bad)]
        closed = rest == b'1,"2"'
        assert [each.problem.kind for each in torn] == ["torn_tail"] * (rest != b"" and not closed), content[:end]


def test_a_header_again_is_set_aside_and_a_changed_one_holds(tmp_path: Path) -> None:
    """Two runs in one file: the rows below the second header are read by it."""
    found = said(read(tmp_path / "f", b"a,b\n1,2\na,b\n3,4\nb,c,d\n5,6,7\n"))

    assert found == [
        *("header", {"a": "1", "b": "2"}, "header again", {"a": "3", "b": "4"}),
        *("another header", {"b": "5", "c": "6", "d": "7"}),
    ]


def test_comments_and_blank_lines_are_told_apart(tmp_path: Path) -> None:
    """A comment with JSON is given as such, others are set aside; `#` may be the name of a column."""
    assert said(read(tmp_path / "f", b'#{"t_start": 1.5}\n# text\n\na,b\n')) == [
        *({"t_start": 1.5}, "comment", "blank line", "header")
    ]
    assert columns(b"#,a\n") == ("#", "a")


@pytest.mark.parametrize("head", [b"", b"one\n", b"1,2\n", b"a,a\n", b"a,nan\n", b"\xff,b\n", b'a,"b\n', b"a,b"[:1]])
def test_what_is_no_header_is_none(head: bytes) -> None:
    """A single field, numbers, repeated names and damage are no header."""
    assert columns(head) == ()
    assert first_rows(head) == []


def test_a_column_without_name_is_called_by_its_number() -> None:
    """As pandas leaves the name of its index out."""
    assert columns(b",loss\n0,0.5\n") == ("column 1", "loss")


def test_a_compressed_file_reads_the_same(tmp_path: Path) -> None:
    """And damage to the compression is told."""
    content = gzip.compress(b"a,b\n1,2\n")

    assert said(read(tmp_path / "f.gz", content)) == ["header", {"a": "1", "b": "2"}]
    assert isinstance(read(tmp_path / "f.gz", content[:-4])[-1], Bad)


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n" + b"," * 2**20 + b"\n",
        b"a,b\n" + b'"\n' * 20_001,
        b"a,b\n" + b'"x\n' + b"y,z\n" * 20_000,
        b"a,b\n" + b'""' * 2**18 + b"\n",
        b"," * 2**20,
    ],
)
def test_hostile_files_take_little_time(content: bytes, tmp_path: Path) -> None:
    """Many fields, and quotes that are never closed, are read in time that grows with the file alone."""
    began = time.perf_counter()
    found = read(tmp_path / "f", content)

    assert time.perf_counter() - began < 1
    lines = sum(1 if isinstance(each, Comment) else each.lines for each in found)
    assert lines == content.count(b"\n") + (not content.endswith(b"\n"))


def test_a_field_of_16_mib_is_refused(tmp_path: Path) -> None:
    """It is passed over, and the row after it is read."""
    _, bad, row = said(read(tmp_path / "f", b'a,b\n1,"' + b"x" * 2**24 + b'"\n5,6\n'))

    assert "[line_too_long]" in str(bad)
    assert row == {"a": "5", "b": "6"}
