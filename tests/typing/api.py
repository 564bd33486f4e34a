"""The calls users write: `make lint` has mypy accept each of them, and refuse each that is marked as wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import assert_type

import rldk
from rldk import (
    Event,
    IngestError,
    IngestReport,
    InvalidEventError,
    InvalidLineError,
    MissingExtraError,
    Report,
    RLDKError,
    RunIdError,
    RunLockedError,
    RunNotFoundError,
    UnknownFormatError,
    WriteFailedError,
    Writer,
    follow,
    ingest_events,
    ingest_runs,
    open_writer,
    read_events,
    validate_jsonl_file,
)
from rldk.ingest import RunReport, convert
from rldk.integrations.trl import RLDKCallback
from rldk.io.event_schema import Number, Primitive
from rldk.io.filters import drop
from rldk.io.problems import Kind, Problem
from rldk.io.writer import Counters, RunWriter, check_options


def an_event() -> Event:
    """Make an event: what JSON can hold in the sections, numbers and None in the metrics."""
    Event(step=0, wall_time=0.0, metrics={}, rng={}, data_slice={}, model_info={"run_id": "r1"})  # type: ignore[call-arg]
    Event(step=0, wall_time=0.0, metrics={}, rng={}, data_slice={}, model_info={"run_id": "r1"}, notes=[], gpu=1)  # type: ignore[call-arg]
    return Event(
        step=3,
        wall_time=None,
        timestamp="2026-01-31T23:59:59.000000Z",
        seq=None,
        metrics={"loss": 0.5, "num_tokens": 7, "kl_mean": None, "grad_norm": float("nan")},
        rng={"seed": 42, "torch_seed": None},
        data_slice={"batch_size": 32, "eval_set": "hard", "packed": True},
        model_info={"run_id": "r1", "phase": "eval"},
        notes=["loss_filtered: 1 step"],
    )


def write(folder: str | Path) -> None:
    """Write events to a log."""
    with closing(open_writer(folder, run_id="r1")) as writer:
        assert_type(writer, RunWriter)
        assert_type(writer.write(an_event()), bool)
        assert_type(writer.path, Path)
        assert_type(writer.counters, Counters)
        assert_type(writer.counters.written, int)
        assert_type(writer.past, Event | None)
        assert_type((writer.run_id, writer.attempt), tuple[str, int])
        writer.write({"step": 1})  # type: ignore[arg-type]
    anyones: Writer = open_writer(folder, rank=1, world_size=2, resumed_from=40, on_error="raise")
    anyones.flush()
    anyones.close()
    open_writer(folder, "r1")  # type: ignore[call-arg]
    open_writer(folder, on_error="ignore")  # type: ignore[arg-type]
    open_writer(folder, rotation="1 h", compression="zst", keep="2 GB", sync="every", if_locked="new_run")
    open_writer(folder, buffer="100 events", filters=[drop("completions/*"), nothing], on_error=panicked)
    open_writer(folder, rotation=64_000_000)  # type: ignore[arg-type]
    open_writer(folder, compression="bz2")  # type: ignore[arg-type]
    open_writer(folder, if_locked="wait")  # type: ignore[arg-type]
    open_writer(folder, filters=["loss"])  # type: ignore[list-item]
    open_writer(folder, on_error=nothing)  # type: ignore[arg-type]
    check_options(rotation=None, compression="gz")
    check_options(rotate="1 h")  # type: ignore[call-arg]


def nothing(event: Event) -> Event | None:
    """Leave out an event that has no metrics."""
    return event if event.metrics else None


def panicked(error: RLDKError) -> None:
    """Stop at the first event that cannot be written."""
    raise error


class Counted:
    """A writer around a writer: the protocol is all it has to have."""

    def __init__(self, to: Writer) -> None:
        self._to = to
        self.count = 0

    def write(self, event: Event) -> bool:
        """Hand an event on."""
        self.count += 1
        return self._to.write(event)

    def flush(self) -> None:
        """Hand on whatever is held back."""
        self._to.flush()

    def close(self) -> None:
        """Close the writer within."""
        self._to.close()


def wrapped(folder: Path) -> Writer:
    """Put a writer around the one of the log."""
    return Counted(to=open_writer(folder))


def read(path: Path) -> None:
    """Read events, and what is in them."""
    assert_type(read_events("rldk_logs"), Iterator[Event])
    assert_type([line.cursor for line in follow("rldk_logs", "0", until=lambda: True)], list[str])
    for event in read_events(path, mode="salvage", history="all", on_problem=told):
        assert_type(event.step, int)
        assert_type(event.wall_time, float | None)
        assert_type(event.metrics.get("loss"), Number)
        assert_type(event.data_slice["batch_size"], Primitive)
        assert_type((event.run_id, event.phase, event.eval_set), tuple[str, str, str | None])
        assert_type((event.attempt, event.rank, event.resumed_from), tuple[int, int, int | None])
        event.step = 7  # type: ignore[misc]
    read_events(path, mode="lenient")  # type: ignore[arg-type]
    read_events(path, "salvage")  # type: ignore[call-arg]


def told(path: Path, problem: Problem) -> None:
    """Take what a reader says of a line that it leaves out."""
    assert_type(path, Path)
    assert_type((problem.kind, problem.field, problem.line, problem.byte), tuple[Kind, str, int, int])
    assert_type(problem.error(path), InvalidLineError)


def validate() -> bool:
    """Check a log, as in the specification and with every option."""
    is_valid = validate_jsonl_file("x.jsonl")
    assert_type(is_valid, Report)
    report = validate_jsonl_file(
        Path("x.jsonl"),
        strict=True,
        check_consistency=True,
        require=["metrics.loss"],
        max_errors=10,
        progress=lambda size: print(size // 1000),  # noqa: T201 - an example
    )
    assert_type(report.problems, list[Problem])
    assert_type(report.counts, dict[Kind, int])
    return bool(is_valid) and report.valid


def ingest(folder: Path) -> IngestReport:
    """Read the logs of any framework, as events and as a table."""
    report = IngestReport()
    for event in ingest_events(
        folder, "verl", {"step": "i"}, "salvage", "all", filters=[drop("time/*")], report=report
    ):
        assert_type(event, Event)
    events = ingest_events([folder, "s3://bucket/run"], progress=lambda lines: print(lines // 2))  # noqa: T201 - as below
    assert_type(events, Iterator[Event])
    ingest_runs(folder / "*.jsonl", on_error="collect", history="effective", report=report)
    ingest_runs((path for path in folder.iterdir()), adapter_hint=None, field_map=None)
    ingest_runs(folder, on_error="ignore")  # type: ignore[arg-type]
    ingest_events(folder, history="some")  # type: ignore[arg-type]
    ingest_runs(3)  # type: ignore[arg-type]
    for run in report.runs:
        assert_type(run, RunReport)
        assert_type((run.run_id, run.lines, run.nonfinite), tuple[str, int, dict[str, int]])
    assert_type(convert(folder, "out", adapter_hint="trl"), list[Path])
    return report


def record() -> RLDKCallback:
    """Record a training."""
    callback = RLDKCallback("./rldk_logs", run_id="r1")
    assert_type(callback, RLDKCallback)
    RLDKCallback(output_dir=Path("logs"), enable_jsonl_logging=False)
    RLDKCallback(on_error="panic")  # type: ignore[arg-type]
    return callback


def catch() -> None:
    """Catch an error by its kind, and read the facts it carries."""
    try:
        write("logs")
    except InvalidEventError as error:
        assert_type((error.field, error.expected, error.found), tuple[str, str, str])
    except InvalidLineError as error:
        assert_type((error.path, error.line, error.byte), tuple[Path | None, int, int])
    except RunIdError as error:
        assert_type(error.run_id, str)
    except RunLockedError as error:
        assert_type((error.path, error.holder), tuple[Path, str])
    except RunNotFoundError as error:
        assert_type(error.found, list[str])
    except WriteFailedError as error:
        assert_type(error.reason, str)
    except MissingExtraError as error:
        assert_type(error.extra, str)
    except RLDKError:
        assert_type(rldk.__version__, str)


def catch_ingest() -> None:
    """Catch what keeps a log from being ingested."""
    try:
        ingest(Path("logs"))
    except UnknownFormatError as error:
        assert_type((error.path, error.reason, error.considered), tuple[Path, str, list[tuple[str, str]]])
    except IngestError as error:
        assert_type((error.problems, error.more), tuple[list[str], int])
