"""Carry the recorder into the workers of Ray, where OpenRLHF's trainers live, by way of the runtime environment."""

from __future__ import annotations

import functools
import importlib
import json
import os
from typing import TYPE_CHECKING, Any, Final

from rldk.integrations.openrlhf.install import say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SETUP", "ray_runtime_env_hook", "record_in_workers"]

SETUP: Final = "rldk.integrations.openrlhf.worker_setup"
"""What can be given to Ray as text, where only text can be given."""

_HOOK: Final = "worker_process_setup_hook"
_JOB: Final = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""The variable by which Ray tells the script of a submitted job the job's own runtime environment."""


def ray_runtime_env_hook(runtime_env: Mapping[str, Any] | None) -> dict[str, Any]:
    """A runtime environment with the recorder in it; for `RAY_RUNTIME_ENV_HOOK`, which Ray asks in `ray.init`.

    What is in it already stays. A worker without RLDK says so and works on.
    """
    environment = dict(runtime_env or {})
    job = _job_environment()
    given = job.get("env_vars") or {}
    # Ray refuses a variable that is both in the job's environment and in that of its script.
    variables = {name: value for name, value in _settings().items() if name not in given}
    environment["env_vars"] = variables | (environment.get("env_vars") or {})
    of_job = job.get(_HOOK)
    if of_job is None:
        environment[_HOOK] = _setup(environment.get(_HOOK))
    elif of_job != SETUP:
        say(f"the job has a {_HOOK} of its own, {of_job}, that has to call {SETUP}; nothing is recorded unless it does")
    return environment


def record_in_workers() -> None:
    """Have `ray.init` give every worker the recorder."""
    import ray  # noqa: PLC0415 - only what trains with Ray has it

    init = ray.init

    @functools.wraps(init)
    def init_with_recorder(*args: Any, **kwargs: Any) -> Any:
        kwargs["runtime_env"] = ray_runtime_env_hook(kwargs.get("runtime_env"))
        return init(*args, **kwargs)

    ray.init = init_with_recorder


def _settings() -> dict[str, str]:
    """What the recorder has to know in a worker, whose variables and working folder are not those of this process."""
    folder = os.path.abspath(os.environ.get("RLDK_OUTPUT_DIR") or "./rldk_logs")  # noqa: PTH100 - a string for Ray
    named = {name: os.environ.get(name) for name in ("RLDK_RUN_ID", "RLDK_DISABLE_JSONL")}
    if _JOB in os.environ and not os.environ.get("RLDK_OUTPUT_DIR"):
        say(f"RLDK_OUTPUT_DIR is not set, and the working folder of a job may not outlive it: recording in {folder}")
    return {"RLDK_OUTPUT_DIR": folder, **{name: value for name, value in named.items() if value}}


def _job_environment() -> Mapping[str, Any]:
    """The runtime environment of the job whose script this is; empty when it is none."""
    try:
        environment = json.loads(os.environ.get(_JOB) or "{}").get("runtime_env") or {}
    except (ValueError, AttributeError):
        # Ray itself will say what is wrong with it.
        return {}
    return environment if isinstance(environment, dict) else {}


def _setup(then: Callable[[], None] | str | None) -> Callable[[], None]:
    """What a worker does first: see to it that trainers are recorded, then what it would have done anyway.

    A function inside a function travels to the worker whole. One that is looked up there would take the worker down
    where RLDK is not installed.
    """

    def rldk_worker_setup() -> None:
        try:
            from rldk.integrations.openrlhf.install import install  # noqa: PLC0415

            install()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the recorder, the worker has work to do
            import socket  # noqa: PLC0415
            import sys  # noqa: PLC0415

            where = f"{type(error).__name__} on {socket.gethostname()}"
            sys.stderr.write(f"RLDK: {where}: {error}; training goes on, nothing is recorded by this process\n")
        if isinstance(then, str):
            module, _, name = then.rpartition(".")
            getattr(importlib.import_module(module), name)()
        elif then is not None:
            then()

    return rldk_worker_setup
