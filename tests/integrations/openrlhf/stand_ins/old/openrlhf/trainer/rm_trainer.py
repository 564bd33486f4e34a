"""The shape of `openrlhf.trainer.rm_trainer`."""

from openrlhf.trainer.supervised import Supervised


class RewardModelTrainer(Supervised):
    """The trainer."""

    def __init__(self, *args, **settings) -> None:
        super().__init__(*args, **settings)
