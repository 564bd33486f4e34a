"""What prime-rl, AReaL, slime, open-instruct and tinker-cookbook log."""

from __future__ import annotations

from functools import partial
from typing import Final

from rldk.metrics.source import Source
from rldk.metrics.wording import BINDS, TOKENS_OR_RESPONSES

__all__ = ["SOURCES"]

_prime = partial(Source, framework="prime_rl", reference="docs/training.md")
_areal = partial(Source, framework="areal", reference="areal/trainer/ppo/actor.py")
_slime = partial(Source, framework="slime", reference="slime/backends/megatron_utils/loss.py")
_open_instruct = partial(Source, framework="open_instruct", reference="open_instruct/grpo_fast.py")
_tinker = partial(Source, framework="tinker", reference="tinker_cookbook/rl/metrics.py")
_tinker_env = partial(_tinker, reference="tinker_cookbook/rl/metric_util.py")

SOURCES: Final[tuple[Source, ...]] = (
    _prime("reward/all/mean", "reward_mean", reduction="mean over rollouts"),
    _prime(
        "mismatch_kl/all/mean",
        "kl_mismatch",
        estimator="k3",
        versus="inference engine",
        reduction="mean over tokens",
        sign=">= 0",
        caveat="the inference engine may hold an older policy, so staleness is in it",
        reference="src/prime_rl/trainer/rl/loss.py",
    ),
    _prime(
        "mismatch_kl/mean",
        "kl_mismatch",
        estimator="k3",
        versus="inference engine",
        reduction="mean over tokens",
        sign=">= 0",
        caveat="the inference engine may hold an older policy, so staleness is in it",
        reference="src/prime_rl/trainer/rl/loss.py",
    ),
    _prime("entropy/all/mean", "entropy_mean", reduction="mean over tokens", sign=">= 0"),
    _prime("entropy/mean", "entropy_mean", reduction="mean over tokens", sign=">= 0"),
    _prime("optim/grad_norm", "grad_norm"),
    _prime("optim/lr", "lr"),
    _prime("loss/mean", "loss"),
    _prime("is_truncated/all/mean", "truncation_rate", reduction="share of rollouts"),
    _prime("perf/throughput", "tokens_per_second"),
    _prime("perf/throughput_per_gpu", "tokens_per_second_gpu"),
    _prime("time/step", "step_time"),
    _areal("task_reward/avg", "reward_mean", reduction="mean over responses", caveat="before bias, scaling and clip"),
    _areal("entropy/avg", "entropy_mean", reduction="mean over tokens", sign=">= 0"),
    _areal("clip_ratio/avg", "clip_frac", versus="old policy", reduction="mean over tokens", caveat=BINDS),
    _areal("actor_loss/avg", "policy_loss", reduction="mean over tokens"),
    _areal("importance_weight/avg", "ratio_mean", versus="old policy", reduction="mean over tokens"),
    _areal(
        "behave_imp_weight/avg",
        "mismatch_ratio_mean",
        versus="inference engine",
        reduction="mean over tokens",
        caveat="after it was capped; the inference engine may hold an older policy",
    ),
    _areal("advantages/avg", "advantage_mean", reduction="mean over tokens"),
    _areal("prompt_len/avg", "prompt_len_mean", reduction="mean"),
    _areal("grad_norm", "grad_norm"),
    _areal("lr", "lr"),
    _slime("rollout/raw_reward", "reward_mean", reduction="mean over the batch", caveat="before group normalisation"),
    _slime(
        "kl_loss",
        "kl_mean",
        estimator="as kl_loss_type says; low_var_kl is k3",
        versus="reference policy",
        reduction=TOKENS_OR_RESPONSES,
        caveat="measured at the loss",
    ),
    _slime(
        "ppo_kl",
        "kl_old",
        estimator="k1",
        versus="old policy",
        reduction=TOKENS_OR_RESPONSES,
        sign="may be negative",
        caveat="over sequences with GSPO",
    ),
    _slime(
        "train_rollout_logprob_abs_diff",
        "mismatch_logp_mean",
        versus="inference engine",
        reduction=TOKENS_OR_RESPONSES,
        sign=">= 0",
    ),
    _slime("tis", "mismatch_ratio_mean", versus="inference engine", reduction=TOKENS_OR_RESPONSES),
    _slime(
        "entropy_loss",
        "entropy_mean",
        reduction=TOKENS_OR_RESPONSES,
        sign=">= 0",
        caveat="the entropy, not minus it, in spite of its name",
    ),
    _slime(
        "pg_clipfrac",
        "clip_frac",
        versus="old policy",
        reduction=TOKENS_OR_RESPONSES,
        caveat=f"{BINDS}; not so CISPO",
    ),
    _slime("pg_loss", "policy_loss", reduction=TOKENS_OR_RESPONSES),
    _slime("loss", "loss"),
    _slime("value_loss", "value_loss", caveat="without a factor"),
    _slime("value_clipfrac", "value_clip_frac", caveat="counts values out of range whether or not the clip binds"),
    _slime("grad_norm", "grad_norm", reference="slime/backends/megatron_utils/model.py"),
    _slime(
        "lr-pg_0", "lr", caveat="of the first group of parameters", reference="slime/backends/megatron_utils/model.py"
    ),
    _open_instruct("objective/verifiable_reward", "reward_mean", reduction="mean over the batch"),
    _open_instruct(
        "objective/kl0_avg",
        "kl_mean",
        estimator="k1",
        versus="reference policy",
        reduction="mean over tokens",
        sign="may be negative",
    ),
    _open_instruct(
        "objective/kl_avg",
        "kl_mean",
        estimator="k1",
        versus="reference policy",
        reduction="mean over tokens",
        sign="may be negative",
        versions="before kl0_avg",
    ),
    _open_instruct("policy/entropy_avg", "entropy_mean", reduction="mean over tokens", sign=">= 0"),
    _open_instruct("policy/clipfrac_avg", "clip_frac", versus="old policy", reduction="mean over tokens", caveat=BINDS),
    _open_instruct("loss/policy_avg", "policy_loss", reduction="mean over tokens"),
    _open_instruct("loss/total_avg", "loss"),
    _open_instruct("val/ratio", "ratio_mean", versus="old policy", reduction="mean over tokens"),
    _open_instruct("val/tis_ratio", "mismatch_ratio_mean", versus="inference engine", reduction="mean over tokens"),
    _open_instruct("val/advantages_mean", "advantage_mean", reduction="mean over samples"),
    _open_instruct("optim/grad_norm", "grad_norm"),
    _open_instruct("lr", "lr"),
    _open_instruct("val/sequence_lengths", "response_len_mean", reduction="mean"),
    _open_instruct("val/sequence_lengths_max", "response_len_max", reduction="max"),
    _open_instruct("val/sequence_lengths_min", "response_len_min", reduction="min"),
    _open_instruct(
        "val/truncated_completion_fraction",
        "truncation_rate",
        reduction="share of responses",
        caveat="before responses are filtered",
    ),
    _open_instruct("val/num_total_tokens", "tokens_total", reduction="sum so far"),
    _open_instruct("val/num_step_tokens", "tokens_step", reduction="sum over the step"),
    _tinker_env("env/all/reward/total", "reward_mean", reduction="mean over episodes"),
    _tinker_env(
        "env/all/by_group/frac_all_good",
        "frac_all_good_groups",
        reduction="share of groups",
        caveat="equal rewards of at least 0.5",
    ),
    _tinker_env(
        "env/all/by_group/frac_all_bad",
        "frac_all_bad_groups",
        reduction="share of groups",
        caveat="equal rewards below 0.5",
    ),
    _tinker(
        "optim/kl_sample_train_v1",
        "kl_mismatch",
        estimator="k1",
        versus="inference engine",
        reduction="mean over tokens",
        sign="may be negative",
    ),
    _tinker(
        "optim/kl_sample_train_v2",
        "kl_mismatch",
        estimator="k2",
        versus="inference engine",
        reduction="mean over tokens",
        sign=">= 0",
    ),
    _tinker("optim/entropy", "entropy_sampled", reduction="mean over tokens", caveat="of the inference engine"),
    _tinker("optim/lr", "lr", reference="tinker_cookbook/rl/train.py"),
    _tinker("time/total", "step_time", reference="tinker_cookbook/rl/train.py"),
)
"""Every key whose meaning is known."""
