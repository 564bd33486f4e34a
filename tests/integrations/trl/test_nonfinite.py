"""NaN, infinity and None: kept as what they are, and a loss that hides one is noted."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("trl")

from transformers import Trainer
from trl import GRPOTrainer, SFTTrainer

from rldk.io.validator import validate_jsonl_file

if TYPE_CHECKING:
    from rldk.io.event_schema import Event
    from tests.integrations.trl.trainings import Lab

pytestmark = pytest.mark.trl

HIDDEN = "loss_filtered: loss is exactly 0.0, which logging_nan_inf_filter makes of a NaN or infinite loss"
BESIDE_NAN = (
    "loss_filtered: loss 0 beside grad_norm nan is not to be trusted, "
    "logging_nan_inf_filter leaves NaN and infinite losses out"
)


class NanGradient(SFTTrainer):
    """In step 3 loss and gradients are NaN, and the weights are ruined."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """Compute it, and spoil it."""
        loss = super().compute_loss(*args, **kwargs)
        return loss * math.nan if self.state.global_step == 2 else loss


class BadLoss(SFTTrainer):
    """In step 3 the loss is NaN and in step 5 infinite, for the log only: the gradients are fine."""

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Train, and spoil the loss."""
        loss = super().training_step(*args, **kwargs)
        return {2: loss * math.nan, 4: loss * math.inf}.get(self.state.global_step, loss)


def _train_events(lab: Lab) -> list[Event]:
    return [event for event in lab.events() if event.phase == "train"]


def _shown(event: Event, *names: str) -> list[str]:
    return [f"{event.metrics[name]:.3g}" for name in names]


def test_nan_gradients_behind_the_filter(lab: Lab) -> None:
    """The filter shows NaN losses as 0.0, also when the weights are ruined; a note says so as long as it lasts."""
    lab.sft(lab.callback(), trainer=NanGradient, max_steps=5).train()
    events = _train_events(lab)

    assert [_shown(event, "loss", "grad_norm", "entropy_mean") for event in events[2:]] == [
        ["0", "nan", "5.76"],
        ["0", "nan", "nan"],
        ["0", "nan", "nan"],
    ]
    assert [event.notes for event in events] == [[], [], [BESIDE_NAN], [BESIDE_NAN], [BESIDE_NAN]]


def test_nan_is_kept_in_the_log(lab: Lab) -> None:
    """On the line NaN is null, spelled out in `nonfinite`; the line is strict JSON, and the report counts them."""
    lab.sft(lab.callback(), trainer=NanGradient, max_steps=3).train()
    path = lab.logs / "run_events.jsonl"
    line = path.read_bytes().splitlines()[2]
    record = json.loads(line, parse_constant=lambda name: pytest.fail(f"bare {name}"))
    report = lab.derived("final_report")

    assert (record["metrics"]["grad_norm"], record["nonfinite"]) == (None, {"grad_norm": "NaN"})
    assert validate_jsonl_file(path, strict=True).problems == []
    assert report["health"] == "bad"
    assert ("non_finite", "critical") in {(alert["rule"], alert["severity"]) for alert in report["alerts"]}
    assert report["data_quality"]["nonfinite"] == {"grad_norm": 1}
    assert report["data_quality"]["notes"] == {"loss_filtered": 1}
    assert [row[lab.table()[0].index("grad_norm")] for row in lab.table()[3:4]] == ["NaN"]


def test_nan_gradients_without_the_filter(lab: Lab) -> None:
    """With the filter off the NaN of the loss itself is logged and kept, and there is nothing to note."""
    lab.sft(lab.callback(), trainer=NanGradient, max_steps=4, logging_nan_inf_filter=False).train()
    events = lab.events()

    assert [_shown(event, "loss", "grad_norm") for event in events[2:4]] == [["nan", "nan"], ["nan", "nan"]]
    assert [event.notes for event in events] == [[]] * 5
    assert math.isnan(events[-1].metrics["train_loss"] or 0.0)


def test_a_bad_loss_alone_behind_the_filter(lab: Lab) -> None:
    """When only the loss is NaN or infinite, nothing but its being exactly 0.0 tells of it: noted."""
    lab.sft(lab.callback(), trainer=BadLoss, max_steps=6).train()
    events = _train_events(lab)

    assert [event.metrics["loss"] == 0.0 for event in events] == [False, False, True, False, True, False]
    assert [math.isfinite(event.metrics["grad_norm"] or 0.0) for event in events] == [True] * 6
    assert [event.notes for event in events] == [[], [], [HIDDEN], [], [HIDDEN], []]


def test_a_bad_loss_alone_without_the_filter(lab: Lab) -> None:
    """With the filter off a NaN loss stays NaN for all later steps, as transformers sums it up: kept as logged."""
    trainer = lab.sft(lab.callback(), trainer=BadLoss, max_steps=6, logging_nan_inf_filter=False)
    trainer.train()
    losses = [event.metrics["loss"] for event in _train_events(lab)]

    assert [math.isnan(loss or 0.0) for loss in losses] == [False, False, True, True, True, True]
    assert losses[:2] == [row["loss"] for row in trainer.state.log_history[:2]]


def test_a_bad_loss_within_a_window(lab: Lab) -> None:
    """In a window of 2 the filter shows half the loss, which nothing can tell; the manifest tells of the filter."""
    lab.sft(lab.callback(run_id="good"), max_steps=6, logging_steps=2).train()
    lab.sft(lab.callback(run_id="bad"), trainer=BadLoss, max_steps=6, logging_steps=2).train()
    good, bad = lab.events("good")[:3], lab.events("bad")[:3]
    ratios = [
        (one.metrics["loss"] or 0.0) / (other.metrics["loss"] or 1.0) for one, other in zip(bad, good, strict=True)
    ]
    facts = lab.derived("manifest", "bad")["attempts"][0]["facts"]

    assert ratios == [1.0, pytest.approx(0.5, abs=0.02), pytest.approx(0.5, abs=0.02)]
    assert [event.notes for event in bad] == [[], [], []]
    assert (facts["logging_nan_inf_filter"], facts["logging_steps"]) == (True, 2)


class NothingButNan(BadLoss):
    """The loss is NaN from step 3 on, for the log only."""

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Train, and spoil the loss."""
        loss = SFTTrainer.training_step(self, *args, **kwargs)
        return loss * math.nan if self.state.global_step >= 2 else loss


def test_a_window_of_nothing_but_nan(lab: Lab) -> None:
    """A window in which every loss was NaN is shown as 0.0, too, and noted."""
    lab.sft(lab.callback(), trainer=NothingButNan, max_steps=4, logging_steps=2).train()

    assert [(event.metrics["loss"] == 0.0, event.notes) for event in _train_events(lab)] == [
        (False, []),
        (True, [HIDDEN]),
    ]


@pytest.mark.parametrize("filtered", [True, False])
def test_the_filter_is_in_the_manifest(lab: Lab, *, filtered: bool) -> None:
    """The manifest says whether NaN losses are filtered out."""
    lab.sft(lab.callback(), max_steps=1, logging_nan_inf_filter=filtered).train()

    assert lab.derived("manifest")["attempts"][0]["facts"] == {
        "logging_nan_inf_filter": filtered,
        "logging_steps": 1,
        "logging_first_step": False,
        "loss_type": "nll",
    }


class ZeroLoss(Trainer):
    """The loss is exactly 0.0, for the log only."""

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Train, and take the loss away."""
        return super().training_step(*args, **kwargs) * 0.0


class ZeroLossSFT(ZeroLoss, SFTTrainer):
    """In SFT, where this is never so."""


class ZeroLossGRPO(ZeroLoss, GRPOTrainer):
    """In GRPO, where it may be."""


def test_a_loss_of_zero_without_the_filter(lab: Lab) -> None:
    """With the filter off a loss of exactly 0.0 is what it says, and needs no note."""
    lab.sft(lab.callback(), trainer=ZeroLossSFT, max_steps=1, logging_nan_inf_filter=False).train()

    assert [(event.metrics["loss"], event.notes) for event in _train_events(lab)] == [(0.0, [])]


def test_no_reward_at_all(lab: Lab) -> None:
    """When a reward function says None for every completion, GRPO logs None: null, valid, and neither 0 nor NaN."""
    lab.grpo(lab.callback(), reward=_none, max_steps=2).train()
    path = lab.logs / "run_events.jsonl"
    events, first = _train_events(lab), json.loads(path.read_bytes().splitlines()[0])
    names = ("reward_mean", "reward_std", "reward_component/_none", "reward_component_std/_none")

    assert [[event.metrics[name] for name in names] for event in events] == [[None] * 4] * 2
    assert "nonfinite" not in first
    assert validate_jsonl_file(path, strict=True).problems == []
    assert lab.derived("final_report")["data_quality"]["null"] == dict.fromkeys(sorted(names), 2)


def _none(completions: list[str], **_: Any) -> list[float | None]:
    return [None] * len(completions)


def test_an_infinite_reward(lab: Lab) -> None:
    """An infinite reward is kept as infinite."""
    lab.grpo(lab.callback(), reward=_infinite, max_steps=1).train()
    record = json.loads((lab.logs / "run_events.jsonl").read_bytes().splitlines()[0])
    (event,) = _train_events(lab)

    assert (event.metrics["reward_mean"], event.metrics["reward_component/_infinite"]) == (math.inf, math.inf)
    assert (record["metrics"]["reward_mean"], record["nonfinite"]["reward_mean"]) == (None, "Infinity")


def _infinite(completions: list[str], **_: Any) -> list[float]:
    return [math.inf, *[1.0] * (len(completions) - 1)]


def test_a_loss_of_zero_is_healthy_in_grpo(lab: Lab) -> None:
    """GRPO's loss is about 0.0 by construction, beside a gradient that is not, and needs no note."""
    lab.grpo(lab.callback(), trainer=ZeroLossGRPO, max_steps=2).train()
    events = _train_events(lab)

    assert [(event.metrics["loss"], event.notes) for event in events] == [(0.0, []), (0.0, [])]
    assert [event.metrics["grad_norm"] != 0.0 for event in events] == [True, True]
