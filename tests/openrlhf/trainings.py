"""The commands of OpenRLHF, with flags for a tiny model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.openrlhf.machine import PROGRAMS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.openrlhf.machine import Tiny

__all__ = ["LAUNCHER", "dpo", "ppo", "rm", "sft", "tracked"]

LAUNCHER = ("-m", "rldk.integrations.openrlhf")


def sft(tiny: Tiny, folder: Path, *more: object) -> list[object]:
    """Eight updates of two micro-batches each, with an evaluation after every fourth."""
    data = ("--data.input_key", "input", "--data.output_key", "output", "--data.max_len", 64)
    return [
        "train_sft",
        *_supervised(tiny, folder, tiny.instructions),
        *data,
        "--eval.dataset",
        tiny.instructions,
        *more,
    ]


def rm(tiny: Tiny, folder: Path, *more: object) -> list[object]:
    """Eight updates of a reward model, with an evaluation after every fourth."""
    return ["train_rm", *_supervised(tiny, folder, tiny.pairs), *_PAIRS, "--eval.dataset", tiny.pairs, *more]


def dpo(tiny: Tiny, folder: Path, *more: object) -> list[object]:
    """Eight updates by DPO, with an evaluation after every fourth."""
    reference = ("--ref.model_name_or_path", tiny.model)
    return [
        "train_dpo",
        *_supervised(tiny, folder, tiny.pairs),
        *_PAIRS,
        *reference,
        "--eval.dataset",
        tiny.pairs,
        *more,
    ]


def ppo(tiny: Tiny, folder: Path, *more: object) -> list[object]:
    """Four steps on batches of eight prompts, with an evaluation after every second, and checkpoints."""
    return [
        "train_ppo_ray",
        *("--actor.model_name_or_path", tiny.model, "--reward.remote_url", PROGRAMS / "reward.py"),
        *("--data.prompt_dataset", tiny.prompts, "--data.input_key", "input", "--data.label_key", "label"),
        *("--eval.dataset", tiny.prompts, "--eval.steps", 2, "--eval.n_samples_per_prompt", 1),
        *("--data.max_len", 48, "--rollout.max_new_tokens", 12, "--rollout.n_samples_per_prompt", 2),
        *("--rollout.batch_size", 8, "--rollout.micro_batch_size", 4),
        *("--train.batch_size", 8, "--train.micro_batch_size", 4, "--train.num_episodes", 1),
        *("--vllm.num_engines", 1, "--vllm.tensor_parallel_size", 1, "--vllm.sync_backend", "gloo"),
        *("--actor.num_nodes", 1, "--actor.num_gpus_per_node", 1, "--ref.num_nodes", 1, "--ref.num_gpus_per_node", 1),
        *("--critic.num_nodes", 1, "--critic.num_gpus_per_node", 1),
        *("--algo.kl.init_coef", 0.01, "--actor.adam.lr", 1e-3, "--actor.entropy_coef", 0),
        *("--ckpt.save_steps", 2),
        *_common(folder),
        *more,
    ]


_PAIRS = (
    *("--data.prompt_key", "prompt", "--data.chosen_key", "chosen", "--data.rejected_key", "rejected"),
    *("--data.max_len", 64),
)


def tracked(folder: Path) -> tuple[object, ...]:
    """Have OpenRLHF write to TensorBoard; the working folder of a worker of Ray is another one."""
    return ("--logger.tensorboard_dir", folder / "tensorboard")


def _common(folder: Path) -> tuple[object, ...]:
    return (
        *("--ds.attn_implementation", "eager", "--ds.zero_stage", 2),
        *("--ckpt.output_dir", folder / "model", "--ckpt.path", folder / "checkpoints"),
        *("--logger.wandb.run_name", "run", "--logger.logging_steps", 2),
    )


def _supervised(tiny: Tiny, folder: Path, data: object) -> tuple[object, ...]:
    return (
        *("--model.model_name_or_path", tiny.model, "--data.dataset", data, "--eval.steps", 4, "--eval.split", "train"),
        *("--train.batch_size", 8, "--train.micro_batch_size", 4, "--train.max_epochs", 1, "--adam.lr", 1e-3),
        *_common(folder),
    )
