"""What transformers, TRL, LLaMA-Factory and ms-swift log."""

from __future__ import annotations

from functools import partial
from typing import Final

from rldk.metrics.source import Source
from rldk.metrics.wording import BINDS

__all__ = ["SOURCES"]

_transformers = partial(Source, framework="transformers", reference="transformers/trainer.py")
_trl = partial(Source, framework="trl")
_llamafactory = partial(Source, framework="llamafactory", reference="llamafactory/train/callbacks.py")
_swift = partial(Source, framework="ms_swift", reference="swift/rlhf_trainers/grpo_trainer.py")

_GROUP: Final = ("grpo", "rloo")
_PAIRS: Final = ("dpo", "kto", "onlinedpo", "xpo", "bco")
_NO_REFERENCE: Final = ("orpo", "cpo")
_GENERATE: Final = ("grpo", "rloo", "distillation")
_ENTROPY: Final = ("grpo", "rloo", "dpo", "sft", "kto", "distillation")
_PPO: Final = ("ppo",)
_SCORED: Final = ("ppo", "onlinedpo")

_grpo = partial(_trl, reference="trl/trainer/grpo_trainer.py")
_pairs = partial(_trl, algorithms=_PAIRS, reference="trl/trainer/dpo_trainer.py")
_logps = partial(_trl, algorithms=_NO_REFERENCE, reference="trl/experimental/cpo/cpo_trainer.py")
_ppo = partial(_trl, algorithms=_PPO, reference="trl/experimental/ppo/ppo_trainer.py, to TRL 1.12")
_scored = partial(_trl, algorithms=_SCORED, reference="trl/experimental/ppo/ppo_trainer.py, to TRL 1.12")
_old_rloo = partial(_trl, algorithms=("rloo",), reference="trl/trainer/rloo_trainer.py", versions="before 0.22")
_old_ppo = partial(_trl, algorithms=_PPO, reference="trl/trainer/ppo_trainer.py", versions="to 0.11")

_LOGP: Final = "beta times the log-probability, there is no reference policy"
_TOKENS_OR_SEQUENCES: Final = "mean over tokens, or over sequences with sequence-level ratios"
_WEIGHTED: Final = "mean over the batch of the weighted sum of the reward functions"

SOURCES: Final[tuple[Source, ...]] = (
    _transformers(
        "loss",
        "loss",
        caveat="a NaN is shown as 0.0 while logging_nan_inf_filter is on; before transformers 5 rounded to 4 decimals",
    ),
    _transformers("grad_norm", "grad_norm", reduction="last step of the window"),
    _transformers("learning_rate", "lr", reduction="last step of the window"),
    _ppo("lr", "lr"),
    _old_rloo("lr", "lr"),
    _transformers("epoch", "epoch"),
    _grpo("reward", "reward_mean", algorithms=_GROUP, reduction=_WEIGHTED),
    _scored("objective/scores", "reward_mean", reduction="mean over the batch"),
    _old_rloo("objective/scores", "reward_mean", reduction="mean over the batch"),
    _old_ppo("env/reward_mean", "reward_mean", reduction="mean over the batch"),
    _old_ppo("ppo/mean_scores", "reward_mean", reduction="mean over the batch"),
    _scored("objective/rlhf_reward", "reward_shaped_mean", reduction="mean over the batch"),
    _old_rloo("objective/rlhf_reward", "reward_shaped_mean", reduction="mean over the batch"),
    _grpo(
        "reward_std",
        "reward_std",
        algorithms=_GROUP,
        reduction="over the whole batch",
        caveat="before TRL 0.27 the mean of the standard deviations within groups",
    ),
    _old_ppo("env/reward_std", "reward_std", reduction="over the whole batch"),
    _old_ppo("ppo/std_scores", "reward_std", reduction="over the whole batch"),
    _grpo("rewards/<f>/mean", "reward_component/<f>", algorithms=_GROUP, reduction="mean over the batch"),
    _grpo("rewards/<f>/std", "reward_component_std/<f>", algorithms=_GROUP, reduction="over the whole batch"),
    _grpo(
        "rewards/<f>",
        "reward_component/<f>",
        algorithms=("grpo",),
        reduction="mean over the batch",
        versions="0.14 to 0.16",
    ),
    _grpo(
        "frac_reward_zero_std",
        "frac_zero_std_groups",
        algorithms=_GROUP,
        reduction="share of samples",
        caveat="groups that are all good and groups that are all bad count alike",
    ),
    _grpo(
        "kl",
        "kl_mean",
        algorithms=("grpo",),
        estimator="k3",
        versus="reference policy",
        reduction="mean over tokens",
        sign=">= 0",
        caveat="measured at the loss; logged only when beta is not 0",
    ),
    _trl(
        "kl",
        "kl_mean",
        algorithms=("rloo",),
        estimator="k1",
        versus="reference policy",
        reduction="mean over tokens",
        sign="may be negative",
        caveat="measured at generation",
        reference="trl/trainer/rloo_trainer.py",
    ),
    _old_ppo("objective/kl_coef", "kl_coef", versus="reference policy"),
    _ppo(
        "policy/approxkl_avg",
        "kl_old",
        estimator="k2",
        versus="old policy",
        reduction="mean over tokens, padding included",
        sign=">= 0",
    ),
    _old_ppo(
        "ppo/policy/approxkl",
        "kl_old",
        estimator="k2",
        versus="old policy",
        reduction="mean over tokens",
        sign=">= 0",
    ),
    _old_ppo(
        "ppo/policy/policykl",
        "kl_old",
        estimator="k1",
        versus="old policy",
        reduction="mean over tokens",
        sign="may be negative",
    ),
    _grpo(
        "sampling/sampling_logp_difference/mean",
        "mismatch_logp_mean",
        algorithms=_GROUP,
        versus="inference engine",
        reduction="mean over tokens of the absolute difference",
        sign=">= 0",
    ),
    _grpo(
        "sampling/sampling_logp_difference/max",
        "mismatch_logp_max",
        algorithms=_GROUP,
        versus="inference engine",
        reduction="max over tokens of the absolute difference",
        sign=">= 0",
    ),
    _grpo(
        "sampling/importance_sampling_ratio/mean",
        "mismatch_ratio_mean",
        algorithms=_GROUP,
        versus="inference engine",
        reduction=_TOKENS_OR_SEQUENCES,
        caveat="after it was truncated or masked",
    ),
    _grpo("entropy", "entropy_mean", algorithms=_ENTROPY, reduction="mean over tokens", sign=">= 0"),
    _ppo("policy/entropy_avg", "entropy_mean", reduction="mean over tokens"),
    _old_rloo("policy/entropy_avg", "entropy_mean", reduction="mean over tokens"),
    _old_ppo("ppo/policy/entropy", "entropy_mean", reduction="mean over tokens", sign=">= 0"),
    _grpo(
        "clip_ratio/region_mean",
        "clip_frac",
        algorithms=_GROUP,
        versus="old policy",
        reduction=_TOKENS_OR_SEQUENCES,
        caveat=BINDS,
    ),
    _grpo(
        "clip_ratio",
        "clip_frac",
        algorithms=("grpo",),
        versus="old policy",
        reduction="mean over tokens",
        caveat=BINDS,
        versions="0.16, later with the Liger kernel",
    ),
    _grpo(
        "cispo_clip_ratio",
        "clip_frac",
        algorithms=("grpo",),
        versus="old policy",
        reduction="mean over tokens",
        caveat="loss_type cispo; the upper bound only",
    ),
    _ppo("policy/clipfrac_avg", "clip_frac", versus="old policy", reduction="mean over tokens"),
    _old_rloo("policy/clipfrac_avg", "clip_frac", versus="old policy", reduction="mean over sequences"),
    _old_ppo("ppo/policy/clipfrac", "clip_frac", versus="old policy", reduction="mean over tokens"),
    _ppo("val/clipfrac_avg", "value_clip_frac", reduction="mean over tokens"),
    _old_ppo("ppo/val/clipfrac", "value_clip_frac", reduction="mean over tokens"),
    _grpo("policy_loss", "policy_loss", algorithms=_GROUP),
    _ppo("loss/policy_avg", "policy_loss"),
    _old_rloo("loss/policy_avg", "policy_loss"),
    _old_ppo("ppo/loss/policy", "policy_loss"),
    _ppo("loss/value_avg", "value_loss", caveat="with a factor 0.5"),
    _old_ppo("ppo/loss/value", "value_loss", caveat="with a factor 0.5"),
    _old_ppo("ppo/loss/total", "loss", caveat="of policy and critic"),
    _old_ppo("ppo/learning_rate", "lr"),
    _ppo("val/ratio", "ratio_mean", versus="old policy"),
    _old_rloo("val/ratio", "ratio_mean", versus="old policy", reduction="mean over tokens, padding included"),
    _old_ppo("ppo/policy/advantages_mean", "advantage_mean", reduction="mean over tokens"),
    _old_ppo("ppo/val/mean", "value_mean", reduction="mean over tokens"),
    _old_ppo("ppo/val/var_explained", "explained_variance"),
    _old_ppo("ppo/returns/mean", "return_mean", reduction="mean over tokens"),
    _grpo("completions/mean_length", "response_len_mean", algorithms=_GENERATE, reduction="mean"),
    _grpo("completion_length", "response_len_mean", algorithms=("grpo",), reduction="mean", versions="0.14 to 0.16"),
    _old_ppo("tokens/responses_len_mean", "response_len_mean", reduction="mean"),
    _grpo("completions/max_length", "response_len_max", algorithms=_GENERATE, reduction="max"),
    _grpo("completions/min_length", "response_len_min", algorithms=_GENERATE, reduction="min"),
    _old_ppo("tokens/queries_len_mean", "prompt_len_mean", reduction="mean"),
    _grpo(
        "completions/clipped_ratio",
        "truncation_rate",
        algorithms=_GENERATE,
        reduction="share of responses",
        caveat="no PPO clipping, in spite of its name",
    ),
    _trl(
        "num_tokens",
        "tokens_total",
        reduction="sum so far",
        caveat="restarts at 0 on resume in SFT, DPO, KTO and reward training",
    ),
    _trl("step_time", "step_time", reduction="mean over the window"),
    _pairs("rewards/chosen", "reward_chosen", versus="reference policy"),
    _pairs("rewards/rejected", "reward_rejected", versus="reference policy"),
    _pairs("rewards/margins", "margin", versus="reference policy"),
    _pairs("rewards/accuracies", "accuracy", reduction="share of pairs"),
    _logps("rewards/chosen", "reward_chosen", versus="nothing", caveat=_LOGP),
    _logps("rewards/rejected", "reward_rejected", versus="nothing", caveat=_LOGP),
    _logps("rewards/margins", "margin", versus="nothing", caveat=_LOGP),
    _logps("rewards/accuracies", "accuracy", reduction="share of pairs"),
    _trl("margin", "margin", algorithms=("reward",), reference="trl/trainer/reward_trainer.py"),
    _trl(
        "accuracy",
        "accuracy",
        algorithms=("reward",),
        reduction="share of pairs",
        reference="trl/trainer/reward_trainer.py",
    ),
    _llamafactory("loss", "loss", caveat="copied from the Trainer's log"),
    _llamafactory("lr", "lr"),
    _llamafactory("learning_rate", "lr", versions="0.9.0 and before"),
    _llamafactory("epoch", "epoch"),
    _llamafactory("reward", "reward_mean", reduction="mean over the batch"),
    _llamafactory("accuracy", "accuracy", reduction="share of pairs", caveat="copied from rewards/accuracies"),
    _llamafactory("total_tokens", "tokens_total", reduction="sum so far"),
    _llamafactory("throughput", "tokens_per_second", reduction="mean since the run began"),
    _swift(
        "reward_std",
        "reward_std",
        algorithms=_GROUP,
        reduction="mean of the standard deviations within groups",
        caveat="over the whole batch with scale_rewards batch",
        reference="swift/rl_core/advantage.py",
    ),
    _swift(
        "kl",
        "kl_mean",
        algorithms=("grpo",),
        estimator="k3",
        versus="reference policy",
        reduction="mean over responses of the mean over tokens",
        sign=">= 0",
        caveat="measured at the loss; logged only when beta is not 0",
    ),
    _swift("entropy/mean", "entropy_mean", algorithms=_GROUP, reduction="mean over responses of the mean over tokens"),
    _swift(
        "clip_ratio",
        "clip_frac",
        algorithms=("grpo",),
        versus="old policy",
        reduction="mean over tokens",
        caveat=BINDS,
        versions="3.2",
    ),
    _swift(
        "response_clip_ratio",
        "truncation_rate",
        algorithms=("grpo",),
        reduction="share of responses",
        caveat="no PPO clipping, in spite of its name",
        versions="3.2",
    ),
    _swift(
        "train_speed(s/it)",
        "step_time",
        reduction="mean since the run began",
        reference="swift/trainers/patcher.py",
    ),
)
"""Every key whose meaning is known."""
