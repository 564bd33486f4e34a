"""The report of a log of several files, some of them compressed, also while its writer is at work."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec
import pytest

from rldk.io.codec import encode
from rldk.io.compression import compress
from rldk.io.manifest import read_manifest
from rldk.io.sealing import Policy, describe, tend
from rldk.io.segments import derived_path, run_log, sealed_path
from rldk.report.files import write_files
from rldk.report.final import LogProblem, build_report
from tests.runs import files
from tests.samples import an_event, write_log

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.io.event_schema import Event
    from rldk.io.segments import Log

EVENTS: Final = [an_event(step) for step in range(10)]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """A log of a compressed segment, a plain one and the live file."""
    log = run_log(write_log(tmp_path / "r1_events.jsonl", EVENTS[8:]))
    compress(write_log(sealed_path(log, 1), EVENTS[:4]), "gz")
    write_log(sealed_path(log, 2), EVENTS[4:8])
    return log


def _add(path: Path, *events: Event) -> None:
    with path.open("ab") as file:
        file.write(b"".join(map(encode, events)))


def test_the_derived_files_are_those_of_one_long_file(log: Log, tmp_path: Path) -> None:
    """Over segments the same comes out as when nothing was rotated."""
    (tmp_path / "one").mkdir()
    other = run_log(write_log(tmp_path / "one" / "r1_events.jsonl", EVENTS))
    write_files(log)
    write_files(other)

    for name in ("metrics.csv", "metrics.json", "alerts.json"):
        assert derived_path(log, name).read_bytes() == derived_path(other, name).read_bytes()


def test_any_file_of_a_log_stands_for_all_of_it(log: Log, tmp_path: Path) -> None:
    """A segment has no report of its own, and leaves no derived files under another name."""
    reports = [build_report(run_log(path)).final for path in (log.path, sealed_path(log, 2), sealed_path(log, 1, "gz"))]
    write_files(run_log(sealed_path(log, 2)))

    assert {report.steps for report in reports} == {(0, 9)}
    assert sorted(files(tmp_path)) == sorted(
        [
            *(path.name for path in (sealed_path(log, 1, "gz"), sealed_path(log, 2), log.path)),
            *(f"r1_{name}" for name in ("alerts.json", "final_report.json", "manifest.json")),
            *(f"r1_{name}" for name in ("metrics.csv", "metrics.json")),
        ]
    )


def test_a_problem_names_the_file_that_has_it(log: Log) -> None:
    """Line and byte are those of the file."""
    with sealed_path(log, 2).open("ab") as file:
        file.write(b"[]\n")
    size = sum(len(encode(event)) for event in EVENTS[4:8])
    problem = LogProblem("not_an_object", "an object", "a list", "$", size, 5, file="r1_events.000002.jsonl")

    assert build_report(log).final.data_quality.problems == [problem]
    assert msgspec.to_builtins(problem) == {
        "kind": "not_an_object",
        "expected": "an object",
        "found": "a list",
        "field": "$",
        "byte": size,
        "line": 5,
        "file": "r1_events.000002.jsonl",
    }


def test_a_pass_sees_what_the_first_saw_though_the_log_was_rotated(log: Log) -> None:
    """What was the live file counts as far as it was read, whatever was added, and whatever came after it."""
    report = build_report(log)
    _add(log.path, an_event(10))
    log.path.rename(sealed_path(log, 3))
    compress(sealed_path(log, 2), "zst")
    rotated = list(report.effective())
    _add(log.path, an_event(11))

    assert rotated == list(report.effective()) == EVENTS


def test_a_log_that_was_empty_stays_empty_for_its_report(tmp_path: Path) -> None:
    """Events that came after the first pass are in none."""
    report = build_report(run_log(write_log(tmp_path / "r1_events.jsonl", [])))
    _add(tmp_path / "r1_events.jsonl", *EVENTS)

    assert list(report.effective()) == []


def test_a_deadline_that_has_passed_is_kept(log: Log) -> None:
    """Over all files together."""
    with pytest.raises(TimeoutError) as caught:
        build_report(log, deadline=time.monotonic() - 1)

    assert str(caught.value) == f"{log.path}: building the derived files took too long"


def test_the_manifest_has_the_live_file_as_it_is(log: Log) -> None:
    """Its entry is made anew each time; a segment that nobody has entered yet is left to those who seal."""
    first = write_files(log).manifest.segments
    _add(log.path, an_event(10))
    second = write_files(log).manifest.segments

    assert [(each.file, each.sealed, each.events) for each in first] == [("r1_events.jsonl", False, 2)]
    assert second == [describe(log.path, sealed=False)] == read_manifest(log).segments
    assert second[0].events == 3


def test_what_the_manifest_knows_of_a_sealed_segment_stays(log: Log) -> None:
    """Changed, compressed or missing: a report does not make it look as if it had always been so."""
    assert tend(log, Policy()) == []
    before = write_files(log).manifest.segments
    sealed_path(log, 1, "gz").unlink()
    sealed_path(log, 2).write_bytes(encode(an_event(4)))
    compress(sealed_path(log, 2), "gz")

    assert [each.file for each in before] == ["r1_events.000001.jsonl.gz", "r1_events.000002.jsonl", "r1_events.jsonl"]
    assert write_files(log).manifest.segments == before


def test_a_segment_that_cannot_be_decompressed_is_told_of(log: Log) -> None:
    """The derived files are made of what can be read."""
    path = sealed_path(log, 1, "gz")
    path.write_bytes(path.read_bytes()[:-1])
    report = write_files(log)

    assert [each.kind for each in report.final.data_quality.problems] == ["bad_compression"]
    assert report.final.health == "attention"
    assert report.final.steps == (0, 9)


def test_a_log_that_is_sealed_whole_has_no_live_entry(log: Log) -> None:
    """There is nothing that could still grow."""
    write_files(log)
    log.path.unlink()

    assert write_files(log).manifest.segments == []
