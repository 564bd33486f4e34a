"""Reading a run: what each mode does about damage, and what a resumed run still counts."""

from __future__ import annotations

import io
import logging
import os
from functools import partial
from typing import TYPE_CHECKING, Final, get_args

import pytest

from rldk.errors import InvalidLineError, RunNotFoundError
from rldk.io.codec import encode
from rldk.io.compression import compress
from rldk.io.event_schema import MAX_LINE, Event
from rldk.io.lock import Lock
from rldk.io.problems import Problem
from rldk.io.reader import (
    Block,
    Mode,
    blocks,
    is_live,
    last_event,
    last_event_of,
    problem,
    read_events,
    read_items,
    whole_size,
)
from rldk.io.segments import COMPRESSIONS, Log, log_path, run_log, sealed_path
from rldk.io.validator import validate_jsonl_file
from tests.samples import EXAMPLE, an_event, write_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rldk.io.segments import Compression

MODES: Final[tuple[Mode, ...]] = get_args(Mode)
EVENTS: Final = [
    an_event(0),
    an_event(1, metrics={"loss": float("nan"), "é\u2028": None}, notes=["a: \U0001f600"]),
    an_event(2, metrics={"loss": float("inf"), "n": 7}, info={"phase": "eval"}, data_slice={"eval_set": "hard"}),
    an_event(3),
]
LINES: Final = [encode(event) for event in EVENTS]
NO_LINE: Final = b'{"step": 2, oops\n'


def _read(events: Iterator[Event]) -> tuple[list[Event], str]:
    """What a reader gives before it stops, and what it says when it stops for damage."""
    given: list[Event] = []
    try:
        for event in events:
            given.append(event)  # noqa: PERF402 - what came before the exception is kept
    except InvalidLineError as error:
        return given, str(error)
    return given, ""


def _keep(told: list[Problem], _: Path, problem: Problem) -> None:
    told.append(problem)


@pytest.mark.parametrize("mode", MODES)
def test_a_sound_log_is_read_in_every_mode(tmp_path: Path, mode: Mode) -> None:
    """Every event comes back as it was written, in order."""
    log = write_log(tmp_path / "r1_events.jsonl", EVENTS)

    assert list(read_events(log, mode=mode)) == EVENTS


def test_a_log_cut_at_every_byte_gives_all_whole_lines_and_reports_the_rest(tmp_path: Path) -> None:
    """In each mode, and in a strict validation, the complete lines are read and the torn one is named at its byte."""
    log = tmp_path / "r1_events.jsonl"
    whole = b"".join(LINES)
    starts = [sum(map(len, LINES[:count])) for count in range(len(LINES) + 1)]
    for cut in range(len(whole) + 1):
        log.write_bytes(whole[:cut])
        complete = max(count for count, start in enumerate(starts) if start <= cut)
        torn = cut - starts[complete]
        found = f"a newline at the end of the last line, found {torn} bytes without one [torn_tail]"
        message = f"{log}:{complete + 1}:{starts[complete]}: expected {found}" if torn else ""
        told: list[Problem] = []

        for mode in MODES:
            said = message if mode == "strict" else ""
            events = read_events(log, mode=mode, on_problem=partial(_keep, told))
            assert _read(events) == (EVENTS[:complete], said)
        report = validate_jsonl_file(log, strict=True)
        empty = f"{log}:1:0: expected events, one on each line, found an empty file [empty_file]"
        problems = [message] if torn else [] if cut else [empty]
        assert [str(problem.error(log)) for problem in told] == ([message] * 3 if torn else [])
        assert [str(problem.error(log)) for problem in report.problems] == problems
        assert (report.lines, report.bytes) == (complete + (torn > 0), cut)


@pytest.mark.parametrize("mode", MODES)
def test_a_tail_without_newline_is_torn_though_it_parses(tmp_path: Path, mode: Mode) -> None:
    """A whole event without its newline may have lost what followed: `1` may have been `10`."""
    log = tmp_path / "r1_events.jsonl"
    log.write_bytes(LINES[0] + LINES[1][:-1])
    told: list[Problem] = []
    given, said = _read(read_events(log, mode=mode, on_problem=partial(_keep, told)))
    found = f"{len(LINES[1]) - 1} bytes without one"
    problem = Problem("torn_tail", "a newline at the end of the last line", found, byte=len(LINES[0]), line=2)

    assert given == EVENTS[:1]
    assert (said, told) == ((str(problem.error(log)), []) if mode == "strict" else ("", [problem]))


def test_strict_forgives_a_torn_tail_while_a_writer_is_at_work(tmp_path: Path) -> None:
    """A line that is being written at this moment is no damage; once the writer is gone it is."""
    log = tmp_path / "r1_events.jsonl"
    log.write_bytes(LINES[0] + LINES[1][:50])
    told: list[Problem] = []
    lock = Lock(tmp_path / "r1.lock")
    live = is_live(log)
    given = list(read_events(log, on_problem=partial(_keep, told)))
    report = validate_jsonl_file(log, strict=True)
    lock.release()

    assert live
    assert not is_live(log)
    assert given == EVENTS[:1]
    assert [problem.kind for problem in told] == ["torn_tail"]
    assert report.problems == []
    assert not validate_jsonl_file(log, strict=True)
    with pytest.raises(InvalidLineError, match="torn_tail"):
        list(read_events(log))


@pytest.mark.parametrize(
    ("mode", "given", "told"),
    [("strict", 2, []), ("tolerate_torn_tail", 2, []), ("stop_at_first_bad", 2, [3]), ("salvage", 4, [3, 6])],
)
def test_a_damaged_line_in_the_middle_is_never_skipped_in_silence(
    tmp_path: Path, mode: Mode, given: int, told: list[int]
) -> None:
    """Two modes refuse it, one ends there, and one steps over it; the last two tell of it.

    Seen to fail when a line is stepped over without a word.
    """
    log = tmp_path / "r1_events.jsonl"
    log.write_bytes(b"".join([*LINES[:2], NO_LINE, *LINES[2:], b'{"torn']))
    lines: list[int] = []
    events, said = _read(read_events(log, mode=mode, on_problem=lambda _, problem: lines.append(problem.line)))
    byte = len(LINES[0]) + len(LINES[1]) + NO_LINE.index(b"oops")
    refusal = f"{log}:3:{byte}: expected a string, found oops [bad_json]"

    assert (events, lines) == (EVENTS[:given], told)
    assert said == ("" if told else refusal)


def test_the_first_of_several_problems_of_a_line_is_raised(tmp_path: Path) -> None:
    """The error carries path, line, byte, field and kind as attributes, too."""
    log = tmp_path / "r1_events.jsonl"
    bad = LINES[1].replace(b'"step":1', b'"step":-1').replace(b'"seq":1', b'"seq":"1"')
    log.write_bytes(LINES[0] + bad)
    with pytest.raises(InvalidLineError) as caught:
        list(read_events(log))
    error = caught.value
    byte = len(LINES[0]) + bad.index(b"-1")

    assert (error.kind, error.field, error.path, error.line, error.byte) == ("bad_value", "$.step", log, 2, byte)
    assert (error.expected, error.found) == ("an integer >= 0", "-1")


def test_what_was_left_out_is_logged_when_nobody_asks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without `on_problem` a warning says where the damage is."""
    log = tmp_path / "r1_events.jsonl"
    log.write_bytes(NO_LINE + LINES[0])
    with caplog.at_level(logging.WARNING, "rldk"):
        events = list(read_events(log, mode="salvage"))

    assert events == EVENTS[:1]
    assert caplog.messages == [f"left out: {log}:1:12: expected a string, found oops [bad_json]"]


def test_each_problem_is_told_once_though_the_log_is_read_twice(tmp_path: Path) -> None:
    """A run with attempts is read once to find the cuts; that pass tells nothing."""
    log = tmp_path / "r1_events.jsonl"
    resumed = encode(an_event(1, info={"attempt": 2, "resumed_from": 0}))
    log.write_bytes(b"".join([*LINES[:2], NO_LINE, resumed]))
    told: list[int] = []
    events = list(read_events(log, mode="salvage", on_problem=lambda _, problem: told.append(problem.line)))

    assert [(event.attempt, event.step) for event in events] == [(1, 0), (2, 1)]
    assert told == [3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "raw"}, "mode: expected one of strict, tolerate_torn_tail, stop_at_first_bad, salvage, found 'raw'"),
        ({"history": "newest"}, "history: expected one of effective, all, found 'newest'"),
    ],
)
def test_an_unknown_choice_is_refused_at_the_call(tmp_path: Path, options: dict[str, str], message: str) -> None:
    """The mistake is named where it is made, not when the first event is asked for."""
    log = write_log(tmp_path / "r1_events.jsonl", EVENTS)
    with pytest.raises(ValueError, match=r"\A") as caught:
        read_events(log, **options)  # type: ignore[arg-type]

    assert str(caught.value) == message


def test_a_missing_file_is_refused_at_the_call(tmp_path: Path) -> None:
    """A path with nothing at it is an error before any event is asked for."""
    with pytest.raises(FileNotFoundError):
        read_events(tmp_path / "r1_events.jsonl")


def test_a_folder_without_a_run_says_so(tmp_path: Path) -> None:
    """The message says what was looked for."""
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RunNotFoundError) as caught:
        read_events(tmp_path)

    assert str(caught.value) == f"{tmp_path}: expected the log of a run (*_events.jsonl), found none"
    assert (caught.value.path, caught.value.found) == (tmp_path, [])


def test_a_folder_with_two_runs_asks_which(tmp_path: Path) -> None:
    """Nobody guesses which run was meant."""
    for run_id in ("b", "a"):
        write_log(tmp_path / f"{run_id}_events.jsonl", [an_event(info={"run_id": run_id})])
    with pytest.raises(RunNotFoundError) as caught:
        read_events(tmp_path)

    assert str(caught.value) == f"{tmp_path}: expected one run, found 2: a, b; name one of their files"
    assert caught.value.found == ["a", "b"]


def test_of_several_ranks_the_lowest_is_read(tmp_path: Path) -> None:
    """A folder with one run stands for it; a rank's own file stands for that rank."""
    for rank in (10, 3, 2):
        write_log(tmp_path / f"r1_events.rank{rank}.jsonl", [an_event(info={"rank": rank})])
    lowest = [event.rank for event in read_events(tmp_path)]
    write_log(tmp_path / "r1_events.jsonl", [an_event()])

    assert lowest == [2]
    assert [event.rank for event in read_events(tmp_path)] == [0]
    assert [event.rank for event in read_events(tmp_path / "r1_events.rank10.jsonl")] == [10]


def test_a_file_of_any_name_is_read(tmp_path: Path) -> None:
    """The specification's example needs no name that RLDK gives."""
    path = tmp_path / "example.txt"
    path.write_bytes(EXAMPLE + b"\n")

    assert [event.run_id for event in read_events(path)] == ["my_training_run"]


def test_an_empty_log_has_no_events(tmp_path: Path) -> None:
    """Nothing written is nothing read, without an error: a run may have been killed before its first event."""
    log = write_log(tmp_path / "r1_events.jsonl", [])

    assert [list(read_events(log, mode=mode)) for mode in MODES] == [[], [], [], []]


def _attempt(number: int, steps: list[int], resumed_from: int | None = None, phase: str = "train") -> list[Event]:
    info = {"attempt": number, "phase": phase}
    if resumed_from is not None:
        info["resumed_from"] = resumed_from
    return [an_event(step, info=info) for step in steps]


def _points(events: Iterator[Event]) -> list[tuple[int, str, int]]:
    return [(event.attempt, event.phase, event.step) for event in events]


def test_a_resumed_attempt_takes_the_place_of_what_it_does_again(tmp_path: Path) -> None:
    """Points beyond the checkpoint are cut, evaluations too; `history="all"` still has them."""
    first = [*_attempt(1, [1, 2, 3]), *_attempt(1, [2, 4], phase="eval"), *_attempt(1, [4])]
    second = [*_attempt(2, [3, 4], 2), *_attempt(2, [4], 2, "eval")]
    log = write_log(tmp_path / "r1_events.jsonl", first + second)

    assert _points(read_events(log)) == [
        (1, "train", 1),
        (1, "train", 2),
        (1, "eval", 2),
        (2, "train", 3),
        (2, "train", 4),
        (2, "eval", 4),
    ]
    assert list(read_events(log, history="all")) == first + second


def test_a_log_without_attempts_is_cut_where_its_steps_go_back(tmp_path: Path) -> None:
    """Train steps that go back are a new attempt, though no event says so."""
    events = [an_event(step, model_info={"run_id": "r1"}) for step in (1, 2, 3, 2, 3)]
    log = write_log(tmp_path / "r1_events.jsonl", events)

    assert list(read_events(log)) == [events[0], *events[3:]]
    assert list(read_events(log, history="all")) == events


def test_train_twice_leaves_the_second_training(tmp_path: Path) -> None:
    """A second `train()` begins at 0 again, so nothing of the first but its step 0 still counts."""
    first = [*_attempt(1, [0], phase="eval"), *_attempt(1, [1, 2, 3])]
    second = _attempt(2, [1, 2], 0)
    log = write_log(tmp_path / "r1_events.jsonl", first + second)

    assert list(read_events(log)) == first[:1] + second


def test_the_events_of_a_log_with_attempts_are_equal_to_those_written(tmp_path: Path) -> None:
    """Leaving events out changes nothing about those that are left."""
    first, second = _attempt(1, [1, 2, 3]), _attempt(2, [3, 4], 2)
    log = write_log(tmp_path / "r1_events.jsonl", first + second)

    assert list(read_events(log)) == first[:2] + second


def test_blocks_are_whole_lines() -> None:
    """However the lines fall, a block ends with a newline, and all blocks together are the file."""
    text = b"".join(b"x" * (step * 7919 % 200_000) + b"\n" for step in range(50))
    found = list(blocks(io.BytesIO(text)))

    assert b"".join(block.text for block in found) == text
    assert [block.byte for block in found] == [sum(len(b.text) for b in found[:index]) for index in range(len(found))]
    assert {block.text[-1:] for block in found} == {b"\n"}
    assert {(block.damage, block.skipped) for block in found} == {(None, 0)}


def test_a_line_that_is_too_long_is_passed_over_without_being_held() -> None:
    """Its block holds about as much of it as is allowed; the lines around it are whole."""
    size = 3 * MAX_LINE
    found = list(blocks(io.BytesIO(b"a\n" + b"x" * size + b"\nb\nc")))

    assert [(block.byte, block.damage) for block in found] == [
        (0, None),
        (2, "line_too_long"),
        (size + 3, None),
        (size + 5, "torn_tail"),
    ]
    assert [block.text for block in found[2:]] == [b"b\n", b"c"]
    assert len(found[1].text) + found[1].skipped == size + 1
    assert len(found[1].text) < MAX_LINE + 2**19


def test_a_torn_line_that_is_too_long_is_too_long() -> None:
    """At the end of the file, too, no more is held than is allowed."""
    (block,) = blocks(io.BytesIO(b"x" * (2 * MAX_LINE)))

    assert (block.damage, len(block.text) + block.skipped) == ("line_too_long", 2 * MAX_LINE)


def test_an_empty_file_has_no_blocks() -> None:
    """There is nothing to check in it."""
    assert list(blocks(io.BytesIO())) == []
    assert Block(0, b"a\n").damage is None


@pytest.mark.parametrize(
    ("text", "size"),
    [(b"", 0), (b"a", 0), (b"\n", 1), (b"a\nb", 2), (b"a\n" + b"x" * 600_000, 2), (b"x" * 600_000 + b"\n", 600_001)],
)
def test_the_whole_size_ends_with_the_last_newline(text: bytes, size: int) -> None:
    """What stands behind the last newline is torn."""
    assert whole_size(io.BytesIO(text)) == size


@pytest.mark.parametrize(
    ("text", "step"),
    [
        (b"", None),
        (LINES[0][:-1], None),
        (b"".join(LINES), 3),
        (b"".join(LINES) + LINES[0][:-1], 3),
        (LINES[1] + NO_LINE + b"\n\n" + NO_LINE, 1),
        (LINES[2] + b"x" * 700_000 + b"\n" + b"y" * 300_000, 2),
        (NO_LINE * 3, None),
    ],
)
def test_the_last_event_is_found_from_the_end(text: bytes, step: int | None) -> None:
    """Torn and damaged lines behind it are passed over."""
    event = last_event(io.BytesIO(text))

    assert (event.step if event else None) == step


def test_the_last_event_may_be_longer_than_a_chunk() -> None:
    """A line is put together again from the parts it was read in."""
    long = an_event(5, notes=["n: " + "x" * 900_000])

    assert last_event(io.BytesIO(LINES[0] + encode(long))) == long


def _log_of_three(folder: Path, how: Compression | None = None) -> tuple[Log, list[Event]]:
    """A log of two sealed segments and the live file, the first compressed when that is wanted."""
    log = run_log(write_log(folder / "r1_events.jsonl", [an_event(step) for step in range(8, 10)]))
    for number, steps in ((1, range(4)), (2, range(4, 8))):
        path = write_log(sealed_path(log, number), [an_event(step) for step in steps])
        if how and number == 1:
            compress(path, how)
    return log, [an_event(step) for step in range(10)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", [None, *COMPRESSIONS])
def test_a_log_is_read_with_its_sealed_segments(tmp_path: Path, mode: Mode, how: Compression | None) -> None:
    """The path of the live file, there or not, and the folder stand for all of it; a segment's for itself alone."""
    log, events = _log_of_three(tmp_path, how)
    whole = [list(read_events(path, mode=mode)) for path in (log.path, tmp_path)]
    second = list(read_events(sealed_path(log, 2), mode=mode))
    first = list(read_events(sealed_path(log, 1, how), mode=mode))
    log.path.unlink()

    assert whole == [events, events]
    assert (first, second) == (events[:4], events[4:8])
    assert list(read_events(log.path, mode=mode)) == events[:8]


@pytest.mark.parametrize("mode", MODES)
def test_a_torn_tail_in_any_segment_is_forgiven_by_those_who_forgive_one(tmp_path: Path, mode: Mode) -> None:
    """Strict refuses it in a sealed segment, though a writer holds the log; problems carry the segment's own path."""
    log, events = _log_of_three(tmp_path)
    sealed = sealed_path(log, 1)
    told: list[tuple[Path, int]] = []
    for path in (sealed, log.path):
        with path.open("ab") as file:
            file.write(LINES[0][:30])
    lock = Lock(tmp_path / "r1.lock")
    live = is_live(log.path), is_live(sealed)
    given, said = _read(read_events(log.path, mode=mode, on_problem=lambda path, at: told.append((path, at.line))))
    lock.release()
    found = "a newline at the end of the last line, found 30 bytes without one [torn_tail]"
    size = sum(len(encode(event)) for event in events[:4])

    assert live == (True, False)
    assert said == (f"{sealed}:5:{size}: expected {found}" if mode == "strict" else "")
    assert given == (events[:4] if mode in {"strict", "stop_at_first_bad"} else events)
    assert told == {"strict": [], "stop_at_first_bad": [(sealed, 5)]}.get(mode, [(sealed, 5), (log.path, 3)])


def test_strict_forgives_the_live_file_of_a_log_with_segments(tmp_path: Path) -> None:
    """Its last line is being written at this moment."""
    log, events = _log_of_three(tmp_path)
    with log.path.open("ab") as file:
        file.write(LINES[0][:30])
    lock = Lock(tmp_path / "r1.lock")
    told: list[Problem] = []
    given = list(read_events(tmp_path, on_problem=partial(_keep, told)))
    lock.release()

    assert (given, [problem.kind for problem in told]) == (events, ["torn_tail"])


@pytest.mark.parametrize("how", COMPRESSIONS)
@pytest.mark.parametrize("mode", MODES)
def test_a_damaged_compressed_segment_is_told_with_its_line(tmp_path: Path, how: Compression, mode: Mode) -> None:
    """Two modes refuse it, one ends there; salvage takes what could be had of it and goes on with the next."""
    log = run_log(write_log(tmp_path / "r1_events.jsonl", [an_event(9000)]))
    events = [an_event(step) for step in range(9000)]
    compressed = compress(write_log(sealed_path(log, 1), events), how)
    assert compressed
    cut = compressed.stat().st_size - 40
    os.truncate(compressed, cut)
    told: list[Problem] = []
    given, said = _read(read_events(tmp_path, mode=mode, on_problem=partial(_keep, told)))
    before = given[:-1] if mode == "salvage" else given
    byte = sum(len(encode(event)) for event in before)
    name = {"gz": "gzip", "zst": "zstd"}[how]
    expected, found = f"whole {name} data", f"the end of the file in the middle of it, at byte {cut}"
    problem = Problem("bad_compression", expected, found, byte=byte, line=len(before) + 1)

    assert before == events[: len(before)]
    assert 1000 < len(before) < 9000
    assert given[len(before) :] == ([an_event(9000)] if mode == "salvage" else [])
    refused = mode in {"strict", "tolerate_torn_tail"}
    assert (said, told) == ((str(problem.error(compressed)), []) if refused else ("", [problem]))


def test_attempts_are_cut_over_segments(tmp_path: Path) -> None:
    """A resumed attempt in one segment replaces events of another."""
    log = run_log(write_log(tmp_path / "r1_events.jsonl", _attempt(2, [4, 5], 2)))
    write_log(sealed_path(log, 1), _attempt(1, [1, 2]))
    compress(write_log(sealed_path(log, 2), [*_attempt(1, [3, 4]), *_attempt(2, [3], 2)]), "gz")

    assert _points(read_events(tmp_path)) == [(1, "train", 1), (1, "train", 2), *((2, "train", n) for n in (3, 4, 5))]
    assert [event.step for event in read_events(tmp_path, history="all")] == [1, 2, 3, 4, 3, 4, 5]


def test_all_of_a_folder_is_all_ranks(tmp_path: Path) -> None:
    """Ordered by attempt, step and rank, those of each rank in their own order; a rank's file stands for the rank."""
    for rank in (0, 2, 10):
        info = {"rank": rank}
        steps = [*([an_event(rank, info={**info, "phase": "eval"})] if rank else []), *(an_event(3, info=info),)]
        log = run_log(write_log(log_path(tmp_path, "r1", rank), [an_event(1, info={**info, "attempt": 2})]))
        write_log(sealed_path(log, 1), [an_event(1, info=info), an_event(2, info=info), *steps])
    everything = [
        (event.attempt, event.step, event.rank, event.phase) for event in read_events(tmp_path, history="all")
    ]

    assert everything == [
        (1, 1, 0, "train"),
        (1, 1, 2, "train"),
        (1, 1, 10, "train"),
        (1, 2, 0, "train"),
        (1, 2, 2, "train"),
        (1, 2, 2, "eval"),
        (1, 2, 10, "train"),
        (1, 3, 0, "train"),
        (1, 3, 2, "train"),
        (1, 10, 10, "eval"),
        (1, 3, 10, "train"),
        (2, 1, 0, "train"),
        (2, 1, 2, "train"),
        (2, 1, 10, "train"),
    ]
    rank = read_events(tmp_path / "r1_events.rank2.jsonl", history="all")
    assert [(event.attempt, event.step, event.rank) for event in rank] == [
        (1, 1, 2),
        (1, 2, 2),
        (1, 2, 2),
        (1, 3, 2),
        (2, 1, 2),
    ]
    assert {event.rank for event in read_events(tmp_path)} == {0}


@pytest.mark.parametrize("how", [None, *COMPRESSIONS])
def test_the_last_event_of_a_log_is_in_its_newest_segment_that_has_one(tmp_path: Path, how: Compression | None) -> None:
    """A live file that is empty, torn or not there yet is passed over; a log may have none."""
    log = run_log(write_log(tmp_path / "r1_events.jsonl", EVENTS))
    none = last_event_of(Log(tmp_path / "r2_events.jsonl", "r2", 0))
    live = last_event_of(log)
    sealed = write_log(sealed_path(log, 1), EVENTS[:2])
    with sealed.open("ab") as file:
        file.write(NO_LINE * 20_000)
    if how:
        compress(sealed, how)
    sealed_path(log, 2).write_bytes(NO_LINE)
    log.path.write_bytes(LINES[2][:-1])
    torn = last_event_of(log)
    log.path.unlink()

    assert (none, live) == (None, EVENTS[3])
    assert torn == last_event_of(log) == EVENTS[1]


def test_each_line_of_a_log_is_an_event_or_a_problem(tmp_path: Path) -> None:
    """With the file it is in; each file counts its own lines, and no damage ends it."""
    log = run_log(write_log(tmp_path / "r1_events.jsonl", EVENTS[2:]))
    sealed = sealed_path(log, 1)
    sealed.write_bytes(LINES[0] + NO_LINE + LINES[1][:-1])
    found = list(read_items(log))

    assert [path for path, _ in found] == [sealed] * 3 + [log.path] * 2
    assert [item for _, item in found if not isinstance(item, Problem)] == [EVENTS[0], *EVENTS[2:]]
    assert [(item.kind, item.line, item.byte) for _, item in found if isinstance(item, Problem)] == [
        ("bad_json", 2, len(LINES[0]) + NO_LINE.index(b"oops")),
        ("torn_tail", 3, len(LINES[0]) + len(NO_LINE)),
    ]


def test_a_problem_is_made_from_an_error_and_back(tmp_path: Path) -> None:
    """All but the line, which is that of the file and not of the problem alone."""
    found = Problem("bad_value", "x", "y", "$.step", 7)

    assert problem(found.error(tmp_path)) == found
