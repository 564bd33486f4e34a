"""The faults that are put into healthy synthetic runs, from a known step on."""

# ruff: noqa: ARG001, ARG005 - all faults take the same arguments, and not each needs them all

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from benchmarks.diagnosis.healthy import Curves

__all__ = ["FAULTS", "Fault"]

NAN: Final = math.nan


class Fault(NamedTuple):
    """A fault, and what should be said of it."""

    name: str
    base: str
    put: Callable[[Curves, int, Random], None]
    """Puts it into the curves, from a step on."""
    rules: tuple[str, ...]
    """Any of these has found it."""
    detectors: tuple[str, ...] = ()
    """The detectors of `rldoctor` that have found it; none where it offers none."""
    begins: float | None = None
    """The share of the run at which it begins; None when that is drawn."""


def _scaled(curves: Curves, name: str, onset: int, factor: Callable[[float], float]) -> None:
    """Multiply a metric from a step on by a factor of the share of the run since then."""
    values = curves[name]
    left = max(len(values) - onset - 1, 1)
    for step in range(onset, len(values)):
        value = values[step]
        if value is not None:
            values[step] = value * factor((step - onset) / left)


def _held(curves: Curves, name: str, onset: int, make: Callable[[float], float | None]) -> None:
    """Set a metric from a step on to a function of the share of the run since then."""
    values = curves[name]
    left = max(len(values) - onset - 1, 1)
    for step in range(onset, len(values)):
        if values[step] is not None:
            values[step] = make((step - onset) / left)


def _stalled(curves: Curves, onset: int, random: Random) -> None:
    """Keep the reward where it is."""
    values = curves["reward_mean"]
    before = [value for value in values[max(onset - 20, 0) : onset] if value is not None]
    level = sum(before) / len(before)
    spread = (sum((value - level) ** 2 for value in before) / len(before)) ** 0.5
    _held(curves, "reward_mean", onset, lambda share: random.gauss(level, spread))
    if "eval/accuracy" in curves:
        known = [value for value in curves["eval/accuracy"][:onset] if value is not None]
        _held(curves, "eval/accuracy", onset, lambda share: known[-1] + random.gauss(0, 0.015))


def nan_everywhere(curves: Curves, onset: int, random: Random) -> None:
    """Loss and gradient become NaN."""
    for name in ("loss", "grad_norm"):
        _held(curves, name, onset, lambda share: NAN)


def nan_as_null(curves: Curves, onset: int, random: Random) -> None:
    """The same, written as null."""
    for name in ("loss", "grad_norm", "entropy_mean"):
        if name in curves:
            curves[name][onset:] = [NULL] * (len(curves[name]) - onset)  # type: ignore[list-item]


NULL: Final = "null"
"""Stands for a null in the log, where None is nothing at all."""


def nan_reward(curves: Curves, onset: int, random: Random) -> None:
    """The reward function gives NaN."""
    _held(curves, "reward_mean", onset, lambda share: NAN)


def constant_reward(curves: Curves, onset: int, random: Random) -> None:
    """The reward function gives its default."""
    _held(curves, "reward_mean", onset, lambda share: 0.25)
    _held(curves, "reward_std", onset, lambda share: 0.0)
    if "frac_zero_std_groups" in curves:
        _held(curves, "frac_zero_std_groups", onset, lambda share: 1.0)


def too_hard(curves: Curves, onset: int, random: Random) -> None:
    """From here on hardly a prompt is solved."""
    _held(curves, "reward_mean", onset, lambda share: max(random.gauss(0.12, 0.01), 0))
    _held(curves, "frac_zero_std_groups", onset, lambda share: min(random.gauss(0.85, 0.04), 1))


def too_easy(curves: Curves, onset: int, random: Random) -> None:
    """From here on nearly every prompt is solved."""
    _held(curves, "reward_mean", onset, lambda share: min(random.gauss(1.05, 0.01), 1.1))
    _held(curves, "frac_zero_std_groups", onset, lambda share: min(random.gauss(0.8, 0.04), 1))


def entropy_collapse(curves: Curves, onset: int, random: Random) -> None:
    """Entropy is used up while the reward stalls."""
    _stalled(curves, onset, random)
    _scaled(curves, "entropy_mean", onset, lambda share: 0.02 + 0.98 * math.exp(-12 * share))


def entropy_explosion(curves: Curves, onset: int, random: Random) -> None:
    """The policy turns into noise."""
    _scaled(curves, "entropy_mean", onset, lambda share: 1 + 30 * share)
    _scaled(curves, "reward_mean", onset, lambda share: 1 - 0.6 * min(3 * share, 1))


def long_answers(curves: Curves, onset: int, random: Random) -> None:
    """Answers grow into the length limit."""
    _stalled(curves, onset, random)
    _scaled(curves, "response_len_mean", onset, lambda share: 1 + 12 * share)
    _held(curves, "truncation_rate", onset, lambda share: min(max(1.5 * share + random.gauss(0, 0.01), 0), 1))


def truncated(curves: Curves, onset: int, random: Random) -> None:
    """Most answers are cut off."""
    _held(curves, "truncation_rate", onset, lambda share: min(max(random.gauss(0.4, 0.03), 0), 1))


def short_answers(curves: Curves, onset: int, random: Random) -> None:
    """Answers shrink to next to nothing."""
    _scaled(curves, "response_len_mean", onset, lambda share: 0.1 + 0.9 * math.exp(-25 * share))


def runaway(curves: Curves, onset: int, random: Random) -> None:
    """The divergence from the reference runs away while the reward stalls."""
    _stalled(curves, onset, random)
    values = curves["kl_mean"]
    left = len(values) - onset
    for step in range(onset, len(values)):
        values[step] = (values[step] or 0) + 12 * ((step - onset) / left) ** 1.2


def negative(curves: Curves, onset: int, random: Random) -> None:
    """The divergence becomes negative."""
    _held(curves, "kl_mean", onset, lambda share: random.gauss(-0.05, 0.02))


def spikes(curves: Curves, onset: int, random: Random) -> None:
    """The gradient spikes, again and again."""
    values = curves["grad_norm"]
    for step in range(onset, len(values), max(min((len(values) - onset) // 12, 60), 2)):
        values[step] = (values[step] or 0) * random.uniform(30, 150)


def growth(curves: Curves, onset: int, random: Random) -> None:
    """The gradient grows while the reward stalls."""
    _stalled(curves, onset, random)
    _scaled(curves, "grad_norm", onset, lambda share: math.exp(min(20 * share, 3.0)))


def dead(curves: Curves, onset: int, random: Random) -> None:
    """The gradient is zero."""
    _held(curves, "grad_norm", onset, lambda share: 0.0)


def zero_rate(curves: Curves, onset: int, random: Random) -> None:
    """The schedule ends before the training."""
    _held(curves, "lr", onset, lambda share: 0.0)


def clipped(curves: Curves, onset: int, random: Random) -> None:
    """The clip range binds in half of the update."""
    _held(curves, "clip_frac", onset, lambda share: random.gauss(0.45, 0.03))


def collapse(curves: Curves, onset: int, random: Random) -> None:
    """The reward falls and stays down."""
    values = curves["reward_mean"]
    low = min(value for value in values if value is not None)
    top = sum(value or 0 for value in values[max(onset - 10, 0) : onset]) / min(onset, 10)
    fall = low - 0.3 * (top - low) - top
    _held(
        curves, "reward_mean", onset, lambda share: top + fall * min(40 * share, 1) + random.gauss(0, 0.02) * abs(fall)
    )


def hacked(curves: Curves, onset: int, random: Random) -> None:
    """The reward rises while the score on data kept apart falls."""
    known = [value for value in curves["eval/accuracy"][:onset] if value is not None]
    last = known[-1]
    level = sum(value or 0 for value in curves["reward_mean"][max(onset - 10, 0) : onset]) / min(onset, 10)
    _held(
        curves,
        "reward_mean",
        onset,
        lambda share: level + (1.2 - level) * (1 - math.exp(-5 * share)) + random.gauss(0, 0.01),
    )
    correct = curves["reward_component/correctness"]
    right = sum(value or 0 for value in correct[max(onset - 10, 0) : onset]) / min(onset, 10)
    _held(
        curves,
        "reward_component/correctness",
        onset,
        lambda share: right + (1 - right) * (1 - math.exp(-5 * share)) + random.gauss(0, 0.01),
    )
    _held(curves, "eval/accuracy", onset, lambda share: max(last * (1 - 0.9 * share) + random.gauss(0, 0.01), 0))


def dominated(curves: Curves, onset: int, random: Random) -> None:
    """The task's reward hardly varies, that for the format does."""
    _held(curves, "reward_component/correctness", onset, lambda share: 0.02 + random.gauss(0, 0.004))
    _held(curves, "reward_component/format", onset, lambda share: min(max(random.gauss(0.6, 0.08), 0), 1))


def conflict(curves: Curves, onset: int, random: Random) -> None:
    """One reward function is given up for the other."""
    _held(curves, "reward_component/correctness", onset, lambda share: 0.3 * (1 - share) + random.gauss(0, 0.01))
    before = curves["reward_component/correctness"][:onset]
    curves["reward_component/correctness"][:onset] = [0.3 + random.gauss(0, 0.01) for _ in before]


def mismatch(curves: Curves, onset: int, random: Random) -> None:
    """Trainer and inference engine drift apart."""
    _scaled(curves, "kl_mismatch", onset, lambda share: math.exp(min(15 * share, 6.0)))


def slow(curves: Curves, onset: int, random: Random) -> None:
    """A step takes three times as long."""
    _scaled(curves, "step_time", onset, lambda share: 3.0)


def plateau(curves: Curves, onset: int, random: Random) -> None:
    """Nothing rises any more, nor on data kept apart."""
    _stalled(curves, onset, random)


def useless_critic(curves: Curves, onset: int, random: Random) -> None:
    """The critic explains nothing."""
    _held(curves, "explained_variance", onset, lambda share: random.gauss(-0.1, 0.05))


def critic_explosion(curves: Curves, onset: int, random: Random) -> None:
    """The critic's loss explodes while the reward stalls."""
    _stalled(curves, onset, random)
    _held(curves, "explained_variance", onset, lambda share: random.gauss(0.0, 0.05))
    _scaled(curves, "value_loss", onset, lambda share: math.exp(min(25 * share, 6.0)))


def large_steps(curves: Curves, onset: int, random: Random) -> None:
    """Each update moves the policy too far."""
    _scaled(curves, "kl_old", onset, lambda share: 300.0)


def both_fall(curves: Curves, onset: int, random: Random) -> None:
    """Chosen and rejected answers both become less likely."""
    for name, rate in (("reward_chosen", 8), ("reward_rejected", 12)):
        values = curves[name]
        left = len(values) - onset
        for step in range(onset, len(values)):
            values[step] = (values[step] or 0) - rate * (step - onset) / left


def inverted(curves: Curves, onset: int, random: Random) -> None:
    """The rejected answer is preferred."""
    _held(curves, "accuracy", onset, lambda share: min(max(random.gauss(0.3, 0.06), 0), 1))


def diverging(curves: Curves, onset: int, random: Random) -> None:
    """The loss rises for good."""
    _scaled(curves, "loss", onset, lambda share: 1 + 20 * share)


FAULTS: Final[tuple[Fault, ...]] = (
    Fault("NaN in loss and gradient", "grpo", nan_everywhere, ("non_finite",), ("gradient_pathology",)),
    Fault("NaN written as null", "grpo", nan_as_null, ("null_values",), ("gradient_pathology",)),
    Fault("NaN reward", "grpo", nan_reward, ("non_finite",)),
    Fault(
        "constant reward", "grpo", constant_reward, ("zero_signal_groups", "reward_constant"), ("advantage_collapse",)
    ),
    Fault("constant reward, with a critic", "ppo", constant_reward, ("reward_constant",)),
    Fault("prompts too hard", "grpo", too_hard, ("zero_signal_groups",), ("advantage_collapse",)),
    Fault("prompts too easy", "grpo", too_easy, ("zero_signal_groups",), ("advantage_collapse",)),
    Fault("entropy collapse", "grpo", entropy_collapse, ("entropy_collapse",), ("entropy_collapse",)),
    Fault("entropy explosion", "grpo", entropy_explosion, ("entropy_explosion",)),
    Fault(
        "answers grow into the limit",
        "grpo",
        long_answers,
        ("length_explosion", "truncation_saturated"),
        ("length_pathology",),
    ),
    Fault("truncation", "grpo", truncated, ("truncation_saturated",), ("length_pathology",)),
    Fault("answers shrink", "grpo", short_answers, ("length_collapse",)),
    Fault("divergence runs away", "grpo", runaway, ("kl_runaway",), ("kl_drift",)),
    Fault("negative divergence", "grpo", negative, ("kl_negative",)),
    Fault("gradient spikes", "grpo", spikes, ("grad_norm_spike",), ("gradient_pathology",)),
    Fault("gradient grows", "grpo", growth, ("grad_norm_growth",)),
    Fault("dead gradient", "grpo", dead, ("dead_gradient",), ("gradient_pathology",)),
    Fault("learning rate 0", "grpo", zero_rate, ("lr_anomaly",)),
    Fault("clip range binds", "grpo", clipped, ("clip_saturated",), ("clip_saturation",)),
    Fault("reward collapse", "grpo", collapse, ("reward_collapse",), ("plateau",)),
    Fault("reward collapse of an agent", "agent", collapse, ("reward_collapse",), ("plateau",)),
    Fault("reward hacking", "grpo", hacked, ("reward_hacking_suspect",), ("reward_hacking",)),
    Fault("format dominates", "grpo", dominated, ("component_domination",), ("reward_composition",), 0.0),
    Fault("a reward function is given up", "grpo", conflict, ("component_conflict",)),
    Fault("plateau", "grpo", plateau, ("reward_stalled",), ("plateau",), 0.125),
    Fault("trainer and engine drift apart", "grpo", mismatch, ("mismatch_growth", "prob_mismatch")),
    Fault("slowdown", "grpo", slow, ("slowdown",)),
    Fault("useless critic", "ppo", useless_critic, ("critic_useless",), begins=0.0),
    Fault("critic's loss explodes", "ppo", critic_explosion, ("value_loss_explosion",)),
    Fault("updates too large", "ppo", large_steps, ("update_too_large",)),
    Fault("both likelihoods fall", "dpo", both_fall, ("both_logps_fall",)),
    Fault("labels swapped", "dpo", inverted, ("preference_inverted",)),
    Fault("preference loss diverges", "dpo", diverging, ("loss_diverging",)),
    Fault("supervised loss diverges", "sft", diverging, ("loss_diverging",)),
)
"""Every fault."""
