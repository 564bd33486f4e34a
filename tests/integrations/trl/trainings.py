"""Real trainings of a tiny model, for the tests of the callback and for the processes they start."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    RLOOConfig,
    RLOOTrainer,
    SFTConfig,
    SFTTrainer,
)

from rldk.integrations.trl import RLDKCallback
from rldk.integrations.trl.demo import PROMPTS, tiny_model, tiny_tokenizer
from rldk.io.reader import read_events
from rldk.io.segments import log_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transformers import TrainerControl, TrainerState

    from rldk.io.event_schema import Event

KINDS: Final = ("sft", "dpo", "grpo", "rloo", "kto", "reward", "onlinedpo", "transformers")
"""The trainers that can be built, by the name RLDK gives their algorithm, plain transformers being the last."""

_SETTINGS: Final = {
    "report_to": "none",
    "use_cpu": True,
    "bf16": False,
    "logging_steps": 1,
    "save_strategy": "no",
    "disable_tqdm": True,
    "seed": 0,
    "learning_rate": 1e-3,
    "max_steps": 4,
}
_TEXTS: Final = [{"text": text} for text in PROMPTS * 4]
_PROMPTS: Final = [{"prompt": text} for text in PROMPTS * 4]
_PAIRS: Final = [{"prompt": text, "chosen": "sat on the mat", "rejected": "ran"} for text in PROMPTS * 4]
_JUDGED: Final = [{"prompt": text, "completion": "ran", "label": i % 2 == 0} for i, text in enumerate(PROMPTS * 4)]


class Tiny(NamedTuple):
    """Where the tiny model and its tokenizer are saved."""

    path: str


def save_tiny(folder: Path) -> Tiny:
    """Make the tiny model."""
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(folder)
    tiny_model(tokenizer).save_pretrained(folder)
    return Tiny(str(folder))


def letters(completions: list[str], **_: Any) -> list[float]:
    """A reward that tells completions apart: how long they are."""
    return [len(text) / 10 for text in completions]


class Seen(TrainerCallback):
    """Keeps what each `on_log` was given, and at which step."""

    def __init__(self) -> None:
        self.logs: list[tuple[int, dict[str, Any]]] = []

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep a copy."""
        self.logs.append((state.global_step, dict(logs or {})))


class AtStep(TrainerCallback):
    """Does something at the end of one step, before it is logged."""

    def __init__(self, step: int, what: Callable[[], object]) -> None:
        self._step = step
        self._what = what

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Do it, when it is the step."""
        if state.global_step == self._step:
            self._what()


class BeforeStep(AtStep):
    """Does something after one step was logged, before the next begins."""

    on_step_begin = AtStep.on_step_end

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Do nothing."""


class Lab:
    """Builds trainers of the tiny model in one folder, and reads what was recorded there.

    Args:
        tiny: the model.
        folder: the folder; logs go to `logs` in it, what the trainer itself saves to `trainer`.
    """

    def __init__(self, tiny: Tiny, folder: Path) -> None:
        self.tiny = tiny
        self.folder = folder
        self.logs = folder / "logs"

    def callback(self, **options: Any) -> RLDKCallback:
        """A callback that records here, as the run `run` unless told otherwise."""
        return RLDKCallback(self.logs, **{"run_id": "run", **options})

    def trainer(self, kind: str, *callbacks: TrainerCallback, **settings: Any) -> Any:
        """A trainer of one of `KINDS`."""
        builders = {"sft": self.sft, "grpo": self.grpo, "transformers": self.plain}
        return builders.get(kind, self._other(kind))(*callbacks, **settings)

    def sft(
        self,
        *callbacks: TrainerCallback,
        trainer: type[SFTTrainer] = SFTTrainer,
        config: type[SFTConfig] = SFTConfig,
        eval_dataset: Any = None,
        **settings: Any,
    ) -> SFTTrainer:
        """A trainer that is fast, and has the filter for losses that are NaN."""
        settings = {"per_device_train_batch_size": 4, "max_length": 16, **settings}
        return trainer(
            model=AutoModelForCausalLM.from_pretrained(self.tiny.path),
            args=config(**self._settings(settings)),
            train_dataset=Dataset.from_list(_TEXTS),
            eval_dataset=eval_dataset or self.eval_dataset("sft"),
            processing_class=self._tokenizer(),
            callbacks=list(callbacks),
        )

    def grpo(
        self,
        *callbacks: TrainerCallback,
        trainer: type[GRPOTrainer] = GRPOTrainer,
        reward: Any = letters,
        **settings: Any,
    ) -> GRPOTrainer:
        """A trainer that generates."""
        return trainer(
            model=AutoModelForCausalLM.from_pretrained(self.tiny.path),
            reward_funcs=reward,
            args=GRPOConfig(**self._settings(_GENERATION | settings)),
            train_dataset=Dataset.from_list(_PROMPTS),
            eval_dataset=self.eval_dataset("grpo"),
            processing_class=self._tokenizer(),
            callbacks=list(callbacks),
        )

    def plain(self, *callbacks: TrainerCallback, model: Any = None, dataset: Any = None, **settings: Any) -> Trainer:
        """The Trainer of transformers itself."""
        ids = torch.tensor([5, 6, 7, 8])
        return Trainer(
            model=model or AutoModelForCausalLM.from_pretrained(self.tiny.path),
            args=TrainingArguments(**self._settings({"per_device_train_batch_size": 2, **settings})),
            train_dataset=dataset or [{"input_ids": ids, "labels": ids}] * 32,
            eval_dataset=[{"input_ids": ids, "labels": ids}] * 4,
            callbacks=list(callbacks),
        )

    def _other(self, kind: str) -> Callable[..., Any]:
        def build(*callbacks: TrainerCallback, **settings: Any) -> Any:
            trainer, config, model, rows, own = _others()[kind]
            extra = {"reward_funcs": letters} if kind in {"rloo", "onlinedpo"} else {}
            return trainer(
                model=model(self.tiny.path),
                args=config(**self._settings(own | settings)),
                train_dataset=Dataset.from_list(rows),
                eval_dataset=self.eval_dataset(kind),
                processing_class=self._tokenizer(),
                callbacks=list(callbacks),
                **extra,
            )

        return build

    @staticmethod
    def eval_dataset(kind: str) -> Dataset:
        """Four rows to evaluate a trainer of that kind on."""
        rows = {"sft": _TEXTS, "dpo": _PAIRS, "kto": _JUDGED, "reward": _PAIRS}.get(kind, _PROMPTS)
        return Dataset.from_list(rows[:4])

    def _settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {"output_dir": str(self.folder / "trainer"), **_SETTINGS, **settings}

    def _tokenizer(self) -> Any:
        return AutoTokenizer.from_pretrained(self.tiny.path)

    def events(self, run_id: str = "run", **options: Any) -> list[Event]:
        """What was recorded."""
        return list(read_events(log_path(self.logs, run_id), **options))

    def derived(self, name: str, run_id: str = "run") -> Any:
        """The content of one of the JSON files derived from a run."""
        return json.loads((self.logs / f"{run_id}_{name}.json").read_text())

    def table(self, run_id: str = "run") -> list[list[str]]:
        """The rows of `metrics.csv`, the head among them."""
        return [line.split(",") for line in (self.logs / f"{run_id}_metrics.csv").read_text().splitlines()]


_GENERATION: Final = {
    "per_device_train_batch_size": 4,
    "per_device_eval_batch_size": 4,
    "num_generations": 4,
    "max_completion_length": 4,
}


def _others() -> dict[str, tuple[Any, Any, Any, list[dict[str, Any]], dict[str, Any]]]:
    """For each trainer that is built the common way: its class, its arguments', its model, its data and settings."""
    from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

    causal, pairs = AutoModelForCausalLM.from_pretrained, {"per_device_train_batch_size": 2, "max_length": 32}
    online = {"per_device_train_batch_size": 2, "max_new_tokens": 4, "max_length": 64}
    return {
        "dpo": (DPOTrainer, DPOConfig, causal, _PAIRS, pairs),
        "kto": (KTOTrainer, KTOConfig, causal, _JUDGED, {**pairs, "per_device_train_batch_size": 4}),
        "onlinedpo": (OnlineDPOTrainer, OnlineDPOConfig, causal, _PROMPTS, online),
        "reward": (RewardTrainer, RewardConfig, _scorer, _PAIRS, pairs),
        "rloo": (RLOOTrainer, RLOOConfig, causal, _PROMPTS, _GENERATION),
    }


def _scorer(path: str) -> Any:
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_pretrained(path, num_labels=1)


def said(caplog: Any) -> list[str]:
    """The warnings of RLDK itself."""
    return [record.getMessage() for record in caplog.records if record.name.partition(".")[0] == "rldk"]
