"""Whatever the format, ingesting behaves alike: the same account, the same errors, the same table."""

from __future__ import annotations

import gzip
import logging
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

import msgspec
import pytest

from rldk import open_writer
from rldk.adapters.registry import NAMES, load
from rldk.errors import IngestError, InvalidLineError, UnknownFormatError
from rldk.ingest import IngestReport, ingest_events, ingest_runs
from rldk.io.event_schema import TIMESTAMP
from tests.formats import FORMATS, STEPS, VALUES, Format

if TYPE_CHECKING:
    from pathlib import Path

each_format: Final = pytest.mark.parametrize("log", FORMATS, ids=lambda log: log.adapter)
LINED: Final = [log for log in FORMATS if log.lined]


def account(report: IngestReport) -> dict[str, int]:
    """The counts of the only run that are not 0."""
    (run,) = report.runs
    counts = ("parsed", "aside", "torn_tail", "bad", "duplicate", "rewound", "filtered")
    assert run.lines == sum(getattr(run, name) for name in counts)
    return {name: count for name in counts if (count := getattr(run, name))}


def test_there_is_a_log_of_every_adapter() -> None:
    """No adapter is left out of what follows."""
    assert [log.adapter for log in FORMATS] == list(NAMES)


@each_format
def test_a_whole_log_is_recognised_and_becomes_a_table(log: Format, tmp_path: Path) -> None:
    """The format is recognised by what is in it, and each step has its row and its value."""
    report = IngestReport()

    table = ingest_runs(log.write(tmp_path), report=report)

    assert [run.adapter for run in report.runs] == [log.adapter]
    assert account(report).keys() <= {"parsed", "aside"}
    assert list(table["step"]) == list(STEPS)
    assert list(table[log.metric]) == list(VALUES)
    assert list(table.columns[:9]) == [
        *("run_id", "phase", "eval_set", "step", "wall_time", "timestamp", "attempt", "rank", "seed")
    ]
    assert table.dtypes[["run_id", "phase", "eval_set", "timestamp"]].tolist() == ["string"] * 4
    assert table.dtypes[["step", "attempt", "rank", "seed"]].tolist() == ["Int64"] * 4
    assert set(map(str, table.dtypes[["wall_time", *table.columns[9:]]])) == {"float64"}


@each_format
def test_a_hint_reads_the_same(log: Format, tmp_path: Path) -> None:
    """Naming the adapter gives what recognising it gives."""
    path = log.write(tmp_path)

    assert list(ingest_events(path, log.adapter)) == list(ingest_events(path))
    assert list(load(log.adapter).events(path)) == list(ingest_events(path))


@each_format
def test_a_compressed_log_reads_the_same(log: Format, tmp_path: Path) -> None:
    """A log that was compressed with gzip has the same steps and values."""
    path = log.write(tmp_path / "plain")
    compressed = tmp_path / "gz" / f"{log.file}.gz"
    compressed.parent.mkdir(parents=True)
    compressed.write_bytes(gzip.compress(path.read_bytes()))

    events = [(event.step, event.metrics) for event in ingest_events(compressed, log.adapter)]

    assert events == [(event.step, event.metrics) for event in ingest_events(path)]


@each_format
def test_an_empty_file_is_refused(log: Format, tmp_path: Path) -> None:
    """A file of no bytes is no log, whatever it is called and whoever is to read it."""
    path = log.write(tmp_path, b"")
    expected = f"{path}: expected a log, found an empty file: nothing was written to it, or it was not copied whole"

    for hint in None, log.adapter:
        if hint == "rldk_events":
            continue
        with pytest.raises(UnknownFormatError, match=re.escape(expected)):
            ingest_runs(path, hint)


@each_format
def test_a_damaged_line_ends_it(log: Format, tmp_path: Path) -> None:
    """By default the first thing that cannot be read stops everything, and is named with file, line and byte."""
    path = log.write(tmp_path, log.head + log.parts[0] + log.broken + log.parts[2] + log.foot)

    with pytest.raises(IngestError) as caught:
        ingest_runs(path, log.adapter)

    cause = caught.value.__cause__
    assert isinstance(cause, InvalidLineError)
    assert str(caught.value) == str(cause)
    assert str(cause).startswith(f"{path}:{cause.line}:{cause.byte}: ")
    start = len(log.head + log.parts[0])
    assert start <= cause.byte <= start + len(log.broken)
    if log.lined:
        assert log.head.count(b"\n") + log.parts[0].count(b"\n") < cause.line


@pytest.mark.parametrize("log", LINED, ids=lambda log: log.adapter)
def test_all_that_is_wrong_can_be_collected(log: Format, tmp_path: Path) -> None:
    """`collect` reads to the end before it stops, and names both damaged lines."""
    path = log.write(tmp_path, log.head + log.parts[0] + log.broken + log.parts[1] + log.broken + log.parts[2])

    with pytest.raises(IngestError) as caught:
        ingest_runs(path, log.adapter, on_error="collect")

    assert caught.value.report.runs[0].bad >= 2
    assert len({problem.partition(": ")[0] for problem in caught.value.problems}) == len(caught.value.problems) >= 2


@pytest.mark.parametrize("log", LINED, ids=lambda log: log.adapter)
def test_what_is_readable_can_be_salvaged(log: Format, tmp_path: Path) -> None:
    """`salvage` keeps the lines around a damaged one, and counts it."""
    path = log.write(tmp_path, log.head + log.parts[0] + log.broken + log.parts[2] + log.foot)
    report = IngestReport()

    table = ingest_runs(path, log.adapter, on_error="salvage", report=report)

    assert list(table["step"]) == [1, 3]
    assert account(report)["bad"] >= 1


@each_format
def test_a_partly_written_log_is_refused_and_can_be_tolerated(log: Format, tmp_path: Path) -> None:
    """A log whose last bytes are missing is refused; tolerated, it gives what stands before."""
    cut = 60 if log.adapter == "areal" else 4
    path = log.write(tmp_path, (log.head + b"".join(log.parts))[:-cut])

    with pytest.raises(IngestError, match=r"\[(torn_tail|bad_json)\]"):
        ingest_runs(path, log.adapter)
    if log.lined or log.adapter == "tensorboard":
        table = ingest_runs(path, log.adapter, on_error="tolerate_torn_tail")
        assert list(table["step"]) == [1, 2]


@pytest.mark.parametrize("log", LINED, ids=lambda log: log.adapter)
def test_a_log_that_is_being_written_gives_whole_steps(log: Format, tmp_path: Path) -> None:
    """While another process appends to a log in small pieces, each reading gives steps as they were written."""
    path = log.write(tmp_path, log.head + log.parts[0])
    rest = b"".join(log.parts[1:])
    code = (
        "import sys, time\n"
        "data = bytes.fromhex(sys.argv[2])\n"
        "for byte in data:\n"
        "    with open(sys.argv[1], 'ab', buffering=0) as file:\n"
        "        file.write(bytes([byte]))\n"
        "    time.sleep(0.3 / len(data))\n"
    )
    seen: set[tuple[float, ...]] = set()

    with subprocess.Popen([sys.executable, "-c", code, path, rest.hex()]) as writer:
        while writer.poll() is None:
            table = ingest_runs(path, log.adapter, on_error="tolerate_torn_tail")
            seen.add(tuple(table[log.metric]))
            time.sleep(0.01)

    assert writer.returncode == 0
    assert seen <= {VALUES[:1], VALUES[:2], VALUES}
    assert tuple(ingest_runs(path, log.adapter)[log.metric]) == VALUES


@each_format
def test_the_number_of_events_is_logged(log: Format, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """How many events each run has, and all together, is told at level INFO."""
    path = log.write(tmp_path)

    with caplog.at_level(logging.INFO, "rldk.ingest"):
        table = ingest_runs(path)

    run_id = table["run_id"][0]
    assert caplog.messages == [
        f"{path}: 3 events of run {run_id}, read as {log.adapter}",
        "3 events in total, of 1 runs",
    ]


@each_format
def test_times_are_utc(log: Format, tmp_path: Path) -> None:
    """A format that says when a step was gives UTC timestamps and seconds that begin with the run; others say none."""
    table = ingest_runs(log.write(tmp_path))

    if log.timed:
        assert all(TIMESTAMP.fullmatch(text) for text in table["timestamp"])
        assert table["wall_time"].is_monotonic_increasing
    else:
        assert table["timestamp"].isna().all()


@each_format
def test_a_rewound_log_has_each_step_once(log: Format, tmp_path: Path) -> None:
    """Steps that were trained again count once, as the later attempt has them; all are there when asked for."""
    if not log.lined or log.adapter == "rldk_events":
        pytest.skip("its attempts are told apart by more than its lines")
    path = log.write(tmp_path, log.head + b"".join(log.parts) + b"".join(log.parts[1:]))
    report = IngestReport()

    table = ingest_runs(path, log.adapter, report=report)

    assert list(table["step"]) == [1, 2, 3]
    assert list(table["attempt"]) == [1, 2, 2]
    assert account(report)["rewound"] >= 2
    every = ingest_runs(path, log.adapter, history="all")
    assert list(every["step"]) == [1, 2, 3, 2, 3]
    assert list(every["rewound"]) == [False, True, True, False, False]


def test_where_the_environment_puts_a_log_it_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RLDK_OUTPUT_DIR and RLDK_RUN_ID win over a writer's arguments, and what it wrote is ingested by them."""
    monkeypatch.setenv("RLDK_OUTPUT_DIR", str(tmp_path / "logs"))
    monkeypatch.setenv("RLDK_RUN_ID", "from-env")
    with_run = msgspec.structs.replace(
        next(ingest_events(FORMATS[0].write(tmp_path / "given"))), model_info={"run_id": "from-env", "phase": "train"}
    )

    writer = open_writer(tmp_path / "elsewhere", run_id="other")
    writer.write(with_run)
    writer.close()

    assert list(ingest_runs(tmp_path / "logs")["run_id"]) == ["from-env"]
    assert not (tmp_path / "elsewhere").exists()
