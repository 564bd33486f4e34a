"""Any log as a log of RLDK: every event, strictly valid, and nothing written over."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from rldk.errors import IngestError, RunIdError, RunNotFoundError
from rldk.ingest import IngestReport, convert, ingest_events
from rldk.io.reader import read_events
from rldk.io.validator import validate_jsonl_file
from tests.samples import an_event, write_log

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.io.event_schema import Event
    from tests.ingest.conftest import WriteLog

RECORDS: list[dict[str, Any]] = [
    {"step": 1, "loss": 0.5, "text": "x"},
    {"step": 2, "loss": math.nan, "n": None},
    {"step": 2, "acc": 0.5, "phase": "eval", "eval_set": "math"},
    {"step": 3, "loss": math.inf},
    {"step": 2, "loss": 0.25, "items": [1]},
]


def test_every_event_is_written(write: WriteLog, tmp_path: Path) -> None:
    """Those that were trained again too, each attempt with its own dense numbers; the effective history is the same."""
    log, target = write("mine.jsonl", *RECORDS), tmp_path / "run_events.jsonl"
    written = convert(log, target)
    events = list(read_events(target, history="all"))

    assert written == [target]
    assert [(event.attempt, event.seq, event.step, event.phase, event.rank) for event in events] == [
        *((1, 0, 1, "train", 0), (1, 1, 2, "train", 0), (1, 2, 2, "eval", 0), (1, 3, 3, "train", 0)),
        (2, 0, 2, "train", 0),
    ]
    assert validate_jsonl_file(target, strict=True).valid
    assert [event.metrics for event in read_events(target)] == [event.metrics for event in ingest_events(log)]
    assert [event.notes for event in events][-1] == ["left_out: items (1 items)"]
    assert events[0].data_slice == {"text": "x"}


def test_a_log_of_rldk_stays_what_it_is(tmp_path: Path) -> None:
    """But for its numbers, which are dense anew."""
    events = [an_event(step, seq=step + 5) for step in range(3)]
    log = write_log(tmp_path / "r1_events.jsonl", events)
    (target,) = convert(log, tmp_path / "copy.jsonl")

    assert list(read_events(target)) == [an_event(step, seq=step) for step in range(3)]


def test_several_runs_go_into_a_folder(write: WriteLog, tmp_path: Path) -> None:
    """A file for each, called after its run, every rank too; runs of one name are told apart."""
    logs = [write("a/run.jsonl", *RECORDS), write("b/run.jsonl", *RECORDS)]
    for rank in (0, 1):
        write_log(logs[0].parent / f"r1_events{'.rank1' * rank}.jsonl", [an_event(1, info={"rank": rank})])
    target = tmp_path / "out"
    target.mkdir()
    report = IngestReport()
    written = convert([logs[0].parent, logs[1]], target, report=report)

    assert [path.name for path in written] == [
        *("r1_events.jsonl", "r1_events.rank1.jsonl", "run_events.jsonl", "b-run_events.jsonl")
    ]
    assert all(validate_jsonl_file(path, strict=True).valid for path in written)
    assert {event.run_id for event in read_events(written[3])} == {"b-run"}
    assert report.events == 12


def test_several_runs_do_not_fit_into_a_file(write: WriteLog, tmp_path: Path) -> None:
    """They are named, and nothing is written."""
    logs = [write("a.jsonl", *RECORDS), write("b.jsonl", *RECORDS)]

    with pytest.raises(RunNotFoundError) as caught:
        convert(logs, tmp_path / "out.jsonl")

    assert caught.value.found == [str(log) for log in logs]
    assert not (tmp_path / "out.jsonl").exists()


def test_nothing_is_written_over(write: WriteLog, tmp_path: Path) -> None:
    """Neither a file nor one in a folder; nor is the source."""
    log = write("mine.jsonl", *RECORDS)
    (tmp_path / "mine_events.jsonl").write_bytes(b"old")

    for target in (tmp_path / "mine_events.jsonl", tmp_path, log):
        with pytest.raises(FileExistsError, match="it is there already, and is not written over"):
            convert(log, target)
    assert (tmp_path / "mine_events.jsonl").read_bytes() == b"old"


def test_a_folder_that_is_not_there_is_said(write: WriteLog, tmp_path: Path) -> None:
    """Before anything is read."""
    with pytest.raises(FileNotFoundError, match=f"No such folder: '{tmp_path / 'nope'}'"):
        convert(write("mine.jsonl", b"oops\n"), tmp_path / "nope" / "x.jsonl")


@pytest.mark.parametrize("on_error", ["abort", "collect"])
def test_when_something_cannot_be_read_nothing_is_written(write: WriteLog, tmp_path: Path, on_error: str) -> None:
    """Of the run it is in; with `collect` of none, and all is said."""
    logs = [write("in/a.jsonl", *RECORDS, b"oops\n"), write("in/b.jsonl", *RECORDS, b"{\n")]
    target = tmp_path / "out"
    target.mkdir()

    with pytest.raises(IngestError) as caught:
        convert(logs, target, on_error=on_error)

    assert len(caught.value.problems) == (2 if on_error == "collect" else 1)
    assert list(target.iterdir()) == []


def test_what_is_readable_is_written_when_that_is_asked_for(write: WriteLog, tmp_path: Path) -> None:
    """And what was not is in the report."""
    report = IngestReport()
    (path,) = convert(write("mine.jsonl", *RECORDS, b"oops\n"), tmp_path / "x.jsonl", report=report, on_error="salvage")

    assert (len(list(read_events(path, history="all"))), report.runs[0].bad) == (5, 1)


@pytest.mark.parametrize("on_error", ["abort", "collect"])
def test_a_filter_sees_each_event_once(write: WriteLog, tmp_path: Path, on_error: str) -> None:
    """One that remembers what it has seen keeps as much, however often the log is read."""
    seen: list[int] = []

    def first_two(event: Event) -> Event | None:
        seen.append(event.step)
        return event if len(seen) <= 2 else None

    (path,) = convert(write("mine.jsonl", *RECORDS), tmp_path / "x.jsonl", on_error=on_error, filters=[first_two])

    assert seen == [record["step"] for record in RECORDS]
    assert [event.step for event in read_events(path)] == [1, 2]


def test_collect_writes_when_nothing_is_wrong(write: WriteLog, tmp_path: Path) -> None:
    """The account is of one reading."""
    report = IngestReport()
    (path,) = convert(write("mine.jsonl", *RECORDS), tmp_path / "x.jsonl", report=report, on_error="collect")

    assert path.exists()
    assert [run.lines for run in report.runs] == [5]


def test_a_run_without_events_gets_no_file(write: WriteLog, tmp_path: Path) -> None:
    """A log without a line would be none."""
    assert convert(write("mine.jsonl", *RECORDS), tmp_path / "x.jsonl", filters=[lambda _: None]) == []
    assert not (tmp_path / "x.jsonl").exists()


def test_a_run_id_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    """In a folder, where it would be part of the name."""
    log = write_log(tmp_path / "any.jsonl", [an_event(1, info={"run_id": "a/b"})])
    target = tmp_path / "out"
    target.mkdir()

    with pytest.raises(RunIdError):
        convert(log, target)
    assert [event.run_id for event in read_events(convert(log, tmp_path / "x.jsonl")[0])] == ["a/b"]
