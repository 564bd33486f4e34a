"""Run a command of OpenRLHF with its training recorded: `python -m rldk.integrations.openrlhf train_ppo_ray ...`."""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
from typing import Final

from rldk.integrations.openrlhf.install import install, say
from rldk.integrations.openrlhf.ray_env import record_in_workers

__all__ = ["main"]

_COMMANDS: Final = "openrlhf.cli"
_SUPERVISED: Final = frozenset({"train_sft", "train_rm", "train_dpo", "train_kto", "train_kd", "train_prm"})
"""Commands that train without Ray."""
_USAGE: Final = """\
Usage: python -m rldk.integrations.openrlhf COMMAND FLAGS
       deepspeed --module rldk.integrations.openrlhf COMMAND FLAGS

COMMAND is one of OpenRLHF's: train_ppo_ray, train_sft, train_rm or train_dpo; or a script that trains with OpenRLHF,
as train.py. FLAGS are those it has. The run is recorded in RLDK_OUTPUT_DIR, which is ./rldk_logs unless it is set.
"""


def main() -> None:
    """Run the command that the arguments name; its exit status is OpenRLHF's own."""
    # DeepSpeed puts --local_rank=N in front of all.
    place = next((place for place, word in enumerate(sys.argv) if place and not word.startswith("-")), 0)
    command = sys.argv[place].removeprefix(f"{_COMMANDS}.") if place else ""
    script = command.endswith(".py")
    module = f"{_COMMANDS}.{command}"
    if not script and not (command.isidentifier() and _exists(module)):
        say(f"expected a command of OpenRLHF, found {command or 'none'}\n\n{_USAGE}")
        sys.exit(2)
    del sys.argv[place]
    install()
    if command not in _SUPERVISED and _exists("ray"):
        record_in_workers()
    if script:
        # As Python itself would have it.
        sys.argv[0] = command
        sys.path.insert(0, os.path.dirname(os.path.abspath(command)))  # noqa: PTH100, PTH120 - strings for Python
        runpy.run_path(command, run_name="__main__")
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:
        say(str(error))
        return False
