"""OpenRLHF's own `BasePPOTrainer` in this process: three steps are logged, and an evaluation."""

import math
import sys
from types import SimpleNamespace

from openrlhf.trainer.ppo_trainer import BasePPOTrainer

from rldk.integrations.openrlhf import OpenRLHFCallback

args = SimpleNamespace(
    algo=SimpleNamespace(
        kl=SimpleNamespace(target=None, init_coef=0.01), advantage=SimpleNamespace(estimator="group_norm")
    ),
    logger=SimpleNamespace(
        wandb=SimpleNamespace(key=None, run_name="run"), tensorboard_dir=sys.argv[1], logging_steps=2
    ),
    ckpt=SimpleNamespace(save_steps=math.inf, path="checkpoints", load_enable=False),
)
trainer = BasePPOTrainer(SimpleNamespace(args=args), None, None, None, None, None, None)
recorder = OpenRLHFCallback(on_error="raise")
recorder.attach(trainer)
for step in (1, 2, 3):
    trainer.save_logs_and_checkpoints(
        step, {"policy_loss": step / 7, "bad": math.nan, "absent": None, "generated_samples": ["a text", 0.5]}
    )
trainer.tensorboard_logger.log_eval(2, {"eval_toy_pass1": 0.5})
trainer.tensorboard_logger.close()
