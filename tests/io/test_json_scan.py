"""The parser that remembers where things stand."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress

import pytest

from rldk.io.json_scan import MAX_DEPTH, Node, ScanError, scan
from rldk.io.problems import Problem


def _plain(node: Node) -> object:
    """What a node stands for, as `json.loads` would say it."""
    if isinstance(node.value, tuple):
        return {member.key: _plain(member.value) for member in node.value}
    if isinstance(node.value, list):
        return [_plain(item) for item in node.value]
    return node.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"0", 0),
        (b"-0", 0),
        (b"-0.0", -0.0),
        (b"1E+2", 100.0),
        (b"1e-400", 0.0),
        (b"9223372036854775807", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"true", True),
        (b"false", False),
        (b"null", None),
        (b'""', ""),
        (b'"\\u0041\\n\\/\\\\\\""', 'A\n/\\"'),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        ('"é\u2028\U0001f600"'.encode(), "é\u2028\U0001f600"),
        (b'"\x7f"', "\x7f"),
        (b"[]", []),
        (b"{}", {}),
        (b" \t[ 1 , [ ] , { } ]\r\n", [1, [], {}]),
        (b'{ "a" : { "b" : [ null ] } }', {"a": {"b": [None]}}),
    ],
)
def test_json_is_parsed_to_what_it_means(text: bytes, value: object) -> None:
    """Values of each type, with white space wherever JSON allows it."""
    plain = _plain(scan(text))

    assert plain == value
    assert type(plain) is type(value)


def test_every_value_and_key_knows_its_byte() -> None:
    """Positions are bytes, not characters, and are those of the first byte of each value."""
    line = '{"é": [1, {"k": "v"}], "z": null}'.encode()
    root = scan(line)
    outer, last = root.members or ()
    first, inner = outer.value.value  # type: ignore[misc]
    (member,) = inner.members

    assert (root.start, outer.start, outer.value.start) == (0, line.index('"é"'.encode()), line.index(b"["))
    assert (first.start, inner.start) == (line.index(b"1"), line.index(b'{"k"'))
    assert (member.start, member.value.start) == (line.index(b'"k"'), line.index(b'"v"'))
    assert (last.start, last.value.start) == (line.index(b'"z"'), line.index(b"null"))


def test_an_object_keeps_every_member() -> None:
    """A repeated key is kept twice, in order, so that it can be reported."""
    root = scan(b'{"a":1,"a":2}')

    assert [(member.key, member.start, member.value.value) for member in root.members or ()] == [
        ("a", 1, 1),
        ("a", 7, 2),
    ]


def test_a_node_names_its_type() -> None:
    """Integers and floats are told apart, and true is no integer."""
    items = scan(b'[null,true,1,1.0,"x",[],{}]').value

    assert [item.kind for item in items] == ["null", "boolean", "integer", "float", "string", "list", "object"]  # type: ignore[union-attr]


def test_a_walk_meets_every_node() -> None:
    """A node comes before the nodes inside it, and those in the order they stand."""
    assert [node.text for node in scan(b'{"a":[1,{"b":2}],"c":3}').walk()] == [
        "an object",
        "a list",
        "1",
        "an object",
        "2",
        "3",
    ]


@pytest.mark.parametrize(
    ("text", "byte", "expected", "found"),
    [
        (b"", 0, "a value", "the end of the line"),
        (b"   ", 3, "a value", "the end of the line"),
        (b"{", 1, "a string", "the end of the line"),
        (b"[", 1, "a value", "the end of the line"),
        (b'{"a"', 4, "`:`", "the end of the line"),
        (b'{"a" 1}', 5, "`:`", "1}"),
        (b'{"a":', 5, "a value", "the end of the line"),
        (b'{"a":1', 6, "`,` or `}`", "the end of the line"),
        (b'{"a":1,', 7, "a string", "the end of the line"),
        (b'{"a":1,}', 7, "a string", "}"),
        (b'{"a":1;"b":2}', 6, "`,` or `}`", ';"b":2}'),
        (b"{,}", 1, "a string", ",}"),
        (b"{a:1}", 1, "a string", "a:1}"),
        (b"{'a':1}", 1, "a string", "'a':1}"),
        (b"{1:1}", 1, "a string", "1:1}"),
        (b"[1,]", 3, "a value", "]"),
        (b"[1 2]", 3, "`,` or `]`", "2]"),
        (b"[1", 2, "`,` or `]`", "the end of the line"),
        (b"[1}", 2, "`,` or `]`", "}"),
        (b"01", 1, "the end of the line", "1"),
        (b"+1", 0, "a value", "+1"),
        (b"-", 0, "a value", "-"),
        (b".5", 0, "a value", ".5"),
        (b"1.", 1, "the end of the line", "."),
        (b"1e", 1, "the end of the line", "e"),
        (b"0x10", 1, "the end of the line", "x10"),
        (b"1_000", 1, "the end of the line", "_000"),
        (b"True", 0, "a value", "True"),
        (b"nul", 0, "a value", "nul"),
        (b"None", 0, "a value", "None"),
        (b"'a'", 0, "a value", "'a'"),
        (b'"a', 0, "a string", '"a'),
        (b'"a\\x"', 0, "a string", '"a\\x"'),
        (b'"a\\u12g4"', 0, "a string", '"a\\u12g4"'),
        (b'"a\tb"', 0, "a string", '"a\tb"'),
        (b'"a\x00b"', 0, "a string", '"a\x00b"'),
        (b"1 // one", 2, "the end of the line", "// one"),
        (b"{}{}", 2, "the end of the line", "{}"),
        (b"{} \x00", 3, "the end of the line", "\x00"),
        (b"\x0c1", 0, "a value", "\x0c1"),
        ("\u00a01".encode(), 0, "a value", "\u00a01"),
    ],
)
def test_what_is_not_json_is_told_at_its_byte(text: bytes, byte: int, expected: str, found: str) -> None:
    """The scan stops at the first byte that cannot stand there."""
    with pytest.raises(ScanError) as caught:
        scan(text)

    assert caught.value.problem == Problem("bad_json", expected, found, byte=byte)


@pytest.mark.parametrize("word", ["NaN", "-NaN", "Infinity", "-Infinity", "nan", "inf", "-inf"])
def test_a_bare_number_that_json_cannot_hold_is_a_kind_of_its_own(word: str) -> None:
    """What Python and JavaScript write for NaN and the infinities is named, with what to write instead."""
    with pytest.raises(ScanError) as caught:
        scan(f'{{"loss": {word}}}'.encode())

    expected = "null, with the value spelled out in `nonfinite`"
    assert caught.value.problem == Problem("bare_nonfinite", expected, word, byte=9)


@pytest.mark.parametrize(
    ("number", "expected", "found"),
    [
        ("1e400", "a double", "1e400"),
        ("-1.8e308", "a double", "-1.8e308"),
        ("9223372036854775808", "an integer of 64 bits", "9223372036854775808"),
        ("-9223372036854775809", "an integer of 64 bits", "-9223372036854775809"),
        ("1" + "0" * 400, "an integer of 64 bits", "1" + "0" * 36 + "..."),
    ],
)
def test_a_number_that_would_be_changed_by_reading_it_is_refused(number: str, expected: str, found: str) -> None:
    """Neither a double nor a 64-bit integer could hold it."""
    with pytest.raises(ScanError) as caught:
        scan(f"[{number}]".encode())

    assert caught.value.problem == Problem("number_out_of_range", expected, found, byte=1)


@pytest.mark.parametrize("escape", [b"\\ud800", b"\\udfff", b"\\udc00\\ud800", b"a\\uD83Db"])
def test_half_a_surrogate_pair_is_refused(escape: bytes) -> None:
    """It is no character, and no UTF-8 could be written of it again."""
    with pytest.raises(ScanError) as caught:
        scan(b'["' + escape + b'"]')

    found = f'"{escape.decode()}"'
    assert caught.value.problem == Problem("lone_surrogate", "whole characters", found, byte=1)


@pytest.mark.parametrize(
    ("text", "byte", "found"),
    [
        (b'{"a":"\xff"}', 6, "byte 0xff (invalid start byte)"),
        (b'{"\xc3":1}', 2, "byte 0xc3 (invalid continuation byte)"),
        (b'"\xed\xa0\x80"', 1, "byte 0xed (invalid continuation byte)"),
        (b'"\xc0\x80"', 1, "byte 0xc0 (invalid start byte)"),
        (b"1\xe2\x82", 1, "byte 0xe2 (unexpected end of data)"),
    ],
)
def test_bytes_that_are_not_utf8_are_told_at_the_first(text: bytes, byte: int, found: str) -> None:
    """Overlong forms and encoded surrogates are no UTF-8 either."""
    with pytest.raises(ScanError) as caught:
        scan(text)

    assert caught.value.problem == Problem("invalid_utf8", "UTF-8", found, byte=byte)


def test_a_byte_order_mark_is_refused() -> None:
    """RFC 8259 forbids it, and many parsers fail on it."""
    with pytest.raises(ScanError) as caught:
        scan(b"\xef\xbb\xbf{}")

    assert caught.value.problem == Problem("byte_order_mark", "JSON", "a UTF-8 byte order mark", byte=0)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_ends_at_eight_levels(opening: bytes, closing: bytes) -> None:
    """Eight levels are read; the ninth is refused where it opens, and so are a hundred thousand."""
    assert scan(opening * 8 + b"1" + closing * 8)
    for levels in (9, 100_000):
        with pytest.raises(ScanError) as caught:
            scan(opening * levels + b"1" + closing * levels)
        problem = Problem("too_deep", "at most 8 levels", "level 9", byte=8 * len(opening))
        assert caught.value.problem == problem
    assert MAX_DEPTH == 8


def test_what_was_found_is_shown_in_forty_characters() -> None:
    """A message stays on one line, also when the cut falls into a character of several bytes."""
    with pytest.raises(ScanError) as caught:
        scan(b"[1 " + "é".encode() * 100)

    assert caught.value.problem.found == "é" * 20


@pytest.mark.parametrize("text", [b"a" * 1_500_000, b"a\\n" * 500_000, "é".encode() * 750_000])
def test_a_long_string_takes_a_few_times_its_length(text: bytes) -> None:
    """Memory stays in proportion, whatever the string is made of, and whether it ends or not."""
    for line in (b'["' + text + b'"]', b'["' + text):
        tracemalloc.start()
        with suppress(ScanError):
            scan(line)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert peak < 8 * len(line)


@pytest.mark.parametrize(("text", "value"), [(b"NaN", "nan"), (b"Infinity", "inf"), (b"-Infinity", "-inf")])
def test_what_python_leaves_bare_is_a_number_when_it_is_asked_for(text: bytes, value: str) -> None:
    """At any depth, and only in Python's own spelling."""
    line = b'{"a": [' + text + b"]}"

    assert str(_plain(scan(line, bare=True))) == f"{{'a': [{value}]}}"
    with pytest.raises(ScanError) as caught:
        scan(line)
    assert caught.value.problem.kind == "bare_nonfinite"


@pytest.mark.parametrize("text", [b"-NaN", b"nan", b"inf", b"-inf"])
def test_other_spellings_of_nan_stay_refused(text: bytes) -> None:
    """Python's own encoder does not write them."""
    with pytest.raises(ScanError) as caught:
        scan(text, bare=True)
    assert (caught.value.problem.kind, caught.value.problem.found) == ("bare_nonfinite", text.decode())
