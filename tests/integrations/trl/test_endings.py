"""How a training ended, told by what its process left behind: each is a real process that really ended so."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("trl")

from rldk.io.validator import validate_jsonl_file
from tests.integrations.trl.conftest import run_module
from tests.integrations.trl.trainings import Lab

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integrations.trl.conftest import Ending
    from tests.integrations.trl.trainings import Tiny

pytestmark = pytest.mark.trl

BY_ITSELF = "training stopped before its end, by the script itself"
DERIVED = [
    "run_alerts.json",
    "run_events.jsonl",
    "run_final_report.json",
    "run_manifest.json",
    "run_metrics.csv",
    "run_metrics.json",
]


def _report(folder: Path) -> dict[str, Any]:
    (path,) = (folder / "logs").glob("*_final_report.json")
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("name", "code", "outcome", "detail", "steps"),
    [
        ("completed", 0, "completed", "", [1, 4]),
        ("ctrl_c", -signal.SIGINT, "interrupted", "Ctrl-C", [1, 2]),
        ("reward_error", 1, "crashed", "ValueError: no reward today", [1, 2]),
        ("wrapped_error", 1, "crashed", "RuntimeError: the experiment failed", [1, 2]),
        ("caught_error", 0, "interrupted", BY_ITSELF, [1, 2]),
        ("later_error", 1, "interrupted", BY_ITSELF, [1, 2]),
        ("sys_exit", 3, "interrupted", BY_ITSELF, [1, 2]),
        ("forked", 0, "completed", "", [1, 4]),
    ],
)
def test_the_outcome_of_a_process_that_could_say_it(
    endings: dict[str, Ending], *, name: str, code: int, outcome: str, detail: str, steps: list[int]
) -> None:
    """A process that ends by itself leaves all derived files, the outcome in them, and no lock."""
    ending = endings[name]
    report = _report(ending.folder)

    assert ending.code == code
    assert (report["outcome"], report["outcome_detail"], report["steps"]) == (outcome, detail, steps)
    assert sorted(path.name for path in (ending.folder / "logs").iterdir()) == DERIVED


def test_a_terminated_process_leaves_its_events(endings: dict[str, Ending], tiny: Tiny) -> None:
    """SIGTERM leaves the events, a manifest without an outcome, and a lock nobody holds."""
    ending = endings["terminated"]
    lab = Lab(tiny, ending.folder)
    manifest = lab.derived("manifest")

    assert ending.code == -signal.SIGTERM
    assert sorted(path.name for path in lab.logs.iterdir()) == ["run.lock", "run_events.jsonl", "run_manifest.json"]
    assert [("outcome" in attempt, "ended" in attempt) for attempt in manifest["attempts"]] == [(False, False)]
    assert validate_jsonl_file(lab.logs / "run_events.jsonl", strict=True).problems == []


def test_the_report_of_a_killed_run(endings: dict[str, Ending], tiny: Tiny, tmp_path: Path) -> None:
    """`rldk report` builds everything else from the events, says that the run crashed, and leaves the events alone."""
    lab = Lab(tiny, tmp_path)
    shutil.copytree(endings["terminated"].folder / "logs", lab.logs)
    log = lab.logs / "run_events.jsonl"
    before = (hashlib.sha256(log.read_bytes()).digest(), log.stat().st_mtime_ns, log.stat().st_ino)
    printed = run_module("rldk", "report", lab.logs)
    report = lab.derived("final_report")

    assert (hashlib.sha256(log.read_bytes()).digest(), log.stat().st_mtime_ns, log.stat().st_ino) == before
    assert "crashed  its process ended without a word" in printed
    assert sorted(path.name for path in lab.logs.iterdir()) == ["run.lock", *DERIVED]
    assert (report["outcome"], report["steps"], report["counters"]) == (
        "crashed",
        [1, 2],
        {"events": 2, "dropped": 0, "replaced": 0},
    )
    assert [row[:3] for row in lab.table()] == [["phase", "eval_set", "step"], ["train", "", "1"], ["train", "", "2"]]
    assert lab.derived("alerts")["alerts"] == []
    assert "non_finite" in lab.derived("alerts")["checked"]
    assert lab.derived("manifest")["segments"] == [
        {
            "file": "run_events.jsonl",
            "sealed": False,
            "events": 2,
            "bytes": log.stat().st_size,
            "sha256": before[0].hex(),
            "first_attempt": 1,
            "last_attempt": 1,
            "first_seq": 0,
            "last_seq": 1,
            "first_step": 1,
            "last_step": 2,
            "stored_bytes": log.stat().st_size,
            "stored_sha256": before[0].hex(),
        }
    ]


def test_nothing_is_said_of_a_run_that_went_well(endings: dict[str, Ending]) -> None:
    """RLDK prints nothing during or at the end of a training, and leaves no traceback at exit."""
    printed = (endings["completed"].folder / "output.txt").read_text()

    assert "'train_loss'" in printed
    assert [word for word in ("Traceback", "Exception ignored", "rldk") if word in printed] == []


def test_a_forked_process_takes_no_part(endings: dict[str, Ending], tiny: Tiny) -> None:
    """A process forked in the middle of training, which runs its exit handlers, changes nothing of the log."""
    lab = Lab(tiny, endings["forked"].folder)
    manifest = lab.derived("manifest")

    assert [(event.phase, event.step, event.seq) for event in lab.events()] == [
        ("train", 1, 0),
        ("train", 2, 1),
        ("train", 3, 2),
        ("train", 4, 3),
        ("final", 4, 4),
    ]
    assert [(attempt["outcome"], attempt["counters"]["written"]) for attempt in manifest["attempts"]] == [
        ("completed", 5)
    ]
