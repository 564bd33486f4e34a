"""Every trainer: one event for each log, holding what the trainer logged."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

pytest.importorskip("trl")

from rldk.io.event_schema import Event
from rldk.io.validator import validate_jsonl_file
from tests.integrations.trl.trainings import KINDS, Lab, Seen

if TYPE_CHECKING:
    from transformers import Trainer

    from rldk.integrations.trl import RLDKCallback
    from tests.integrations.trl.trainings import Tiny

pytestmark = pytest.mark.trl

COMMON: Final = {"epoch": "epoch", "grad_norm": "grad_norm", "learning_rate": "lr", "loss": "loss"}
GROUP: Final = COMMON | {
    "clip_ratio/region_mean": "clip_frac",
    "completions/clipped_ratio": "truncation_rate",
    "completions/max_length": "response_len_max",
    "completions/mean_length": "response_len_mean",
    "completions/min_length": "response_len_min",
    "entropy": "entropy_mean",
    "frac_reward_zero_std": "frac_zero_std_groups",
    "kl": "kl_mean",
    "num_tokens": "tokens_total",
    "reward": "reward_mean",
    "reward_std": "reward_std",
    "rewards/letters/mean": "reward_component/letters",
    "rewards/letters/std": "reward_component_std/letters",
    "step_time": "step_time",
}
PAIRS: Final = {
    "rewards/chosen": "reward_chosen",
    "rewards/margins": "margin",
    "rewards/rejected": "reward_rejected",
}
NAMES: Final = {
    "transformers": COMMON,
    "sft": COMMON | {"entropy": "entropy_mean", "num_tokens": "tokens_total"},
    "grpo": GROUP,
    "rloo": GROUP,
    "dpo": COMMON | PAIRS | {"entropy": "entropy_mean", "num_tokens": "tokens_total", "rewards/accuracies": "accuracy"},
    "kto": COMMON | PAIRS | {"entropy": "entropy_mean", "num_tokens": "tokens_total"},
    "reward": COMMON | {"accuracy": "accuracy", "margin": "margin", "num_tokens": "tokens_total"},
    "onlinedpo": COMMON
    | PAIRS
    | {
        "objective/rlhf_reward": "reward_shaped_mean",
        "objective/scores": "reward_mean",
        "rewards/accuracies": "accuracy",
    },
}
"""For each trainer: the keys it logs whose meaning is known, and the names they are given."""

SUMMARY: Final = {
    "epoch",
    "total_flos",
    "train_loss",
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
}


class Run(NamedTuple):
    """A training of four steps, with evaluations after the second and the last where the trainer can evaluate."""

    kind: str
    lab: Lab
    callback: RLDKCallback
    events: list[Event]
    history: list[dict[str, Any]]
    seen: Seen
    evaluates: bool


@pytest.fixture(scope="module", params=KINDS)
def run(request: pytest.FixtureRequest, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One training with each trainer."""
    kind = request.param
    lab, seen, evaluates = Lab(tiny, tmp_path_factory.mktemp(kind)), Seen(), kind != "onlinedpo"
    callback = lab.callback()
    settings: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 2} if evaluates else {}
    if kind == "grpo":
        settings["beta"] = 0.1
    trainer = lab.trainer(kind, seen, callback, **settings)
    trainer.train()
    return Run(kind, lab, callback, lab.events(), trainer.state.log_history, seen, evaluates)


def test_each_log_is_one_event(run: Run) -> None:
    """Each log of a step, of an evaluation and of the end is one event, at the trainer's global step."""
    with_eval = [("train", 1), ("train", 2), ("eval", 2), ("train", 3), ("train", 4), ("eval", 4), ("final", 4)]

    assert [(event.phase, event.step) for event in run.events] == [
        each for each in with_eval if run.evaluates or each[0] != "eval"
    ]
    assert [event.step for event in run.events] == [row["step"] for row in run.history]


def test_the_step_is_not_in_the_logs(run: Run) -> None:
    """No trainer puts the step into its logs, so it can only have come from `global_step`."""
    assert [("step" in logs, "global_step" in logs) for _, logs in run.seen.logs] == [(False, False)] * len(run.events)
    assert [event.step for event in run.events] == [step for step, _ in run.seen.logs]


def test_events_hold_the_values_of_the_history(run: Run) -> None:
    """Under their new names the events hold exactly the values of `trainer.state.log_history`."""
    names = NAMES[run.kind]

    assert [event.metrics for event in run.events] == [_expected(row, names) for row in run.history]


def _expected(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    evaluated = any(key.startswith("eval_") for key in row)
    native = {key.removeprefix("eval_") if evaluated else key: value for key, value in row.items() if key != "step"}
    return {names.get(key, key): value for key, value in native.items()}


def test_no_key_is_renamed_without_need(run: Run) -> None:
    """The manifest tells of each renamed key, and only of those the trainer logged."""
    renamed = {native: source["canonical"] for native, source in run.lab.derived("manifest")["metrics"].items()}

    assert renamed == NAMES[run.kind]


def test_the_final_event_is_the_summary(run: Run) -> None:
    """The final log becomes the one event of phase final, without leftovers when each step was logged."""
    final = [event for event in run.events if event.phase == "final"]

    assert [(set(event.metrics), event.notes) for event in final] == [(SUMMARY, [])]


def test_the_log_is_strictly_valid(run: Run) -> None:
    """What was written is valid to the last byte, and its events follow each other as one writer's do."""
    report = validate_jsonl_file(run.lab.logs / "run_events.jsonl", strict=True)

    assert (report.valid, report.problems, report.lines) == (True, [], len(run.events))


def test_the_run_is_completed(run: Run) -> None:
    """At the end of training all derived files are there, and the report says so; the log is still open."""
    report = run.lab.derived("final_report")

    assert sorted(path.name for path in run.lab.logs.iterdir()) == [
        "run.lock",
        "run_alerts.json",
        "run_events.jsonl",
        "run_final_report.json",
        "run_manifest.json",
        "run_metrics.csv",
        "run_metrics.json",
    ]
    assert (report["outcome"], report["outcome_detail"], report["steps"]) == ("completed", "", [1, 4])
    assert len(run.lab.table()) == 1 + len(run.events)


def test_a_whole_event(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event of a step says all that is known of run, model, data and seeds, and nothing else."""
    monkeypatch.chdir(lab.folder)
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    trainer = lab.sft(lab.callback(), max_steps=1, seed=11)
    trainer.train()
    first, final = lab.events()
    loss, grad_norm, lr, entropy, accuracy, tokens, epoch = list(trainer.state.log_history[0].values())[:7]

    assert first == Event(
        step=1,
        wall_time=first.wall_time,
        timestamp=first.timestamp,
        seq=0,
        metrics={
            "loss": loss,
            "grad_norm": grad_norm,
            "lr": lr,
            "entropy_mean": entropy,
            "mean_token_accuracy": accuracy,
            "tokens_total": tokens,
            "epoch": epoch,
        },
        rng={"seed": 11, "python_hash_seed": 7, "torch_seed": 11, "numpy_seed": None, "random_seed": None},
        data_slice={"batch_size": 4, "sequence_length": 16, "window": 1},
        model_info={
            "run_id": "run",
            "model_name": lab.tiny.path,
            "model_size": 28960,
            "optimizer": "AdamW",
            "scheduler": "linear",
            "algorithm": "sft",
            "framework": "trl",
            "framework_version": version("trl"),
            "phase": "train",
            "schema": 1,
            "rank": 0,
            "world_size": 1,
            "attempt": 1,
        },
        notes=[],
    )
    assert final.model_info == first.model_info | {"phase": "final"}
    assert final.data_slice == {"batch_size": 4, "sequence_length": 16}


def test_recording_changes_nothing(lab: Lab) -> None:
    """A training that is recorded logs the same values, to the last bit, as one that is not."""
    histories = [_history(lab.grpo(*callbacks)) for callbacks in ([lab.callback()], [])]

    assert histories[0] == histories[1]


def _history(trainer: Trainer) -> list[dict[str, Any]]:
    clocks = {"train_runtime", "train_samples_per_second", "train_steps_per_second", "step_time"}
    trainer.train()
    return [{key: value for key, value in row.items() if key not in clocks} for row in trainer.state.log_history]
