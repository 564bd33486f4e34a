"""What a trainer of OpenRLHF, by its class and its arguments, says about a run."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rldk.integrations.provenance import git_state, parameters, process_facts, redacted, seeds, versions
from rldk.io.clock import timestamp
from rldk.io.manifest import Attempt

if TYPE_CHECKING:
    from rldk.io.event_schema import Primitive

__all__ = ["RunFacts", "run_facts"]

_SUPERVISED: Final = {
    "SFTTrainer": "sft",
    "RewardModelTrainer": "rm",
    "DPOTrainer": "dpo",
    "KTOTrainer": "kto",
    "KDTrainer": "kd",
    "ProcessRewardModelTrainer": "prm",
}
"""What each trainer without rollouts trains with, by the name of its class."""

_ESTIMATORS: Final = {"gae": "ppo", "group_norm": "grpo"}
"""Advantage estimators whose algorithm has another name."""

_PACKAGES: Final = ("rldk", "openrlhf", "ray", "deepspeed", "torch", "transformers", "vllm", "flash_attn", "datasets")

# Each setting by the names of its flag, that of today first: to OpenRLHF 0.10.1 the flags had no dots.
_ESTIMATOR: Final = ("algo.advantage.estimator", "advantage_estimator")
_CHECKPOINTS: Final = ("ckpt.path", "ckpt_path")
_RESUME: Final = ("ckpt.load_enable", "load_checkpoint")
_SEED: Final = ("train.seed", "seed")
_MODEL_INFO: Final = {
    "model_name": ("actor.model_name_or_path", "model.model_name_or_path", "pretrain"),
    "optimizer": ("actor.optim", "optim"),
    "scheduler": ("actor.lr_scheduler", "lr_scheduler"),
}
_DATA_SLICE: Final = {
    "batch_size": ("train.batch_size", "train_batch_size"),
    "sequence_length": ("data.max_len", "max_len"),
    "dataset_name": ("data.prompt_dataset", "data.dataset", "prompt_data", "dataset"),
}
_FACTS: Final = (
    *_ESTIMATOR,
    *("logger.logging_steps", "logging_steps"),
    *("algo.kl.estimator", "kl_estimator"),
    *("algo.kl.use_loss", "use_kl_loss"),
    *("algo.kl.init_coef", "init_kl_coef"),
    *("algo.kl.target", "kl_target"),
    "algo.kl.unbiased_gradient",
    *("rollout.n_samples_per_prompt", "n_samples_per_prompt"),
    *("rollout.batch_size", "rollout_batch_size"),
    *("rollout.temperature", "temperature"),
    *("train.async_enable", "async_train"),
    *("actor.eps_clip_low_high", "eps_clip_low_high", "eps_clip"),
    *("actor.policy_loss_type", "policy_loss_type"),
    "actor.loss_agg_mode",
    *("actor.entropy_coef", "entropy_loss_coef"),
    *("critic.freezing_steps", "freezing_actor_steps"),
    *("algo.advantage.is_correction_level", "enable_vllm_is_correction"),
    *("model.beta", "beta"),
)
"""The flags that decide how the metrics must be read, where a trainer has them."""


class RunFacts(NamedTuple):
    """What is known of a run before its first event."""

    algorithm: str
    """What it trains with; empty when nothing tells."""
    trained_into: str
    """Where the trainer keeps its checkpoints; empty when that is not known."""
    resumes: bool
    """Whether the trainer goes on from a checkpoint; from which step its first log tells."""
    world_size: int
    attempt: Attempt
    model_info: dict[str, Primitive]
    data_slice: dict[str, Primitive]


def run_facts(
    trainer: Any = None, *, algorithm: str = "", model_name: str | None = None, dataset_name: str | None = None
) -> RunFacts:
    """All that is known of a run when it begins; what is not known is left out.

    Args:
        trainer: the trainer, None when there is only a loop of the user's own.
        algorithm: what it trains with, where no trainer tells.
        model_name: the name of the model; wins over what the trainer says.
        dataset_name: the name of the data; wins over what the trainer says.
    """
    strategy = getattr(trainer, "strategy", None)
    args = getattr(strategy, "args", None)
    supervised = _supervised(trainer)
    into = _found(args, _CHECKPOINTS)
    found = versions(*_PACKAGES)
    git = git_state()
    algorithm = algorithm or supervised or _by_estimator(_found(args, _ESTIMATOR))
    model_info = {name: _primitive(_found(args, paths)) for name, paths in _MODEL_INFO.items()}
    data_slice = {name: _primitive(_found(args, paths)) for name, paths in _DATA_SLICE.items()}
    known: dict[str, Primitive] = {
        "git_sha": git.get("sha"),
        **model_info,
        "model_name": model_name or model_info["model_name"],
        "model_size": parameters(_module(trainer)),
        "algorithm": algorithm or None,
        "framework": "openrlhf",
        "framework_version": found.get("openrlhf"),
    }
    return RunFacts(
        algorithm=algorithm,
        trained_into=os.path.abspath(into) if isinstance(into, str) else "",  # noqa: PTH100 - a string for JSON
        resumes=bool(_found(args, _RESUME)) and _has_checkpoint(into, "" if supervised else "_actor"),
        world_size=_world_size(strategy) if supervised else 1,
        attempt=Attempt(
            attempt=0,
            started=timestamp(time.time()),
            process=process_facts(),
            versions=found,
            git=git,
            seeds=seeds(_seed(args)),
            trainer=redacted(_plain(args)) if args is not None else {},
            facts=_told(args),
        ),
        model_info={name: value for name, value in known.items() if value is not None},
        data_slice={
            name: value
            for name, value in {**data_slice, "dataset_name": dataset_name or data_slice["dataset_name"]}.items()
            if value is not None
        },
    )


def _supervised(trainer: Any) -> str:
    names = (_SUPERVISED.get(kind.__name__) for kind in type(trainer).__mro__)
    return next((name for name in names if name), "")


def _by_estimator(estimator: Any) -> str:
    return _ESTIMATORS.get(estimator, estimator) if isinstance(estimator, str) else ""


def _found(args: Any, paths: tuple[str, ...]) -> Any:
    """The first of these settings that there is, None when there is none of them."""
    return next((value for path in paths for value in _at(args, path)), None)


def _at(args: Any, path: str) -> tuple[Any, ...]:
    value = args
    for name in path.split("."):
        if not hasattr(value, name):
            return ()
        value = getattr(value, name)
    return (value,)


def _told(args: Any) -> dict[str, Any]:
    """The settings that decide how the metrics must be read, by their flags."""
    return {path: redacted(value) for path in _FACTS for value in _at(args, path)}


def _plain(value: Any) -> Any:
    """Arguments as dicts, however deep they are nested; their repr would show a key that must stay secret."""
    if isinstance(value, (Namespace, SimpleNamespace)):
        return {name: _plain(item) for name, item in vars(value).items()}
    return value


def _primitive(value: Any) -> Primitive:
    """A setting as a section of an event can hold it; None when it cannot."""
    return value if isinstance(value, (bool, int, float, str)) else None


def _seed(args: Any) -> int | None:
    seed = _found(args, _SEED)
    return seed if isinstance(seed, int) else None


def _has_checkpoint(into: Any, below: str) -> bool:
    """Whether there is what OpenRLHF itself asks for before it loads a checkpoint."""
    return isinstance(into, str) and os.path.exists(os.path.join(into, below))  # noqa: PTH110, PTH118 - as it does


def _world_size(strategy: Any) -> int:
    size = getattr(strategy, "world_size", 1)
    return size if isinstance(size, int) else 1


def _module(trainer: Any) -> Any:
    """The model that is trained, taken out of OpenRLHF's wrapper and DeepSpeed's; None with rollouts."""
    model = getattr(trainer, "model", None)
    for name in ("model", "module"):
        model = getattr(model, name, model)
    return model
