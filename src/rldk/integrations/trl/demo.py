"""A tiny model trained for real with TRL's GRPO on the CPU, offline: what `rldk demo` records."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM, TrainerControl, TrainerState, TrainingArguments

__all__ = ["PROMPTS", "tiny_model", "tiny_tokenizer", "train", "vowel_reward"]

PROMPTS: Final = (
    "the cat sat on the mat",
    "a dog ran in the park",
    "one two three four five",
    "hello world how are you",
    "what is two plus two",
    "the answer is four",
    "yes no maybe so",
    "tell me a short story",
)
"""What the tiny model is prompted with; its tokenizer is made from these words too."""

_SPECIAL: Final = ("<pad>", "<eos>", "<unk>", "<|user|>", "<|assistant|>", "<|system|>")
_TEMPLATE: Final = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<eos>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 320 tokens, trained on the prompts in a moment."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(PROMPTS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )
    fast.chat_template = _TEMPLATE
    return fast


def tiny_model(tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """A Qwen2 of about 29,000 parameters, the same every time."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
            tie_word_embeddings=True,
        )
    )


def vowel_reward(completions: list[str], **_: Any) -> list[float]:
    """The share of vowels in a completion: something a tiny model learns in thirty steps."""
    return [sum(letter in "aeiou" for letter in text) / max(1, len(text)) for text in completions]


def _saved_model(folder: Path) -> Path:
    """The tiny model in a folder, as a model from the hub would lie there; TRL loads the reference model from it."""
    if not (folder / "model.safetensors").exists():
        tokenizer = tiny_tokenizer()
        tokenizer.save_pretrained(folder)
        tiny_model(tokenizer).save_pretrained(folder)
    return folder


def train(output_dir: Path, checkpoints: Path, *, steps: int, save_steps: int, crash_at: int | None) -> None:
    """Train, or go on from the last checkpoint when there is one.

    Args:
        output_dir: where the run's files go.
        checkpoints: where the trainer keeps its checkpoints.
        steps: how many steps to train in all.
        save_steps: after how many steps a checkpoint is kept.
        crash_at: the step at whose end the process kills itself with SIGKILL; None for none.
    """
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from transformers.trainer_utils import get_last_checkpoint
    from trl import GRPOConfig, GRPOTrainer

    from rldk.integrations.trl import RLDKCallback

    class Crash(TrainerCallback):
        """Kills its own process, as the kernel does when memory runs out."""

        def on_step_end(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
        ) -> None:
            if state.global_step == crash_at:
                os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    trainer = GRPOTrainer(
        model=str(_saved_model(output_dir / "tiny_model")),
        reward_funcs=vowel_reward,
        args=GRPOConfig(
            output_dir=str(checkpoints),
            max_steps=steps,
            logging_steps=1,
            save_steps=save_steps,
            per_device_train_batch_size=16,
            num_generations=8,
            max_completion_length=12,
            # The tiny model never learns to end an answer.
            generation_kwargs={"forced_eos_token_id": 1},
            learning_rate=1e-2,
            beta=0.01,
            seed=0,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_dict({"prompt": list(PROMPTS) * 8}),
        callbacks=[RLDKCallback(output_dir), Crash()],
    )
    last = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    trainer.train(resume_from_checkpoint=last)


if __name__ == "__main__":
    _output_dir, _checkpoints, _steps, _save_steps, _crash_at = sys.argv[1:]
    train(
        Path(_output_dir),
        Path(_checkpoints),
        steps=int(_steps),
        save_steps=int(_save_steps),
        crash_at=int(_crash_at) or None,
    )
