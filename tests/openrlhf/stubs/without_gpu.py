"""Replaces what asks for a CUDA device, so that OpenRLHF runs as it is on a machine without one."""

from __future__ import annotations

import importlib
from typing import Any


class _FirstDevice(str):
    """A device that `.to()` takes, and that still becomes a number in `f"cuda:{...}"`."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return "0"


def prepare() -> None:
    """Do it, once in a process."""
    import torch

    torch.set_num_threads(1)
    torch.cuda.current_device = lambda: _FirstDevice("cpu")
    torch.cuda.is_bf16_supported = lambda *_, **__: True
    for name in ("current_stream", "empty_cache", "set_device", "synchronize"):
        # Each its own function: torch refuses to know one by two names.
        setattr(torch.cuda, name, lambda *_: None)
    _use_cpu_meshes()
    _compile_nothing()


def _use_cpu_meshes() -> None:
    import torch.distributed.device_mesh

    make = torch.distributed.device_mesh.init_device_mesh

    def init_device_mesh(device_type: str, *args: Any, **kwargs: Any) -> Any:
        return make("cpu", *args, **kwargs)

    torch.distributed.device_mesh.init_device_mesh = init_device_mesh
    torch.distributed.init_device_mesh = init_device_mesh


def _compile_nothing() -> None:
    """DeepSpeed would compile its operators and its optimizer when they are first used, for minutes."""
    from deepspeed.runtime.engine import DeepSpeedEngine

    # As an attribute of `deepspeed.comm` its name is torch itself.
    importlib.import_module("deepspeed.comm.torch").build_shm_op = lambda: None
    configure = DeepSpeedEngine.get_optimizer_configuration

    def with_torch_adam(self: Any, parameters: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        parameters["torch_adam"] = True
        return configure(self, parameters, *args, **kwargs)

    DeepSpeedEngine.get_optimizer_configuration = with_torch_adam
