"""What a key of a log that no framework is known for is taken to mean, only to judge by it.

A log keeps its own names where nothing fixes their meaning, and so do all tables made of it. But most rules only
ask whether something grew, fell or jumped, and for that it is enough that `reward` is a reward. Keys that mean
different things to different people, as `score` or `kl_loss`, are not here.
"""

from __future__ import annotations

from typing import Final

__all__ = ["PRESUMED", "presumed"]

_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "accuracy": ("rewards/accuracies",),
    "clip_frac": ("clip_fraction", "clipfrac", "clip_ratio/region_mean", "pg_clipfrac", "actor/pg_clipfrac"),
    "entropy_mean": ("entropy", "policy_entropy", "policy/entropy", "actor/entropy"),
    "episode_len_mean": ("ep_len_mean", "mean_episode_len", "mean_ep_length", "rollout/ep_len_mean"),
    "explained_variance": ("critic/vf_explained_var", "vf_explained_var"),
    "frac_zero_std_groups": ("frac_reward_zero_std",),
    "grad_norm": ("actor/grad_norm", "gradient_norm", "grad_norm/total"),
    "kl_mean": ("kl", "kl_div", "kl_divergence", "kl_ref", "mean_kl"),
    "kl_mismatch": ("mismatch_kl", "rollout_corr/kl"),
    "kl_old": ("approx_kl", "approxkl", "actor/ppo_kl", "ppo_kl"),
    "loss": ("total_loss", "loss/total"),
    "lr": ("learning_rate", "actor/lr"),
    "margin": ("rewards/margins",),
    "policy_loss": ("pg_loss", "actor/pg_loss", "loss/policy", "policy loss"),
    "ratio_mean": ("ratio", "importance_ratio", "val/ratio"),
    "response_len_mean": (
        *("completions/mean_length", "completion_length", "response_length", "response_length/mean"),
        *("mean_response_length", "response_len", "mean_length"),
    ),
    "reward_chosen": ("rewards/chosen",),
    "reward_mean": (
        *("reward", "mean_reward", "avg_reward", "reward/mean", "rewards/mean", "mean_episode_rewards"),
        *("ep_rew_mean", "episode_reward", "episode_return", "critic/score/mean", "train_return"),
    ),
    "reward_rejected": ("rewards/rejected",),
    "step_time": ("time_per_step", "perf/time_per_step", "timing_s/step"),
    "tokens_total": ("num_tokens",),
    "truncation_rate": ("completions/clipped_ratio", "response_length/clip_ratio", "truncated_rate"),
    "value_loss": ("vf_loss", "critic/vf_loss", "critic_loss", "loss/value", "value loss"),
}

PRESUMED: Final = {key: name for name, keys in _KEYS.items() for key in keys}
"""For each key the canonical name whose rules are applied to it."""

_COMPONENT: Final = "rewards/"


def presumed(key: str) -> str | None:
    """The canonical name whose rules are applied to a key, None when there is none."""
    for name in (key, key.removeprefix("train/")):
        if name in PRESUMED:
            return PRESUMED[name]
    if key.startswith(_COMPONENT) and key.endswith("/mean") and key.count("/") == 2:  # noqa: PLR2004 - rewards/<f>/mean
        return f"reward_component/{key.removeprefix(_COMPONENT).removesuffix('/mean')}"
    return None
