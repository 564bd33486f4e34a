"""What Stable-Baselines3, CleanRL, OpenAI Baselines, RLlib and DreamerV3 log."""

from __future__ import annotations

from functools import partial
from typing import Final

from rldk.metrics.source import Source

__all__ = ["SOURCES"]

_sb3 = partial(Source, framework="sb3", reference="stable_baselines3/common/on_policy_algorithm.py")
_sb3_ppo = partial(_sb3, reference="stable_baselines3/ppo/ppo.py")
_cleanrl = partial(Source, framework="cleanrl", reference="cleanrl/ppo.py")
_ppo1 = partial(Source, framework="baselines", reference="baselines/ppo1/pposgd_simple.py")
_ppo2 = partial(Source, framework="baselines", reference="baselines/ppo2/ppo2.py")
_sb2 = partial(Source, framework="baselines", reference="stable_baselines/ppo2/ppo2.py")
_rllib = partial(Source, framework="rllib", reference="rllib/algorithms/ppo/torch/ppo_torch_learner.py")
_rllib_old = partial(Source, framework="rllib", reference="rllib/algorithms/ppo/ppo_torch_policy.py")
_dreamer = partial(Source, framework="dreamer", reference="dreamerv3/agent.py")

_OUTSIDE: Final = "counts ratios out of range whether or not the clip binds, so about twice as many"
_TRAILING: Final = "over the last 100 episodes, not those of this step"
_BEFORE: Final = "before the update; NaN when all returns are equal"
_PPO: Final = ("ppo",)

SOURCES: Final[tuple[Source, ...]] = (
    _sb3("rollout/ep_rew_mean", "reward_mean", reduction="mean over episodes", caveat=_TRAILING),
    _sb3("rollout/ep_len_mean", "episode_len_mean", reduction="mean over episodes", caveat=_TRAILING),
    _sb3("time/fps", "env_steps_per_second", reduction="mean since the run began"),
    _sb3_ppo(
        "train/approx_kl",
        "kl_old",
        estimator="k3",
        versus="old policy",
        reduction="mean over the mini-batches of the last epoch",
        sign=">= 0",
    ),
    _sb3_ppo("train/clip_fraction", "clip_frac", versus="old policy", reduction="mean over actions", caveat=_OUTSIDE),
    _sb3_ppo("train/policy_gradient_loss", "policy_loss", reduction="mean over the updates of the step"),
    _sb3("train/policy_loss", "policy_loss", reference="stable_baselines3/a2c/a2c.py"),
    _sb3_ppo("train/value_loss", "value_loss", caveat="without a factor"),
    _sb3_ppo("train/loss", "loss", reduction="last mini-batch in PPO, mean over the updates in DQN"),
    _sb3_ppo("train/explained_variance", "explained_variance", caveat=_BEFORE),
    _sb3_ppo("train/learning_rate", "lr"),
    _cleanrl("charts/episodic_return", "reward_mean", reduction="one episode"),
    _cleanrl("charts/episodic_length", "episode_len_mean", reduction="one episode"),
    _cleanrl("charts/learning_rate", "lr"),
    _cleanrl("charts/SPS", "env_steps_per_second", reduction="mean since the run began"),
    _cleanrl(
        "losses/approx_kl",
        "kl_old",
        estimator="k3",
        versus="old policy",
        reduction="last mini-batch",
        sign=">= 0",
    ),
    _cleanrl(
        "losses/old_approx_kl",
        "kl_old",
        estimator="k1",
        versus="old policy",
        reduction="last mini-batch",
        sign="may be negative",
    ),
    _cleanrl("losses/clipfrac", "clip_frac", versus="old policy", reduction="mean over actions", caveat=_OUTSIDE),
    _cleanrl("losses/entropy", "entropy_mean", reduction="last mini-batch"),
    _cleanrl("losses/policy_loss", "policy_loss", reduction="last mini-batch"),
    _cleanrl("losses/value_loss", "value_loss", reduction="last mini-batch", caveat="with a factor 0.5"),
    _cleanrl("losses/explained_variance", "explained_variance", caveat=_BEFORE),
    _ppo2("eprewmean", "reward_mean", reduction="mean over episodes", caveat=_TRAILING),
    _ppo2("eplenmean", "episode_len_mean", reduction="mean over episodes", caveat=_TRAILING),
    _sb2("ep_reward_mean", "reward_mean", reduction="mean over episodes", caveat=_TRAILING),
    _sb2("ep_len_mean", "episode_len_mean", reduction="mean over episodes", caveat=_TRAILING),
    _ppo2("fps", "env_steps_per_second"),
    _ppo2(
        "loss/approxkl",
        "kl_old",
        estimator="k2",
        versus="old policy",
        reduction="mean over the updates of the step",
        sign=">= 0",
    ),
    _ppo2("loss/clipfrac", "clip_frac", versus="old policy", reduction="mean over actions", caveat=_OUTSIDE),
    _ppo2("loss/policy_entropy", "entropy_mean", reduction="mean over actions"),
    _ppo2("loss/policy_loss", "policy_loss", reduction="mean over the updates of the step"),
    _ppo2("loss/value_loss", "value_loss", caveat="with a factor 0.5"),
    _ppo2("misc/explained_variance", "explained_variance", caveat=_BEFORE),
    _ppo2(
        "approxkl",
        "kl_old",
        estimator="k2",
        versus="old policy",
        reduction="mean over the updates of the step",
        sign=">= 0",
        versions="before loss/approxkl",
    ),
    _ppo2(
        "clipfrac",
        "clip_frac",
        versus="old policy",
        reduction="mean over actions",
        caveat=_OUTSIDE,
        versions="before loss/clipfrac",
    ),
    _ppo2("policy_entropy", "entropy_mean", reduction="mean over actions", versions="before loss/policy_entropy"),
    _ppo2("policy_loss", "policy_loss", versions="before loss/policy_loss"),
    _ppo2("value_loss", "value_loss", caveat="with a factor 0.5", versions="before loss/value_loss"),
    _ppo2("explained_variance", "explained_variance", caveat=_BEFORE, versions="before misc/explained_variance"),
    _ppo1("EpRewMean", "reward_mean", reduction="mean over episodes", caveat=_TRAILING),
    _ppo1("EpLenMean", "episode_len_mean", reduction="mean over episodes", caveat=_TRAILING),
    _ppo1(
        "loss_kl",
        "kl_old",
        estimator="exact",
        versus="old policy",
        reduction="mean over actions",
        sign=">= 0",
    ),
    _ppo1("loss_ent", "entropy_mean", reduction="mean over actions"),
    _ppo1("loss_pol_surr", "policy_loss"),
    _ppo1("loss_vf_loss", "value_loss", caveat="without a factor"),
    _ppo1("ev_tdlam_before", "explained_variance", caveat="before the update"),
    _ppo2(
        "mean 100 episode reward",
        "reward_mean",
        reduction="mean over episodes",
        caveat=_TRAILING,
        reference="baselines/deepq/deepq.py",
    ),
    _sb2(
        "ep_rewmean", "reward_mean", reduction="mean over episodes", caveat=_TRAILING, versions="before ep_reward_mean"
    ),
    _rllib("env_runners/episode_return_mean", "reward_mean", reduction="mean over episodes", caveat=_TRAILING),
    _rllib_old(
        "env_runners/episode_reward_mean", "reward_mean", reduction="mean over episodes", versions="old API stack"
    ),
    _rllib_old("episode_reward_mean", "reward_mean", reduction="mean over episodes", versions="old API stack"),
    _rllib("env_runners/episode_len_mean", "episode_len_mean", reduction="mean over episodes"),
    _rllib_old("episode_len_mean", "episode_len_mean", reduction="mean over episodes", versions="old API stack"),
    _rllib(
        "learners/default_policy/mean_kl_loss",
        "kl_old",
        algorithms=_PPO,
        estimator="exact",
        versus="old policy",
        reduction="mean over actions",
        sign=">= 0",
    ),
    _rllib_old(
        "info/learner/default_policy/learner_stats/kl",
        "kl_old",
        algorithms=_PPO,
        estimator="exact",
        versus="old policy",
        reduction="mean over actions",
        sign=">= 0",
        versions="old API stack",
    ),
    _rllib("learners/default_policy/entropy", "entropy_mean", algorithms=_PPO, reduction="mean over actions"),
    _rllib_old(
        "info/learner/default_policy/learner_stats/entropy",
        "entropy_mean",
        algorithms=_PPO,
        reduction="mean over actions",
        versions="old API stack",
    ),
    _rllib("learners/default_policy/policy_loss", "policy_loss", algorithms=_PPO),
    _rllib_old(
        "info/learner/default_policy/learner_stats/policy_loss",
        "policy_loss",
        algorithms=_PPO,
        versions="old API stack",
    ),
    _rllib("learners/default_policy/vf_loss", "value_loss", algorithms=_PPO, caveat="clipped, without a factor"),
    _rllib_old(
        "info/learner/default_policy/learner_stats/vf_loss",
        "value_loss",
        algorithms=_PPO,
        caveat="clipped, without a factor",
        versions="old API stack",
    ),
    _rllib("learners/default_policy/total_loss", "loss"),
    _rllib_old("info/learner/default_policy/learner_stats/total_loss", "loss", versions="old API stack"),
    _rllib("learners/default_policy/vf_explained_var", "explained_variance", algorithms=_PPO),
    _rllib_old(
        "info/learner/default_policy/learner_stats/vf_explained_var",
        "explained_variance",
        algorithms=_PPO,
        versions="old API stack",
    ),
    _rllib("learners/default_policy/gradients_default_optimizer_global_norm", "grad_norm"),
    _rllib("learners/default_policy/default_optimizer_learning_rate", "lr"),
    _rllib_old("info/learner/default_policy/learner_stats/cur_lr", "lr", versions="old API stack"),
    _dreamer("episode/score", "reward_mean", reduction="one episode"),
    _dreamer("episode/length", "episode_len_mean", reduction="one episode"),
    _dreamer("train/ent/action", "entropy_mean", reduction="mean over imagined actions"),
    _dreamer("train/loss/policy", "policy_loss", reduction="mean over imagined actions"),
    _dreamer("train/loss/value", "value_loss", caveat="over bins of the value, no squared error"),
    _dreamer("train/opt/loss", "loss", caveat="of world model, policy and critic"),
    _dreamer("train/opt/grad_norm", "grad_norm"),
    _dreamer("train/adv", "advantage_mean", reduction="mean over imagined actions"),
    _dreamer("train/adv_std", "advantage_std", reduction="over imagined actions"),
    _dreamer("train/val", "value_mean", reduction="mean over imagined actions"),
)
"""Every key whose meaning is known."""
