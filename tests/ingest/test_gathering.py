"""The columns of a log are those of all its files, however many processes gather them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from rldk.ingest import gathering
from rldk.ingest.executors import WorkerError
from rldk.ingest.gathering import gather
from rldk.io.compression import compress
from rldk.io.segments import run_log
from tests.samples import an_event, write_log

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.ingest.columns import Columns


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log of 300 events in two sealed segments, one of them compressed, and a live file."""
    for number, name in enumerate(("r1_events.000001.jsonl", "r1_events.000002.jsonl", "r1_events.jsonl")):
        events = [an_event(step) for step in range(100 * number, 100 * number + 100)]
        write_log(tmp_path / name, events)
    compress(tmp_path / "r1_events.000001.jsonl", "zst")
    return tmp_path


def _steps(found: Columns | None) -> list[int]:
    assert found
    return [step for part in found.parts for step in part.step]


@pytest.mark.parametrize("jobs", [None, 1, 2, 5])
def test_all_segments_are_gathered_in_their_order(folder: Path, jobs: int | None) -> None:
    """The compressed ones too; a sealed segment that is named is that segment alone."""
    told: list[int] = []
    found = gather(run_log(folder), jobs, told.append)

    assert _steps(found) == list(range(300))
    assert sum(told) > 2 * (folder / "r1_events.jsonl").stat().st_size
    assert [_values(part) for part in found.parts] == [[1 / (step + 1) for step in part.step] for part in found.parts]  # type: ignore[union-attr]
    assert _steps(gather(run_log(folder / "r1_events.000002.jsonl"), jobs)) == list(range(100, 200))


def _values(part: Any) -> list[float]:
    """The losses of a part, whose events are all alike."""
    return [block.values[2 * at] for block in part.blocks for at in range(len(block.rows))]


@pytest.mark.parametrize("jobs", [1, 2, 5])
@pytest.mark.parametrize("damage", [b"{", b"{}\n", b"\n"])
def test_a_damaged_log_has_no_columns(folder: Path, jobs: int, damage: bytes) -> None:
    """Whichever file the damage is in."""
    for name in ("r1_events.000002.jsonl", "r1_events.jsonl"):
        text = (folder / name).read_bytes()
        (folder / name).write_bytes(text + damage)
        found = gather(run_log(folder), jobs)
        (folder / name).write_bytes(text)

        assert found is None


def test_a_log_without_events_has_no_rows(tmp_path: Path) -> None:
    """It is regular all the same."""
    path = write_log(tmp_path / "r1_events.jsonl", [])

    assert _steps(gather(run_log(path))) == _steps(gather(run_log(path), 2)) == []


def test_when_a_process_dies_the_log_is_read_in_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It takes longer, and it is said why."""

    def die(*_: Any) -> Any:
        raise WorkerError("expected a process, found none")

    monkeypatch.setattr(gathering, "perform", die)
    with caplog.at_level(logging.WARNING):
        assert _steps(gather(run_log(folder), 2)) == list(range(300))
    assert caplog.messages == ["reading in one process: expected a process, found none"]


def test_no_file_stays(folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The buffers are good after their files are removed."""
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    found = gather(run_log(folder), 3)

    assert list(temporary.iterdir()) == []
    assert _steps(found) == list(range(300))
