"""Everything that is wrong with a line is said, in the order it stands."""

from __future__ import annotations

from typing import Final

import pytest

from rldk.io.codec import encode
from rldk.io.event_schema import MAX_LINE
from rldk.io.explain import explain, explain_foreign
from rldk.io.problems import Problem
from tests.samples import EXAMPLE, an_event

LINE: Final = encode(an_event(3))
STEPS: Final = ("step", "global_step", "_step")


@pytest.mark.parametrize("line", [EXAMPLE, LINE, b" " + LINE + b" \r\n", LINE.replace(b":", b" : ", 3)])
def test_nothing_is_wrong_with_an_event(line: bytes) -> None:
    """A line that is an event has no problem, however much white space is in it."""
    assert explain(line) == []


def test_all_problems_of_a_line_are_found_in_the_order_they_stand() -> None:
    """One damaged field does not hide another, and the bytes say where to look."""
    line = (
        b'{"step":-1,"wall_time":"2","metrics":{"a":true,"a":1,"b":null},"nonfinite":{"b":"nan","c":"NaN"},'
        b'"rng":[],"model_info":{"schema":7,"rank":-1,"phase":"x"},"notes":[1,[]],"extra":0,"step":2}'
    )

    assert explain(line) == [
        Problem("missing_field", "the field 'data_slice'", "nothing", "$.data_slice", 0),
        Problem("bad_value", "an integer >= 0", "-1", "$.step", line.index(b"-1")),
        Problem("wrong_type", "a number or null", 'string "2"', "$.wall_time", line.index(b'"2"')),
        Problem("wrong_type", "a number or null", "boolean true", "$.metrics['a']", line.index(b"true")),
        Problem("duplicate_key", "each key once", "'a' again", "", line.index(b'"a":1')),
        Problem("bad_value", '"NaN", "Infinity" or "-Infinity"', '"nan"', "$.nonfinite['b']", line.index(b'"nan"')),
        Problem("nonfinite_mismatch", "null in metrics", "no such metric", "$.nonfinite['c']", line.index(b'"c"')),
        Problem("wrong_type", "an object", "a list", "$.rng", line.index(b"[],")),
        Problem(
            "missing_field", "a string that is not empty", "nothing", "$.model_info.run_id", line.index(b'{"schema"')
        ),
        Problem(
            "newer_schema",
            "schema 1 or lower: upgrade rldk to read this log",
            "7",
            "$.model_info.schema",
            line.index(b"7"),
        ),
        Problem("bad_value", "an integer >= 0", "-1", "$.model_info.rank", line.index(b'-1,"phase"')),
        Problem("bad_value", "one of train, eval, final", '"x"', "$.model_info.phase", line.index(b'"x"')),
        Problem("wrong_type", "a string", "integer 1", "$.notes[0]", line.index(b"[1,[]]") + 1),
        Problem("non_primitive", "a string", "a list", "$.notes[1]", line.index(b"[]]")),
        Problem(
            "unknown_field",
            "one of step, wall_time, metrics, rng, data_slice, model_info, notes, timestamp, seq, nonfinite",
            "'extra'",
            "$.extra",
            line.index(b'"extra"'),
        ),
        Problem("duplicate_key", "each key once", "'step' again", "", line.index(b'"step":2')),
    ]


def test_a_line_that_is_not_json_has_one_problem() -> None:
    """Where it stops being JSON; what stands behind that is not guessed at."""
    line = LINE.replace(b'"metrics":', b'"metrics"').replace(b'"notes"', b'"nots"')

    assert [(problem.kind, problem.byte) for problem in explain(line)] == [("bad_json", line.index(b'{"loss"'))]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"loss":', b'"loss":1.0,"loss":'),
        (b'"loss":', b'"loss":1.0,"l\\u006fss":'),
        (b'"loss":0.25', b'"loss":0.25,"lo\\u0073s":1.0'),
        (b'"seed":42', b'"seed":42,"seed":42'),
        (b'"run_id":"r1"', b'"run_id":"r1","run_id":"a:b:c"'),
        (b'"notes":[]', b'"notes":[],"notes":[]'),
        (b'{"step":3', b'{"step":3,"step":3'),
    ],
)
def test_a_key_that_is_repeated_is_found_however_it_is_spelled(old: bytes, new: bytes) -> None:
    """At the top and in each object, also when an escape or a colon in a string hides it."""
    assert [problem.kind for problem in explain(LINE.replace(old, new, 1))] == ["duplicate_key"]


def test_a_line_beyond_the_limit_is_not_parsed() -> None:
    """Sixteen MiB with the newline is the most that is looked at."""
    problem = Problem("line_too_long", "at most 16777216 bytes, newline included", "16777217 bytes")

    assert explain(b" " * MAX_LINE) == explain(b" " * MAX_LINE + b"\n") == [problem]
    assert explain_foreign(b" " * MAX_LINE, STEPS) == [problem]
    assert [problem.kind for problem in explain(b" " * (MAX_LINE - 1))] == ["blank_line"]


@pytest.mark.parametrize(
    ("line", "found"), [(b"", "nothing"), (b"\n", "nothing"), (b" \t\r\n", "3 bytes of white space")]
)
def test_a_line_of_white_space_is_blank(line: bytes, found: str) -> None:
    """It is told apart from a line that someone meant to be JSON."""
    problem = Problem("blank_line", "an event", found)

    assert explain(line) == explain_foreign(line, STEPS) == [problem]


@pytest.mark.parametrize(
    "line",
    [
        b'{"step":1}',
        b'{"global_step":1.0,"loss":null}',
        b'{"_step":0,"done":true,"name":"x","list":[1,"a",null],"data":{"a/b":1}}',
        b'{"step":-1,"step_time":0.5}',
    ],
)
def test_a_foreign_record_needs_only_a_step(line: bytes) -> None:
    """Primitives, and lists and objects of primitives, are what other tools log."""
    assert explain_foreign(line, STEPS) == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"[1]", Problem("not_an_object", "an object", "a list", "$", 0)),
        (b" 7", Problem("not_an_object", "an object", "integer 7", "$", 1)),
        (b'{"loss":1}', Problem("missing_field", "a step, as step or global_step or _step", "nothing", "$.step", 0)),
        (b'{"step":"1/10"}', Problem("wrong_type", "a number", 'string "1/10"', "$.step", 8)),
        (b'{"step":null}', Problem("wrong_type", "a number", "null", "$.step", 8)),
        (b'{"step":true}', Problem("wrong_type", "a number", "boolean true", "$.step", 8)),
        (b'{"_step":1,"step":"1"}', Problem("wrong_type", "a number", 'string "1"', "$.step", 18)),
        (
            b'{"step":1,"x":[[1]]}',
            Problem("non_primitive", "a number, a string, true, false or null", "a list", "$.x", 15),
        ),
        (
            b'{"step":1,"x":{"y":{}}}',
            Problem("non_primitive", "a number, a string, true, false or null", "an object", "$.x", 19),
        ),
        (b'{"step":1,"x":1,"x":2}', Problem("duplicate_key", "each key once", "'x' again", "", 16)),
        (b'{"step":1,"x":{"y":1,"y":2}}', Problem("duplicate_key", "each key once", "'y' again", "", 21)),
        (b'{"step":1', Problem("bad_json", "`,` or `}`", "the end of the line", "", 9)),
    ],
)
def test_what_keeps_a_foreign_line_from_being_a_record(line: bytes, problem: Problem) -> None:
    """The step must be a number, the values flat, the keys unlike each other."""
    assert explain_foreign(line, STEPS) == [problem]
