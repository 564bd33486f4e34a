"""The vocabulary: what a metric's name means, and which framework's key means the same.

A key is given a canonical name only where framework and key fix its meaning; every other key stays as it is.
Two quantities that merely share a name, as the `kl` of GRPO and of KTO do, are kept apart. What each source
computes is written down beside the mapping (`Source`), goes into the manifest of a run, and must agree before
two runs may be compared.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["METRICS", "SOURCES", "Metric", "Source", "Translator"]


class Metric(msgspec.Struct, frozen=True):
    """A canonical name: what it stands for, and in which unit."""

    name: str
    meaning: str
    unit: str


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a framework logs a metric, and what exactly it computes there.

    Args:
        native: the framework's key; `<f>` stands for any name without a slash and is carried over.
        canonical: the name it is given.
        framework: the framework.
        algorithms: the algorithms for which the key has this meaning; empty for all.
        estimator: the estimator of a divergence: k1, k2 or k3 of J. Schulman, "Approximating KL divergence".
        versus: what a divergence or a ratio is measured against.
        reduction: over what the value is a mean, a sum or an extreme.
        sign: the sign it can have, where that says something.
        caveat: what one must know before comparing it.
        reference: where the framework computes it.
    """

    native: str
    canonical: str
    framework: str
    algorithms: tuple[str, ...] = ()
    estimator: str = ""
    versus: str = ""
    reduction: str = ""
    sign: str = ""
    caveat: str = ""
    reference: str = ""


METRICS: Final[dict[str, Metric]] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "share of preference pairs whose chosen answer has the higher reward", "share"),
        Metric("clip_frac", "share of the policy loss in which the clip range binds", "share"),
        Metric("entropy_mean", "entropy of the policy per token, over the whole vocabulary", "nats per token"),
        Metric("epoch", "passes over the training data so far", "epochs"),
        Metric("frac_zero_std_groups", "share of samples whose group has equal rewards, so no advantage", "share"),
        Metric("grad_norm", "norm of the gradient before clipping", "gradient"),
        Metric("kl_mean", "divergence of the policy from the reference policy", "nats per token"),
        Metric("kl_old", "divergence of the policy from the one that generated the data", "nats per token"),
        Metric("loss", "the value the optimizer minimises", "loss"),
        Metric("lr", "learning rate", "learning rate"),
        Metric("margin", "reward of the chosen answer minus that of the rejected one", "reward"),
        Metric("policy_loss", "the policy's part of the loss; near 0 by construction when on policy", "loss"),
        Metric("ratio_mean", "probability of a token under the policy over that under the old policy", "ratio"),
        Metric("response_len_max", "longest response", "tokens"),
        Metric("response_len_mean", "length of a response, truncated ones included", "tokens"),
        Metric("response_len_min", "shortest response", "tokens"),
        Metric("reward_chosen", "implicit reward of the chosen answers", "reward"),
        Metric("reward_component/<f>", "mean of the reward function <f>", "reward"),
        Metric("reward_component_std/<f>", "standard deviation of the reward function <f>", "reward"),
        Metric("reward_mean", "task reward, before any KL penalty", "reward"),
        Metric("reward_rejected", "implicit reward of the rejected answers", "reward"),
        Metric("reward_shaped_mean", "task reward after the KL penalty", "reward"),
        Metric("reward_std", "standard deviation of the task reward", "reward"),
        Metric("step_time", "time one step took", "seconds"),
        Metric("tokens_total", "tokens seen so far, prompts included, over all ranks", "tokens"),
        Metric("truncation_rate", "share of responses cut off at the length limit", "share"),
        Metric("value_loss", "the critic's loss", "loss"),
    )
}
"""Every canonical name, by name."""

_GROUP: Final = ("grpo", "rloo")
_PAIRS: Final = ("dpo", "kto", "onlinedpo")
_NO_REFERENCE: Final = ("orpo", "cpo")
_GENERATE: Final = ("grpo", "rloo", "distillation")
_GRPO: Final = "trl/trainer/grpo_trainer.py"
_RLOO: Final = "trl/trainer/rloo_trainer.py"
_DPO: Final = "trl/trainer/dpo_trainer.py"
_CPO: Final = "trl/experimental/cpo/cpo_trainer.py"
_LOGP: Final = "beta times the log-probability, there is no reference policy"
_PPO: Final = "trl/experimental/ppo/ppo_trainer.py, to TRL 1.12"

SOURCES: Final[tuple[Source, ...]] = (
    # Of two keys that mean the same metric, the first listed is renamed and the other keeps its own name.
    Source("loss", "loss", "transformers", caveat="a NaN is shown as 0.0 while logging_nan_inf_filter is on"),
    Source("grad_norm", "grad_norm", "transformers", reduction="last step of the window"),
    Source("learning_rate", "lr", "transformers", reduction="last step of the window"),
    Source("lr", "lr", "trl", ("ppo",), reference=_PPO),
    Source("epoch", "epoch", "transformers"),
    Source(
        "reward",
        "reward_mean",
        "trl",
        _GROUP,
        reduction="mean over the batch of the weighted sum of the reward functions",
        reference=_GRPO,
    ),
    Source(
        "objective/scores",
        "reward_mean",
        "trl",
        ("ppo", "onlinedpo"),
        reduction="mean over the batch",
        reference=_PPO,
    ),
    Source(
        "objective/rlhf_reward",
        "reward_shaped_mean",
        "trl",
        ("ppo", "onlinedpo"),
        reduction="mean over the batch",
        reference=_PPO,
    ),
    Source(
        "reward_std",
        "reward_std",
        "trl",
        _GROUP,
        reduction="over the whole batch",
        caveat="since TRL 1.0; before, the mean of the standard deviations within groups",
        reference=_GRPO,
    ),
    Source("rewards/<f>/mean", "reward_component/<f>", "trl", _GROUP, reduction="mean over the batch", reference=_GRPO),
    Source(
        "rewards/<f>/std", "reward_component_std/<f>", "trl", _GROUP, reduction="over the whole batch", reference=_GRPO
    ),
    Source(
        "frac_reward_zero_std",
        "frac_zero_std_groups",
        "trl",
        _GROUP,
        reduction="share of samples",
        caveat="groups that are all good and groups that are all bad count alike",
        reference=_GRPO,
    ),
    Source(
        "kl",
        "kl_mean",
        "trl",
        ("grpo",),
        estimator="k3",
        versus="reference policy",
        reduction="mean over tokens",
        sign=">= 0",
        caveat="measured at the loss; logged only when beta is not 0",
        reference=_GRPO,
    ),
    Source(
        "kl",
        "kl_mean",
        "trl",
        ("rloo",),
        estimator="k1",
        versus="reference policy",
        reduction="mean over tokens",
        sign="may be negative",
        caveat="measured at generation",
        reference=_RLOO,
    ),
    Source(
        "policy/approxkl_avg",
        "kl_old",
        "trl",
        ("ppo",),
        estimator="k2",
        versus="old policy",
        reduction="mean over tokens, padding included",
        sign=">= 0",
        reference=_PPO,
    ),
    Source(
        "entropy",
        "entropy_mean",
        "trl",
        (*_GROUP, "dpo", "sft", "kto", "distillation"),
        reduction="mean over tokens",
        sign=">= 0",
        reference=_GRPO,
    ),
    Source("policy/entropy_avg", "entropy_mean", "trl", ("ppo",), reduction="mean over tokens", reference=_PPO),
    Source(
        "clip_ratio/region_mean",
        "clip_frac",
        "trl",
        _GROUP,
        versus="old policy",
        reduction="mean over tokens, or over sequences with sequence-level ratios",
        caveat="counts only where the sign of the advantage makes the clip bind; 0 with one update per rollout",
        reference=_GRPO,
    ),
    Source(
        "cispo_clip_ratio",
        "clip_frac",
        "trl",
        ("grpo",),
        versus="old policy",
        reduction="mean over tokens",
        caveat="loss_type cispo; the upper bound only",
        reference=_GRPO,
    ),
    Source(
        "policy/clipfrac_avg",
        "clip_frac",
        "trl",
        ("ppo",),
        versus="old policy",
        reduction="mean over tokens",
        reference=_PPO,
    ),
    Source("policy_loss", "policy_loss", "trl", _GROUP, reference=_GRPO),
    Source("loss/policy_avg", "policy_loss", "trl", ("ppo",), reference=_PPO),
    Source("loss/value_avg", "value_loss", "trl", ("ppo",), caveat="with a factor 0.5", reference=_PPO),
    Source("val/ratio", "ratio_mean", "trl", ("ppo",), versus="old policy", reference=_PPO),
    Source("completions/mean_length", "response_len_mean", "trl", _GENERATE, reduction="mean", reference=_GRPO),
    Source("completions/max_length", "response_len_max", "trl", _GENERATE, reduction="max", reference=_GRPO),
    Source("completions/min_length", "response_len_min", "trl", _GENERATE, reduction="min", reference=_GRPO),
    Source(
        "completions/clipped_ratio",
        "truncation_rate",
        "trl",
        _GENERATE,
        reduction="share of responses",
        caveat="no PPO clipping, in spite of its name",
        reference=_GRPO,
    ),
    Source(
        "num_tokens",
        "tokens_total",
        "trl",
        reduction="sum so far",
        caveat="restarts at 0 on resume in SFT, DPO, KTO and reward training",
    ),
    Source("step_time", "step_time", "trl", reduction="mean over the window"),
    Source("rewards/chosen", "reward_chosen", "trl", _PAIRS, versus="reference policy", reference=_DPO),
    Source("rewards/rejected", "reward_rejected", "trl", _PAIRS, versus="reference policy", reference=_DPO),
    Source("rewards/margins", "margin", "trl", _PAIRS, versus="reference policy", reference=_DPO),
    Source("rewards/accuracies", "accuracy", "trl", _PAIRS, reduction="share of pairs", reference=_DPO),
    Source("rewards/chosen", "reward_chosen", "trl", _NO_REFERENCE, versus="nothing", caveat=_LOGP, reference=_CPO),
    Source("rewards/rejected", "reward_rejected", "trl", _NO_REFERENCE, versus="nothing", caveat=_LOGP, reference=_CPO),
    Source("rewards/margins", "margin", "trl", _NO_REFERENCE, versus="nothing", caveat=_LOGP, reference=_CPO),
    Source("rewards/accuracies", "accuracy", "trl", _NO_REFERENCE, reduction="share of pairs", reference=_CPO),
    Source("margin", "margin", "trl", ("reward",), reference="trl/trainer/reward_trainer.py"),
    Source(
        "accuracy",
        "accuracy",
        "trl",
        ("reward",),
        reduction="share of pairs",
        reference="trl/trainer/reward_trainer.py",
    ),
)
"""Every key whose meaning is known."""


_BUILT_ON: Final = {"trl": "transformers"}
"""Which framework's keys a framework logs beside its own."""

_Value = TypeVar("_Value")


class Translator:
    """Gives a framework's keys their canonical names, and remembers which it has given.

    Args:
        framework: the framework that logs.
        algorithm: what it trains with, as `grpo` or `dpo`; a source for other algorithms does not apply.
    """

    def __init__(self, framework: str, algorithm: str) -> None:
        frameworks = {framework, _BUILT_ON.get(framework)}
        self._sources = [
            (re.compile(re.escape(source.native).replace("<f>", "([^/]+)")), source)
            for source in SOURCES
            if source.framework in frameworks and (not source.algorithms or algorithm in source.algorithms)
        ]
        self._names: dict[str, str] = {}
        self._priority: dict[str, int] = {}
        self.applied: dict[str, Source] = {}
        """What was found to be known so far: the source of each key, by the key as it was logged."""

    def translate(self, metrics: Mapping[str, _Value]) -> dict[str, _Value]:
        """The metrics under their canonical names, in the same order.

        When two keys mean one metric, the first in `SOURCES` is renamed and the other keeps its own name. A
        key that is spelled like a canonical name already keeps it, and the others stay native.
        """
        names = self._names
        if unknown := metrics.keys() - names.keys():
            names.update({key: self._name(key) for key in metrics if key in unknown})
        translated = {names[key]: value for key, value in metrics.items()}
        if len(translated) == len(metrics):
            return translated
        winners = self._winners(list(metrics))
        return {names[key] if key in winners else key: value for key, value in metrics.items()}

    def _name(self, key: str) -> str:
        for priority, (pattern, source) in enumerate(self._sources):
            if match := pattern.fullmatch(key):
                self._priority[key] = priority
                canonical = source.canonical.replace("<f>", match[1]) if match.groups() else source.canonical
                self.applied[key] = msgspec.structs.replace(source, native=key, canonical=canonical)
                return canonical
        return key

    def _winners(self, keys: list[str]) -> set[str]:
        """Of keys some of which mean the same, those that are renamed."""
        known = sorted((key for key in keys if key in self.applied), key=self._priority.__getitem__)
        taken = {key for key in keys if self._names[key] == key}
        winners = set()
        for key in known:
            if self._names[key] not in taken:
                taken.add(self._names[key])
                winners.add(key)
        return winners
