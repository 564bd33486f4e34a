"""Trainings in several processes; run by torchrun in each of them, with a folder and the tiny model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rldk.integrations import attempt
from tests.integrations.trl.trainings import Lab, Tiny

if TYPE_CHECKING:
    from rldk.integrations.trl import RLDKCallback


def main_only(lab: Lab) -> None:
    """Only the main process records, as it does by default."""
    callback = lab.callback()
    _train(lab.sft(callback, max_steps=3, eval_strategy="steps", eval_steps=2), callback)


def every_rank(lab: Lab) -> None:
    """Each process records in a file of its own; then a new trainer resumes."""
    settings = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    first, second = (lab.callback(run_id=None, all_ranks=True) for _ in range(2))
    lab.grpo(first, **settings).train()
    _train(lab.grpo(second, **settings | {"max_steps": 3}), second, resume_from_checkpoint=True)


def no_run_to_find(lab: Lab) -> None:
    """Looking for the run to resume fails, in the main process only."""
    settings = {"max_steps": 1, "save_strategy": "steps", "save_steps": 1}
    callback = lab.callback(run_id=None, all_ranks=True)
    lab.sft(**settings).train()
    if torch.distributed.get_rank() == 0:
        attempt.find_resumed = _denied
    _train(lab.sft(callback, **settings | {"max_steps": 2}), callback, resume_from_checkpoint=True)


def _denied(*_: object) -> str:
    raise PermissionError(13, "Permission denied")


def _train(trainer: Any, callback: RLDKCallback, **options: Any) -> None:
    """Train, and write down how it went in this process."""
    trainer.train(**options)
    how = {"step": trainer.state.global_step, "errors": callback.errors, "run_id": callback.run_id}
    path = Path(trainer.args.output_dir).parent / f"rank{trainer.args.process_index}.json"
    path.write_text(json.dumps(how))


def _main(folder: Path, tiny: Tiny) -> None:
    torch.set_num_threads(1)
    for training in (main_only, every_rank, no_run_to_find):
        training(Lab(tiny, folder / training.__name__))
    # gloo's threads may abort a process that ends without this.
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Tiny(sys.argv[2]))
