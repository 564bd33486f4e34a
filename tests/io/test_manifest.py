"""What is kept of a run beside its events."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from rldk.io.manifest import Attempt, Manifest, Segment, find_resumed, read_manifest, write_manifest
from rldk.io.segments import Log, log_path
from rldk.metrics import Translator

if TYPE_CHECKING:
    from pathlib import Path


def _a_log(folder: Path, run_id: str = "r1", rank: int = 0) -> Log:
    path = log_path(folder, run_id, rank)
    path.touch()
    return Log(path, run_id, rank)


def _a_manifest() -> Manifest:
    translator = Translator("trl", "grpo")
    translator.translate({"kl": 0.1, "rewards/f/mean": 1.0})
    return Manifest(
        run_id="r1",
        rank=2,
        framework="trl",
        algorithm="grpo",
        trainer_output_dir="/runs/out",
        attempts=[
            Attempt(1, "2026-01-31T23:59:59.000000Z", outcome="crashed", outcome_detail="ValueError: é"),
            Attempt(2, "2026-02-01T00:00:00.000000Z", resumed_from=40, seeds={"seed": 42}, counters={"written": 7}),
        ],
        metrics=translator.applied,
        segments=[
            Segment("r1_events.jsonl", sealed=False, events=7, bytes=900, first_step=1, last_step=7, sha256="ab")
        ],
    )


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Attempts, the metrics that were renamed and the segments survive the file."""
    log = _a_log(tmp_path, rank=2)
    write_manifest(log, _a_manifest())

    assert read_manifest(log) == _a_manifest()
    assert (tmp_path / "r1_manifest.rank2.json").is_file()


def test_a_manifest_is_readable_by_people(tmp_path: Path) -> None:
    """It is indented JSON that ends in a newline and says which schema it has."""
    log = _a_log(tmp_path)
    write_manifest(log, _a_manifest())
    text = (tmp_path / "r1_manifest.json").read_text(encoding="utf-8")

    assert text.startswith('{\n  "run_id": "r1",\n  "schema": 1,\n')
    assert text.endswith("}\n")
    assert json.loads(text)["metrics"]["kl"]["estimator"] == "k3"


def test_an_absent_manifest_is_an_empty_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A killed run may have none; that is no reason to complain."""
    assert read_manifest(_a_log(tmp_path, rank=3)) == Manifest(run_id="r1", rank=3)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "Input data was truncated"),
        (b'{"run_id":', "Input data was truncated"),
        (b'{"run_id":7}', "Expected `str`, got `int` - at `$.run_id`"),
        (b"{}", "Object missing required field `run_id`"),
    ],
)
def test_a_damaged_manifest_is_begun_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: bytes, why: str
) -> None:
    """It is derived but for provenance, so a run goes on without it; a warning says what was wrong."""
    log = _a_log(tmp_path)
    path = tmp_path / "r1_manifest.json"
    path.write_bytes(text)

    assert read_manifest(log) == Manifest(run_id="r1")
    assert caplog.messages == [f"{path}: the manifest cannot be read and is begun anew: {why}"]


def test_a_manifest_of_a_later_version_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    """Fields that this version does not know are passed over."""
    log = _a_log(tmp_path)
    (tmp_path / "r1_manifest.json").write_bytes(b'{"run_id":"r1","schema":9,"weather":"fine"}')

    assert read_manifest(log) == Manifest(run_id="r1", schema=9)


def test_two_manifests_share_nothing() -> None:
    """What is added to one is not in the next."""
    Manifest(run_id="r1").attempts.append(Attempt(1, "2026-01-31T23:59:59.000000Z"))

    assert Manifest(run_id="r2").attempts == []


def test_the_run_that_a_trainer_resumes_is_the_newest_in_its_place(tmp_path: Path) -> None:
    """Of the runs whose trainer kept its checkpoints there, the one whose manifest was written last."""
    for age, (run_id, place) in enumerate([("c", "/out"), ("a", "/out"), ("b", "/elsewhere"), ("d", "/out")]):
        log = _a_log(tmp_path, run_id)
        write_manifest(log, Manifest(run_id=run_id, trainer_output_dir=place))
        os.utime(tmp_path / f"{run_id}_manifest.json", (1000 - age, 1000 - age))

    assert find_resumed(tmp_path, "/out") == "c"
    assert find_resumed(tmp_path, "/elsewhere") == "b"
    assert find_resumed(tmp_path, "/nowhere") is None


def test_a_run_without_manifest_is_not_resumed(tmp_path: Path) -> None:
    """Whose it is cannot be known; neither can that of a folder that is not there."""
    _a_log(tmp_path)

    assert find_resumed(tmp_path, "/out") is None
    assert find_resumed(tmp_path, "") is None
    assert find_resumed(tmp_path / "absent", "/out") is None
