"""What NeMo RL logs."""

from __future__ import annotations

from functools import partial
from typing import Final

from rldk.metrics.source import Source
from rldk.metrics.wording import TOKENS_OR_RESPONSES

__all__ = ["SOURCES"]

_nemo = partial(Source, framework="nemo_rl", reference="nemo_rl/algorithms/grpo.py")
_nemo_loss = partial(_nemo, reference="nemo_rl/algorithms/loss_functions.py")

SOURCES: Final[tuple[Source, ...]] = (
    _nemo("reward", "reward_mean", reduction="mean over the batch"),
    _nemo_loss(
        "kl_penalty",
        "kl_mean",
        estimator="as reference_policy_kl_type says; k3 by default",
        versus="reference policy",
        reduction=TOKENS_OR_RESPONSES,
        caveat="without its coefficient; 0 when that is 0",
    ),
    _nemo_loss(
        "gen_kl_error",
        "kl_mismatch",
        estimator="as reference_policy_kl_type says; k3 by default",
        versus="inference engine",
        reduction="mean over tokens",
        caveat="from the inference engine to the trainer",
    ),
    _nemo_loss(
        "sampling_importance_ratio",
        "mismatch_ratio_mean",
        versus="inference engine",
        reduction="mean over tokens, or over sequences with sequence-level ratios",
        caveat="after it was truncated, when it is",
    ),
    _nemo_loss(
        "approx_entropy",
        "entropy_sampled",
        reduction="mean over tokens",
        caveat="each token weighted with its probability by the trainer over that by the inference engine",
    ),
    _nemo_loss("probs_ratio", "ratio_mean", versus="old policy", reduction="mean over tokens"),
    _nemo("loss", "loss"),
    _nemo("grad_norm", "grad_norm"),
    _nemo("lr", "lr"),
    _nemo("advantages/mean", "advantage_mean", reduction="mean over tokens"),
    _nemo("mean_gen_tokens_per_sample", "response_len_mean", reduction="mean", caveat="over all turns of a sample"),
    _nemo("max_gen_tokens_per_sample", "response_len_max", reduction="max", caveat="over all turns of a sample"),
    _nemo("mean_prompt_length", "prompt_len_mean", reduction="mean"),
    _nemo("truncation_rate", "truncation_rate", reduction="share of responses"),
    _nemo("total_num_tokens", "tokens_step", reduction="sum over the step"),
    _nemo("timing/train/total_step_time", "step_time"),
    _nemo("performance/tokens_per_sec", "tokens_per_second"),
    _nemo("performance/tokens_per_sec_per_gpu", "tokens_per_second_gpu"),
    _nemo("performance/samples_per_sec", "samples_per_second"),
    _nemo_loss("accuracy", "accuracy", algorithms=("dpo", "rm"), reduction="share of pairs"),
    _nemo_loss(
        "rewards_chosen_mean",
        "reward_chosen",
        algorithms=("dpo",),
        versus="reference policy",
        caveat="the difference of the log-probabilities, without beta",
    ),
    _nemo_loss(
        "rewards_rejected_mean",
        "reward_rejected",
        algorithms=("dpo",),
        versus="reference policy",
        caveat="the difference of the log-probabilities, without beta",
    ),
    _nemo_loss(
        "rewards_chosen_mean",
        "reward_chosen",
        algorithms=("rm",),
        versus="nothing",
        caveat="of the model in training",
    ),
    _nemo_loss(
        "rewards_rejected_mean",
        "reward_rejected",
        algorithms=("rm",),
        versus="nothing",
        caveat="of the model in training",
    ),
)
"""Every key whose meaning is known."""
