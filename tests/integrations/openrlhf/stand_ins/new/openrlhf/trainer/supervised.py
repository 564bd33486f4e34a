"""The shape of the trainers of SFT, of reward models and of preferences, which is one for the recorder."""

from __future__ import annotations

from abc import ABC


class Supervised(ABC):
    """What they share; in OpenRLHF each has it for itself."""

    def __init__(self, model, strategy, optim=None, **settings) -> None:
        super().__init__()
        self.strategy = strategy
        self.model = model
        self.optimizer = optim
        self.args = strategy.args
        self._wandb = None
        self._tensorboard = None
        if self.args.wandb_module and self.strategy.is_rank_0():
            self._wandb = self.args.wandb_module
        if self.args.writer and self._wandb is None and self.strategy.is_rank_0():
            self._tensorboard = self.args.writer

    def fit(self, args, consumed_samples=0, num_update_steps_per_epoch=None):
        """Train."""
        for global_step in range(args.first_step, args.last_step + 1):
            if global_step == args.fail_at:
                raise RuntimeError("CUDA out of memory")
            self.save_logs_and_checkpoints(args, global_step, None, dict(args.status), {"consumed_samples": 0})
        if self._wandb is not None and self.strategy.is_rank_0():
            self._wandb.finish()
        if self._tensorboard is not None and self.strategy.is_rank_0():
            self._tensorboard.close()

    def save_logs_and_checkpoints(self, args, global_step, step_bar, logs_dict=None, client_states=None):
        """Log, evaluate, save."""
        if global_step % args.every == 0:
            if self._wandb is not None and self.strategy.is_rank_0():
                self._wandb.log({f"train/{k}": v for k, v in {**logs_dict, "global_step": global_step}.items()})
            elif self._tensorboard is not None and self.strategy.is_rank_0():
                for k, v in logs_dict.items():
                    self._tensorboard.add_scalar(f"train/{k}", v, global_step)
        if global_step % args.eval_every == 0:
            self.evaluate(args.eval_data, global_step)

    def evaluate(self, eval_dataloader, steps=0):
        """Evaluate, and log it."""
        logs = dict(eval_dataloader)
        if self.strategy.is_rank_0():
            if self._wandb is not None:
                self._wandb.log({f"eval/{k}": v for k, v in {**logs, "global_step": steps}.items()})
            elif self._tensorboard is not None:
                for k, v in logs.items():
                    self._tensorboard.add_scalar(f"eval/{k}", v, steps)
