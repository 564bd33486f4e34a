"""The shape of `openrlhf.trainer.sft_trainer`."""

from openrlhf.trainer.supervised import Supervised


class SFTTrainer(Supervised):
    """The trainer."""

    def __init__(self, *args, **settings) -> None:
        super().__init__(*args, **settings)
