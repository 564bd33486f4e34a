"""The files that a table can be written to: the same rows and values in each."""

from __future__ import annotations

import csv
import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from rldk.errors import IngestError
from rldk.ingest import IngestReport, ingest_runs, to_parquet
from rldk.ingest.output import check_output, write_output
from rldk.ingest.rows import LEADING
from rldk.io.segments import run_log, sealed_path
from tests.samples import an_event, write_log

pq = pytest.importorskip("pyarrow.parquet")

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ingest.conftest import WriteLog

RECORDS: list[dict[str, Any]] = [
    {"step": 1, "loss": 0.1, "n": 2**62, "timestamp": 1769903999},
    {"step": 2, "loss": math.nan, "acc": None},
    {"step": 2, "acc": -math.inf, "phase": "eval", "eval_set": 'a,"b'},
    {"step": 1, "loss": math.inf, "rank": 0.5, "nonfinite": 1},
]


@pytest.fixture
def log(write: WriteLog) -> Path:
    """A log with all that is difficult: a step that goes back, NaN, null, and names that are taken."""
    return write("mine.jsonl", *RECORDS)


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.jsonl", "deep.er/x.csv"])
def test_a_name_says_the_form(tmp_path: Path, name: str) -> None:
    """By its ending."""
    (tmp_path / "deep.er").mkdir()

    check_output(tmp_path / name)


@pytest.mark.parametrize(("name", "found"), [("x.txt", "'.txt'"), ("x", "'none'"), ("x.CSV", "'.CSV'")])
def test_another_ending_is_refused(tmp_path: Path, name: str, found: str) -> None:
    """Before anything is read."""
    with pytest.raises(ValueError, match="expected") as caught:
        check_output(tmp_path / name)

    assert str(caught.value) == (
        f"{tmp_path / name}: expected a name that ends in .parquet, .csv, .jsonl, found {found}"
    )


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    """By its own name."""
    with pytest.raises(FileNotFoundError) as caught:
        check_output(tmp_path / "nope" / "x.csv")

    assert str(caught.value) == f"[Errno 2] No such folder: '{tmp_path / 'nope'}'"


def test_json_lines_have_what_is_there(log: Path, tmp_path: Path) -> None:
    """What is absent is left out; a null that is none of the source is explained; metrics give way to first columns."""
    write_output(tmp_path / "x.jsonl", log, IngestReport(), history="all")
    rows = [json.loads(line) for line in (tmp_path / "x.jsonl").read_bytes().splitlines()]
    place = {"run_id": "mine", "phase": "train", "attempt": 1, "rank": 0, "rewound": True}

    assert rows == [
        {**place, "step": 1, "timestamp": "2026-01-31T23:59:59.000000Z", "loss": 0.1, "n": 2**62},
        {**place, "step": 2, "loss": None, "acc": None, "nonfinite": {"loss": "NaN"}},
        {**place, "step": 2, "phase": "eval", "eval_set": 'a,"b', "acc": None, "nonfinite": {"acc": "-Infinity"}},
        {**place, "attempt": 2, "step": 1, "rewound": False, "loss": None}
        | {"metrics.rank": 0.5, "metrics.nonfinite": 1, "nonfinite": {"loss": "Infinity"}},
    ]
    assert list(rows[0])[:4] == ["run_id", "phase", "step", "timestamp"]


def test_csv_spells_what_is_not_finite(log: Path, tmp_path: Path) -> None:
    """What is absent or null is empty, and every number comes back exactly."""
    write_output(tmp_path / "x.csv", log, IngestReport(), history="all")
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)

    assert head == [*LEADING, "rewound", "loss", "n", "acc", "metrics.rank", "metrics.nonfinite"]
    assert rows == [
        [
            "mine",
            "train",
            "",
            "1",
            "",
            "2026-01-31T23:59:59.000000Z",
            "1",
            "0",
            "",
            "True",
            "0.1",
            f"{2**62}",
            *[""] * 3,
        ],
        ["mine", "train", "", "2", "", "", "1", "0", "", "True", "NaN", *[""] * 4],
        ["mine", "eval", 'a,"b', "2", "", "", "1", "0", "", "True", "", "", "-Infinity", "", ""],
        ["mine", "train", "", "1", "", "", "2", "0", "", "False", "Infinity", "", "", "0.5", "1.0"],
    ]


def test_parquet_is_the_table_of_arrow(log: Path, tmp_path: Path) -> None:
    """With the account of the lines in its metadata, and in the report that was given."""
    report = IngestReport()
    write_output(tmp_path / "x.parquet", log, report)

    table = pq.read_table(tmp_path / "x.parquet")
    assert table.column_names == list(ingest_runs(log).columns)
    assert json.loads(table.schema.metadata[b"rldk"])["report"]["runs"][0]["rewound"] == 3
    assert (report.runs[0].rewound, report.runs[0].parsed) == (3, 1)


def test_without_a_file_everything_is_read_and_counted(log: Path, tmp_path: Path) -> None:
    """Nothing is written."""
    report = IngestReport()
    write_output(None, log, report)

    assert report.events == 1
    assert list(tmp_path.iterdir()) == [log]


@pytest.mark.parametrize("on_error", ["abort", "collect"])
@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.jsonl"])
def test_when_something_cannot_be_read_nothing_is_written(
    write: WriteLog, tmp_path: Path, name: str, on_error: str
) -> None:
    """What was there before stays, and no part of a file is left."""
    log = write("in/mine.jsonl", *RECORDS, b"oops\n")
    (tmp_path / name).write_bytes(b"old")

    with pytest.raises(IngestError):
        write_output(tmp_path / name, log, IngestReport(), on_error=on_error)

    assert (tmp_path / name).read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", name]


@pytest.mark.parametrize("source", ["mine.jsonl", "", "*.jsonl"])
def test_what_is_read_is_not_written_over(tmp_path: Path, log: Path, source: str) -> None:
    """Whether the source names the file, its folder or a pattern, and however the output is spelled."""
    before = log.read_bytes()
    (tmp_path / "inner").mkdir()
    again = tmp_path / "inner" / ".." / log.name

    with pytest.raises(FileExistsError, match="it is among what is read, and is not written over") as caught:
        write_output(again, str(tmp_path / source), IngestReport())

    assert (caught.value.filename, log.read_bytes()) == (str(again), before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inner", log.name]


def test_no_segment_of_a_log_is_written_over(tmp_path: Path) -> None:
    """Though only its live file is named."""
    live = run_log(write_log(tmp_path / "r1_events.jsonl", [an_event(2)]))
    sealed = write_log(sealed_path(live, 1), [an_event(1)])
    before = sealed.read_bytes()

    with pytest.raises(FileExistsError, match="it is among what is read"):
        to_parquet(live.path, sealed)

    assert sealed.read_bytes() == before


def test_a_table_beside_the_logs_is_replaced(tmp_path: Path, log: Path) -> None:
    """When it is of a form that is never read."""
    for _ in range(2):
        to_parquet(tmp_path, tmp_path / "x.parquet", history="all")

    assert pq.read_table(tmp_path / "x.parquet").num_rows == len(RECORDS)
    assert sorted(path.name for path in tmp_path.iterdir()) == [log.name, "x.parquet"]
