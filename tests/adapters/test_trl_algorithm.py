"""Telling which trainer wrote a log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rldk.adapters.trl_algorithm import Trained, trained_by_files, trained_by_keys
from rldk.adapters.trl_logs import read_entry
from tests.shared import SHARED, needs_shared

if TYPE_CHECKING:
    from collections.abc import Iterable

PAIR = ["rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen"]


@pytest.mark.parametrize(
    ("keys", "framework", "algorithms"),
    [
        (["loss", "grad_norm", "learning_rate", "epoch"], "transformers", ()),
        (["reward", "loss"], "transformers", ()),
        (["reward", "reward_std", "completion_length", "kl"], "trl", ("grpo",)),
        (["reward", "reward_std", "rewards/length", "kl"], "trl", ("grpo",)),
        (["reward", "reward_std", "completions/mean_length", "rewards/length/mean"], "trl", ("grpo", "rloo")),
        (["reward", "reward_std", "completions/mean_length", "cispo_clip_ratio"], "trl", ("grpo",)),
        (["completions/mean_length", "completions/clipped_ratio", "entropy"], "trl", ("distillation",)),
        (PAIR, "trl", ("dpo", "cpo")),
        ([*PAIR, "mean_token_accuracy"], "trl", ("dpo",)),
        ([*PAIR, "log_odds_ratio", "nll_loss"], "trl", ("orpo",)),
        ([*PAIR, "odds_ratio_loss", "sft_loss"], "transformers", ()),
        ([*PAIR, "objective/scores", "objective/kl"], "trl", ("onlinedpo",)),
        (["rewards/chosen", "rewards/rejected", "kl"], "trl", ("kto",)),
        (["objective/rlhf_reward", "policy/approxkl_avg", "loss/policy_avg", "loss/value_avg"], "trl", ("ppo",)),
        (["objective/rlhf_reward", "policy/approxkl_avg", "loss/policy_avg"], "trl", ("rloo",)),
        (["mean_token_accuracy", "entropy"], "trl", ("sft",)),
        (["loss", "train_speed(iter/s)"], "ms_swift", ()),
        (["reward", "reward_std", "completions/mean_length", "global_step/max_steps"], "ms_swift", ("grpo", "rloo")),
    ],
)
def test_by_keys(keys: Iterable[str], framework: str, algorithms: tuple[str, ...]) -> None:
    """Keys tell the algorithm where one trainer alone logs them, or several where more do; others tell nothing."""
    trained = trained_by_keys(keys)

    assert (trained.framework, trained.algorithms) == (framework, algorithms)


def test_what_told_it() -> None:
    """It is said what told the algorithm, for a person to judge."""
    assert trained_by_keys(["mean_token_accuracy"]) == Trained("trl", ("sft",), "the keys mean_token_accuracy")
    assert trained_by_keys(["mean_token_accuracy"]).facts() == {
        "algorithm": "sft",
        "algorithm_told_by": "the keys mean_token_accuracy",
    }
    assert trained_by_keys(["loss"]).facts() == {}


@needs_shared
@pytest.mark.parametrize("name", ["sft", "dpo", "grpo", "rloo", "kto", "reward", "onlinedpo", "ppo_trl1.12.0"])
def test_by_the_keys_of_real_runs(name: str) -> None:
    """For every trainer of TRL 1.16 its own algorithm is among those that its keys leave."""
    rows = json.loads((SHARED / "trl" / "samples" / f"{name}.trainer_state.json").read_text())["log_history"]
    trained = trained_by_keys({key for row in rows for key in read_entry(row).metrics})

    assert name.partition("_")[0] in trained.algorithms


@pytest.mark.parametrize(
    ("tags", "algorithms"),
    [
        (["trl", "grpo", "generated_from_trainer"], ("grpo",)),
        (["reward-trainer", "trl", "lora"], ("reward",)),
        (["trl", "online-dpo"], ("onlinedpo",)),
        (["llama-factory", "lora"], None),
        (["dpo"], None),
        (["trl", "sft", "dpo"], None),
    ],
)
def test_by_the_model_card(tags: list[str], algorithms: tuple[str, ...] | None, tmp_path: Path) -> None:
    """TRL tags its model cards; tags that leave it open tell nothing, nor does what stands below the head."""
    lines = "".join(f"- {tag}\n" for tag in tags)
    (tmp_path / "README.md").write_text(f"---\nlibrary_name: transformers\ntags:\n{lines}---\n\n- kto\n")

    trained = trained_by_files(tmp_path / "none", tmp_path)
    assert (trained and trained.algorithms) == algorithms


@pytest.mark.parametrize(
    ("name", "algorithms"),
    [
        ("trl.trainer.grpo_config\nGRPOConfig", ("grpo",)),
        ("trl.experimental.online_dpo.online_dpo_config\nOnlineDPOConfig", ("onlinedpo",)),
        ("UnslothGRPOTrainer\nUnslothGRPOConfig", ("grpo",)),
        ("open_r1.configs\nGRPOConfig", ("grpo",)),
        ("transformers.training_args\nTrainingArguments", None),
        ("transformers.trainer_pt_utils\nAcceleratorConfig", None),
    ],
)
def test_by_the_arguments(name: str, algorithms: tuple[str, ...] | None, tmp_path: Path) -> None:
    """The class of the arguments, which a Trainer saves in every checkpoint, tells it; nothing is unpickled."""
    (tmp_path / "training_args.bin").write_bytes(b"PK\x03\x04data.pkl\x80\x02c" + name.encode() + b"\nq\x00)\x81q\x01")

    trained = trained_by_files(tmp_path)
    assert (trained and trained.algorithms) == algorithms


def test_nothing_beside(tmp_path: Path) -> None:
    """Where nothing lies beside, or a folder has that name, files tell nothing."""
    (tmp_path / "README.md").mkdir()

    assert trained_by_files(tmp_path, Path("/nowhere")) is None
