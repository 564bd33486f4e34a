"""The canonical names: what each stands for, and in which unit."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["METRICS", "Metric"]


class Metric(msgspec.Struct, frozen=True):
    """A canonical name: what it stands for, and in which unit."""

    name: str
    meaning: str
    unit: str


METRICS: Final[dict[str, Metric]] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "share of preference pairs whose chosen answer has the higher reward", "share"),
        Metric("advantage_mean", "mean advantage", "reward"),
        Metric("advantage_std", "standard deviation of the advantage", "reward"),
        Metric("clip_frac", "share of the policy loss in which the clip range binds", "share"),
        Metric(
            "entropy_mean", "entropy of the policy for one token or action, over all it could choose", "nats per token"
        ),
        Metric("entropy_sampled", "minus the log-probability of the tokens that were sampled", "nats per token"),
        Metric("env_steps_per_second", "steps of the environment in a second", "steps/s"),
        Metric("episode_len_mean", "length of an episode", "environment steps"),
        Metric("epoch", "passes over the training data so far", "epochs"),
        Metric("explained_variance", "share of the variance of the returns that the critic explains", "share"),
        Metric("frac_all_bad_groups", "share of groups in which all answers have the same low reward", "share"),
        Metric("frac_all_good_groups", "share of groups in which all answers have the same high reward", "share"),
        Metric("frac_zero_std_groups", "share of samples whose group has equal rewards, so no advantage", "share"),
        Metric("grad_norm", "norm of the gradient before clipping", "gradient"),
        Metric("kl_coef", "weight of the divergence from the reference policy", "coefficient"),
        Metric("kl_mean", "divergence of the policy from the reference policy", "nats per token"),
        Metric("kl_mismatch", "divergence between trainer and inference engine for the same policy", "nats per token"),
        Metric("kl_old", "divergence of the policy from the one before the update", "nats per token"),
        Metric("loss", "the value the optimizer minimises", "loss"),
        Metric("lr", "learning rate", "learning rate"),
        Metric("margin", "reward of the chosen answer minus that of the rejected one", "reward"),
        Metric("mismatch_logp_max", "largest gap of a log-probability between trainer and inference engine", "nats"),
        Metric("mismatch_logp_mean", "gap of a log-probability between trainer and inference engine", "nats per token"),
        Metric("mismatch_ratio_mean", "probability by the trainer over that by the inference engine", "ratio"),
        Metric("policy_loss", "the policy's part of the loss; near 0 by construction when on policy", "loss"),
        Metric("prompt_len_mean", "length of a prompt", "tokens"),
        Metric("ratio_mean", "probability of a token under the policy over that under the old policy", "ratio"),
        Metric("response_len_max", "longest response", "tokens"),
        Metric("response_len_mean", "length of a response, truncated ones included", "tokens"),
        Metric("response_len_min", "shortest response", "tokens"),
        Metric("return_mean", "mean return that the critic learns to predict", "reward"),
        Metric("reward_chosen", "reward of the chosen answers, implicit or of the model in training", "reward"),
        Metric("reward_component/<f>", "mean of the reward function <f>", "reward"),
        Metric("reward_component_std/<f>", "standard deviation of the reward function <f>", "reward"),
        Metric("reward_group_std", "standard deviation of the task reward within a group", "reward"),
        Metric("reward_mean", "task reward, before any KL penalty", "reward"),
        Metric("reward_rejected", "reward of the rejected answers, implicit or of the model in training", "reward"),
        Metric("reward_shaped_mean", "task reward after the KL penalty", "reward"),
        Metric("reward_std", "standard deviation of the task reward", "reward"),
        Metric("samples_per_second", "samples in a second", "samples/s"),
        Metric("step_time", "time one step took", "seconds"),
        Metric("tokens_per_second", "tokens in a second, over all devices", "tokens/s"),
        Metric("tokens_per_second_gpu", "tokens in a second and device", "tokens/s"),
        Metric("tokens_step", "tokens of one step, prompts included, over all ranks", "tokens"),
        Metric("tokens_total", "tokens seen so far, prompts included, over all ranks", "tokens"),
        Metric("truncation_rate", "share of responses cut off at the length limit", "share"),
        Metric("value_clip_frac", "share of the critic's loss in which its clip range binds", "share"),
        Metric("value_grad_norm", "norm of the critic's gradient before clipping", "gradient"),
        Metric("value_loss", "the critic's loss", "loss"),
        Metric("value_lr", "learning rate of the critic", "learning rate"),
        Metric("value_mean", "mean value that the critic predicts", "reward"),
    )
}
"""Every canonical name, by name."""
