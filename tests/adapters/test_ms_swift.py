"""Reading the logging.jsonl of ms-swift."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rldk.adapters.base import Certainty, Claim
from rldk.adapters.lines import read_head
from rldk.adapters.ms_swift import MSSwiftAdapter
from rldk.adapters.registry import detect
from tests.adapters.items import asides, bads, events, lines, survives
from tests.shared import REAL, needs_shared

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.adapters.base import Item

SPEED = {"runtime": 2.0, "samples_per_second": 3.0, "steps_per_second": 4.0}


def row(step: str, elapsed: str = "1m 2s", **others: Any) -> dict[str, Any]:
    """A line of a log."""
    times = {"elapsed_time": elapsed, "remaining_time": "2h 0m 1s"}
    return {**others, "global_step/max_steps": step, "percentage": "2.74%", **times, "memory(GiB)": 7.5}


def read(tmp_path: Path, *rows: dict[str, Any]) -> list[Item]:
    """The items of a log with these lines."""
    path = tmp_path / "logging.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return list(MSSwiftAdapter().read(path).items)


def test_a_line_is_an_event_at_the_first_of_its_two_steps(tmp_path: Path) -> None:
    """The second is how many there are to be; texts are kept."""
    (event,) = events(read(tmp_path, row("12/438", loss=0.5, learning_rate=1e-05, **{"train_speed(iter/s)": 0.25})))

    assert (event.step, event.phase, event.wall_time) == (12, "train", 62.0)
    assert event.metrics == {"loss": 0.5, "lr": 1e-05, "train_speed(iter/s)": 0.25, "memory(GiB)": 7.5}
    assert event.data_slice == {"percentage": "2.74%", "remaining_time": "2h 0m 1s", "max_steps": 438}


def test_an_evaluation_is_made_out_as_of_the_trainer(tmp_path: Path) -> None:
    """Its prefix is taken away, and the set is named in it."""
    (event,) = events(
        read(
            tmp_path, row("12/438", eval_math_loss=0.5, **{f"eval_math_{name}": value for name, value in SPEED.items()})
        )
    )

    assert (event.step, event.phase, event.eval_set) == (12, "eval", "math")
    assert event.metrics == {"loss": 0.5, **SPEED, "memory(GiB)": 7.5}


def test_the_summary_of_the_trainer_is_the_final_event(tmp_path: Path) -> None:
    """It is known by `train_loss`."""
    (event,) = events(read(tmp_path, row("438/438", train_runtime=9.0, train_loss=0.25)))

    assert (event.step, event.phase, event.metrics["train_loss"]) == (438, "final", 0.25)


def test_the_summary_of_the_run_is_set_aside(tmp_path: Path) -> None:
    """It repeats what was logged; what it says of the run is a fact."""
    path = tmp_path / "logging.jsonl"
    summary = {"last_model_checkpoint": "out/9", "best_metric": 0.5, "global_step": 9, "log_history": [{"loss": 1}]}
    path.write_text(json.dumps(row("9/9", loss=0.5)) + "\n" + json.dumps(summary) + "\n")

    reading = MSSwiftAdapter().read(path)

    assert asides(list(reading.items)) == [("summary of the run", 1)]
    assert reading.facts == {"last_model_checkpoint": "out/9", "best_metric": 0.5, "global_step": 9}


def test_a_short_log_is_no_state_of_a_trainer(tmp_path: Path) -> None:
    """Though its summary holds the history under the name that it has there."""
    path = tmp_path / "logging.jsonl"
    summary = {"last_model_checkpoint": "c", "global_step": 2, "log_history": [{"loss": 0.5, "step": 1}]}
    path.write_text("".join(json.dumps(each) + "\n" for each in (row("1/2", loss=0.5, epoch=0.5), summary)))

    assert detect(path).adapter.name == "ms_swift"


def test_other_versions_count_steps_under_other_names(tmp_path: Path) -> None:
    """Old ones as a number, Megatron-SWIFT as an iteration."""
    rows = ({"loss": 3.0, "epoch": 0.1, "global_step": 10}, {"loss": 2.0, "iteration": "11/20"})

    found = [(event.step, event.metrics["loss"], event.data_slice) for event in events(read(tmp_path, *rows))]

    assert found == [(10, 3.0, {}), (11, 2.0, {"max_steps": 20})]


def test_lines_of_several_ranks_are_events_of_one_step(tmp_path: Path) -> None:
    """They do not say their rank, and are no resume."""
    rows = (row("5/9", "5s", loss=1.0), row("5/9", "4s", loss=1.0), row("9/9", "9s", loss=1.0))

    found = [(event.step, event.attempt, event.wall_time) for event in events(read(tmp_path, *rows))]

    assert found == [(5, 1, 5.0), (5, 1, 4.0), (9, 1, 9.0)]


def test_a_run_that_was_resumed_goes_on_in_another_attempt(tmp_path: Path) -> None:
    """Its clock starts again."""
    rows = (row("5/9", "1m 5s", loss=1.0), row("9/9", "4s", loss=1.0))

    found = [(event.step, event.attempt, event.wall_time, event.notes) for event in events(read(tmp_path, *rows))]

    assert found == [
        (5, 1, 65.0, []),
        (9, 2, 69.0, ["resumed: attempt 2 of this log; the time between attempts is not known"]),
    ]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"loss": 1.0}, "<line>:1:0: $.step: expected a step, found nothing [missing_field]"),
        (
            {"loss": 1.0, "global_step": "a"},
            "<line>:1:0: $.step: expected a whole number, found 'a' [wrong_type]",
        ),
    ],
)
def test_a_line_without_a_step_is_bad(record: dict[str, Any], message: str, tmp_path: Path) -> None:
    """There is nowhere to put its metrics."""
    assert bads(read(tmp_path, record)) == [message]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (row("1/2", loss=1.0), Claim(Certainty.SURE, "JSON lines with global_step/max_steps")),
        ({"loss": 1.0, "train_speed(s/it)": 1.0}, Claim(Certainty.SURE, "JSON lines with train_speed(s/it)")),
        (
            {"loss": 1.0, "epoch": 0.1, "global_step": 1},
            Claim(Certainty.TYPICAL, "JSON lines with global_step, epoch and loss, as of old versions"),
        ),
        (
            {"loss": 1.0, "step": 1},
            Claim(Certainty.NO, "no JSON lines with global_step/max_steps, train_speed, or global_step and epoch"),
        ),
    ],
)
def test_what_is_said_of_a_file(record: dict[str, Any], expected: Claim, tmp_path: Path) -> None:
    """The names with units and slashes are ms-swift's own."""
    assert MSSwiftAdapter().handles(json.dumps(record).encode(), tmp_path / "logging.jsonl") == expected


def test_whatever_is_damaged_nothing_else_is_raised(tmp_path: Path) -> None:
    """Events or an `RLDKError`, in less than a second."""
    rows = (row("5/9", loss=1.0), row("5/9", eval_loss=1.0, eval_runtime=1.0), {"log_history": [], "global_step": 9})
    content = "".join(json.dumps(each) + "\n" for each in rows)

    survives(MSSwiftAdapter(), tmp_path / "logging.jsonl", content.encode())


@needs_shared
@pytest.mark.parametrize("number", range(2))
def test_a_real_log_has_all_its_points(number: int) -> None:
    """Each number beside the step is a metric of its line's event."""
    path = sorted((REAL / "ms-swift").rglob("logging*.jsonl"))[number]
    records = [json.loads(line) for line in path.read_bytes().splitlines()]

    assert MSSwiftAdapter().handles(read_head(path), path)
    items = list(MSSwiftAdapter().read(path).items)

    assert [(event.step, sorted(event.metrics.values())) for event in events(items)] == [
        (record["global_step"], sorted(v for k, v in record.items() if k != "global_step")) for record in records
    ]
    assert {event.phase for event in events(items)} == {"train", "eval"}
    assert lines(items) == len(records)
