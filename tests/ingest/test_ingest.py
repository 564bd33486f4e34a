"""From a source to events and tables: what is told, what is raised, and what it costs."""

from __future__ import annotations

import logging
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from rldk.errors import IngestError, InvalidLineError, MissingExtraError, UnknownFormatError
from rldk.ingest import IngestReport, ingest_events, ingest_runs, to_arrow, to_parquet
from rldk.io.reader import read_events
from tests.adapters.test_registry import install
from tests.runs import run_python
from tests.samples import an_event, write_log

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ingest.conftest import WriteLog


def steps(count: int) -> list[dict[str, Any]]:
    """Records of so many steps."""
    return [{"step": step, "loss": 1 / (step + 1)} for step in range(count)]


def test_events_come_run_by_run(write: WriteLog) -> None:
    """In the order of the sources, each run whole; a copy of RLDK's own log gives what the reader gives."""
    one, two = write("a/one.jsonl", *steps(2)), write("b/two.jsonl", *steps(2))
    own = write_log(one.parent / "r1_events.jsonl", [an_event(step) for step in range(3)])
    report = IngestReport()

    found = [(event.run_id, event.step) for event in ingest_events([two, one], report=report)]

    assert found == [("two", 0), ("two", 1), ("one", 0), ("one", 1)]
    assert (report.events, report.lines, [run.run_id for run in report.runs]) == (4, 4, ["two", "one"])
    assert list(ingest_events(own)) == list(read_events(own))


def test_nothing_is_read_before_the_first_event_is_asked_for(tmp_path: Path) -> None:
    """But wrong arguments are refused at once."""
    events = ingest_events(tmp_path / "nope.jsonl")

    with pytest.raises(FileNotFoundError):
        next(events)
    with pytest.raises(ValueError, match=r"^on_error: "):
        ingest_events(tmp_path, on_error="nope")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^field_map: .* mixed up$"):
        ingest_events(tmp_path, field_map={"iteration": "step"})


def test_the_number_of_events_is_logged(write: WriteLog, caplog: pytest.LogCaptureFixture) -> None:
    """Of each run and in total, at level INFO; whichever way it is read."""
    logs = [write("a/run.jsonl", *steps(2)), write("b/run.jsonl", *steps(3))]
    for read in (ingest_runs, lambda source: list(ingest_events(source))):
        caplog.clear()
        with caplog.at_level(logging.INFO, "rldk.ingest"):
            read(logs)

        assert [(record.levelname, record.message) for record in caplog.records] == [
            ("INFO", f"{logs[0]}: 2 events of run run, read as custom_jsonl"),
            ("INFO", f"{logs[1]}: 3 events of run b-run, read as custom_jsonl"),
            ("INFO", "5 events in total, of 2 runs"),
        ]


@pytest.mark.parametrize(
    ("records", "field_map", "warnings"),
    [
        ([*steps(2)], {"loss": "loss"}, []),
        (
            [*steps(2)],
            {"reward_mean": "train.rewrd"},
            ["{}: no record has the field 'train.rewrd', which the field map calls reward_mean"],
        ),
        (
            [{"step": 1, "loss": loss} for loss in range(5)],
            {},
            ["{}: 4 of 5 lines repeat a step; is another field the step? then say so with step=FIELD in the field map"],
        ),
        (
            [{"step": step, "loss": 1} for step in (1, 2, 3, 1)],
            {},
            [
                (
                    "{}: 3 of 4 lines are of steps that were trained again; "
                    'history="all", on the command line --all-history, gives them too'
                )
            ],
        ),
        ([{"step": 1, "loss": 1}], {"eval_set": "absent"}, []),
    ],
)
def test_what_looks_wrong_is_warned_of(
    write: WriteLog,
    caplog: pytest.LogCaptureFixture,
    records: list[Any],
    field_map: dict[str, str],
    warnings: list[str],
) -> None:
    """A field that is nowhere, and a step that is none; with what to do."""
    log = write("mine.jsonl", *records)
    ingest_runs(log, field_map=field_map)

    assert caplog.messages == [warning.format(log) for warning in warnings]


def test_a_log_without_events_is_warned_of(write: WriteLog, caplog: pytest.LogCaptureFixture) -> None:
    """It was read, and there is nothing in it."""
    log = write("mine.jsonl", {"step": 1, "loss": 1})
    frame = ingest_runs(log, filters=[lambda _: None])

    assert len(frame) == 0
    assert caplog.messages == [f"{log}: no events in 1 lines"]


def test_abort_raises_at_the_first_line_that_cannot_be_read(write: WriteLog) -> None:
    """With file, line, byte and reason; the cause is the error of that line, and the report is what was read."""
    log = write("mine.jsonl", *steps(1), b"oops\n", b"[]\n")
    report = IngestReport()

    with pytest.raises(IngestError) as caught:
        ingest_runs(log, report=report)

    cause = caught.value.__cause__
    assert isinstance(cause, InvalidLineError)
    assert str(caught.value) == str(cause) == f"{log}:2:25: expected a value, found oops [bad_json]"
    assert caught.value.report is report
    assert (report.runs[0].bad, report.runs[0].parsed) == (1, 1)


def test_collect_reads_all_and_then_raises_with_all(write: WriteLog) -> None:
    """Over all runs; the first problem is the cause."""
    logs = [write("a.jsonl", *steps(1), b"oops\n"), write("b.jsonl", *steps(2), b"[]\n", b'{"step": 3')]

    with pytest.raises(IngestError) as caught:
        ingest_runs(logs, on_error="collect")

    error = caught.value
    assert str(error).splitlines() == [
        "3 lines cannot be read:",
        f"  {logs[0]}:2:25: expected a value, found oops [bad_json]",
        f"  {logs[1]}:3:50: expected an object, found a list [not_an_object]",
        (
            f"  {logs[1]}:4:53: expected a newline at the end of the last line, found 10 bytes without one: "
            "the file was cut short, or is still being written [torn_tail]"
        ),
    ]
    assert str(error.__cause__) == error.problems[0]
    assert [run.parsed for run in error.report.runs] == [1, 2]  # type: ignore[attr-defined]
    assert len(ingest_runs(logs, on_error="salvage")) == 3


def test_collect_counts_what_it_does_not_list(write: WriteLog) -> None:
    """A thousand problems of a run are kept word for word."""
    log = write("a.jsonl", *steps(1), *[b"oops\n"] * 1500)

    with pytest.raises(IngestError) as caught:
        list(ingest_events(log, on_error="collect"))

    assert (len(caught.value.problems), caught.value.more) == (1000, 500)
    assert str(caught.value).splitlines()[0] == "1,500 lines cannot be read:"
    assert str(caught.value).splitlines()[-1] == "  and 1,480 more"


def test_an_error_of_detection_names_the_file(write: WriteLog) -> None:
    """And an unknown adapter shows those there are."""
    log = write("notes.txt", b"hello\n")

    with pytest.raises(UnknownFormatError, match=f"^{log}: expected a log of training metrics"):
        ingest_runs(log)
    with pytest.raises(ValueError, match=r"^adapter: expected one of rldk_events, custom_jsonl, found 'nope'$"):
        ingest_runs(log, "nope")


def test_an_adapter_of_another_package_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked, it reads, and its events are counted."""
    install(tmp_path, monkeypatch, tabs="foreign_format:Adapter")
    (tmp_path / "run.tabs").write_text("\t0.5\n\t0.25\n")
    report = IngestReport()
    frame = ingest_runs(tmp_path / "run.tabs", report=report)

    assert frame["loss"].tolist() == [0.5, 0.25]
    assert (report.runs[0].adapter, report.runs[0].lines, report.runs[0].parsed) == ("tabs", 2, 2)


@pytest.mark.parametrize("module", ["pandas", "pyarrow", "numpy"])
def test_without_pandas_the_extra_is_named(write: WriteLog, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Tables need it, events do not."""
    log = write("mine.jsonl", *steps(1))
    monkeypatch.delitem(sys.modules, "rldk.ingest.table", raising=False)
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(MissingExtraError) as caught:
        ingest_runs(log)

    assert str(caught.value) == "pandas with pyarrow is not installed; install it with: pip install 'rldk[table]'"
    assert len(list(ingest_events(log))) == 1


def test_the_other_forms_take_the_same_arguments(write: WriteLog, tmp_path: Path) -> None:
    """And refuse the same."""
    log = write("mine.jsonl", *steps(2), b"oops\n")
    to_parquet(log, tmp_path / "x.parquet", on_error="salvage")

    assert to_arrow(log, on_error="salvage", history="all").num_rows == 2
    assert ingest_runs(log, on_error="salvage", history="all").shape == (2, 11)
    with pytest.raises(IngestError):
        to_parquet(log, tmp_path / "y.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.jsonl", "x.parquet"]


def test_memory_does_not_grow_with_the_log(write: WriteLog) -> None:
    """Of 11,000 lines, of two attempts, no more is kept than of 1,000."""
    peaks = []
    for count in (1_000, 11_000):
        records = [{"step": step % (count // 2), "loss": step / 3, "note": "x" * 50} for step in range(count)]
        log = write(f"{count}.jsonl", *records)
        del records
        list(ingest_events(write("warm.jsonl", *steps(10))))
        tracemalloc.start()
        for _ in ingest_events(log):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < peaks[0] + 200_000
    assert peaks[1] < 2_000_000


def test_it_works_at_the_top_of_a_script(tmp_path: Path) -> None:
    """Without a guard: no process of its own runs the script again."""
    log = write_log(tmp_path / "r1_events.jsonl", [an_event(step) for step in range(200)])
    script = tmp_path / "script.py"
    script.write_text(
        "from rldk import ingest_events, ingest_runs\n"
        f"print(len(ingest_runs({str(log)!r}, 'rldk_events')), len(list(ingest_events({str(log)!r}, 'rldk_events'))))\n"
    )
    done = run_python(script)

    assert (done.stdout, done.stderr) == ("200 200\n", "")
