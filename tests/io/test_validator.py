"""Checking a log: what is counted, what is asked of the logs of others, and what it costs.

`test_damage.py` has what is found in a damaged log.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from rldk.io.codec import encode
from rldk.io.compression import compress
from rldk.io.event_schema import MAX_LINE
from rldk.io.manifest import Manifest, Removed
from rldk.io.order import Order
from rldk.io.problems import Problem
from rldk.io.segments import COMPRESSIONS, Compression
from rldk.io.validator import Report, StrictCheck, validate_jsonl_file
from tests.samples import EXAMPLE, an_event, write_log

SHARED: Final = Path(__file__).parents[2].parent / "shared"
"""Logs of other people and tools, which may be read and not copied."""

FIRST, LINE, THIRD = (encode(an_event(step)) for step in range(3))


def test_the_example_of_the_specification_is_valid(tmp_path: Path) -> None:
    """The seven-field example passes strictly, unchanged; the report counts its line and bytes."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(EXAMPLE + b"\n")
    is_valid = validate_jsonl_file(str(path), strict=True)

    assert is_valid
    assert is_valid == Report(str(path), strict=True, lines=1, bytes=len(EXAMPLE) + 1)


def test_a_report_is_true_when_the_log_is_valid(tmp_path: Path) -> None:
    """`is_valid = validate_jsonl_file("x.jsonl")` reads as in the specification."""
    good = write_log(tmp_path / "good.jsonl", [an_event(0), an_event(1)])
    bad = write_log(tmp_path / "bad.jsonl", [an_event(1), an_event(0)])

    assert validate_jsonl_file(good, strict=True)
    assert not validate_jsonl_file(bad, strict=True)


def test_problems_of_several_lines_are_counted_by_kind(tmp_path: Path) -> None:
    """All problems of all lines are in the report, in the order of the file."""
    log = tmp_path / "r1_events.jsonl"
    bad = LINE.replace(b'"step":1', b'"step":"1"').replace(b'"seed":42', b'"seed":[]')
    log.write_bytes(b"".join([FIRST, bad, b"\n", bad, THIRD.replace(b'"seq":2', b'"seq":9'), b"{"]))
    report = validate_jsonl_file(log, strict=True)

    assert [(problem.kind, problem.line) for problem in report.problems] == [
        ("wrong_type", 2),
        ("non_primitive", 2),
        ("blank_line", 3),
        ("wrong_type", 4),
        ("non_primitive", 4),
        ("seq_gap", 5),
        ("torn_tail", 6),
    ]
    assert report.counts == {"wrong_type": 2, "non_primitive": 2, "blank_line": 1, "seq_gap": 1, "torn_tail": 1}
    assert [problem.byte for problem in report.problems] == sorted(problem.byte for problem in report.problems)
    assert (report.lines, report.stopped) == (6, False)


@pytest.mark.parametrize(("max_errors", "found", "lines"), [(1, 1, 2), (3, 3, 4), (4, 4, 5), (5, 4, 6), (0, 4, 6)])
def test_a_check_stops_after_as_many_errors_as_asked_for(
    tmp_path: Path, max_errors: int, found: int, lines: int
) -> None:
    """Zero means never; the report says how far the check came, and whether it ended early."""
    log = tmp_path / "r1_events.jsonl"
    log.write_bytes(FIRST + b"{\n" * 4 + LINE)
    for strict in (True, False):
        report = validate_jsonl_file(log, strict=strict, max_errors=max_errors)

        assert (len(report.problems), report.lines) == (found, lines)
        assert report.stopped is (found == max_errors)
        assert not report


@pytest.mark.parametrize("strict", [True, False])
def test_progress_adds_up_to_the_size_of_the_file(tmp_path: Path, *, strict: bool) -> None:
    """Each part is told once, the skipped rest of a too long line and a torn tail included."""
    log = tmp_path / "r1_events.jsonl"
    log.write_bytes(b"".join([LINE * 5000, b"x" * (MAX_LINE + 2**20), b"\n", LINE * 10, b"{"]))
    parts: list[int] = []
    report = validate_jsonl_file(log, strict=strict, max_errors=0, progress=parts.append)

    assert sum(parts) == report.bytes == log.stat().st_size
    assert len(parts) > 5
    assert report.lines == 5012


def test_lines_are_counted_over_many_blocks(tmp_path: Path) -> None:
    """Line and byte of a problem are those of the file, far behind its first block."""
    lines = [encode(an_event(step)) for step in range(5000)]
    lines[4321] = lines[4321].replace(b"42", b"[]")
    log = tmp_path / "r1_events.jsonl"
    log.write_bytes(b"".join(lines))
    (problem,) = validate_jsonl_file(log, strict=True).problems

    byte = sum(map(len, lines[:4321])) + lines[4321].index(b"[]")
    assert (problem.kind, problem.line, problem.byte) == ("non_primitive", 4322, byte)


def _problems(blocks: list[bytes]) -> list[Problem]:
    """What a check finds in these blocks of lines."""
    problems: list[Problem] = []
    check = StrictCheck(problems.append, Order(problems.append))
    byte = 0
    for block in blocks:
        check.block(block, byte)
        byte += len(block)
    assert check.lines == sum(block.count(b"\n") for block in blocks)
    return problems


@pytest.mark.parametrize("at", [0, 1, 2, 30, 58, 59])
@pytest.mark.parametrize(
    "changes",
    [
        {"step": 3},
        {"step": 200},
        {"wall_time": 3.0},
        {"wall_time": 200.0},
        {"seq": 3},
        {"seq": 200},
        {"seq": 200, "notes": ["events_dropped: 141, seq 0-199"]},
        {"info": {"attempt": 2}, "seq": 0},
        {"info": {"run_id": "r2"}},
        {"info": {"rank": 1}, "seq": 0, "step": 3},
        {"info": {"phase": "eval"}, "step": 3},
        {"timestamp": None},
        {"seq": None},
        {"wall_time": None},
    ],
)
def test_many_events_are_compared_as_each_alone(changes: dict[str, Any], at: int) -> None:
    """An event out of order is found wherever it stands among regular ones, and so is what follows from it."""
    events = [an_event(step) for step in range(100, 160)]
    events[at] = an_event(100 + at, **changes)
    lines = [encode(event) for event in events]
    alone = _problems(lines)

    assert alone
    for size in (2, 5, 7, 20, 60):
        assert _problems([b"".join(lines[first : first + size]) for first in range(0, 60, size)]) == alone


@pytest.mark.parametrize(
    ("required", "missing"),
    [
        (["step", "wall_time", "timestamp", "seq", "metrics", "rng", "data_slice", "model_info", "notes"], []),
        (["metrics.loss", "rng.seed", "data_slice.batch_size", "model_info.rank"], []),
        (["metrics.reward_mean"], ["$.metrics.reward_mean"]),
        (["model_info.git_sha", "loss", "metrics.loss"], ["$.model_info.git_sha", "$.loss"]),
        (["rng.loss", "extra.loss"], ["$.rng.loss", "$.extra.loss"]),
    ],
)
def test_required_fields_have_to_be_on_every_line(tmp_path: Path, required: list[str], missing: list[str]) -> None:
    """A dot reaches into a section; a field that is missing is told for each line that lacks it."""
    log = write_log(tmp_path / "r1_events.jsonl", [an_event(0), an_event(1)])
    for strict in (True, False):
        report = validate_jsonl_file(log, strict=strict, require=required)

        assert [(p.field, p.line, p.byte) for p in report.problems] == [
            (field, line, (line - 1) * len(FIRST)) for line in (1, 2) for field in missing
        ]
        assert {(p.kind, p.expected, p.found) for p in report.problems} <= {
            ("missing_field", "the required field", "nothing")
        }


def test_a_metric_can_be_required_of_events_without_any(tmp_path: Path) -> None:
    """Also of many such events, which are regular."""
    log = write_log(tmp_path / "r1_events.jsonl", [an_event(step, metrics={}) for step in range(9)])

    assert validate_jsonl_file(log, strict=True, require=["metrics.loss"]).counts == {"missing_field": 9}


def test_an_absent_optional_field_can_be_required(tmp_path: Path) -> None:
    """What the schema leaves open, `require` can close."""
    log = write_log(tmp_path / "r1_events.jsonl", [an_event(0, timestamp=None), an_event(1)])

    for strict in (True, False):
        report = validate_jsonl_file(log, strict=strict, require=["timestamp"])
        assert [(problem.field, problem.line) for problem in report.problems] == [("$.timestamp", 1)]


@pytest.mark.parametrize(
    "lines",
    [
        [b'{"step":1,"loss":0.5}', b'{"step":2,"loss":0.5,"extra":{"a":[]}}'],
        [b'{"step":2,"loss":0.5}', b'{"step":1,"loss":0.5}'],
        [b'{"global_step":1.0,"eval/loss":null,"tags":["a",1]}'],
        [b'{"_step":-1,"done":true}', b'{"_step":0}'],
        [EXAMPLE],
        [EXAMPLE[:-1] + b',"more":1}'],
    ],
)
def test_json_lines_of_others_are_accepted(tmp_path: Path, lines: list[bytes]) -> None:
    """Without `strict` any flat JSON lines with a step are valid, with or without a newline at the end."""
    path = tmp_path / "log.jsonl"
    nested = b'"a":[]' in lines[-1]
    for end in (b"", b"\n", b"\r\n"):
        path.write_bytes(b"\n".join(lines) + end)

        assert bool(validate_jsonl_file(path)) is not nested


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (b"", ["1:0: expected events, one on each line, found an empty file [empty_file]"]),
        (b"\n", ["1:0: expected an event, found nothing [blank_line]"]),
        (
            b'{"loss":1}\n',
            ["1:0: $.step: expected a step, as step or global_step or _step, found nothing [missing_field]"],
        ),
        (b'{"step":"3/9"}\n', ['1:8: $.step: expected a number, found string "3/9" [wrong_type]']),
        (b'{"step":"3/9","global_step":3}\n', ['1:8: $.step: expected a number, found string "3/9" [wrong_type]']),
        (
            b'{"step":1}\n{"step":2,"loss":NaN}\n',
            ["2:28: expected null, with the value spelled out in `nonfinite`, found NaN [bare_nonfinite]"],
        ),
        (b'{"step":1,"step":1}', ["1:10: expected each key once, found 'step' again [duplicate_key]"]),
        (b'{"step":1,"a":":","a":":"}\n', ["1:18: expected each key once, found 'a' again [duplicate_key]"]),
        (b'{"step":1,"a":1,"\\u0061":1}\n', ["1:16: expected each key once, found 'a' again [duplicate_key]"]),
        (b'{"step":1,"d":{"a":1,"a":1}}\n', ["1:21: expected each key once, found 'a' again [duplicate_key]"]),
        (
            b'{"step":1,"d":[[1]]}\n',
            ["1:15: $.d: expected a number, a string, true, false or null, found a list [non_primitive]"],
        ),
        (
            b'{"step":1,"d":18446744073709551616}\n',
            ["1:14: expected an integer of 64 bits, found 18446744073709551616 [number_out_of_range]"],
        ),
        (
            b'{"step":1,"d":{"e":18446744073709551616}}\n',
            ["1:19: expected an integer of 64 bits, found 18446744073709551616 [number_out_of_range]"],
        ),
        (b'{"step":1,"d":"\\ud800"}\n', ['1:14: expected whole characters, found "\\ud800" [lone_surrogate]']),
        (b'{"step":1,"d":"\xff"}\n', ["1:15: expected UTF-8, found byte 0xff (invalid start byte) [invalid_utf8]"]),
        (b'{"step":1}\n[1]\n', ["2:11: $: expected an object, found a list [not_an_object]"]),
        (
            b'{"step":1}\n{"step":2',
            ["2:11: expected a newline at the end of the last line, found 9 bytes without one [torn_tail]"],
        ),
        (
            b'{"step":1}\n{"step":1}{"step":2}',
            ["2:11: expected a newline at the end of the last line, found 20 bytes without one [torn_tail]"],
        ),
    ],
)
def test_json_lines_of_others_are_refused_for_what_no_reader_agrees_on(
    tmp_path: Path, text: bytes, messages: list[str]
) -> None:
    """JSON, primitive types, unlike keys and a step are asked of every line, whoever wrote it."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(text)
    report = validate_jsonl_file(path, check_consistency=True)

    assert [str(problem.error(path)) for problem in report.problems] == [f"{path}:{message}" for message in messages]


def test_a_log_by_rldk_is_torn_without_its_newline_also_when_it_parses(tmp_path: Path) -> None:
    """The name tells whose log it is: RLDK ends every line, others may not end the last."""
    (tmp_path / "r1_events.jsonl").write_bytes(FIRST[:-1])
    (tmp_path / "log.jsonl").write_bytes(FIRST[:-1])

    assert validate_jsonl_file(tmp_path / "r1_events.jsonl").counts == {"torn_tail": 1}
    assert validate_jsonl_file(tmp_path / "log.jsonl")
    assert validate_jsonl_file(tmp_path / "log.jsonl", strict=True).counts == {"torn_tail": 1}


def test_a_line_of_others_may_not_be_too_long_either(tmp_path: Path) -> None:
    """Sixteen MiB with the newline is the most; that much is still read."""
    path = tmp_path / "log.jsonl"
    longest = b'{"step":1,"text":"' + b"x" * (MAX_LINE - 21) + b'"}\n'
    path.write_bytes(longest + longest[:20] + b"x" + longest[20:])
    (problem,) = validate_jsonl_file(path).problems

    assert len(longest) == MAX_LINE
    assert str(problem.error()) == (
        f"<line>:2:{MAX_LINE}: expected at most 16777216 bytes, newline included, found 16777217 bytes [line_too_long]"
    )


def test_consistency_of_foreign_lines_is_checked_on_request(tmp_path: Path) -> None:
    """Step, wall_time and seq may not go back or skip, where a line has them as numbers."""
    path = tmp_path / "log.jsonl"
    lines = [
        b'{"global_step":1,"wall_time":1.0,"seq":0}',
        b'{"global_step":3,"wall_time":2.0,"seq":1}',
        b'{"global_step":2,"wall_time":1.5,"seq":5}',
        b'{"global_step":4,"wall_time":"now","seq":null,"notes":"none","model_info":"gpt2","data_slice":[1]}',
        b'{"global_step":5,"wall_time":true,"seq":6,"notes":[1,"events_dropped: 1, seq 6"]}',
        b'{"global_step":6,"seq":8,"notes":[1,"events_dropped: 1, seq 7"]}',
    ]
    path.write_bytes(b"\n".join(lines))
    report = validate_jsonl_file(path, check_consistency=True)

    assert [(problem.kind, problem.line) for problem in report.problems] == [
        ("step_back", 3),
        ("wall_time_back", 3),
        ("seq_gap", 3),
    ]
    assert [problem.byte for problem in report.problems] == [len(lines[0]) + len(lines[1]) + 2] * 3
    assert validate_jsonl_file(path)


@pytest.mark.parametrize("strict", [True, False])
def test_a_damaged_line_is_not_also_missing(tmp_path: Path, *, strict: bool) -> None:
    """A line that cannot be read is told once: as damaged, not as a gap in seq; one too long is no exception."""
    log = tmp_path / "r1_events.jsonl"
    too_long = LINE.replace(b"[]", b'["' + b"x" * (MAX_LINE + 2**20) + b'"]')
    for line, kind in ((LINE[:-9] + b"\n", "bad_json"), (too_long, "line_too_long")):
        log.write_bytes(FIRST + line + THIRD)

        assert validate_jsonl_file(log, strict=strict, check_consistency=True).counts == {kind: 1}


LIVE: Final = "r1_events.jsonl"
SECOND: Final = "r1_events.000002.jsonl"


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("name", "others", "free"),
    [
        (LIVE, [], False),
        (LIVE, ["r1_events.000003.jsonl.gz"], True),
        (LIVE, ["r1_manifest.json"], True),
        (LIVE, ["r1_events.rank1.000001.jsonl", "r2_events.000001.jsonl"], False),
        ("r1_events.000001.jsonl", [SECOND], False),
        (SECOND, [], True),
        ("r1_events.rank3.000012.jsonl", [], True),
        ("log.jsonl", ["log_events.000001.jsonl"], False),
    ],
)
def test_a_file_that_goes_on_where_another_ended_begins_with_any_seq(
    tmp_path: Path, name: str, others: list[str], *, free: bool, strict: bool
) -> None:
    """A sealed segment but the first, and a live file with others before it, there or removed by retention."""
    path = write_log(tmp_path / name, [an_event(5), an_event(6), an_event(8), an_event(1, info={"attempt": 2})])
    for other in others:
        (tmp_path / other).touch()
        if other.endswith(".json"):
            removed = Removed(
                segments=1,
                events=5,
                bytes=1,
                last_number=1,
                last_attempt=1,
                last_seq=4,
                last_step=4,
                at="",
                policy="",
            )
            (tmp_path / other).write_bytes(msgspec.json.encode(Manifest(run_id="r1", removed=removed)))
    problems = validate_jsonl_file(path, strict=strict, check_consistency=True).problems
    begins = ("seq 0", "5: 5 events are missing", 1)

    assert [(problem.expected, problem.found, problem.line) for problem in problems] == [
        *([] if free else [begins]),
        ("seq 7", "8: 1 event is missing", 3),
        ("seq 0", "1: 1 event is missing", 4),
    ]


def test_the_seq_of_the_first_event_that_can_be_read_is_free(tmp_path: Path) -> None:
    """A damaged first line is told, and the one after it is no gap."""
    path = tmp_path / SECOND
    path.write_bytes(b"{\n" + b"".join(encode(an_event(step)) for step in (6, 7, 9)))

    assert [(each.kind, each.line) for each in validate_jsonl_file(path, strict=True).problems] == [
        ("bad_json", 1),
        ("seq_gap", 4),
    ]


def test_a_live_file_may_be_empty_just_after_a_rotation(tmp_path: Path) -> None:
    """Alone it may not; nor may a sealed segment."""
    for name in (LIVE, SECOND):
        (tmp_path / name).touch()
    counts = [validate_jsonl_file(tmp_path / name, strict=True).counts for name in (LIVE, SECOND)]
    (tmp_path / SECOND).unlink()

    assert counts == [{}, {"empty_file": 1}]
    assert validate_jsonl_file(tmp_path / LIVE, strict=True).counts == {"empty_file": 1}


@pytest.mark.parametrize("how", COMPRESSIONS)
@pytest.mark.parametrize("strict", [True, False])
def test_a_compressed_file_is_checked_as_what_is_in_it(tmp_path: Path, how: Compression, *, strict: bool) -> None:
    """Lines and bytes are those of the events; progress adds up to the size of the file as it is stored."""
    events = [an_event(step) for step in range(9000)]
    plain = write_log(tmp_path / "r1_events.000001.jsonl", [*events[:8000], an_event(7000), *events[8000:]])
    expected = validate_jsonl_file(plain, strict=strict, check_consistency=True)
    compressed = compress(plain, how)
    parts: list[int] = []
    assert compressed
    report = validate_jsonl_file(compressed, strict=strict, check_consistency=True, progress=parts.append)

    assert report.counts == {"step_back": 1, "wall_time_back": 1, "seq_repeat": 1, "seq_gap": 1}
    expected.path = str(compressed)
    assert report == expected
    assert sum(parts) == compressed.stat().st_size
    assert len(parts) > 5


def test_json_lines_of_others_may_be_compressed(tmp_path: Path) -> None:
    """The name of the file says so; the last line needs no newline then, either."""
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"step":1}\n{"step":2}'))

    assert validate_jsonl_file(path, check_consistency=True)
    assert validate_jsonl_file(path, strict=True).counts == {"missing_field": 6, "torn_tail": 1}


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """A report is about what is in a file; without one there is nothing to report."""
    with pytest.raises(FileNotFoundError):
        validate_jsonl_file(tmp_path / "absent.jsonl")
    with pytest.raises(IsADirectoryError):
        validate_jsonl_file(tmp_path)


def test_a_problem_moves_to_where_its_line_stands() -> None:
    """Its byte is counted on from the first byte of the line."""
    problem = Problem("bad_json", "a value", "x", "$.a", byte=7)

    assert problem.at(3, 100) == Problem("bad_json", "a value", "x", "$.a", byte=107, line=3)


def _peak_memory(path: Path, *, strict: bool) -> int:
    """The largest memory, in bytes, of a process that validates a file."""
    code = (
        "import resource, sys; from rldk.io.validator import validate_jsonl_file; "
        f"assert validate_jsonl_file(sys.argv[1], strict={strict}); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    # Through a shell, because a process counts the memory of the one that started it among its own.
    command = ["/bin/sh", "-c", '"$0" "$@" || exit', sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.parametrize("strict", [True, False])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, *, strict: bool) -> None:
    """A file of 60 MB takes no more than 20 MB above what a file of 1 MB takes."""
    pattern = encode(an_event(0, notes=["n: " + "x" * 600]))
    head, _, tail = pattern.partition(b'"step":0,"wall_time":0.5,')
    before_seq, _, after_seq = tail.partition(b'"seq":0')
    log = tmp_path / "r1_events.jsonl"
    peaks = []
    for size in (1_000_000, 60_000_000):
        with log.open("wb") as file:
            for step in range(size // len(pattern) + 1):
                file.write(
                    b'%b"step":%d,"wall_time":%d.5,%b"seq":%d%b' % (head, step, step, before_seq, step, after_seq)
                )
        assert log.stat().st_size >= size
        peaks.append(_peak_memory(log, strict=strict))

    assert peaks[1] - peaks[0] < 20_000_000


needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no folder `shared` beside the checkout")


def _steps(path: Path) -> list[float | None]:
    """The step of each line of a log of others, None where there is none."""
    records = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [next((one[name] for name in ("step", "global_step", "_step") if name in one), None) for one in records]


@needs_shared
def test_logs_of_other_people_are_accepted_when_each_line_has_a_step() -> None:
    """Real JSON lines of other frameworks are valid, or lack a step and are told so; each rewind is found."""
    paths = sorted((SHARED / "data/real").glob("**/*.jsonl"))
    for path in paths:
        steps = _steps(path)
        rewinds = sum(None not in pair and pair[1] < pair[0] for pair in pairwise(steps))
        missing = steps.count(None)
        expected = {"step_back": rewinds} if rewinds else {"missing_field": missing} if missing else {}
        report = validate_jsonl_file(path, check_consistency=True, max_errors=0)

        assert (path, report.counts) == (path, expected)
        assert bool(validate_jsonl_file(path)) is (not missing)
    assert len(paths) > 10


@needs_shared
def test_json_lines_of_other_shapes_are_accepted() -> None:
    """Metrics may stand in an object of their own."""
    assert validate_jsonl_file(SHARED / "bench/probe/verl_nan.jsonl", check_consistency=True)


@needs_shared
def test_a_rewind_in_a_log_of_others_is_found() -> None:
    """`check_consistency` names the line at which the steps go back; without it the log is valid."""
    path = SHARED / "bench/probe/rewind.jsonl"
    report = validate_jsonl_file(path, check_consistency=True)
    byte = sum(map(len, path.read_bytes().splitlines(keepends=True)[:200]))

    assert report.problems == [Problem("step_back", "step >= 199", "150", "$.step", byte, 201)]
    assert validate_jsonl_file(path)


@needs_shared
def test_a_torn_tail_in_a_log_of_others_is_found() -> None:
    """The last line of a foreign log may lack its newline, but not its end."""
    path = SHARED / "bench/probe/torn.jsonl"
    torn = path.read_bytes().rpartition(b"\n")[2]
    report = validate_jsonl_file(path)

    assert report.problems == [
        Problem(
            "torn_tail",
            "a newline at the end of the last line",
            f"{len(torn)} bytes without one",
            byte=path.stat().st_size - len(torn),
            line=201,
        )
    ]
