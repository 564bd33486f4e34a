"""Reading the trainer_log.jsonl of LLaMA-Factory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rldk.adapters.base import Certainty, Claim
from rldk.adapters.lines import read_head
from rldk.adapters.llamafactory import LLaMAFactoryAdapter
from tests.adapters.items import asides, bads, events, lines, survives
from tests.shared import REAL, needs_shared

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.adapters.base import Item

NULLS = {"loss": None, "eval_loss": None, "predict_loss": None, "reward": None, "learning_rate": None, "epoch": None}
"""What old versions write on every line."""


def row(current: int, total: int, elapsed: str = "0:00:01", **others: Any) -> dict[str, Any]:
    """A line of a log."""
    times = {"elapsed_time": elapsed, "remaining_time": "0:00:09"}
    return {"current_steps": current, "total_steps": total, **others, "percentage": 50.0, **times}


def read(tmp_path: Path, *rows: dict[str, Any]) -> list[Item]:
    """The items of a log with these lines."""
    path = tmp_path / "trainer_log.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return list(LLaMAFactoryAdapter().read(path).items)


def test_a_line_is_an_event_at_its_own_step(tmp_path: Path) -> None:
    """Numbers in quotes are numbers, the time is the run's, and the estimate is kept as it is."""
    (event,) = events(
        read(tmp_path, row(5, 10, "1 day, 0:00:02", loss=0.5, accuracy=1.0, lr=1e-05, epoch=0.5, throughput="12.50"))
    )

    assert (event.step, event.phase, event.wall_time) == (5, "train", 86402.0)
    assert event.metrics == {
        "total_steps": 10,
        "loss": 0.5,
        "accuracy": 1.0,
        "lr": 1e-05,
        "epoch": 0.5,
        "tokens_per_second": 12.5,
        "percentage": 50.0,
    }
    assert event.data_slice == {"remaining_time": "0:00:09"}


def test_a_null_of_old_versions_is_a_field_that_is_not_there(tmp_path: Path) -> None:
    """They write every field on every line; a null of another field is the trainer's own."""
    (event,) = events(read(tmp_path, row(5, 10, **NULLS | {"loss": 0.5, "mine": None})))

    assert event.metrics == {"total_steps": 10, "loss": 0.5, "mine": None, "percentage": 50.0}


def test_an_evaluation_during_training_is_at_its_step(tmp_path: Path) -> None:
    """Its prefix is taken away."""
    items = read(tmp_path, row(5, 10, loss=0.5), row(5, 10, eval_loss=0.25, epoch=1.0))

    assert [(event.step, event.phase, event.metrics.get("loss"), event.notes) for event in events(items)] == [
        (5, "train", 0.5, []),
        (5, "eval", 0.25, []),
    ]


def test_an_evaluation_on_its_own_axis_is_put_at_the_last_step_of_training(tmp_path: Path) -> None:
    """With a note that says so; without any training it is at step 0."""
    rows = (row(2, 2, eval_loss=0.25), row(4, 4, predict_loss=0.5))

    first, second = events(read(tmp_path, row(10, 10, epoch=1.0), *rows))[1:]
    (alone, _) = events(read(tmp_path, *rows))

    assert (first.step, first.phase, first.eval_set, first.metrics["loss"]) == (10, "eval", None, 0.25)
    assert (second.step, second.phase, second.eval_set, second.metrics["loss"]) == (10, "eval", "predict", 0.5)
    assert first.notes == ["own_axis: 2 of 2 counts batches of the evaluation; put at the last training step"]
    assert (alone.step, alone.notes) == (0, first.notes)


def test_the_last_line_without_measures_is_the_final_one(tmp_path: Path) -> None:
    """The callback copies nothing of the trainer's summary but the epoch."""
    (event,) = events(read(tmp_path, row(10, 10, **NULLS | {"epoch": 3.0})))

    assert (event.step, event.phase, event.metrics["epoch"]) == (10, "final", 3.0)


def test_progress_without_metrics_is_set_aside(tmp_path: Path) -> None:
    """As newer versions write it while they only evaluate."""
    assert asides(read(tmp_path, row(5, 20))) == [("progress of an evaluation, without metrics", 1)]


def test_a_run_that_was_resumed_goes_on_in_another_attempt(tmp_path: Path) -> None:
    """Its clock starts again, and its steps need not go back."""
    rows = (row(10, 30, "0:00:10", loss=3.0), row(20, 30, "0:00:20", loss=2.0), row(30, 30, "0:00:05", loss=1.0))

    found = [(event.step, event.attempt, event.wall_time, event.notes) for event in events(read(tmp_path, *rows))]

    assert found == [
        (10, 1, 10.0, []),
        (20, 1, 20.0, []),
        (30, 2, 25.0, ["resumed: attempt 2 of this log; the time between attempts is not known"]),
    ]


def test_a_time_that_is_none_is_kept_as_text(tmp_path: Path) -> None:
    """The time of the event is not known then."""
    (event,) = events(read(tmp_path, row(1, 2, "", loss=1.0)))

    assert (event.wall_time, event.data_slice["elapsed_time"]) == (None, "")


def test_a_line_without_a_step_is_bad(tmp_path: Path) -> None:
    """There is nowhere to put its metrics."""
    assert bads(read(tmp_path, {"loss": 1.0})) == ["<line>:1:0: $.step: expected a step, found nothing [missing_field]"]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (row(1, 2, loss=1.0), Claim(Certainty.SURE, "JSON lines with current_steps and total_steps")),
        ({"step": 1, "loss": 1.0}, Claim(Certainty.NO, "no JSON lines with current_steps and total_steps")),
    ],
)
def test_what_is_said_of_a_file(record: dict[str, Any], expected: Claim, tmp_path: Path) -> None:
    """The names of the steps are LLaMA-Factory's own."""
    assert LLaMAFactoryAdapter().handles(json.dumps(record).encode(), tmp_path / "trainer_log.jsonl") == expected


def test_whatever_is_damaged_nothing_else_is_raised(tmp_path: Path) -> None:
    """Events or an `RLDKError`, in less than a second."""
    rows = (row(10, 10, **NULLS | {"loss": 0.5}), row(2, 2, "1 day, 0:00:02", eval_loss=0.5))
    content = "".join(json.dumps(each) + "\n" for each in rows)

    survives(LLaMAFactoryAdapter(), tmp_path / "trainer_log.jsonl", content.encode())


@needs_shared
@pytest.mark.parametrize("number", range(2))
def test_a_real_log_has_all_its_points(number: int) -> None:
    """Each number of a line is a metric of its event, but for the step."""
    path = sorted((REAL / "llamafactory").rglob("trainer_log.jsonl"))[number]
    records = [json.loads(line) for line in path.read_bytes().splitlines()]

    assert LLaMAFactoryAdapter().handles(read_head(path), path).certainty == Certainty.SURE
    items = list(LLaMAFactoryAdapter().read(path).items)

    assert [list(event.metrics.values()) for event in events(items)] == [
        [v for k, v in record.items() if k != "current_steps" and isinstance(v, (int, float))] for record in records
    ]
    assert [event.step for event in events(items) if event.phase == "train"] == [
        record["current_steps"] for record in records if record["loss"] is not None
    ]
    assert lines(items) == len(records)


@needs_shared
def test_a_real_evaluation_after_training_is_at_its_end() -> None:
    """The last line of this log is step 2 of 2 after 351 steps of training."""
    (path,) = (REAL / "llamafactory").rglob("drive_1109/trainer_log.jsonl")

    last = events(list(LLaMAFactoryAdapter().read(path).items))[-1]

    assert (last.step, last.phase, last.wall_time, last.metrics["loss"]) == (351, "eval", 21.0, 0.0004058216873090714)
