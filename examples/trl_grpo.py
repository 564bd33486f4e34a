"""Record a GRPO training of a tiny model with RLDK, offline and on the CPU: `python examples/trl_grpo.py [FOLDER]`."""

from __future__ import annotations

import sys
from pathlib import Path

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from rldk import read_events
from rldk.integrations.trl import RLDKCallback
from rldk.integrations.trl.demo import PROMPTS, tiny_model, tiny_tokenizer, vowel_reward


def main(folder: Path) -> None:
    """Train ten steps, then read the rewards back from the log."""
    recorder = RLDKCallback(folder / "rldk_logs")
    tokenizer = tiny_tokenizer()
    trainer = GRPOTrainer(
        tiny_model(tokenizer),
        reward_funcs=vowel_reward,
        args=GRPOConfig(
            output_dir=str(folder / "checkpoints"),
            max_steps=10,
            logging_steps=1,
            save_strategy="no",
            per_device_train_batch_size=8,
            num_generations=4,
            max_completion_length=8,
            use_cpu=True,
            bf16=False,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_dict({"prompt": list(PROMPTS) * 4}),
        processing_class=tokenizer,
        callbacks=[recorder],
    )
    trainer.train()
    for event in read_events(recorder.path):
        if event.phase == "train":
            print(f"step {event.step:2}  reward {event.metrics['reward_mean']:.3f}  loss {event.metrics['loss']:+.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "example_run"))
