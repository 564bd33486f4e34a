"""What a Trainer's arguments, model and optimizer say about a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rldk.integrations.provenance import git_state, parameters, process_facts, redacted, seeds, versions
from rldk.io.clock import timestamp
from rldk.io.manifest import Attempt

if TYPE_CHECKING:
    from rldk.io.event_schema import Primitive

__all__ = ["algorithm", "attempt_facts", "batch_facts", "framework", "model_facts"]

_PACKAGES: Final = ("rldk", "torch", "transformers", "trl", "accelerate", "datasets", "peft", "vllm", "deepspeed")
_FACTS: Final = (
    "logging_nan_inf_filter",
    "logging_steps",
    "logging_first_step",
    "num_generations",
    "num_iterations",
    "steps_per_generation",
    "beta",
    "epsilon",
    "epsilon_high",
    "loss_type",
    "scale_rewards",
    "temperature",
    "max_completion_length",
)
"""The arguments that decide how the metrics must be read, where a trainer has them."""


def framework(args: Any) -> str:
    """`trl` when the arguments are of a TRL class, else `transformers`."""
    return "trl" if _trl_config(args) else "transformers"


def algorithm(args: Any) -> str:
    """What is trained with, from the class of the arguments: `grpo` for GRPOConfig; `train` when it does not say."""
    name = _trl_config(args)
    return name.removesuffix("Config").lower() if name else "train"


def _trl_config(args: Any) -> str:
    for kind in type(args).__mro__:
        if kind.__module__.partition(".")[0] == "trl" and not kind.__name__.startswith("_"):
            return kind.__name__
    return ""


def attempt_facts(args: Any, resumed_from: int | None, started: float) -> Attempt:
    """All that is written down about an attempt when it begins."""
    facts = {name: redacted(getattr(args, name)) for name in _FACTS if hasattr(args, name)}
    return Attempt(
        attempt=0,
        started=timestamp(started),
        resumed_from=resumed_from,
        process=process_facts(),
        versions=versions(*_PACKAGES),
        git=git_state(),
        seeds=seeds(getattr(args, "seed", None)),
        trainer=redacted(args.to_dict()),
        facts=facts,
    )


def model_facts(facts: Attempt, args: Any, model: Any, optimizer: Any) -> dict[str, Primitive]:
    """What is known of the model, its name, size and optimizer among it; what is not known is left out."""
    name = framework(args)
    known = {
        "git_sha": facts.git.get("sha"),
        "model_name": getattr(getattr(model, "config", None), "_name_or_path", None) or None,
        "model_size": parameters(model),
        "optimizer": None if optimizer is None else type(getattr(optimizer, "optimizer", optimizer)).__name__,
        "scheduler": _text(getattr(args, "lr_scheduler_type", None)),
        "algorithm": algorithm(args),
        "framework": name,
        "framework_version": facts.versions.get(name),
    }
    return {key: value for key, value in known.items() if value is not None}


def _text(value: Any) -> str | None:
    """An enum's value, or the text itself."""
    return None if value is None else str(getattr(value, "value", value))


def batch_facts(args: Any, state: Any) -> dict[str, Primitive]:
    """Samples per update over all ranks, and the longest sequence where the trainer has one."""
    per_process = getattr(state, "train_batch_size", None) or getattr(args, "train_batch_size", None)
    accumulation, world_size = getattr(args, "gradient_accumulation_steps", 1), getattr(args, "world_size", 1)
    known = {
        "batch_size": per_process * accumulation * world_size if per_process else None,
        "sequence_length": getattr(args, "max_length", None),
    }
    return {key: value for key, value in known.items() if value is not None}
