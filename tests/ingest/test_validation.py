"""Checking in several processes finds the same valid files as checking in one, and never another."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import json

from rldk.ingest import validation
from rldk.ingest.executors import WorkerError, stored
from rldk.ingest.validation import valid_files
from rldk.ingest.worker import results
from rldk.io.codec import encode
from rldk.io.compression import compress
from rldk.io.validator import Report, validate_jsonl_file
from tests.samples import an_event, write_log

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do here what processes would do, which is quicker with many of them."""
    monkeypatch.setattr(validation, "perform", lambda tasks, _: [list(results(task, lambda _: None)) for task in tasks])


def _found(path: Path, jobs: int = 3, **options: Any) -> Report | None:
    options = {"strict": True, "check_consistency": False, "require": ()} | options
    status = path.stat()
    return valid_files(stored([path]), jobs, **options).get((path, status.st_dev, status.st_ino))


@pytest.mark.parametrize("name", ["r1_events.jsonl", "r1_events.000007.jsonl"])
@pytest.mark.parametrize("options", [{}, {"strict": False}, {"strict": False, "check_consistency": True}])
def test_the_report_of_a_valid_file_is_the_one_of_a_serial_check(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    """Equal in every field, the path as it was named among them."""
    curves: list[dict[str, Any]] = [{}, {"info": {"phase": "eval"}}, {"metrics": {"loss": 0.5}}]
    events = [an_event(step, **curves[step % 3]) for step in range(5 if "7" in name else 0, 300)]
    resumed = {"attempt": 2, "resumed_from": 100}
    events += [an_event(step, seq=step - 101, info=resumed) for step in range(101, 300)]
    path = write_log(tmp_path / name, events)

    assert _found(path, **options) == validate_jsonl_file(path, **{"strict": True} | options)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("at", [0, 1, 30, 59, 60, 61, 98])
@pytest.mark.parametrize(
    "changes",
    [
        {"seq": 7},
        {"seq": 1000},
        {"seq": None},
        {"step": 5},
        {"step": 1000},
        {"wall_time": 0.25},
        {"wall_time": 1000.0},
        {"wall_time": None},
        {"info": {"run_id": "r2"}},
        {"info": {"attempt": 2}},
        {"info": {"attempt": 2}, "seq": 0},
        {"info": {"rank": 1}, "seq": 0},
        {"info": {"phase": "eval"}, "step": 7},
    ],
)
def test_what_a_serial_check_finds_is_never_taken_for_valid(tmp_path: Path, changes: dict[str, Any], at: int) -> None:
    """Wherever an event is out of order, also just where the file is cut."""
    events = [an_event(step) for step in range(100)]
    events[at] = an_event(at, **changes)
    path = write_log(tmp_path / "r1_events.jsonl", events)
    expected = validate_jsonl_file(path, strict=True)
    for jobs in (2, 3, 90):
        assert _found(path, jobs) in ([None, expected] if expected else [None])


@pytest.mark.usefixtures("in_this_process")
def test_a_file_that_is_cut_anywhere_is_valid_as_a_whole_only(tmp_path: Path) -> None:
    """The parts of a log in another order are each valid, and together they are not."""
    lines = [encode(an_event(step)) for step in range(90)]
    path = tmp_path / "r1_events.jsonl"
    for order in ([2, 0, 1], [0, 2, 1], [0, 1, 1], [0, 0, 2], [1, 2], [0, 2]):
        path.write_bytes(b"".join(line for part in order for line in lines[30 * part : 30 * part + 30]))

        assert not validate_jsonl_file(path, strict=True)
        assert _found(path) is None
    path.write_bytes(b"".join(lines))
    assert _found(path)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("mixed_runs", {step: {"model_info": {"attempt": 2}} for step in range(50, 100)}),
        ("seq_repeat", {99: {"seq": -1}}),
        ("attempt_back", {50: {"seq": 0, "model_info": {"run_id": "r1", "attempt": 1.0}}}),
    ],
)
def test_what_only_foreign_events_can_have_is_found_as_well(
    tmp_path: Path, kind: str, changes: dict[int, dict[str, Any]]
) -> None:
    """Events without a run among those of one, a number below zero, an attempt that is no integer."""
    line = {"wall_time": 1.0, "model_info": {"run_id": "r1", "attempt": 2}}
    lines = [{"step": step, "seq": step} | line | changes.get(step, {}) for step in range(100)]
    path = tmp_path / "r1_events.000002.jsonl"
    path.write_bytes(b"".join(json.encode(line) + b"\n" for line in lines))
    options = {"strict": False, "check_consistency": True}

    assert kind in validate_jsonl_file(path, **options).counts
    for jobs in (2, 3, 90):
        assert _found(path, jobs, **options) is None


def test_several_files_are_each_checked_by_itself(tmp_path: Path) -> None:
    """Of those that are not valid nothing is said; an empty one is left to the serial check."""
    paths = [write_log(tmp_path / f"r{n}_events.jsonl", [an_event(step) for step in range(40)]) for n in range(6)]
    paths[1].write_bytes(b"{}\n" * 40)
    paths[2].write_bytes(b"")
    compressed = compress(write_log(tmp_path / "r9_events.000001.jsonl", map(an_event, range(50))), "gz")
    assert compressed
    found = valid_files(stored([*paths, compressed]), 3, strict=True, check_consistency=False, require=())

    assert {path: report for (path, _, _), report in found.items()} == {
        path: validate_jsonl_file(path, strict=True) for path in (paths[0], *paths[3:], compressed)
    }


@pytest.mark.usefixtures("in_this_process")
def test_a_required_field_is_asked_of_every_line(tmp_path: Path) -> None:
    """In whichever piece it lacks."""
    events = [an_event(step) for step in range(90)]
    events[70] = an_event(70, metrics={"kl_mean": 0.5})
    path = write_log(tmp_path / "r1_events.jsonl", events)

    assert _found(path, require=["metrics.loss"]) is None
    assert _found(path, require=["metrics.kl_mean"])


def test_a_file_that_becomes_shorter_meanwhile_is_not_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole lines that are gone are missed."""
    path = write_log(tmp_path / "r1_events.jsonl", map(an_event, range(90)))
    perform = validation.perform

    def cut_and_perform(*arguments: Any) -> Any:
        text = path.read_bytes()
        path.write_bytes(text[: text.rindex(b"\n", 0, -1) + 1])
        return perform(*arguments)

    monkeypatch.setattr(validation, "perform", cut_and_perform)
    assert _found(path) is None


def test_when_a_process_dies_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said, and the serial check has to be asked."""

    def die(*_: Any) -> Any:
        raise WorkerError("expected a process, found none")

    monkeypatch.setattr(validation, "perform", die)
    with caplog.at_level(logging.WARNING):
        assert _found(write_log(tmp_path / "r1_events.jsonl", [an_event(0), an_event(1)])) is None
    assert caplog.messages == ["checking in one process: expected a process, found none"]
