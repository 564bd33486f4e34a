"""Making out what a log is, on plain dicts; no trainer is needed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

import pytest

from rldk.adapters.trl_logs import Entry, LogReader, Made, counter_note, leftovers, loss_note, read_entry
from rldk.metrics import Translator

GOLDEN: Final = Path(__file__).parents[1] / "golden" / "trl"
PPO: Final = {
    "epoch": "epoch",
    "loss/policy_avg": "policy_loss",
    "loss/value_avg": "value_loss",
    "lr": "lr",
    "objective/rlhf_reward": "reward_shaped_mean",
    "objective/scores": "reward_mean",
    "policy/approxkl_avg": "kl_old",
    "policy/clipfrac_avg": "clip_frac",
    "policy/entropy_avg": "entropy_mean",
    "val/clipfrac_avg": "value_clip_frac",
    "val/ratio": "ratio_mean",
}
"""What the keys of PPO are named; `objective/kl` and `objective/entropy` are sums over sequences and stay."""

SPEED: Final = {"runtime": 1.0, "samples_per_second": 2.0, "steps_per_second": 3.0}


def _timed(prefix: str, **others: float) -> dict[str, float]:
    return {f"{prefix}_{name}": value for name, value in SPEED.items()} | others


@pytest.mark.parametrize(
    ("logs", "entry"),
    [
        ({"loss": 1.0, "epoch": 0.1}, Entry("train", None, {"loss": 1.0, "epoch": 0.1})),
        ({"mine": 1.0}, Entry("train", None, {"mine": 1.0})),
        ({"epoch": 0.1}, Entry("train", None, {"epoch": 0.1})),
        ({5: 1.0}, Entry("train", None, {5: 1.0})),
        (
            {"loss": 1.0, "train_runtime": 9.0, "train_tokens_per_second": 8.0, "num_input_tokens_seen": 7},
            Entry(
                "train",
                None,
                {"loss": 1.0, "train_runtime": 9.0, "train_tokens_per_second": 8.0, "num_input_tokens_seen": 7},
            ),
        ),
        (_timed("train", train_loss=1.0), Entry("final", None, _timed("train", train_loss=1.0))),
        (
            _timed("train", train_loss=1.0, reward=2.0),
            Entry("final", None, _timed("train", train_loss=1.0, reward=2.0)),
        ),
        (_timed("eval", eval_loss=1.0, epoch=0.5), Entry("eval", None, {**SPEED, "loss": 1.0, "epoch": 0.5})),
        (
            _timed("eval_math", eval_math_loss=1.0, eval_entropy=2.0),
            Entry("eval", "math", {**SPEED, "loss": 1.0, "entropy": 2.0}),
        ),
        (
            _timed("test", test_loss=1.0, eval_entropy=2.0),
            Entry("eval", "test", {**SPEED, "loss": 1.0, "entropy": 2.0}),
        ),
        (
            _timed("test_math", test_math_loss=1.0, eval_entropy=2.0),
            Entry("eval", "test_math", {**SPEED, "loss": 1.0, "entropy": 2.0}),
        ),
        (
            _timed("eval_math", eval_math_reward=1.0, eval_reward=2.0),
            Entry("eval", "math", {**SPEED, "reward": 1.0, "eval_reward": 2.0}),
        ),
        ({"eval_accuracy": 1.0, "epoch": 0.5}, Entry("eval", None, {"accuracy": 1.0, "epoch": 0.5})),
        ({"eval/accuracy": 1.0}, Entry("eval", None, {"accuracy": 1.0})),
        ({"eval_accuracy": 1.0, "loss": 2.0}, Entry("train", None, {"eval_accuracy": 1.0, "loss": 2.0})),
        ({"my_runtime": 1.0}, Entry("train", None, {"my_runtime": 1.0})),
    ],
    ids=[
        "a step",
        "a log of a user",
        "only the epoch",
        "a name that is no text",
        "a step that counts tokens",
        "the summary",
        "the summary with leftovers",
        "an evaluation",
        "an evaluation of a set",
        "another prefix",
        "another prefix and a set",
        "two keys of one name",
        "an evaluation of a user",
        "an evaluation of a user with slash",
        "a step with one of its keys named eval",
        "a runtime of a user",
    ],
)
def test_what_a_log_is(logs: dict[Any, Any], entry: Entry) -> None:
    """Phase, evaluation set and metrics of every kind of log there is."""
    assert read_entry(logs) == entry


def test_reading_changes_nothing() -> None:
    """The trainer's dict is not touched, and the metrics are a copy of it."""
    logs = _timed("eval", eval_loss=1.0)
    kept = dict(logs)
    read_entry(logs).metrics.clear()

    assert logs == kept


def test_leftovers_are_what_no_summary_has() -> None:
    """What the summary itself consists of is no leftover, in whichever order it comes."""
    summary = {
        **_timed("train", train_loss=1.0),
        "total_flos": 0.0,
        "epoch": 1.0,
        "num_input_tokens_seen": 3,
        "train_tokens_per_second": 4.0,
    }

    assert leftovers(summary) == []
    assert leftovers({"reward": 1.0, **summary, "entropy": 2.0}) == ["reward", "entropy"]


EXACTLY_ZERO: Final = "loss_filtered: loss is exactly 0.0, which logging_nan_inf_filter makes of a NaN or infinite loss"


def _beside(loss: str, name: str, value: str) -> str:
    return (
        f"loss_filtered: loss {loss} beside {name} {value} is not to be trusted, "
        "logging_nan_inf_filter leaves NaN and infinite losses out"
    )


@pytest.mark.parametrize(
    ("logs", "zero_is_healthy", "note"),
    [
        ({"loss": 1.0, "grad_norm": 1.0}, False, None),
        ({"grad_norm": math.nan}, False, None),
        ({"loss": math.nan, "grad_norm": math.nan}, False, None),
        ({"loss": None, "grad_norm": math.nan}, False, None),
        ({"loss": "0.0", "grad_norm": math.nan}, False, None),
        ({"loss": 0.0, "grad_norm": math.nan}, False, _beside("0", "grad_norm", "nan")),
        ({"loss": 1.25, "grad_norm": math.inf}, False, _beside("1.25", "grad_norm", "inf")),
        ({"loss": 0.0, "grad_norm": 1.0, "entropy": math.nan}, False, _beside("0", "entropy", "nan")),
        ({"loss": 0.0, "grad_norm": math.nan}, True, _beside("0", "grad_norm", "nan")),
        ({"loss": 0.0, "grad_norm": 1.0}, False, EXACTLY_ZERO),
        ({"loss": 0.0, "grad_norm": 1.0}, True, None),
        ({"loss": 0.0, "grad_norm": 0.0}, False, None),
        ({"loss": 0.0}, False, None),
    ],
)
def test_what_is_said_of_a_loss(logs: dict[str, Any], *, zero_is_healthy: bool, note: str | None) -> None:
    """A loss is doubted when gradient or entropy is not finite, or when it is 0.0 though there is a gradient."""
    assert loss_note(logs, zero_is_healthy=zero_is_healthy) == note


@pytest.mark.parametrize(
    ("before", "now", "note"),
    [
        (None, 10.0, None),
        (10.0, None, None),
        (10.0, 10.0, None),
        (10.0, 20.0, None),
        (
            163.0,
            22.0,
            "counter_reset: num_tokens went from 163 to 22, this trainer begins it anew on resume",
        ),
    ],
)
def test_what_is_said_of_a_counter(before: float | None, now: float | None, note: str | None) -> None:
    """Only a count that goes back is worth a note."""
    assert counter_note(before, now) == note


def _ppo() -> list[dict[str, Any]]:
    history = json.loads((GOLDEN / "ppo_trl1.12.0.trainer_state.json").read_text())["log_history"]
    return [{key: value for key, value in row.items() if key != "step"} for row in history]


def test_ppo_logs_steps_only() -> None:
    """A run of PPO, as TRL 1.12 logged it, is six steps and no summary; nothing is taken out of them."""
    assert [read_entry(row) for row in _ppo()] == [Entry("train", None, row) for row in _ppo()]


def test_the_names_of_ppo() -> None:
    """PPO's keys are given the names of what they mean; all others, the integers among them, stay as they are."""
    translator = Translator("trl", "ppo")
    rows = _ppo()

    assert [translator.translate(row) for row in rows] == [
        {PPO.get(key, key): value for key, value in row.items()} for row in rows
    ]
    assert {native: source.canonical for native, source in translator.applied.items()} == PPO
    assert [type(rows[0][name]) for name in ("episode", "eps", "val/num_eos_tokens")] == [int, int, int]
    assert {"objective/kl", "objective/entropy"} <= translator.translate(rows[0]).keys()


def test_a_log_of_ppo_has_a_rate_to_know_its_window_by() -> None:
    """PPO logs neither `loss` nor `learning_rate`, but `lr`."""
    assert [{"loss", "learning_rate", "lr"} & row.keys() for row in _ppo()] == [{"lr"}] * 6


def test_one_log_after_the_other() -> None:
    """What must be remembered between logs: the window, the count of tokens, and where an attempt began."""
    logs = LogReader(5, 100.0, zero_is_healthy=True)
    step = {"loss": 0.0, "grad_norm": 1.0, "learning_rate": 0.1, "num_tokens": 20.0}
    reset = "counter_reset: num_tokens went from 100 to 20, this trainer begins it anew on resume"
    summary = {"train_loss": 1.0, "reward": 2.0}

    assert logs.read(7, step) == Made("train", step, {"window": 2}, [reset])
    assert logs.read(7, {"mine": 1.0}) == Made("train", {"mine": 1.0}, {}, [])
    assert logs.read(7, _timed("eval_a")) == Made("eval", SPEED, {"eval_set": "a"}, [])
    assert logs.read(8, step) == Made("train", step, {"window": 1}, [])
    assert logs.read(9, summary) == Made(
        "final",
        summary,
        {},
        [
            "final_leftovers: reward are of step 9 and had no log of their own",
            "final_scope: the summary covers steps 6 to 9 only, after the resume",
        ],
    )


@pytest.mark.parametrize(("filtering", "notes"), [(True, [EXACTLY_ZERO]), (False, [])])
def test_without_the_filter_a_loss_is_what_it_says(*, filtering: bool, notes: list[str]) -> None:
    """A loss of 0.0 is doubted only where the filter may have made it."""
    assert LogReader(filtering=filtering).read(1, {"loss": 0.0, "grad_norm": 1.0}).notes == notes
