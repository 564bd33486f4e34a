"""A run whose process was killed is finished: nothing in it is lost, and everything is said of it that is known."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from rldk.errors import RunLockedError, RunNotFoundError
from rldk.io.manifest import Attempt, Manifest, read_manifest
from rldk.io.reader import read_events
from rldk.io.sealing import Policy
from rldk.io.segments import log_path, run_log
from rldk.io.verify import verify
from rldk.io.writer import open_writer
from rldk.report.seal import SealedLog, SealedRun, seal_run
from tests.runs import files, make_event, write_attempt, write_manifest

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = Policy()
DERIVED = {"r_alerts.json", "r_final_report.json", "r_manifest.json", "r_metrics.csv", "r_metrics.json"}


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The folder of a run whose process died in the middle of its fourth line."""
    path = write_attempt(tmp_path, [make_event(step) for step in range(3)])
    with path.open("ab") as file:
        file.write(b'{"step":3,')
    write_manifest(run_log(path), Manifest(run_id="r", attempts=[Attempt(1, "2026-01-31T23:59:59.000000Z")]))
    return tmp_path


def test_the_live_file_becomes_the_last_segment(killed: Path) -> None:
    """Its whole lines byte for byte; the unfinished one is kept beside it; the derived files are there."""
    lines = log_path(killed, "r").read_bytes()[:-10]
    sealed = seal_run(killed, PLAIN)
    there = files(killed)

    assert sealed == SealedRun(
        "r",
        outcome="crashed",
        outcome_detail="its process ended without a word",
        logs=[SealedLog(0, "r_events.000001.jsonl", moved_bytes=10, segments=1, problems=[])],
    )
    assert sealed
    assert set(there) == DERIVED | {"r_events.000001.jsonl", "r_events.jsonl.2.torn"}
    assert there["r_events.000001.jsonl"] == lines
    assert there["r_events.jsonl.2.torn"] == b'{"step":3,'
    assert verify(killed)


def test_the_manifest_says_what_was_sealed_and_how_the_attempt_ended(killed: Path) -> None:
    """Count and hash of the segment; the attempt crashed, and nobody knows when."""
    seal_run(killed, PLAIN)
    manifest = read_manifest(run_log(killed))
    (segment,), (attempt,) = manifest.segments, manifest.attempts
    content = (killed / "r_events.000001.jsonl").read_bytes()

    assert (segment.sealed, segment.events, segment.bytes) == (True, 3, len(content))
    assert segment.sha256 == hashlib.sha256(content).hexdigest()
    assert (attempt.outcome, attempt.ended) == ("crashed", None)


def test_an_outcome_that_is_known_stays(killed: Path) -> None:
    """Sealing a run that was completed does not make it a crash."""
    attempts = [Attempt(1, "2026-01-31T23:59:59.000000Z", outcome="completed")]
    write_manifest(run_log(killed), Manifest(run_id="r", attempts=attempts))

    assert seal_run(killed, PLAIN).outcome == "completed"


def test_sealing_again_changes_no_event(killed: Path) -> None:
    """There is nothing left to seal, and that is no error."""
    seal_run(killed, PLAIN)
    before = files(killed)
    sealed = seal_run(killed, PLAIN)
    after = files(killed)

    assert sealed.logs == [SealedLog(0, None, moved_bytes=0, segments=1, problems=[])]
    assert {name: after[name] for name in after if "events" in name} == {
        name: before[name] for name in before if "events" in name
    }


def test_a_sealed_run_can_be_resumed_and_sealed_again(killed: Path) -> None:
    """The attempts are counted on, and so are the segments."""
    seal_run(killed, Policy("gz"))
    write_attempt(killed, [make_event(step) for step in (2, 3)], resumed_from=1)
    sealed = seal_run(killed, Policy("gz"))
    events = [(event.attempt, event.step) for event in read_events(killed, history="all")]

    assert sealed.logs[0].segment == "r_events.000002.jsonl"
    assert events == [(1, 0), (1, 1), (1, 2), (2, 2), (2, 3)]
    assert [path.name for path in sorted(killed.glob("*.gz"))] == [
        "r_events.000001.jsonl.gz",
        "r_events.000002.jsonl.gz",
    ]
    assert verify(killed)


def test_every_rank_is_sealed(tmp_path: Path) -> None:
    """Whichever of them was named; the derived files are those of the lowest."""
    for rank in range(3):
        writer = open_writer(tmp_path, run_id="r", rank=rank, world_size=3)
        writer.write(make_event(rank))
        writer.close()
    sealed = seal_run(log_path(tmp_path, "r", 2), PLAIN)

    assert [(log.rank, log.segment) for log in sealed.logs] == [
        (0, "r_events.000001.jsonl"),
        (1, "r_events.rank1.000001.jsonl"),
        (2, "r_events.rank2.000001.jsonl"),
    ]
    assert (tmp_path / "r_metrics.csv").exists()
    assert not (tmp_path / "r_metrics.rank1.csv").exists()


def test_an_empty_live_file_is_no_segment(tmp_path: Path) -> None:
    """A process that died before its first event leaves none; what stands there goes."""
    write_attempt(tmp_path, [make_event(0)])
    seal_run(tmp_path, PLAIN)
    log_path(tmp_path, "r").touch()
    sealed = seal_run(tmp_path, PLAIN)

    assert sealed.logs == [SealedLog(0, None, moved_bytes=0, segments=1, problems=[])]
    assert not log_path(tmp_path, "r").exists()


def test_a_run_that_is_being_written_is_refused(tmp_path: Path) -> None:
    """Nothing is touched."""
    writer = open_writer(tmp_path, run_id="r")
    writer.write(make_event(0))
    before = files(tmp_path)
    with pytest.raises(RunLockedError):
        seal_run(tmp_path, PLAIN)
    after = files(tmp_path)
    writer.close()

    assert after == before


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    """There is nothing to finish."""
    with pytest.raises(RunNotFoundError):
        seal_run(tmp_path, PLAIN)


def test_what_could_not_be_done_is_told(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment that cannot be compressed stays plain, and the run is sealed all the same."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rldk.io.sealing.compress", fail)
    sealed = seal_run(killed, Policy("gz"))

    assert not sealed
    assert sealed.logs[0].problems == ["[Errno 28] No space left on device"]
    assert (killed / "r_events.000001.jsonl").exists()
