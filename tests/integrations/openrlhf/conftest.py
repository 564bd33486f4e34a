"""Trainers in the shape of OpenRLHF's, version by version."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STAND_INS: Final = Path(__file__).parent / "stand_ins"
STATUS: Final = {"reward": 0.25, "policy_loss": -0.5, "kl": -0.001, "actor_lr": 1e-6, "letter_share": 0.125}
"""What training logs, with a value that a reward function has added."""


class Version(NamedTuple):
    """A version of OpenRLHF: the shape of its classes, and whether its flags have dots."""

    name: str
    shape: str
    dotted: bool


VERSIONS: Final = (
    Version("0.8.0", "old", dotted=False),
    Version("0.9.0", "old", dotted=False),
    Version("0.9.10", "new", dotted=False),
    Version("0.10.4", "new", dotted=True),
    Version("0.11.2", "new", dotted=True),
)


class Tracker:
    """A `SummaryWriter`, or wandb, or a logger of OpenRLHF, that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def add_scalar(self, tag: str, value: Any, step: int) -> None:
        """Keep a value."""
        self.told.append((tag, value, step))

    def add_text(self, tag: str, text: str, step: int) -> None:
        """Keep a text."""
        self.told.append((tag, text, step))

    def log(self, data: dict[str, Any]) -> None:
        """Keep values."""
        self.told.append(data)

    def log_train(self, global_step: int, logs_dict: dict[str, Any]) -> None:
        """Keep a step."""
        self.told.append(("train", global_step, sorted(logs_dict)))

    def log_eval(self, global_step: int, logs_dict: dict[str, Any]) -> None:
        """Keep an evaluation."""
        self.told.append(("eval", global_step, sorted(logs_dict)))

    def close(self) -> None:
        """Keep the end."""
        self.told.append("closed")

    finish = close


class Modules(NamedTuple):
    """The modules of the stand-in that is imported."""

    ppo: Any
    sft: Any
    rm: Any
    dpo: Any


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """What a test installs in this process does not outlive it."""
    finders = list(sys.meta_path)
    yield
    sys.meta_path[:] = finders


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Modules]]:
    """Imports the stand-in of a shape, as `openrlhf`; afterwards nothing is left of it."""

    def load(shape: str) -> Modules:
        _forget()
        monkeypatch.syspath_prepend(STAND_INS / shape)
        return Modules(*(importlib.import_module(f"openrlhf.trainer.{name}_trainer") for name in Modules._fields))

    yield load
    _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "openrlhf"]:
        del sys.modules[name]


def settings(version: Version, folder: Path, **changes: Any) -> SimpleNamespace:
    """The arguments of a training, by the flags of a version; what the stand-in itself asks for lies beside them."""
    flags: dict[str, Any] = {
        "advantage_estimator": "group_norm",
        "logging_steps": 2,
        "ckpt_path": str(folder / "checkpoints"),
        "load_checkpoint": False,
        "seed": 42,
        "pretrain": "tiny/model",
        "prompt_data": "tiny/prompts",
        "dataset": "tiny/pairs",
        "train_batch_size": 8,
        "max_len": 48,
        "use_wandb": "wandb-key-0123456789",
    }
    dotted: dict[str, Any] = {
        "algo": SimpleNamespace(advantage=SimpleNamespace(estimator="group_norm")),
        "logger": SimpleNamespace(logging_steps=2, wandb=SimpleNamespace(key="wandb-key-0123456789")),
        "ckpt": SimpleNamespace(path=str(folder / "checkpoints"), load_enable=False),
        "train": SimpleNamespace(seed=42, batch_size=8),
        "actor": SimpleNamespace(model_name_or_path="tiny/model", optim="adam", lr_scheduler="cosine"),
        "data": SimpleNamespace(prompt_dataset="tiny/prompts", max_len=48),
    }
    stand_in: dict[str, Any] = {
        "status": STATUS,
        "fail_at": None,
        "first_step": 1,
        "last_step": 4,
        "eval_data": [("toy", 0.5), ("math", 0.75)],
        # The old shape.
        "use_tensorboard": "",
        "writer": None,
        "wandb": None,
        "init_kl_coef": 0.01,
        "eval_steps": 2,
        "eval_temperature": 0.6,
        "eval_n_samples_per_prompt": 1,
        "reward": 0.5,
        # The new one, and that of the supervised trainers.
        "kl_coef": 0.01,
        "wandb_logger": None,
        "tensorboard_logger": None,
        "wandb_module": None,
        "every": 2,
        "eval_every": 2,
    }
    return SimpleNamespace(**(dotted if version.dotted else flags) | stand_in | changes)


def strategy(args: SimpleNamespace, rank: int = 0) -> SimpleNamespace:
    """What holds the arguments."""
    return SimpleNamespace(args=args, is_rank_0=lambda: rank == 0, world_size=1)


def rollouts(modules: Modules, args: SimpleNamespace, kind: str = "PPOTrainer") -> Any:
    """A trainer with rollouts."""
    make = getattr(modules.ppo, kind)
    return make("tiny/model", strategy(args)) if hasattr(args, "use_wandb") and _old(modules) else _new(make, args)


def _old(modules: Modules) -> bool:
    return hasattr(modules.ppo.BasePPOTrainer, "_init_wandb")


def _new(make: Any, args: SimpleNamespace) -> Any:
    return make(strategy(args), None, None, None, None, None, None)
