"""Evaluations: before, within and after training, of one set or several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("trl")

from rldk.io.validator import validate_jsonl_file

if TYPE_CHECKING:
    from rldk.io.event_schema import Event
    from tests.integrations.trl.trainings import Lab

pytestmark = pytest.mark.trl

_METRICS = [
    "loss",
    "runtime",
    "samples_per_second",
    "steps_per_second",
    "entropy_mean",
    "mean_token_accuracy",
    "tokens_total",
    "epoch",
]
"""What an evaluation of SFT logs."""


def _points(events: list[Event]) -> list[tuple[str, str | None, int]]:
    return [(event.phase, event.eval_set, event.step) for event in events]


def test_several_sets(lab: Lab) -> None:
    """Each set is a curve of its own, named by its runtime, though TRL's own keys do not say which set they are of."""
    sets = {"math": lab.eval_dataset("sft"), "code": lab.eval_dataset("sft")}
    trainer = lab.sft(lab.callback(), eval_dataset=sets, eval_strategy="steps", eval_steps=2, max_steps=2)
    trainer.train()
    events, history = lab.events(), trainer.state.log_history

    assert _points(events) == [
        ("train", None, 1),
        ("train", None, 2),
        ("eval", "math", 2),
        ("eval", "code", 2),
        ("final", None, 2),
    ]
    assert "eval_math_loss" in history[2]
    assert "eval_entropy" in history[2]
    for event, row in zip(events[2:4], history[2:4], strict=True):
        assert list(event.metrics) == _METRICS
        assert [*event.metrics.values(), event.step] == list(row.values())
        assert event.data_slice == {"eval_set": event.eval_set}


def test_each_set_has_its_rows_in_the_table(lab: Lab) -> None:
    """Two sets evaluated at one step are two rows of `metrics.csv` and two curves of `metrics.json`."""
    sets = {"math": lab.eval_dataset("sft"), "code": lab.eval_dataset("sft")}
    lab.sft(lab.callback(), eval_dataset=sets, eval_strategy="steps", eval_steps=2).train()

    assert [row[:3] for row in lab.table()] == [
        ["phase", "eval_set", "step"],
        *(["train", "", str(step)] for step in (1, 2, 3, 4)),
        ["eval", "math", "2"],
        ["eval", "math", "4"],
        ["eval", "code", "2"],
        ["eval", "code", "4"],
        ["final", "", "4"],
    ]
    assert [(curve["phase"], curve["eval_set"], curve["points"]) for curve in lab.derived("metrics")["curves"]] == [
        ("train", None, 4),
        ("eval", "math", 2),
        ("eval", "code", 2),
        ("final", None, 1),
    ]


def test_another_prefix(lab: Lab) -> None:
    """`evaluate(metric_key_prefix="test")` is the set `test`: all keys lose their prefix, also the `eval_` of TRL."""
    trainer = lab.sft(lab.callback())
    trainer.evaluate(metric_key_prefix="test")
    (event,), (row,) = lab.events(), trainer.state.log_history

    assert {key.partition("_")[0] for key in row} == {"test", "eval", "epoch", "step"}
    assert _points([event]) == [("eval", "test", 0)]
    assert set(event.metrics) == {*_METRICS, "model_preparation_time"}
    assert event.metrics["loss"] == row["test_loss"]
    assert event.metrics["entropy_mean"] == row["eval_entropy"]


def test_rewards_of_an_evaluation(lab: Lab) -> None:
    """What GRPO measures on an evaluation set has the same names as in training."""
    trainer = lab.grpo(lab.callback(), max_steps=1)
    trainer.train()
    trainer.evaluate()
    evaluated, row = lab.events()[-1], trainer.state.log_history[-1]

    assert evaluated.phase == "eval"
    assert (evaluated.metrics["reward_mean"], evaluated.metrics["reward_component/letters"]) == (
        row["eval_reward"],
        row["eval_rewards/letters/mean"],
    )
    assert [name for name in evaluated.metrics if name.startswith("eval")] == []


def test_before_training(lab: Lab) -> None:
    """An evaluation before training is step 0 of the same attempt, and all that is known later is in later events."""
    trainer = lab.sft(lab.callback(), max_steps=2)
    trainer.evaluate()
    trainer.train()
    events = lab.events()

    assert _points(events) == [("eval", None, 0), ("train", None, 1), ("train", None, 2), ("final", None, 2)]
    assert [(event.attempt, event.seq, event.resumed_from) for event in events] == [(1, seq, None) for seq in range(4)]
    assert [event.data_slice.get("window") for event in events] == [None, 1, 1, None]
    assert [event.model_info.get("optimizer") for event in events] == [None, "AdamW", "AdamW", "AdamW"]


def test_on_start(lab: Lab) -> None:
    """`eval_on_start` is recorded at step 0."""
    lab.sft(lab.callback(), eval_on_start=True, max_steps=1).train()

    assert _points(lab.events()) == [("eval", None, 0), ("train", None, 1), ("final", None, 1)]


def test_after_training(lab: Lab) -> None:
    """The log stays open after training; at its close the derived files are brought up to date."""
    callback = lab.callback()
    trainer = lab.sft(callback, max_steps=2)
    trainer.train()
    before = (lab.table(), lab.derived("final_report")["counters"])
    trainer.evaluate()
    events = lab.events()
    trainer.remove_callback(callback)
    del callback
    after = lab.derived("final_report")

    assert _points(events) == [("train", None, 1), ("train", None, 2), ("final", None, 2), ("eval", None, 2)]
    assert before[1] == {"events": 3, "dropped": 0, "replaced": 0}
    assert after["counters"] == {"events": 4, "dropped": 0, "replaced": 0}
    assert (after["outcome"], after["outcome_detail"]) == ("completed", "")
    assert [row[:3] for row in lab.table()] == [row[:3] for row in before[0]] + [["eval", "", "2"]]
    assert lab.derived("manifest")["attempts"][0]["counters"]["written"] == 4
    assert lab.derived("manifest")["segments"][0]["events"] == 4
    assert not (lab.logs / "run.lock").exists()


def test_the_same_point_twice(lab: Lab) -> None:
    """Two evaluations of one step are two events and one point, and the report counts a duplicate."""
    callback = lab.callback()
    trainer = lab.sft(callback, max_steps=2, eval_strategy="steps", eval_steps=2)
    trainer.train()
    trainer.evaluate()
    trainer.remove_callback(callback)
    del callback

    assert _points(lab.events()).count(("eval", None, 2)) == 2
    assert [row[:3] for row in lab.table()].count(["eval", "", "2"]) == 1
    assert lab.derived("final_report")["data_quality"]["duplicates"] == 1


def test_without_any_training(lab: Lab) -> None:
    """A trainer that only evaluates has a run of its own, and nothing in it was cut short."""
    callback = lab.callback()
    trainer = lab.sft(callback)
    trainer.evaluate()
    trainer.remove_callback(callback)
    del callback
    report = lab.derived("final_report")

    assert _points(lab.events()) == [("eval", None, 0)]
    assert (report["outcome"], report["outcome_detail"], report["steps"]) == ("completed", "nothing was trained", None)


def test_between_two_trainings(lab: Lab) -> None:
    """An evaluation between two trainings belongs to the first, which it follows."""
    trainer = lab.sft(lab.callback(), max_steps=1)
    trainer.train()
    trainer.evaluate()
    trainer.train()

    assert [(event.attempt, *point) for event, point in _with_points(lab.events(history="all"))] == [
        (1, "train", None, 1),
        (1, "final", None, 1),
        (1, "eval", None, 1),
        (2, "train", None, 1),
        (2, "final", None, 1),
    ]
    assert validate_jsonl_file(lab.logs / "run_events.jsonl", strict=True).problems == []


def _with_points(events: list[Event]) -> Any:
    return zip(events, _points(events), strict=True)
