"""Record a run of OpenRLHF: `python -m rldk.integrations.openrlhf train_ppo_ray ...`, or `OpenRLHFCallback` in code.

callbacks   `OpenRLHFCallback`: from steps and evaluations to events, whoever calls it
facts       what a trainer's arguments say about its run
trainers    `attach`: a live trainer tells a callback what it logs, whichever version it is of
install     every trainer that is made in this process is attached
ray_env     the same in the workers of Ray, where OpenRLHF's trainers live
launcher    the command
"""

from __future__ import annotations

from rldk.integrations.openrlhf.install import worker_setup
from rldk.integrations.openrlhf.ray_env import ray_runtime_env_hook

# A Ray worker that trains nothing comes here too, and needs none of what writes a log.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from rldk.integrations.openrlhf.callbacks import OpenRLHFCallback

__all__ = ["OpenRLHFCallback", "ray_runtime_env_hook", "worker_setup"]


def __getattr__(name: str) -> object:
    """Load the callback when it is asked for."""
    if name != "OpenRLHFCallback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rldk.integrations.openrlhf.callbacks import OpenRLHFCallback  # noqa: PLC0415 - for the reason above

    return OpenRLHFCallback
