"""Trainings that end in every way a process can end; run as a program, with a folder and the tiny model.

All are forked from one process, which has imported torch and TRL once. Each has a folder of its own, where
`output.txt` holds what it printed; the exit codes are printed as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from tests.integrations.trl.trainings import AtStep, Lab, Tiny

if TYPE_CHECKING:
    from collections.abc import Callable


def completed(lab: Lab) -> None:
    """Training comes to its end."""
    lab.sft(lab.callback()).train()


def ctrl_c(lab: Lab) -> None:
    """A user presses Ctrl-C in step 3."""
    lab.sft(AtStep(3, _signalled(signal.SIGINT)), lab.callback()).train()


def reward_error(lab: Lab) -> None:
    """The reward function fails in step 3."""
    _failing(lab).train()


def wrapped_error(lab: Lab) -> None:
    """The script makes an error of its own out of it."""
    try:
        _failing(lab).train()
    except ValueError as error:
        raise RuntimeError("the experiment failed") from error


def caught_error(lab: Lab) -> None:
    """The script catches it, and ends well."""
    with suppress(ValueError):
        _failing(lab).train()


def later_error(lab: Lab) -> None:
    """The script catches it, and fails later by a fault of its own."""
    trainer = _failing(lab)
    with suppress(ValueError):
        trainer.train()
    raise KeyError("a fault of the script")


def sys_exit(lab: Lab) -> None:
    """The script exits in step 3."""
    lab.sft(AtStep(3, lambda: sys.exit(3)), lab.callback()).train()


def forked(lab: Lab) -> None:
    """A process forked in step 2 ends long before training does."""
    lab.sft(AtStep(2, _fork), lab.callback()).train()


def terminated(lab: Lab) -> None:
    """SIGTERM in step 3, as from a batch system."""
    lab.sft(AtStep(3, _signalled(signal.SIGTERM)), lab.callback()).train()


def killed(lab: Lab) -> None:
    """SIGKILL at the end of step 7, before it is logged; the checkpoint is of step 4."""
    lab.sft(AtStep(7, _signalled(signal.SIGKILL)), lab.callback(run_id=None), **CHECKPOINTS).train()


def killed_grpo(lab: Lab) -> None:
    """The same to GRPO."""
    lab.grpo(AtStep(7, _signalled(signal.SIGKILL)), lab.callback(run_id=None), **CHECKPOINTS).train()


CHECKPOINTS: Final[dict[str, Any]] = {
    "max_steps": 8,
    "save_strategy": "steps",
    "save_steps": 4,
    "eval_strategy": "steps",
    "eval_steps": 4,
}
"""An evaluation and then a checkpoint after steps 4 and 8."""

ENDINGS: Final[tuple[Callable[[Lab], None], ...]] = (
    completed,
    ctrl_c,
    reward_error,
    wrapped_error,
    caught_error,
    later_error,
    sys_exit,
    forked,
    terminated,
    killed,
    killed_grpo,
)


def _signalled(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        sys.exit(0)
    os.waitpid(pid, 0)


def _failing(lab: Lab) -> Any:
    calls = []

    def reward(completions: list[str], **_: Any) -> list[float]:
        calls.append(len(completions))
        if len(calls) == 3:
            raise ValueError("no reward today")
        return [float(len(text)) for text in completions]

    return lab.grpo(lab.callback(), reward=reward)


def _main(folder: Path, tiny: Tiny) -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    codes = {}
    for ending in ENDINGS:
        own = folder / ending.__name__
        own.mkdir()
        pid = os.fork()
        if pid == 0:
            output = os.open(own / "output.txt", os.O_WRONLY | os.O_CREAT)
            os.dup2(output, 1)
            os.dup2(output, 2)
            ending(Lab(tiny, own))
            return
        codes[ending.__name__] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps(codes))  # noqa: T201 - for the process that asked


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Tiny(sys.argv[2]))
