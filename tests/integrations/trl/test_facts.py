"""What arguments, model and optimizer say, on small stand-ins for them; no trainer is needed."""

from __future__ import annotations

import enum
import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from rldk.integrations.trl.facts import algorithm, attempt_facts, batch_facts, framework, model_facts
from rldk.io.manifest import Attempt


class TrainingArguments:
    """As in transformers."""


class BaseConfig(TrainingArguments):
    """As the one in TRL that is common to all, and is named with an underscore there."""

    __module__ = "trl.trainer.base_config"


BaseConfig.__name__ = "_BaseConfig"


class GRPOConfig(BaseConfig):
    """As in TRL."""

    __module__ = "trl.trainer.grpo_config"


class OnlineDPOConfig(BaseConfig):
    """As among the experiments of TRL."""

    __module__ = "trl.experimental.online_dpo.online_dpo_config"


class MyConfig(GRPOConfig):
    """As a user's own."""

    __module__ = "my_project"


class TrlConfig:
    """Of a package whose name merely begins with that of TRL."""

    __module__ = "trlx.config"


@pytest.mark.parametrize(
    ("kind", "framework_name", "algorithm_name"),
    [
        (GRPOConfig, "trl", "grpo"),
        (OnlineDPOConfig, "trl", "onlinedpo"),
        (MyConfig, "trl", "grpo"),
        (TrainingArguments, "transformers", "train"),
        (BaseConfig, "transformers", "train"),
        (TrlConfig, "transformers", "train"),
    ],
)
def test_the_algorithm_is_known_by_the_arguments(kind: type, framework_name: str, algorithm_name: str) -> None:
    """The class of the arguments, or the one of TRL it derives from, names the algorithm."""
    assert (framework(kind()), algorithm(kind())) == (framework_name, algorithm_name)


@pytest.mark.parametrize(
    ("args", "state", "facts"),
    [
        ({"train_batch_size": 4, "gradient_accumulation_steps": 2, "world_size": 3}, {}, {"batch_size": 24}),
        ({"train_batch_size": 4}, {"train_batch_size": 3}, {"batch_size": 3}),
        ({"train_batch_size": 4}, {"train_batch_size": None}, {"batch_size": 4}),
        ({"train_batch_size": 4, "max_length": 128}, {}, {"batch_size": 4, "sequence_length": 128}),
        ({"train_batch_size": 4, "max_length": None}, {}, {"batch_size": 4}),
        ({}, {}, {}),
    ],
    ids=["all ranks", "the batch size found", "none found", "a longest sequence", "no limit", "nothing known"],
)
def test_the_batch(args: dict[str, Any], state: dict[str, Any], facts: dict[str, Any]) -> None:
    """Samples per update are those of a process, times accumulation, times processes; what is not known is absent."""
    assert batch_facts(SimpleNamespace(**args), SimpleNamespace(**state)) == facts


class Scheduler(enum.Enum):
    """As transformers has it."""

    COSINE = "cosine"


class AdamW:
    """An optimizer."""


class Model:
    """A model that knows its name and size."""

    def __init__(self, name: str, parameters: int) -> None:
        self.config = SimpleNamespace(_name_or_path=name)
        self._parameters = parameters

    def num_parameters(self) -> int:
        """The size."""
        return self._parameters


ATTEMPT = Attempt(attempt=1, started="", git={"sha": "abc"}, versions={"trl": "1.16.0", "transformers": "5.23.0"})


def test_all_that_is_known_of_a_model() -> None:
    """Name, size, optimizer, scheduler, algorithm, framework and commit."""
    args = GRPOConfig()
    args.lr_scheduler_type = Scheduler.COSINE  # type: ignore[attr-defined]
    wrapped = SimpleNamespace(optimizer=AdamW())

    assert model_facts(ATTEMPT, args, Model("gpt2", 124), wrapped) == {
        "git_sha": "abc",
        "model_name": "gpt2",
        "model_size": 124,
        "optimizer": "AdamW",
        "scheduler": "cosine",
        "algorithm": "grpo",
        "framework": "trl",
        "framework_version": "1.16.0",
    }


def test_little_is_known_of_a_model() -> None:
    """No commit, a model without name, sharded so that it counts no parameters, and no optimizer yet: left out."""
    attempt = Attempt(attempt=1, started="")

    assert model_facts(attempt, TrainingArguments(), Model("", 0), None) == {
        "algorithm": "train",
        "framework": "transformers",
    }
    assert model_facts(attempt, TrainingArguments(), object(), AdamW()) == {
        "optimizer": "AdamW",
        "algorithm": "train",
        "framework": "transformers",
    }


def test_the_facts_of_an_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only arguments that a trainer has are noted; values that JSON cannot hold are noted as text."""
    args = GRPOConfig()
    args.seed, args.beta, args.loss_type = 3, float("inf"), "dapo"  # type: ignore[attr-defined]
    args.to_dict = lambda: {"seed": 3, "hub_token": "hf_x", "betas": (0.9, float("nan")), "peft": AdamW}  # type: ignore[attr-defined]
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    facts = attempt_facts(args, 7, 0.0)

    assert (facts.attempt, facts.started, facts.resumed_from, facts.outcome) == (
        0,
        "1970-01-01T00:00:00.000000Z",
        7,
        None,
    )
    assert facts.facts == {"beta": "inf", "loss_type": "dapo"}
    assert facts.trainer == {"seed": 3, "hub_token": "<redacted>", "betas": [0.9, "nan"], "peft": repr(AdamW)}
    assert facts.process["pid"] == os.getpid()
    assert facts.versions["python"] == sys.version.split()[0]
    assert (facts.seeds["seed"], facts.seeds["python_hash_seed"]) == (3, 1)
