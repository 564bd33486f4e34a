"""A script that knows nothing of RLDK, made like `train_ppo_ray`: OpenRLHF's trainer in an actor, steps 1 to N.

`python job.py TENSORBOARD_DIR STEPS [PAUSE]`; it prints the process of the actor, and of itself.
"""

import math
import os
import sys
import time
from types import SimpleNamespace

import ray

if not ray.is_initialized():
    ray.init(runtime_env={"env_vars": {"TOKENIZERS_PARALLELISM": "true", "NCCL_DEBUG": "WARN"}})

from openrlhf.trainer.ppo_trainer import BasePPOTrainer


@ray.remote(num_cpus=1)
class PPOTrainer(BasePPOTrainer):
    """A trainer that trains nothing."""

    def fit(self, steps: int, pause: float) -> int:
        """Log some steps."""
        for step in range(1, steps + 1):
            self.save_logs_and_checkpoints(step, {"policy_loss": step / 7, "rollout/reward_mean": 0.5})
            time.sleep(pause)
        self.tensorboard_logger.close()
        return os.getpid()


args = SimpleNamespace(
    algo=SimpleNamespace(
        kl=SimpleNamespace(target=None, init_coef=0.01), advantage=SimpleNamespace(estimator="group_norm")
    ),
    logger=SimpleNamespace(
        wandb=SimpleNamespace(key=None, run_name="run"), tensorboard_dir=sys.argv[1], logging_steps=1
    ),
    ckpt=SimpleNamespace(save_steps=math.inf, path="checkpoints", load_enable=False),
)
trainer = PPOTrainer.remote(SimpleNamespace(args=args), None, None, None, None, None, None)
pause = float(sys.argv[3]) if len(sys.argv) > 3 else 0
print("trained in", ray.get(trainer.fit.remote(int(sys.argv[2]), pause)), "from", os.getpid())
