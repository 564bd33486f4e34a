"""The shape of `openrlhf.trainer.ppo_trainer` from 0.9.1 on: what is named, called and logged, without the models."""

from __future__ import annotations

from abc import ABC
from types import SimpleNamespace


class BasePPOTrainer(ABC):
    """What trainers with rollouts share."""

    def __init__(
        self,
        strategy,
        actor_model_group,
        critic_model_group,
        reward_model_group,
        reference_model_group,
        vllm_engines,
        tokenizer,
    ) -> None:
        self.strategy = strategy
        self.args = strategy.args
        self.kl_ctl = SimpleNamespace(value=self.args.kl_coef)
        self.wandb_logger = self.args.wandb_logger
        self.tensorboard_logger = self.args.tensorboard_logger

    def fit(self, global_step: int = 0) -> None:
        """Train."""
        raise NotImplementedError("fit method is not implemented")

    def train_step(self, rollout_samples, global_step: int):
        """Train on a batch of rollouts."""
        status = self.ppo_train(global_step)
        status["generated_samples"] = ["a text", 0.5]
        return status, global_step + 1

    def ppo_train(self, global_steps: int) -> dict:
        """Train, and give what is logged."""
        if global_steps + 1 == self.args.fail_at:
            raise RuntimeError("CUDA out of memory")
        return dict(self.args.status)

    def save_logs_and_checkpoints(self, global_step: int, logs_dict=None, client_states=None) -> None:
        """Log, save."""
        logs_dict = logs_dict or {}
        if global_step % self.args.every == 0:
            if self.wandb_logger:
                self.wandb_logger.log_train(global_step, logs_dict)
            if self.tensorboard_logger:
                self.tensorboard_logger.log_train(global_step, logs_dict)


class PPOTrainer(BasePPOTrainer):
    """The actor of sync training."""

    def fit(self, global_step: int = 0) -> None:
        """Train."""
        global_step = self.args.first_step - 1
        while global_step < self.args.last_step:
            status, global_step = self.train_step(None, global_step)
            self.save_logs_and_checkpoints(global_step, status, {"global_step": global_step})
            if global_step % self.args.eval_every == 0:
                self.evaluate(global_step, temperature=0.6)
        if self.wandb_logger:
            self.wandb_logger.close()
        if self.tensorboard_logger:
            self.tensorboard_logger.close()

    def evaluate(self, global_step, **generate_kwargs):
        """Evaluate, and log it."""
        logs = {f"eval_{datasource}_pass1": value for datasource, value in self.args.eval_data}
        if self.wandb_logger:
            self.wandb_logger.log_eval(global_step, logs)
        if self.tensorboard_logger:
            self.tensorboard_logger.log_eval(global_step, logs)
        return logs


class TrainingActor(BasePPOTrainer):
    """The actor of async training, which is told of evaluations after it has gone on."""

    def fit(self, global_step: int = 0) -> None:
        """Train."""
        for payload in self.args.queue:
            if payload[0] == "eval":
                _, eval_step, eval_metrics = payload
                if self.wandb_logger:
                    self.wandb_logger.log_eval(eval_step, eval_metrics)
                if self.tensorboard_logger:
                    self.tensorboard_logger.log_eval(eval_step, eval_metrics)
                continue
            status, global_step = self.train_step(payload, global_step)
            self.save_logs_and_checkpoints(global_step, status, {"global_step": global_step})
        if self.wandb_logger:
            self.wandb_logger.close()
        if self.tensorboard_logger:
            self.tensorboard_logger.close()
