"""What a log stands for: one step or several, a whole log or a part, a step or the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("trl")

from tests.integrations.trl.trainings import said

if TYPE_CHECKING:
    from rldk.io.event_schema import Event
    from tests.integrations.trl.trainings import Lab

pytestmark = pytest.mark.trl

_SUMMARY = ["train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos", "train_loss", "epoch"]


def _averaged(window: int, step: int) -> str:
    return (
        f"the event of step {step} stands for {window} steps, their mean: the trainer does not log every step; "
        "set logging_steps=1 to record each"
    )


@pytest.mark.parametrize(
    ("settings", "expected", "warning"),
    [
        ({"logging_steps": 1, "max_steps": 3}, [(1, 1), (2, 1), (3, 1)], []),
        ({"logging_steps": 3}, [(3, 3), (6, 3), (9, 3)], [_averaged(3, 3)]),
        ({"logging_steps": 3, "logging_first_step": True}, [(1, 1), (3, 2), (6, 3), (9, 3)], [_averaged(2, 3)]),
        ({"logging_steps": 0.25}, [(3, 3), (6, 3), (9, 3)], [_averaged(3, 3)]),
        ({"logging_strategy": "no"}, [], []),
        ({"logging_strategy": "no", "logging_first_step": True}, [(1, 1)], []),
        (
            {"logging_strategy": "epoch", "max_steps": -1, "num_train_epochs": 2},
            [(8, 8), (16, 8)],
            [_averaged(8, 8)],
        ),
    ],
    ids=["every step", "every 3", "every 3 and the first", "a ratio", "none", "only the first", "every epoch"],
)
def test_the_window_of_an_event(
    lab: Lab,
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, Any],
    expected: list[tuple[int, int]],
    warning: list[str],
) -> None:
    """`data_slice.window` says how many steps an event stands for; when several, a single warning does too."""
    lab.sft(lab.callback(), **{"max_steps": 10, **settings}).train()
    events = lab.events()

    assert [(event.step, event.data_slice["window"]) for event in events if event.phase == "train"] == expected
    assert said(caplog) == warning
    assert "window" not in events[-1].data_slice


def test_a_window_is_the_mean_of_its_steps(lab: Lab) -> None:
    """An event of window 3 holds the mean loss of three steps, the latest rate and the latest token count."""
    lab.sft(lab.callback(run_id="each"), max_steps=3).train()
    lab.sft(lab.callback(run_id="three"), max_steps=3, logging_steps=3).train()
    each = [event.metrics for event in lab.events("each")[:3]]
    (three, _) = lab.events("three")

    assert three.metrics["loss"] == pytest.approx(sum(metrics["loss"] for metrics in each) / 3)
    assert three.metrics["entropy_mean"] == pytest.approx(sum(metrics["entropy_mean"] for metrics in each) / 3)
    assert (three.metrics["lr"], three.metrics["tokens_total"]) == (each[2]["lr"], each[2]["tokens_total"])


def test_the_last_steps_are_in_no_window(lab: Lab) -> None:
    """With 10 steps in windows of 3 the final log carries what is left of step 10, and a note says so."""
    trainer = lab.sft(lab.callback(), max_steps=10, logging_steps=3)
    trainer.train()
    final = lab.events()[-1]

    assert list(final.metrics) == [*_SUMMARY[:-1], "entropy_mean", "mean_token_accuracy", "tokens_total", "epoch"]
    assert list(final.metrics.values()) == list(trainer.state.log_history[-1].values())[:-1]
    assert final.notes == [
        "final_leftovers: entropy, mean_token_accuracy, num_tokens are of step 10 and had no log of their own"
    ]


def test_leftovers_of_several_steps(lab: Lab) -> None:
    """Without any logging of steps, the final event carries the metrics of them all."""
    lab.sft(lab.callback(), logging_strategy="no", max_steps=4).train()
    (final,) = lab.events()

    assert (final.phase, final.step, final.notes) == (
        "final",
        4,
        ["final_leftovers: entropy, mean_token_accuracy, num_tokens are of steps 1 to 4 and had no log of their own"],
    )


def test_leftover_rewards(lab: Lab) -> None:
    """GRPO in windows of 2 with 5 steps leaves a whole step's rewards to the final event, where they stay."""
    trainer = lab.grpo(lab.callback(), max_steps=5, logging_steps=2)
    trainer.train()
    events, row = lab.events(), trainer.state.log_history[-1]
    final = events[-1]

    assert [(event.phase, event.step) for event in events] == [("train", 2), ("train", 4), ("final", 5)]
    assert (final.metrics["reward_mean"], final.metrics["tokens_total"]) == (row["reward"], row["num_tokens"])
    assert len(final.metrics) == len(row) - 1
    assert final.notes == [f"final_leftovers: {', '.join(_left(row))} are of step 5 and had no log of their own"]


def _left(row: dict[str, Any]) -> list[str]:
    return [key for key in row if key not in {*_SUMMARY, "step"}]


@pytest.mark.parametrize(
    ("settings", "generates"),
    [
        ({}, [True, True, True, True, True]),
        ({"steps_per_generation": 4}, [True, False, False, False, True]),
        ({"num_iterations": 2}, [True, False, True, False, True]),
    ],
    ids=["each step", "every fourth", "every second"],
)
def test_rewards_are_absent_where_nothing_was_generated(
    lab: Lab, settings: dict[str, Any], generates: list[bool]
) -> None:
    """A step that trains on old completions has no reward, length or token count: none, rather than 0."""
    lab.grpo(lab.callback(), max_steps=5, **settings).train()
    events = [event for event in lab.events() if event.phase == "train"]

    for name in ("reward_mean", "reward_std", "reward_component/letters", "response_len_mean", "tokens_total"):
        assert [name in event.metrics for event in events] == generates, name
    assert [all(name in event.metrics for name in ("loss", "grad_norm", "lr")) for event in events] == [True] * 5


def test_an_absent_reward_is_an_empty_cell(lab: Lab) -> None:
    """In `metrics.csv` a step without reward has an empty cell."""
    lab.grpo(lab.callback(), max_steps=3, num_iterations=2).train()
    head, *rows = lab.table()
    at = head.index("reward_mean")

    assert [row[at] for row in rows] == [_cell(event) for event in lab.events()]
    assert [bool(row[at]) for row in rows] == [True, False, True, False]


def _cell(event: Event) -> str:
    return str(event.metrics.get("reward_mean", ""))


def test_train_runtime_does_not_make_a_log_final(lab: Lab) -> None:
    """With `include_num_input_tokens_seen="all"` each log has `train_runtime`; only the last is final."""
    trainer = lab.sft(lab.callback(), include_num_input_tokens_seen="all", eval_strategy="steps", eval_steps=2)
    trainer.train()
    events = lab.events()

    assert [(event.phase, event.step) for event in events] == [
        ("train", 1),
        ("train", 2),
        ("eval", 2),
        ("train", 3),
        ("train", 4),
        ("eval", 4),
        ("final", 4),
    ]
    assert ["train_runtime" in event.metrics for event in events] == [True, True, False, True, True, False, True]
    assert [type(event.metrics["num_input_tokens_seen"]) for event in events] == [int] * 7
    assert events[-1].notes == []
