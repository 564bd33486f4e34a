"""Trainings in two processes that a rule stops; run by torchrun in each of them, with a folder and the tiny model."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from tests.integrations.trl.trainings import Lab, Tiny


def _train(lab: Lab, *, everywhere: bool) -> None:
    """Train until a rule says stop, after step 3, and write down how far it came."""
    lab.folder.mkdir(exist_ok=True)
    rank = int(os.environ["RANK"])
    path = lab.folder / f"rules{rank}.toml"
    path.write_text('[[rule]]\nname = "enough"\nwhen = "epoch >= 0.7"\nseverity = "info"\naction = "save_and_stop"\n')
    callback = lab.callback(rules=path)
    trainer = lab.sft(*([callback] if everywhere or rank == 0 else []), max_steps=6)
    trainer.train()
    (lab.folder / f"rank{rank}").write_text(f"{trainer.state.global_step} {callback.errors}")


def _main(folder: Path, tiny: Tiny) -> None:
    torch.set_num_threads(1)
    _train(Lab(tiny, folder / "all"), everywhere=True)
    _train(Lab(tiny, folder / "one"), everywhere=False)
    # gloo's threads may abort a process that ends without this.
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Tiny(sys.argv[2]))
