"""Find out which rank of how many this process is."""

from __future__ import annotations

import os
import sys

__all__ = ["found_rank"]

_VARIABLES = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"))
"""Set for each process by torchrun, accelerate and DeepSpeed, and by Slurm."""


def found_rank() -> tuple[int, int | None]:
    """The rank of this process and the number of ranks, None when nobody says how many.

    `torch.distributed` is asked when it is in use, then `RANK` and `WORLD_SIZE`, then `SLURM_PROCID` and
    `SLURM_NTASKS`. A process that none of them speaks of is alone: rank 0 of 1.

    Raises:
        ValueError: a variable is set to what is no such number.
    """
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank()), int(distributed.get_world_size())
    for rank, world_size in _VARIABLES:
        if os.environ.get(rank):
            return _number(rank, 0), _number(world_size, 1) if os.environ.get(world_size) else None
    return 0, 1


def _number(name: str, least: int) -> int:
    text = os.environ[name].strip()
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise ValueError(f"{name}: expected an integer >= {least} in the environment, found {text!r}")
    return int(text)
