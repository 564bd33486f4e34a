"""What verl logs."""

from __future__ import annotations

from functools import partial
from typing import Final

from rldk.metrics.source import Source
from rldk.metrics.wording import BINDS

__all__ = ["SOURCES"]

_verl = partial(Source, framework="verl", reference="verl/trainer/ppo/metric_utils.py")
_verl_loss = partial(_verl, reference="verl/trainer/ppo/core_algos.py, verl/workers/utils/losses.py")
_verl_kl = partial(_verl, reference="verl/trainer/ppo/ray_trainer.py")
_verl_rollout = partial(_verl, reference="verl/trainer/ppo/rollout_corr_helper.py")

_BY_MODE: Final = "mean over tokens with loss_agg_mode token-mean, the default"
_SUMS: Final = "with loss_agg_mode seq-mean-token-sum a sum over the response"
_SCALED: Final = "verl 0.6 divided it by the number of micro-batches, 0.7 added up all updates of the step"

SOURCES: Final[tuple[Source, ...]] = (
    _verl("critic/score/mean", "reward_mean", reduction="mean over responses"),
    _verl(
        "critic/rewards/mean",
        "reward_shaped_mean",
        reduction="mean over responses",
        caveat="equal to critic/score/mean when there is no KL penalty in the reward",
    ),
    _verl_loss(
        "actor/kl_loss",
        "kl_mean",
        estimator="as kl_loss_type says; low_var_kl is k3",
        versus="reference policy",
        reduction=_BY_MODE,
        caveat=f"measured at the loss; {_SUMS}; {_SCALED}",
    ),
    _verl_kl(
        "actor/reward_kl_penalty",
        "kl_mean",
        estimator="as kl_penalty says; kl is k1",
        versus="reference policy",
        reduction="mean over responses of the mean over tokens",
        caveat="measured at generation",
    ),
    _verl_kl(
        "critic/kl",
        "kl_mean",
        estimator="as kl_penalty says; kl is k1",
        versus="reference policy",
        reduction="mean over responses of the mean over tokens",
        caveat="measured at generation; 0 when there is no reference policy",
        versions="to 0.3",
    ),
    _verl_loss("actor/kl_coef", "kl_coef", versus="reference policy"),
    _verl_kl("actor/reward_kl_penalty_coeff", "kl_coef", versus="reference policy"),
    _verl_kl("critic/kl_coeff", "kl_coef", versus="reference policy", versions="to 0.3"),
    _verl_loss(
        "actor/ppo_kl",
        "kl_old",
        estimator="k1",
        versus="old policy",
        reduction="mean over tokens",
        sign="may be negative",
        caveat="absolute, so never negative, with the kl-cov loss; over sequences with GSPO",
    ),
    _verl_rollout(
        "rollout_corr/kl",
        "kl_mismatch",
        estimator="k1",
        versus="inference engine",
        reduction="mean over tokens",
        sign="may be negative",
    ),
    _verl_rollout(
        "rollout_corr/k3_kl",
        "kl_mismatch",
        estimator="k3",
        versus="inference engine",
        reduction="mean over tokens",
        sign=">= 0",
    ),
    _verl_rollout(
        "rollout_corr/rollout_is_mean",
        "mismatch_ratio_mean",
        versus="inference engine",
        reduction="mean over tokens",
        caveat="after it was truncated",
    ),
    _verl_kl("actor/entropy", "entropy_mean", reduction=_BY_MODE, sign=">= 0", caveat=_SUMS),
    _verl_loss(
        "actor/entropy_loss",
        "entropy_mean",
        reduction=_BY_MODE,
        sign=">= 0",
        caveat=f"the entropy, not minus it, in spite of its name; {_SUMS}",
    ),
    _verl_loss(
        "actor/pg_clipfrac",
        "clip_frac",
        versus="old policy",
        reduction="mean over tokens",
        caveat=f"{BINDS}; constantly 0 with SAPO, another quantity with clip-cov",
    ),
    _verl_loss("actor/pg_loss", "policy_loss", caveat=_SCALED),
    _verl("actor/grad_norm", "grad_norm", reduction="mean over the updates of the step"),
    _verl("actor/lr", "lr"),
    _verl("critic/lr", "value_lr"),
    _verl_loss("critic/vf_loss", "value_loss", caveat="with a factor 0.5"),
    _verl_loss("critic/vf_clipfrac", "value_clip_frac", reduction="mean over tokens"),
    _verl("critic/grad_norm", "value_grad_norm", reduction="mean over the updates of the step"),
    _verl("critic/vf_explained_var", "explained_variance", reduction="over tokens"),
    _verl("critic/values/mean", "value_mean", reduction="mean over tokens"),
    _verl("critic/returns/mean", "return_mean", reduction="mean over tokens"),
    _verl(
        "critic/advantages/mean",
        "advantage_mean",
        reduction="mean over tokens",
        caveat="not 0 in GRPO when longer answers do better or worse",
    ),
    _verl("response_length/mean", "response_len_mean", reduction="mean"),
    _verl("response_length/max", "response_len_max", reduction="max"),
    _verl("response_length/min", "response_len_min", reduction="min"),
    _verl("prompt_length/mean", "prompt_len_mean", reduction="mean"),
    _verl(
        "response_length/clip_ratio",
        "truncation_rate",
        reduction="share of responses",
        caveat="of the longest possible length, also when they ended there by themselves; no PPO clipping",
    ),
    _verl("perf/total_num_tokens", "tokens_step", reduction="sum over the step"),
    _verl("perf/time_per_step", "step_time"),
    _verl("timing_s/step", "step_time"),
    _verl("perf/throughput", "tokens_per_second_gpu"),
)
"""Every key whose meaning is known."""
