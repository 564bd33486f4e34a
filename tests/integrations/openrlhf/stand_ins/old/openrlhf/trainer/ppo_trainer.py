"""The shape of `openrlhf.trainer.ppo_trainer` in 0.8.0 and 0.9.0: what is named, called and logged, without the models.

Loggers are attributes that `_init_wandb` makes at the end of the constructors of those that log; evaluation is part
of `save_logs_and_checkpoints`, whose first arguments are others than today's.
"""

from __future__ import annotations

from abc import ABC
from types import SimpleNamespace


class BasePPOTrainer(ABC):
    """What trainers with rollouts share."""

    def __init__(self, pretrain, strategy, *models, **generate_kwargs):
        super().__init__()
        self.strategy = strategy
        self.args = strategy.args
        self.init_kl_coef = self.args.init_kl_coef
        self.eval_dataloader = None

    def _init_wandb(self):
        self._wandb = None
        self._tensorboard = None
        if self.strategy.args.use_wandb:
            self._wandb = self.strategy.args.wandb
        if self.strategy.args.use_tensorboard and self._wandb is None:
            self._tensorboard = self.strategy.args.writer

    def ppo_train(self, global_steps):
        """Train, and give what is logged."""
        if global_steps == self.args.fail_at:
            raise RuntimeError("CUDA out of memory")
        return dict(self.args.status, step_seen=global_steps)

    def save_logs_and_checkpoints(self, args, global_step, step_bar, logs_dict={}, client_states={}):
        """Log, evaluate, save."""
        if global_step % args.logging_steps == 0:
            if self._wandb is not None:
                if "generated_samples" in logs_dict:
                    self._wandb.log({"train/generated_samples": logs_dict.pop("generated_samples")})
                self._wandb.log({f"train/{k}": v for k, v in {**logs_dict, "global_step": global_step}.items()})
            elif self._tensorboard is not None:
                for k, v in logs_dict.items():
                    if k == "generated_samples":
                        self._tensorboard.add_text("train/generated_samples", str(v), global_step)
                    else:
                        self._tensorboard.add_scalar(f"train/{k}", v, global_step)
        if global_step % args.eval_steps == 0 and self.eval_dataloader and len(self.eval_dataloader) > 0:
            self.evaluate(self.eval_dataloader, global_step, args.eval_temperature, args.eval_n_samples_per_prompt)

    def evaluate(self, eval_dataloader, global_step, temperature=0.6, n_samples_per_prompt=1):
        """Evaluate, and log it."""
        logs = {f"eval_{datasource}_pass1": value for datasource, value in eval_dataloader}
        if self._wandb is not None:
            logs = {f"eval/{k}": v for k, v in {**logs, "global_step": global_step}.items()}
            self._wandb.log(logs)
        elif self._tensorboard is not None:
            for k, v in logs.items():
                self._tensorboard.add_scalar(f"eval/{k}", v, global_step)


class PPOTrainer(BasePPOTrainer):
    """The actor of sync training."""

    def __init__(self, pretrain, strategy, *models, **generate_kwargs):
        super().__init__(pretrain, strategy, *models, **generate_kwargs)
        self.kl_ctl = SimpleNamespace(value=self.init_kl_coef)
        self.eval_dataloader = self.args.eval_data
        self._init_wandb()

    def fit(self):
        """Train."""
        for steps in range(self.args.first_step, self.args.last_step + 1):
            status = self.ppo_train(steps)
            status["generated_samples"] = ["a text", self.args.reward]
            self.save_logs_and_checkpoints(self.args, steps, None, status, {"consumed_samples": 0})
        if self._wandb is not None:
            self._wandb.finish()
        if self._tensorboard is not None:
            self._tensorboard.close()


class GenerateSamplesActor(BasePPOTrainer):
    """The actor that makes the rollouts of async training, and logs nothing."""
