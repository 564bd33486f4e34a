"""Have every trainer of OpenRLHF that is made in this process recorded.

Every worker of Ray comes here, most of which train nothing: what writes a log is loaded with the first trainer.
"""

from __future__ import annotations

import functools
import importlib.abc
import inspect
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["TRAINERS", "install", "say", "worker_setup"]

TRAINERS: Final = {
    "openrlhf.trainer.ppo_trainer": "BasePPOTrainer",
    "openrlhf.trainer.sft_trainer": "SFTTrainer",
    "openrlhf.trainer.rm_trainer": "RewardModelTrainer",
    "openrlhf.trainer.dpo_trainer": "DPOTrainer",
    "openrlhf.trainer.kto_trainer": "KTOTrainer",
    "openrlhf.trainer.kd_trainer": "KDTrainer",
    "openrlhf.trainer.prm_trainer": "ProcessRewardModelTrainer",
}
"""The trainers, by the modules they are in; the last three are gone since OpenRLHF 0.9.6.

What derives from `BasePPOTrainer` is an actor of Ray, whose class was copied, and sent to its worker by value. Only
the constructor of its base is looked up there, so it is what must be replaced, and nothing else of the class.
"""

_MARK: Final = "_rldk_records"


def say(what: str) -> None:
    """Tell the user something; in a worker of Ray it is shown where the training was started."""
    sys.stderr.write(f"RLDK: {what}\n")
    sys.stderr.flush()


def worker_setup() -> None:
    """Record the trainers of this process; for Ray's `worker_process_setup_hook`, and never raises.

    As text it is `rldk.integrations.openrlhf.worker_setup`. Ray then imports it by itself, and where RLDK is not
    installed that fails, and with it every worker: `python -m rldk.integrations.openrlhf` has no such risk.
    """
    with _harmless():
        install()


@contextmanager
def _harmless() -> Iterator[None]:
    """Say what went wrong, and go on: an error would take down the worker, and with it the training."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the recorder, the trainer has work to do
        say(f"{type(error).__name__}: {error}; training goes on, nothing is recorded")


def install() -> None:
    """Record every trainer that is made in this process from now on; doing it again does nothing."""
    for module in TRAINERS:
        if module in sys.modules:
            _record_trainers_of(sys.modules[module])
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _record_trainers_of(module: ModuleType) -> None:
    """Have the trainers of a module recorded, once it is loaded."""
    name = TRAINERS[module.__name__]
    trainer: Any = getattr(module, name, None)
    if not inspect.isclass(trainer):
        say(f"expected {module.__name__} to have a class {name}, found none; nothing is recorded")
        return
    constructor: Any = vars(trainer).get("__init__")
    if constructor is None:
        say(f"expected {module.__name__}.{name} to have a constructor, found none; nothing is recorded")
    elif not hasattr(constructor, _MARK):
        type.__setattr__(trainer, "__init__", _recording(constructor))


def _recording(constructor: Any) -> Any:
    @functools.wraps(constructor)
    def constructed(self: Any, *args: Any, **kwargs: Any) -> None:
        constructor(self, *args, **kwargs)
        _record(self)

    setattr(constructed, _MARK, True)
    return constructed


def _record(trainer: Any) -> None:
    with _harmless():
        from rldk.integrations.openrlhf.callbacks import OpenRLHFCallback  # noqa: PLC0415 - only a trainer needs it

        OpenRLHFCallback().attach(trainer, announce=say)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of the trainers as they would be found without it, and looks after them when they load."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in TRAINERS:
            return None
        for finder in sys.meta_path:
            spec = None if isinstance(finder, _Finder) else finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader(importlib.abc.Loader):
    """Loads a module as its loader does, and then has its trainers recorded."""

    def __init__(self, to: Any) -> None:
        self._to = to

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._to.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._to
        module.__loader__ = self._to
        self._to.exec_module(module)
        _record_trainers_of(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._to, name)
