"""The shape of `openrlhf.cli.train_sft`: arguments, a trainer, `fit`."""

import argparse
import json
import sys
from types import SimpleNamespace

from openrlhf.trainer.sft_trainer import SFTTrainer

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--local_rank", type=int, default=-1)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--exit", type=int, default=0)
    parser.add_argument("--fail_at", type=int)
    given = parser.parse_args()
    print(json.dumps({"name": __name__, "arguments": sys.argv[1:]}))
    args = SimpleNamespace(
        wandb_module=None,
        writer=None,
        first_step=1,
        last_step=given.steps,
        fail_at=given.fail_at,
        status={"loss": 0.5},
        every=1,
        eval_every=2,
        eval_data={"eval_loss": 0.25},
    )
    trainer = SFTTrainer(None, SimpleNamespace(args=args, is_rank_0=lambda: True))
    trainer.fit(args)
    sys.exit(given.exit)
