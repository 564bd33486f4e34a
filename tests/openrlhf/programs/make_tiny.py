"""Make what these tests train, in the folder that is named: a Llama of 37,216 parameters, and its data."""

import json
import random
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

folder = Path(sys.argv[1])
torch.manual_seed(0)
vocabulary = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(vocabulary)}, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
).save_pretrained(folder / "model")
config = LlamaConfig(
    vocab_size=len(vocabulary),
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=2,
    max_position_embeddings=256,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
)
LlamaForCausalLM(config).save_pretrained(folder / "model")

rng = random.Random(0)
words = ["".join(rng.choices("abcdefgh", k=6)) for _ in range(64)]
for name, rows in {
    "instructions": [{"input": word, "output": word[::-1]} for word in words],
    "pairs": [{"prompt": word, "chosen": word[::-1], "rejected": word} for word in words],
    "prompts": [{"input": word, "label": word[::-1], "datasource": "toy"} for word in words[:32]],
}.items():
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
