"""The shape of `openrlhf.trainer.dpo_trainer`."""

from openrlhf.trainer.supervised import Supervised


class DPOTrainer(Supervised):
    """The trainer."""

    def __init__(self, *args, **settings) -> None:
        super().__init__(*args, **settings)
