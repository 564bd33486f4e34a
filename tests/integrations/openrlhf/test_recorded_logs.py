"""What real trainings of OpenRLHF 0.11.2 have logged, handed to the callback once more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from rldk.adapters.base import Parsed
from rldk.adapters.openrlhf import OpenRLHFAdapter
from rldk.integrations.openrlhf import OpenRLHFCallback
from rldk.io.manifest import read_manifest
from rldk.io.reader import read_events
from rldk.io.segments import find_logs
from rldk.io.validator import validate_jsonl_file

GOLDEN: Final = Path(__file__).resolve().parents[2] / "golden/openrlhf"
ALGORITHMS: Final = {"ppo_sync": "grpo", "ppo_async": "ppo", "rm": "rm", "dpo": "dpo"}


def calls(name: str) -> list[tuple[str, int, dict[str, Any]]]:
    """What was logged, call by call."""
    lines = (GOLDEN / name / "rec.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [(row["kind"], row["step"], row["metrics"]) for row in rows if row["kind"] in {"train", "eval"}]


@pytest.fixture(params=sorted(ALGORITHMS))
def replayed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A training whose logs were replayed: its name, and the path of the log."""
    callback = OpenRLHFCallback(tmp_path, run_id="r", algorithm=ALGORITHMS[request.param], on_error="raise")
    for kind, step, logs in calls(request.param):
        (callback.log_train if kind == "train" else callback.log_eval)(step, logs)
    callback.close()
    (log,) = find_logs(tmp_path)
    return request.param, log.path


def test_the_log_is_valid_by_every_rule(replayed: tuple[str, Path]) -> None:
    """With evaluations that come after later steps too."""
    assert validate_jsonl_file(replayed[1], strict=True)


def test_every_value_is_there(replayed: tuple[str, Path]) -> None:
    """Under its own name, or under the one that the manifest says it was given; samples are in the notes."""
    name, path = replayed
    found = [event for event in read_events(path, history="all") if event.phase == "train"]
    renamed = read_manifest(find_logs(path.parent)[0]).metrics

    for event, (_, step, logs) in zip(found, [call for call in calls(name) if call[0] == "train"], strict=True):
        native = {key: value for key, value in logs.items() if key != "generated_samples"}
        names = {key: key if key in event.metrics else renamed[key].canonical for key in native}
        assert event.step == step
        assert {key: event.metrics[names[key]] for key in native} == native
        assert len(event.metrics) == len(native)
        assert event.notes == ([] if native == logs else [event.notes[0]])


def test_the_adapter_reads_what_the_callback_has_written(replayed: tuple[str, Path]) -> None:
    """The events of the log are those that ingestion makes of it."""
    _, path = replayed
    items = OpenRLHFAdapter().read(path).items

    assert [item.event for item in items if isinstance(item, Parsed)] == list(read_events(path, history="all"))
