"""What OpenRLHF logs."""

from __future__ import annotations

from functools import partial
from typing import Final

from rldk.metrics.source import Source
from rldk.metrics.wording import BINDS

__all__ = ["SOURCES"]

_openrlhf = partial(Source, framework="openrlhf", reference="openrlhf/trainer/ray/ppo_actor.py")
_rollout = partial(_openrlhf, reference="openrlhf/trainer/ppo_trainer.py")
_critic = partial(_openrlhf, reference="openrlhf/trainer/ray/ppo_critic.py")
_supervised = partial(_openrlhf, reference="openrlhf/trainer/sft_trainer.py")
_preference = partial(_openrlhf, reference="openrlhf/trainer/dpo_trainer.py")
_reward_model = partial(_openrlhf, algorithms=("rm", "reward"), reference="openrlhf/trainer/rm_trainer.py")

_PENALTIES: Final = "includes the penalties for length and truncation when they are on"
_LAST: Final = "last micro-batch"
_PREFERENCES: Final = ("dpo", "rm", "reward")

SOURCES: Final[tuple[Source, ...]] = (
    _rollout("rollout/reward_mean", "reward_mean", reduction="mean over the batch", caveat=_PENALTIES),
    _openrlhf("reward", "reward_mean", reduction="mean over the batch", caveat=_PENALTIES),
    _rollout("rollout/reward_std", "reward_std", reduction="over the whole batch", caveat="0.0 with one sample"),
    _openrlhf(
        "group_reward_std",
        "reward_group_std",
        reduction="mean over samples",
        caveat=_PENALTIES,
        reference="openrlhf/trainer/ppo_utils/experience_maker.py",
    ),
    _openrlhf(
        "kl",
        "kl_mean",
        estimator="k1, k2 or k3, as kl.estimator says",
        versus="reference policy",
        reduction="mean over responses of the mean over tokens; with kl.use_loss the mean over tokens",
        sign="may be negative with k1",
        caveat="0 without a reference policy; at the loss with kl.use_loss, else at generation; tokens within 10",
        reference="openrlhf/trainer/ppo_utils/experience_maker.py, openrlhf/models/utils.py",
    ),
    _openrlhf(
        "ppo_kl",
        "kl_old",
        estimator="k1",
        versus="old policy",
        reduction="mean over tokens",
        sign="may be negative",
        reference="openrlhf/models/loss.py",
    ),
    _openrlhf(
        "vllm_kl",
        "kl_mismatch",
        estimator="k1",
        versus="inference engine",
        reduction="mean over tokens",
        sign="may be negative",
        reference="openrlhf/models/loss.py",
    ),
    _openrlhf(
        "entropy_loss",
        "entropy_mean",
        reduction="mean over tokens",
        sign=">= 0",
        caveat="the entropy, not the term of the loss, in spite of its name; logged only when a coefficient is set",
    ),
    _openrlhf(
        "ppo_clip_ratio",
        "clip_frac",
        versus="old policy",
        reduction="mean over tokens",
        caveat=BINDS,
        reference="openrlhf/models/loss.py",
    ),
    _openrlhf("policy_loss", "policy_loss"),
    _openrlhf(
        "actor_grad_norm", "grad_norm", reduction="last mini-batch", caveat="0.0 may also mean that it was not known"
    ),
    _openrlhf("actor_lr", "lr", caveat="of the next update"),
    _critic("critic_loss", "value_loss", caveat="with a factor 0.5"),
    _critic("values", "value_mean", reduction="mean over tokens"),
    _critic("critic_grad_norm", "value_grad_norm", caveat="0.0 may also mean that it was not known"),
    _critic("critic_lr", "value_lr", caveat="of the next update"),
    _rollout("rollout/response_length_mean", "response_len_mean", caveat="from the first to the last generated token"),
    _openrlhf("response_length", "response_len_mean", caveat="from the first to the last generated token"),
    _rollout("rollout/truncated_rate", "truncation_rate", reduction="share of responses"),
    _openrlhf("truncated", "truncation_rate", reduction="share of responses"),
    _rollout("timing/step_total", "step_time", caveat="with async training the wall clock, else the sum of the parts"),
    _preference("loss", "loss", algorithms=_PREFERENCES, reduction=_LAST, caveat="loss_mean is that of the window"),
    _supervised(
        "loss_mean",
        "loss",
        algorithms=("sft", "dpo", "rm", "reward", "kto", "prm"),
        reduction="mean over the window",
        caveat="to OpenRLHF 0.5 a moving average",
    ),
    _supervised("gpt_loss", "loss", algorithms=("sft",), reduction=_LAST),
    _supervised("lr", "lr", caveat="of the next update"),
    _supervised("grad_norm", "grad_norm", caveat="0.0 may also mean that it was not known"),
    _preference("acc_mean", "accuracy", algorithms=_PREFERENCES, reduction="share of pairs in the window"),
    _preference("acc", "accuracy", algorithms=_PREFERENCES, reduction=_LAST),
    _preference("chosen_reward", "reward_chosen", algorithms=("dpo", "kto"), versus="reference policy"),
    _preference("reject_reward", "reward_rejected", algorithms=("dpo", "kto"), versus="reference policy"),
    _reward_model("chosen_reward", "reward_chosen", versus="nothing", caveat="of the model in training"),
    _reward_model("reject_reward", "reward_rejected", versus="nothing", caveat="of the model in training"),
)
"""Every key whose meaning is known."""
