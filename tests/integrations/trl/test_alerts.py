"""Real trainings that go wrong: each is caught while it trains, and stopped where that is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

pytest.importorskip("trl")

from tests.alerts.web import server
from tests.integrations.trl.conftest import run_module
from tests.integrations.trl.trainings import Lab, letters, said

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.alerts import Alert
    from tests.integrations.trl.trainings import Tiny

pytestmark = pytest.mark.trl

SETTINGS: Final = {
    "max_steps": 60,
    "beta": 0.05,
    "max_completion_length": 6,
    # Answers end, as those of a model do that has learnt to; else the truncation would be found first.
    "generation_kwargs": {"forced_eos_token_id": 1},
}


class Told:
    """Keeps what is told of alerts."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def __call__(self, alert: Alert, run_id: str) -> None:
        """Keep it."""
        assert run_id == "run"
        self.alerts.append(alert)

    def critical(self) -> list[tuple[str, str | None, int]]:
        """What is critical: the rule, the metric, and since when."""
        return [(each.rule, each.metric, each.first_step) for each in self.alerts if each.severity == "critical"]


class Reward:
    """A reward function that tells answers apart for some batches, and then gives every answer the same.

    Args:
        batches: how many.
        then: what it gives afterwards.
    """

    __name__ = "reward"

    def __init__(self, batches: int, then: float) -> None:
        self._batches = batches
        self._then = then

    def __call__(self, completions: list[str], **_: Any) -> list[float]:
        """The rewards of a batch."""
        self._batches -= 1
        return letters(completions) if self._batches >= 0 else [self._then] * len(completions)


DOOMED: Final[dict[str, tuple[dict[str, Any], set[tuple[str, str | None]], int]]] = {
    "constant reward": (
        {"reward": Reward(8, 0.25)},
        {("zero_signal_groups", "frac_zero_std_groups"), ("reward_constant", "reward_mean")},
        9,
    ),
    "reward that is NaN": ({"reward": Reward(4, float("nan"))}, {("null_values", "reward_mean")}, 5),
    "absurd learning rate": ({"learning_rate": 1.0}, {("zero_signal_groups", "frac_zero_std_groups")}, 2),
}
"""Trainings that are lost, what is found of each, and since which step it is so at the earliest."""


@pytest.mark.parametrize("name", DOOMED)
def test_a_training_that_is_lost_is_stopped_with_a_checkpoint(lab: Lab, name: str) -> None:
    """It is caught while it trains, saved and stopped long before its end; log and report say by which rule."""
    settings, findings, since = DOOMED[name]
    told = Told()
    callback = lab.callback(on_alert=[told], on_critical="save_and_stop")
    trainer = lab.grpo(callback, **SETTINGS | settings)
    trainer.train()
    step = trainer.state.global_step
    final, manifest = lab.derived("final_report"), lab.derived("manifest")
    rule, metric, first_step = told.critical()[0]

    assert callback.errors == 0
    assert (rule, metric) in findings
    assert since <= first_step <= step <= 30
    assert sorted(path.name for path in (lab.folder / "trainer").glob("checkpoint-*")) == [f"checkpoint-{step}"]
    assert [event.step for event in lab.events() if event.phase == "train"] == [*range(1, step + 1)]
    assert (final["outcome"], final["health"]) == ("stopped_by_rule", "bad")
    assert final["outcome_detail"].startswith(f"{rule} at step {step}: ")
    assert manifest["attempts"][0]["outcome"] == "stopped_by_rule"
    assert (rule, metric) in {(each["rule"], each["metric"]) for each in lab.derived("alerts")["alerts"]}


def test_without_more_a_training_is_warned_of_and_goes_on(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is saved and nothing stopped; each critical finding is logged, with what to do, when it begins."""
    trainer = lab.grpo(lab.callback(), reward=Reward(8, 0.25), **SETTINGS | {"max_steps": 20})
    trainer.train()
    final = lab.derived("final_report")
    logged = [message for message in said(caplog) if message.startswith("run: CRITICAL zero_signal_groups at step ")]

    assert trainer.state.global_step == 20
    assert not list((lab.folder / "trainer").glob("checkpoint-*"))
    assert (final["outcome"], final["health"]) == ("completed", "bad")
    assert len(logged) == 1


def test_a_training_that_crashes_was_warned_of_before(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """A learning rate that breaks the model at once: the alert stands in the log before the trainer gives up."""
    told = Told()
    trainer = lab.grpo(lab.callback(on_alert=[told]), learning_rate=10.0, **SETTINGS)

    with pytest.raises(RuntimeError, match="probability tensor contains"):
        trainer.train()
    assert ("non_finite", "grad_norm") in {(alert.rule, alert.metric) for alert in told.alerts}
    assert any("non_finite at step" in message for message in said(caplog))


def test_saving_alone_does_not_stop(lab: Lab) -> None:
    """One checkpoint for each rule, of the step at which it found something critical."""
    told = Told()
    trainer = lab.grpo(
        lab.callback(on_alert=[told], on_critical="save"), reward=Reward(8, 0.25), **SETTINGS | {"max_steps": 20}
    )
    trainer.train()
    fired = {alert.rule: alert.last_step for alert in reversed(told.alerts) if alert.severity == "critical"}

    assert trainer.state.global_step == 20
    assert {path.name for path in (lab.folder / "trainer").glob("checkpoint-*")} == {
        f"checkpoint-{step}" for step in fired.values()
    }


def test_a_rule_of_the_users_own_stops(lab: Lab) -> None:
    """A file with a rule that says stop, whatever its severity."""
    path = lab.folder / "rules.toml"
    path.write_text('[[rule]]\nname = "enough"\nwhen = "epoch > 0.1"\nseverity = "info"\naction = "stop"\n')
    trainer = lab.sft(lab.callback(rules=path), max_steps=8)
    trainer.train()

    assert trainer.state.global_step < 8
    assert lab.derived("final_report")["outcome_detail"].startswith("enough at step ")


def test_a_stop_at_the_last_step_is_a_completed_training(lab: Lab) -> None:
    """Nothing was cut short."""
    path = lab.folder / "rules.toml"
    path.write_text('[[rule]]\nname = "done"\nwhen = "epoch >= 0.5"\nseverity = "critical"\naction = "stop"\n')
    trainer = lab.sft(lab.callback(rules=path), max_steps=4)
    trainer.train()

    assert [alert["rule"] for alert in lab.derived("alerts")["alerts"] if alert["rule"] == "done"] == ["done"]
    assert lab.derived("final_report")["outcome"] == "completed"


def test_a_webhook_that_hangs_does_not_hold_up_the_training(lab: Lab) -> None:
    """The steps take as long as without it, and the end no longer than a few seconds."""
    from rldk.alerts.sinks import Webhook

    with server(delay=60) as web:
        webhook = Webhook(web.url)
        trainer = lab.grpo(
            lab.callback(on_alert=[webhook]), reward=Reward(2, float("nan")), **SETTINGS | {"max_steps": 6}
        )
        trainer.train()

    assert trainer.state.global_step == 6
    assert trainer.state.log_history[-1]["train_runtime"] < 20
    assert webhook.lost > 0


@pytest.fixture(scope="module")
def together(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left behind that were to stop; see `stopped_ranks.py`."""
    folder = tmp_path_factory.mktemp("together")
    torchrun = ["--standalone", "--nproc_per_node", "2", "-m", "tests.integrations.trl.stopped_ranks"]
    run_module("torch.distributed.run", *torchrun, folder, tiny.path)
    return folder


def test_all_processes_stop_after_the_same_step(together: Path, tiny: Tiny) -> None:
    """What the main process wants, both do one log later, and save the checkpoint together."""
    lab = Lab(tiny, together / "all")
    steps = [(lab.folder / f"rank{rank}").read_text() for rank in (0, 1)]

    assert steps == ["4 0", "4 0"]
    assert [path.name for path in (lab.folder / "trainer").glob("checkpoint-*")] == ["checkpoint-4"]
    assert lab.derived("final_report")["outcome"] == "stopped_by_rule"


def test_a_process_alone_does_not_stop(together: Path, tiny: Tiny) -> None:
    """Where only the main process has the callback it would leave the other waiting, so both train to the end."""
    lab = Lab(tiny, together / "one")

    assert [(lab.folder / f"rank{rank}").read_text() for rank in (0, 1)] == ["6 0", "6 0"]
    assert lab.derived("final_report")["outcome"] == "completed"
