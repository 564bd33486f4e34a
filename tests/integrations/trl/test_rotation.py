"""A training whose log rotates: nothing is missing, and readers see one log."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("trl")

from rldk.integrations.trl import RLDKCallback
from rldk.io.filters import drop
from rldk.io.manifest import read_manifest
from rldk.io.sealing import Policy
from rldk.io.segments import run_log, sealed_segments
from rldk.io.verify import verify
from rldk.report.seal import seal_run
from tests.integrations.trl.trainings import AtStep

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integrations.trl.trainings import Lab

pytestmark = pytest.mark.trl


def test_a_training_that_rotates_compresses_and_is_verified(lab: Lab) -> None:
    """Each step once, in segments of which the sealed ones are compressed; table and report cover all of them."""
    recorder = lab.callback(rotation="3 kB", compression="gz")
    lab.trainer("sft", recorder, max_steps=12).train()
    del recorder
    seal_run(lab.logs, Policy("gz"))
    sealed = sealed_segments(run_log(lab.logs))

    assert len(sealed) > 3
    assert {each.compression for each in sealed} == {"gz"}
    assert gzip.decompress(sealed[0].path.read_bytes()).startswith(b'{"step":1,')
    assert [event.step for event in lab.events() if event.phase == "train"] == list(range(1, 13))
    assert [row[2] for row in lab.table()[1:]] == [*map(str, range(1, 13)), "12"]
    assert lab.derived("final_report")["steps"] == [1, 12]
    assert verify(lab.logs)


def test_only_so_much_is_kept_and_the_manifest_says_what_went(lab: Lab) -> None:
    """The oldest segments go; what they held is counted."""
    lab.trainer("sft", lab.callback(rotation="2 kB", keep="2 segments"), max_steps=12).train()
    seal_run(lab.logs, Policy())
    removed = read_manifest(run_log(lab.logs)).removed
    steps = [event.step for event in lab.events()]

    assert removed is not None
    assert removed.policy == "2 segments"
    assert removed.events + len(steps) == 13
    assert steps[-1] == 12
    assert verify(lab.logs)


def test_filters_thin_what_is_written(lab: Lab) -> None:
    """And `on_error` may be a function, which has nothing to do here."""
    told: list[Exception] = []
    recorder = lab.callback(filters=[drop("grad_norm")], sync="every", on_error=told.append)
    lab.trainer("sft", recorder).train()

    assert all("grad_norm" not in event.metrics and "loss" in event.metrics for event in lab.events()[:4])
    assert lab.derived("manifest")["attempts"][0]["counters"]["filtered_metrics"] == 4
    assert told == []


def test_a_filter_that_fails_stops_no_training(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """It is told of once, with where it happened; the events it failed on are not written."""

    def fail(_event: object) -> None:
        raise ZeroDivisionError("my mistake")

    recorder = lab.callback(filters=[fail])
    trainer = lab.trainer("sft", recorder)
    trainer.train()

    assert trainer.state.global_step == 4
    assert recorder.errors == 5
    assert lab.events() == []
    assert "on_log: ZeroDivisionError: my mistake; training goes on" in caplog.text


def test_a_log_that_is_deleted_during_the_training_comes_back(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps are there in the end."""
    monkeypatch.setattr("rldk.io.live_log._LOOK", 0.0)
    recorder = lab.callback()
    lab.trainer("sft", recorder, AtStep(2, (lab.logs / "run_events.jsonl").unlink)).train()

    assert [event.step for event in lab.events() if event.phase == "train"] == [1, 2, 3, 4]
    assert [note.partition(":")[0] for event in lab.events() for note in event.notes] == ["log_restored"]


def test_options_are_checked_when_the_callback_is_made(tmp_path: Path) -> None:
    """Not hours later; nothing is made."""
    with pytest.raises(ValueError, match="rotation: expected a size such as '64 MB' or a time such as '1 h', found"):
        RLDKCallback(tmp_path / "logs", rotation="64 parsecs")
    with pytest.raises(TypeError, match="rotaton"):
        RLDKCallback(tmp_path / "logs", rotaton="64 MB")  # type: ignore[call-arg]

    assert list(tmp_path.iterdir()) == []
