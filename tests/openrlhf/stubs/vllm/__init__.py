"""Stands in for vLLM, which needs a GPU: takes the calls that OpenRLHF makes, and samples with the model itself.

New weights are accepted and ignored.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__version__ = "0.29.0"


class SamplingParams(SimpleNamespace):
    """How to sample."""


class AsyncEngineArgs(SimpleNamespace):
    """What the engine is made from."""


class AsyncLLMEngine:
    """Samples one answer at a time from the distribution of the model."""

    def __init__(self, args: AsyncEngineArgs) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(1)
        torch.manual_seed(args.seed)
        self._model = AutoModelForCausalLM.from_pretrained(args.model).eval()
        self.output_processor = SimpleNamespace(get_num_unfinished_requests=lambda: 0)

    @classmethod
    def from_engine_args(cls, args: AsyncEngineArgs) -> AsyncLLMEngine:
        """Make an engine."""
        return cls(args)

    async def is_sleeping(self) -> bool:
        """It never sleeps."""
        return False

    async def collective_rpc(self, *_: Any, **__: Any) -> None:
        """Take new weights, and do nothing with them."""

    reset_prefix_cache = sleep = wake_up = pause_generation = resume_generation = collective_rpc

    async def generate(
        self, prompt: dict[str, Any], params: SamplingParams, request_id: str | None = None
    ) -> AsyncIterator[SimpleNamespace]:
        """Sample until the end of the sequence, or as long as is allowed."""
        import torch

        token_ids, logprobs, past, reason = [], [], None, "length"
        inputs = torch.tensor([list(prompt["prompt_token_ids"])])
        for _ in range(params.max_tokens):
            with torch.no_grad():
                output = self._model(inputs, past_key_values=past, use_cache=True)
            past = output.past_key_values
            all_logprobs = torch.log_softmax(output.logits[0, -1].float() / max(params.temperature, 1e-6), -1)
            token = int(torch.multinomial(all_logprobs.exp(), 1))
            token_ids.append(token)
            logprobs.append({token: SimpleNamespace(logprob=float(all_logprobs[token]))})
            if token == self._model.config.eos_token_id:
                reason = "stop"
                break
            inputs = torch.tensor([[token]])
        asked = getattr(params, "logprobs", None) is not None
        answer = SimpleNamespace(
            token_ids=token_ids, text="", finish_reason=reason, logprobs=logprobs if asked else None
        )
        yield SimpleNamespace(outputs=[answer])
