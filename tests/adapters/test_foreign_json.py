"""JSON of other tools: as strict as RLDK's own, but for what Python's encoder leaves bare."""

from __future__ import annotations

import gzip
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.adapters import foreign_json
from rldk.adapters.base import HEAD, Aside, Bad
from rldk.adapters.foreign_json import (
    Document,
    JsonElement,
    JsonLine,
    decode,
    document,
    json_lines,
    json_records,
    listed,
    objects,
)
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.adapters.base import Item

TORN = (
    "<line>:2:9: expected a newline at the end of the last line, found 6 bytes without one: "
    "the file was cut short, or is still being written [torn_tail]"
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a log may be written."""
    return tmp_path / "mine.jsonl"


@given(ANY)
def test_what_python_writes_is_read_back(value: Any) -> None:
    """Every value that Python's own encoder makes JSON of, infinities and escapes among them."""
    assert decode(json.dumps(value).encode()) == value
    assert decode(json.dumps(value, ensure_ascii=False).encode()) == value


def test_a_bare_nan_is_a_float() -> None:
    """NaN and the infinities are numbers here, and only these spellings of them."""
    value = decode(b'{"a": NaN, "b": [Infinity, -Infinity]}')

    assert math.isnan(value["a"])
    assert value["b"] == [math.inf, -math.inf]
    assert decode(b'{"a": nan}') == Problem(
        "bare_nonfinite", "null, with the value spelled out in `nonfinite`", "nan", byte=6
    )


@pytest.mark.parametrize(
    ("text", "kind", "byte", "found"),
    [
        (b'{"a": 1, "a": 2}', "duplicate_key", 9, "'a' again"),
        (b'{"a": 1, "\\u0061": 2}', "duplicate_key", 9, "'a' again"),
        (b'{"o": {"a": NaN, "a": 2}}', "duplicate_key", 17, "'a' again"),
        (b'{"a:": 1, "a:": 2}', "duplicate_key", 10, "'a:' again"),
        (b'{"a": 9223372036854775808}', "number_out_of_range", 6, "9223372036854775808"),
        (b'{"a": 1e999}', "number_out_of_range", 6, "1e999"),
        (b'{"a": "\\ud800"}', "lone_surrogate", 6, '"\\ud800"'),
        (b'{"a": "\xff"}', "invalid_utf8", 7, "byte 0xff (invalid start byte)"),
        (b'{"a": 1', "bad_json", 7, "the end of the line"),
        (b'{"a": 1} x', "bad_json", 9, "x"),
        (b"", "bad_json", 0, "the end of the line"),
        (b"[" * 9 + b"]" * 9, "too_deep", 8, "level 9"),
        (b"[" * 100_000, "too_deep", 8, "level 9"),
        (b"9" * 5000, "number_out_of_range", 0, "9" * 37 + "..."),
    ],
)
def test_what_is_refused_is_named_with_its_byte(text: bytes, kind: str, byte: int, found: str) -> None:
    """What a reader of JSON could understand in two ways, or not at all."""
    problem = decode(text)

    assert isinstance(problem, Problem)
    assert (problem.kind, problem.byte, problem.found) == (kind, byte, found)


def test_a_line_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is that of RLDK's own lines."""
    monkeypatch.setattr(foreign_json, "MAX_LINE", 10)

    assert decode(b'{"abc": 1}') == Problem("line_too_long", "at most 10 bytes, newline included", "10 bytes")
    assert decode(b'{"ab": 1}') == {"ab": 1}


def _shown(item: JsonLine | Item) -> object:
    """An item in short."""
    if isinstance(item, JsonLine):
        return item.members
    return item.why if isinstance(item, Aside) else str(item.problem.error()) if isinstance(item, Bad) else item


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b'{"a": 1}\n\n  \n{"a": 2}\n', [{"a": 1}, "blank line", "blank line", {"a": 2}]),
        (b'{"a": 1}\r\n{"a": 2}', [{"a": 1}, {"a": 2}]),
        (b'\xef\xbb\xbf{"a": 1}\n', [{"a": 1}]),
        (
            b'{"a": 1}\n{"a": ',
            [
                {"a": 1},
                TORN,
            ],
        ),
        (
            b'{"a": 1}\n{"a": 1, "a": 2}',
            [{"a": 1}, "<line>:2:18: expected each key once, found 'a' again [duplicate_key]"],
        ),
        (b'{"a": 1}\n{"a": "\xc3', [{"a": 1}, TORN.replace("found 6", "found 8")]),
        (
            b'[1]\n"a"\n1\ntrue\nnull\n{}\n',
            [
                "<line>:1:0: expected an object, found a list [not_an_object]",
                "<line>:2:4: expected an object, found a string [not_an_object]",
                "<line>:3:8: expected an object, found a number [not_an_object]",
                "<line>:4:10: expected an object, found a boolean [not_an_object]",
                "<line>:5:15: expected an object, found null [not_an_object]",
                {},
            ],
        ),
        (
            b'{"a": 1}\n{"a": oops}\n',
            [{"a": 1}, "<line>:2:15: expected a value, found oops} [bad_json]"],
        ),
    ],
)
def test_each_line_is_an_object_or_is_accounted_for(log: Path, content: bytes, expected: list[object]) -> None:
    """A blank line is set aside; a last one without newline counts when it is whole, and is torn when it is not."""
    log.write_bytes(content)

    assert [_shown(item) for item in json_lines(log)] == expected


def test_a_file_that_cannot_be_decompressed_is_bad(log: Path) -> None:
    """At the place where that ends, as lines and as a document."""
    packed = log.with_name("mine.jsonl.gz")
    packed.write_bytes(gzip.compress(b'{"a": 1}\n')[:-5])
    *before, last = json_lines(packed)
    whole = document(packed)

    assert [_shown(item) for item in before] == [{"a": 1}]
    assert isinstance(last, Bad)
    assert isinstance(whole, Bad)
    assert (last.problem.kind, whole.problem.kind) == ("bad_compression", "bad_compression")


def test_a_document_is_read_whole(log: Path) -> None:
    """A file that is one JSON value, with or without a byte order mark."""
    log.write_bytes(b'\xef\xbb\xbf{"a":\n [1, NaN]}\n')
    found = document(log)

    assert isinstance(found, Document)
    assert str(found.value) == "{'a': [1, nan]}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{\n "a": oops\n}', "{}:2:8: expected a value, found oops"),
        (b'\xef\xbb\xbf{\n "a": oops\n}', "{}:2:11: expected a value, found oops"),
        (b'{\n "a": 1,\n', "{}:3:11: expected a string, found the end of the line [torn_tail]"),
        (b'{"a": 1}\n{"a": 2}', "{}:2:9: expected the end of the line, found"),
        (b"", "{}:1:0: expected a value, found the end of the line [torn_tail]"),
    ],
)
def test_a_document_that_cannot_be_read_says_where(log: Path, content: bytes, message: str) -> None:
    """With the line and the byte of the file; one that was cut short is torn."""
    log.write_bytes(content)
    found = document(log)

    assert isinstance(found, Bad)
    assert str(found.problem.error(log)).startswith(message.format(log))


@pytest.mark.parametrize(
    ("keys", "byte"), [((), 0), (("a",), 8), (("a", 1), 12), (("a", 1, "b"), 18), (("a", 9), 8), (("x",), 0)]
)
def test_a_problem_with_a_value_of_a_document_is_said_with_its_place(
    log: Path, keys: tuple[str | int, ...], byte: int
) -> None:
    """Keys and indices lead to the value; where they lead nowhere, the place is the last one that was found."""
    log.write_bytes(b'{\n "a": [1, {"b": 2}]}')
    found = document(log)

    assert isinstance(found, Document)
    bad = found.bad(Problem("wrong_type", "x", "y"), *keys, records=3)
    assert (bad.problem.byte, bad.problem.line, bad.path, bad.lines) == (byte, 2 if byte else 1, log, 3)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"", []),
        (b'{"a": 1}', [{"a": 1}]),
        (b'\xef\xbb\xbf{"a": 1}\n\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        (b'{"a": 1}\n[1]\n{"a": 2}\n', [{"a": 1}]),
        (b'{"a": 1}\n{"a": ', [{"a": 1}]),
        (b"no json\n", []),
        (b'", "b": 2}\n{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        (b'{"a": 1}{"a": 2}\n{"a": 3}\n{"a": 4}', [{"a": 3}, {"a": 4}]),
        (b'begin\n\nwith 2\n{"a": 1}\n{"a": 2}\n{"a": 3}\n', [{"a": 1}, {"a": 2}, {"a": 3}]),
        (b'begin\n{"a": 1}\n', []),
        (b'begin\nwith 2\n{"a": 1}\n{"a": 2}\n', []),
        (b'begin\n{"a": 1}\n{"a": 2}\n{"a": 3}\nend\n', []),
    ],
)
def test_the_objects_of_a_head(head: bytes, expected: list[object]) -> None:
    """Those before the first line that is none; lines before them count when nothing but more objects follows."""
    assert objects(head) == expected


def test_the_last_line_of_a_full_head_is_left_out() -> None:
    """Where the head ends the file may go on, so the line may be cut where it looks whole."""
    start = b'{"a": 1}\n{"b": "'
    head = start + b"x" * (HEAD - len(start) - 2) + b'"}'

    assert len(head) == HEAD
    assert objects(head) == [{"a": 1}]
    assert len(objects(head[:-3] + b'"}')) == 2


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b'\xef\xbb\xbf [\n {"a": NaN, "b": {"c": [1]}},\r\n\t{"a": 2}\n]\n', [2, 1]),
        (b'[{"a": 1}, {"a": 2}, {"a": ', [1, 1]),
        (b'[{"a": 1}, 2, {"a": 3}]', [1]),
        (b'[{"a": 1} {"a": 3}]', [1]),
        (b"[1]", []),
        (b"[", []),
        (b"[INFO] begin\n", []),
        (b'[{"a": ' + b"[" * 100_000, []),
        (b'{"a": 1}', []),
        (b"", []),
    ],
)
def test_the_objects_of_a_list(head: bytes, expected: list[int]) -> None:
    """As far as the head holds them whole, and up to the first element that is none."""
    assert [len(each) for each in listed(head)] == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'[{"a": 1},\n 2]', [{"a": 1}, "<line>:2:12: expected an object, found a number [not_an_object]"]),
        (b'[{"a": 1}', ["<line>:1:9: expected `,` or `]`, found the end of the line [torn_tail]"]),
        (b'{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
    ],
)
def test_records_stand_in_a_list_or_on_lines(content: bytes, expected: list[object], log: Path) -> None:
    """What is wrong with an element is said with where it stands."""
    log.write_bytes(content)
    found = [each for each in json_records(log, content) if not isinstance(each, Aside)]

    assert [str(each.problem.error()) if isinstance(each, Bad) else each.members for each in found] == expected
    assert all(isinstance(each, (Bad, JsonElement if content.startswith(b"[") else JsonLine)) for each in found)
