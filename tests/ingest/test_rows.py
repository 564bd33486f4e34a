"""The events of a run as they count, and the account of its lines."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.adapters.base import Certainty, Claim
from rldk.errors import IngestError, InvalidLineError
from rldk.ingest.account import Found, IngestReport, RunReport
from rldk.ingest.options import OnError, Options
from rldk.ingest.rows import LEADING, Run, column_name
from rldk.ingest.sources import find_units, local
from rldk.io.history import curve_key
from rldk.io.problems import Problem
from tests.samples import an_event, write_log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rldk.adapters.base import Mode
    from rldk.ingest.rows import Row
    from rldk.ingest.sources import Unit
    from rldk.io.event_schema import Event
    from tests.ingest.conftest import WriteLog

FATES = ("parsed", "aside", "torn_tail", "bad", "duplicate", "rewound", "filtered")


def runs(source: Any, **options: Any) -> Iterator[Run]:
    """The runs in a source, all of one report."""
    asked, report = Options(**options), IngestReport()
    with local(source) as places:
        units, _ = find_units(places, asked)
        for unit in units:
            yield Run(unit, asked, report)


def read(source: Any, **options: Any) -> tuple[list[Row], RunReport]:
    """The rows of the only run in a source, which are the same in both ways to get them, and its account."""
    (one,), (two,) = runs(source, **options), runs(source, **options)
    rows, gathered = list(one.rows()), []
    two.gather(gathered.append, gathered.clear)
    assert gathered == rows
    assert two.report == one.report
    assert_sum(one.report)
    return rows, one.report


def assert_sum(report: RunReport) -> None:
    """Each line is counted exactly once."""
    assert report.lines == sum(getattr(report, name) for name in FATES), report


def steps(rows: list[Row]) -> list[tuple[int, int]]:
    """Each row's attempt and step."""
    return [(row.attempt, row.event.step) for row in rows]


def counts(report: RunReport) -> dict[str, int]:
    """What became of the lines."""
    return {name: count for name in ("lines", *FATES) if (count := getattr(report, name))}


def rows_of(*numbers: int, **more: Any) -> list[dict[str, Any]]:
    """Records of these steps."""
    return [{"step": step, "loss": 1 / (step + 1), **more} for step in numbers]


def test_each_line_becomes_a_row(write: WriteLog) -> None:
    """In the order of the file, with its place in it, and the number of lines that made it."""
    rows, report = read(write("mine.jsonl", *rows_of(1, 2)))

    assert [(row.place, row.attempt, row.rewound, row.lines) for row in rows] == [(0, 1, False, 1), (1, 1, False, 1)]
    assert [row.event.step for row in rows] == [1, 2]
    assert report == RunReport("mine", report.source, "custom_jsonl", "step", "line", events=2, lines=2, parsed=2)


def test_a_step_that_goes_back_begins_another_attempt(write: WriteLog) -> None:
    """In a log that names none: what was trained again is left out, and the events say which attempt they are of."""
    log = write("mine.jsonl", *rows_of(1, 2, 3, 2, 3, 4))
    rows, report = read(log)
    everything, all_report = read(log, history="all")

    assert steps(rows) == [(1, 1), (2, 2), (2, 3), (2, 4)]
    assert [row.event.attempt for row in rows] == [1, 2, 2, 2]
    assert counts(report) == {"lines": 6, "parsed": 4, "rewound": 2}
    assert steps(everything) == [(1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (2, 4)]
    assert [row.rewound for row in everything] == [False, True, True, False, False, False]
    assert counts(all_report) == {"lines": 6, "parsed": 6}


def test_a_resumed_attempt_cuts_what_came_after(tmp_path: Path) -> None:
    """In all phases, from the step it says it continued after."""
    second = {"attempt": 2, "resumed_from": 2}
    events = [
        *(an_event(step) for step in (1, 2, 3)),
        an_event(3, info={"phase": "eval"}),
        an_event(2, info={"phase": "eval"}, seq=4),
        *(an_event(step, info=second) for step in (3, 4)),
    ]
    rows, report = read(write_log(tmp_path / "r1_events.jsonl", events))

    assert [row.event for row in sorted(rows)] == [events[0], events[1], *events[4:]]
    assert sorted(steps(rows)) == [(1, 1), (1, 2), (1, 2), (2, 3), (2, 4)]
    assert counts(report) == {"lines": 7, "parsed": 5, "rewound": 2}


def test_lines_of_one_point_are_merged(write: WriteLog) -> None:
    """Key by key, the later wins; another phase, set or attempt is another point."""
    log = write(
        "mine.jsonl",
        {"step": 1, "loss": 0.5, "only": 1, "text": "kept"},
        {"step": 1, "acc": 0.1, "phase": "eval"},
        {"step": 1, "loss": 0.25},
        {"step": 1, "acc": 0.2, "phase": "eval", "eval_set": "math"},
        {"step": 2, "loss": 0.125},
        {"step": 2, "acc": 0.3, "phase": "eval"},
    )
    rows, report = read(log)
    everything, _ = read(log, history="all")

    assert [(row.place, row.event.phase, row.event.eval_set, row.event.step, row.event.metrics) for row in rows] == [
        (0, "train", None, 1, {"loss": 0.25, "only": 1}),
        (1, "eval", None, 1, {"acc": 0.1}),
        (4, "train", None, 2, {"loss": 0.125}),
        (5, "eval", None, 2, {"acc": 0.3}),
        (3, "eval", "math", 1, {"acc": 0.2}),
    ]
    assert counts(report) == {"lines": 6, "parsed": 5, "duplicate": 1}
    assert report.texts == {"text": 1}
    assert len(everything) == 6


def test_events_of_two_ranks_are_never_merged(write: WriteLog) -> None:
    """Where a field map says that a log is of several."""
    records = [{"step": step, "node": node, "loss": node + step / 10} for step in (1, 2) for node in (0, 1)]
    rows, report = read(write("mine.jsonl", *records), field_map={"rank": "node"})

    assert sorted((row.event.rank, row.event.step, row.event.metrics["loss"]) for row in rows) == [
        *((0, 1, 0.1), (0, 2, 0.2), (1, 1, 1.1), (1, 2, 1.2))
    ]
    assert counts(report) == {"lines": 4, "parsed": 4}


def test_a_filter_leaves_events_out_or_changes_them(write: WriteLog) -> None:
    """It sees each event once and in order, and what it leaves out is counted."""
    seen: list[int] = []

    def thin(event: Event) -> Event | None:
        seen.append(event.step)
        return event if event.step % 2 else None

    log = write("mine.jsonl", *rows_of(1, 2, 3, 2, 3, 4))
    (run,) = runs(log, filters=[thin])
    gathered: list[Row] = []
    run.gather(gathered.append, gathered.clear)

    assert seen == [1, 2, 3, 4]
    assert steps(gathered) == [(1, 1), (2, 3)]
    assert counts(run.report) == {"lines": 6, "parsed": 2, "filtered": 2, "rewound": 2}
    _, report = read(log, filters=[lambda _: None])
    assert counts(report) == {"lines": 6, "filtered": 4, "rewound": 2}


BROKEN = [*rows_of(1), b"oops\n", *rows_of(2), b"[1]\n", b"\n", b'{"step": 3']


@pytest.mark.parametrize(
    ("on_error", "given", "account"),
    [
        ("collect", [1, 2], {"lines": 6, "parsed": 2, "aside": 1, "torn_tail": 1, "bad": 2}),
        ("salvage", [1, 2], {"lines": 6, "parsed": 2, "aside": 1, "torn_tail": 1, "bad": 2}),
        ("stop_at_first_bad", [1], {"lines": 2, "parsed": 1, "bad": 1}),
    ],
)
def test_what_cannot_be_read_is_stepped_over_when_that_is_asked_for(
    write: WriteLog, on_error: str, given: list[int], account: dict[str, int]
) -> None:
    """Each such line is counted, and told with file, line and byte."""
    log = write("mine.jsonl", *BROKEN)
    rows, report = read(log, on_error=on_error)

    assert [row.event.step for row in rows] == given
    assert counts(report) == account
    assert str(report.problems[0]) == f"{log}:2:25: expected a value, found oops [bad_json]"
    assert len(report.problems) == account["bad"] + account.get("torn_tail", 0)


@pytest.mark.parametrize("on_error", ["abort", "tolerate_torn_tail"])
def test_otherwise_the_first_ends_it(write: WriteLog, on_error: str) -> None:
    """The error has the place and the account so far, and the reason as its cause."""
    log = write("mine.jsonl", *BROKEN)
    (run,) = runs(log, on_error=on_error)
    with pytest.raises(IngestError) as caught:
        list(run.rows())
    cause = caught.value.__cause__

    assert isinstance(cause, InvalidLineError)
    assert (cause.path, cause.line, cause.byte, cause.kind) == (log, 2, 25, "bad_json")
    assert str(caught.value) == str(cause) == f"{log}:2:25: expected a value, found oops [bad_json]"
    assert counts(caught.value.report.runs[0]) == {"lines": 2, "parsed": 1, "bad": 1}  # type: ignore[attr-defined]


def test_a_torn_tail_can_be_tolerated(write: WriteLog) -> None:
    """It is counted, and is no reason to stop."""
    log = write("mine.jsonl", *rows_of(1), b'{"step": 2')
    _, report = read(log, on_error="tolerate_torn_tail")

    assert counts(report) == {"lines": 2, "parsed": 1, "torn_tail": 1}
    assert [found.problem.kind for found in report.problems] == ["torn_tail"]


def test_what_follows_the_first_damage_cuts_nothing(write: WriteLog) -> None:
    """When reading stops there, no attempt after it has replaced anything."""
    log = write("mine.jsonl", *rows_of(1, 2, 3), b"oops\n", *rows_of(1, 2))
    rows, _ = read(log, on_error="stop_at_first_bad")

    assert [row.event.step for row in rows] == [1, 2, 3]


def test_runs_of_one_name_get_run_ids_of_their_own(write: WriteLog) -> None:
    """Names of folders are put before it, as many as it takes; a run keeps its id over two readings."""
    logs = [write(f"{folder}/run.jsonl", *rows_of(1, 2, 1)) for folder in ("a", "b/x", "c/x", "d é/x")]
    found = []
    for run in runs(logs):
        gathered: list[Row] = []
        run.gather(gathered.append, gathered.clear)
        found.append((run.report.run_id, {row.event.run_id for row in gathered}))

    names = ["run", "x-run", "c-x-run", "d--x-run"]
    assert found == [(name, {name}) for name in names]


def test_ranks_share_a_run_id_and_copies_do_not(tmp_path: Path) -> None:
    """Logs of RLDK in one folder are one run; the same run id in another folder is another run, with all its ranks."""
    for name in ("a/r1_events.jsonl", "a/r1_events.rank1.jsonl", "b/r1_events.jsonl", "b/r1_events.rank1.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_log(tmp_path / name, [an_event(1, info={"rank": int("rank1" in name)})])
    found = [(run.report.run_id, next(run.rows()).event.run_id) for run in runs(tmp_path, history="all")]

    assert [after for _, after in found] == ["r1", "r1", "b-r1", "b-r1"]


def test_a_run_without_events_has_a_name(write: WriteLog) -> None:
    """That of its file, so that it can be told of."""
    rows, report = read(write("mine.jsonl", {"step": 1}, b"\n"), filters=[lambda _: None])

    assert (rows, report.run_id, report.events) == ([], "mine", 0)


class Stream:
    """An adapter that accounts for no lines: it gives events, and stops at damage."""

    name = "stream"

    def handles(self, head: bytes, path: Path) -> Claim:
        """Never asked."""
        return Claim(Certainty.NO, "")

    def events(self, path: Path, mode: Mode = "strict") -> Iterator[Event]:
        """Two events, and damage between them that salvage steps over."""
        yield an_event(1)
        if mode != "salvage":
            raise Problem("bad_value", "x", "y", byte=30, line=7).error(path)
        yield an_event(2)


def test_an_adapter_of_others_is_read_too(write: WriteLog) -> None:
    """Its events are counted as one line each, and its errors become the error of the ingest."""
    log = write("mine.jsonl", {"step": 1})
    with local(log) as places:
        (unit,), _ = find_units(places, Options())
    unit = unit._replace(adapter=Stream())
    report = IngestReport()
    run = Run(unit, Options(on_error="salvage"), report)

    assert [row.event for row in run.rows()] == [an_event(1), an_event(2)]
    assert counts(run.report) == {"lines": 2, "parsed": 2}
    with pytest.raises(IngestError, match=r"mine.jsonl:7:30: expected x, found y \[bad_value\]$"):
        list(Run(unit, Options(), IngestReport()).rows())


def test_problems_of_what_was_fetched_are_told_with_the_address(write: WriteLog) -> None:
    """The copy is gone by then."""
    log = write("bucket/mine.jsonl", *rows_of(1), b"oops\n")
    with local(log) as places:
        (unit,), _ = find_units(places, Options())
    fetched: Unit = unit._replace(shown="s3://bucket/mine.jsonl")
    run = Run(fetched, Options(on_error="salvage"), IngestReport())
    list(run.rows())

    assert run.report.problems == [
        Found("s3://bucket/mine.jsonl", Problem("bad_json", "a value", "oops", byte=25, line=2))
    ]


def test_progress_is_told_in_lines(write: WriteLog) -> None:
    """Again and again, of all that is read."""
    told: list[int] = []
    (run,) = runs(write("mine.jsonl", *rows_of(1, 2), b"\n"), progress=told.append)
    list(run.rows())

    assert told == [1, 1, 1]


def test_a_metric_has_a_column_of_its_own() -> None:
    """One that is called as a first column has its name with a prefix."""
    assert [column_name(name) for name in ("loss", *LEADING, "rewound", "nonfinite")] == [
        "loss",
        *(f"metrics.{name}" for name in LEADING),
        "metrics.rewound",
        "metrics.nonfinite",
    ]


def test_a_metric_with_the_prefix_keeps_apart_from_one_without_it(write: WriteLog) -> None:
    """Neither takes the place of the other in the table."""
    log = write("mine.jsonl", {"step": 1, "rank": 0.5, "metrics.rank": 0.25, "metrics.loss": 1.0})
    (run,) = runs(log)
    (row,) = run.rows()

    assert [column_name(name) for name in row.event.metrics] == ["metrics.rank", "metrics.metrics.rank", "metrics.loss"]


RECORD = st.one_of(
    st.integers(0, 6).map(lambda step: {"step": step, "loss": 0.5}),
    st.integers(0, 6).map(lambda step: {"step": step, "acc": 0.5, "phase": "eval"}),
    st.integers(0, 3).map(lambda step: {"step": step, "name": "a", "value": 1}),
    st.integers(0, 3).map(lambda step: {"step": step, "name": "b", "value": None}),
    st.sampled_from([{"header": 1}, {"text": "x"}, {"loss": 1}, [1], "\n", "oops\n", '{"step": 1']),
)


@given(st.lists(RECORD, max_size=14), st.sampled_from(get_args(OnError)), st.sampled_from(["effective", "all"]))
def test_every_line_is_counted_once_whatever_is_in_it(records: list[Any], on_error: str, history: str) -> None:
    """In every way to read, also where reading stops; both ways to get the rows give the same."""
    lines = [each if isinstance(each, str) else json.dumps(each) + "\n" for each in records]
    with TemporaryDirectory() as folder:
        path = Path(folder, "mine.jsonl")
        path.write_text("".join([json.dumps({"step": 0}) + "\n", *lines]))
        found = []
        for way in ("rows", "gather"):
            (run,) = runs(path, on_error=on_error, history=history)
            rows: list[Row] = []
            ended = ""
            try:
                if way == "rows":
                    rows.extend(run.rows())
                else:
                    run.gather(rows.append, rows.clear)
            except IngestError as error:
                ended = str(error)
            found.append((rows if not ended else [], ended, run.report if not ended else None))
            if not ended:
                assert_sum(run.report)
                assert run.report.events == len(rows)
                assert history == "all" or not _repeated(rows)

    assert found[0] == found[1]


def _repeated(rows: list[Row]) -> bool:
    """Whether two rows that follow each other on a curve are of one point."""
    curves: dict[Any, list[tuple[int, int]]] = {}
    for row in rows:
        curves.setdefault(curve_key(row.event), []).append((row.attempt, row.event.step))
    return any(one == two for points in curves.values() for one, two in pairwise(points))
