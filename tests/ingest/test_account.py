"""The account of an ingest: every line once, and what is worth knowing of the events."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from rldk.adapters.base import Aside, Bad
from rldk.ingest.account import Found, IngestReport, PassedOver, RunReport, is_metric
from rldk.io.problems import Problem
from tests.samples import an_event


def a_report() -> RunReport:
    """The account of a run of which nothing was read yet."""
    return RunReport("r1", "mine.jsonl", "custom_jsonl", "step", "line")


def test_a_problem_is_told_with_its_place() -> None:
    """The same sentence as that of the exception; the field is left out where there is none."""
    problem = Problem("bad_value", "a step", "-1", "$.step", byte=70, line=2)

    assert str(Found("mine.jsonl", problem)) == str(problem.error(Path("mine.jsonl")))
    assert str(Found("mine.jsonl", problem)) == "mine.jsonl:2:70: $.step: expected a step, found -1 [bad_value]"
    assert str(Found("m", Problem("bad_json", "a value", "x"))) == "m:1:0: expected a value, found x [bad_json]"


def test_lines_set_aside_are_counted_by_their_reason() -> None:
    """Fifty reasons are told apart, so that a log of prose does not fill the memory."""
    report = a_report()
    for number in range(60):
        report.note_aside(Aside(f"reason {number}", 2))
    report.note_aside(Aside("reason 3"))

    assert (report.lines, report.aside, sum(report.reasons.values())) == (121, 121, 121)
    assert len(report.reasons) == 51
    assert (report.reasons["reason 3"], report.reasons["other reasons"]) == (3, 20)


def test_bad_lines_are_counted_and_the_first_are_kept_word_for_word() -> None:
    """A torn tail is counted by itself; after a thousand problems only their number grows."""
    report = a_report()
    bad, torn = Problem("bad_json", "a value", "x"), Problem("torn_tail", "a newline", "none")
    for _ in range(1001):
        report.note_bad(Bad(bad, Path("local")), "shown")
    report.note_bad(Bad(torn, Path("local"), 3), "shown")

    assert (report.lines, report.bad, report.torn_tail) == (1004, 1001, 3)
    assert (len(report.problems), report.more_problems) == (1000, 2)
    assert report.problems[0] == Found("shown", bad)


def test_what_events_hold_is_counted_by_name() -> None:
    """NaN and infinities, nulls, names of unknown meaning, texts, and lists that were left out."""
    report = a_report()
    report.note_event(an_event(1, metrics={"loss": math.nan, "reward_component/f": 1, "mine": None, "n": 2**62}))
    report.note_event(
        an_event(
            2,
            metrics={"loss": -math.inf, "mine": 1.5},
            data_slice={"eval_set": "math", "text": "x", "yes": True, "n": 3},
            notes=["left_out: items (3 items)", "other: note"],
        )
    )

    assert (report.events, report.left_out) == (2, 1)
    assert report.nonfinite == {"loss": 2}
    assert report.null == {"mine": 1}
    assert report.unknown == {"mine": 2, "n": 1}
    assert report.texts == {"text": 1, "yes": 1}


def test_a_canonical_name_is_known_with_any_function() -> None:
    """`reward_component/<f>` stands for every reward function."""
    assert is_metric("loss")
    assert is_metric("reward_component/format")
    assert not is_metric("reward_components/format")
    assert not is_metric("mine")


def test_a_report_sums_up_its_runs() -> None:
    """Events, lines and problems of all of them; and it is plain data."""
    one, two = a_report(), a_report()
    one.events, one.lines, two.events, two.lines = 1, 2, 3, 4
    problem = Found("m", Problem("bad_json", "a", "b"))
    two.problems.append(problem)
    report = IngestReport([one, two], [PassedOver("notes.txt", "no log")])

    assert (report.events, report.lines, list(report.problems)) == (4, 6, [problem])
    assert msgspec.json.decode(msgspec.json.encode(report), type=IngestReport) == report
    assert IngestReport() == IngestReport([], [])
