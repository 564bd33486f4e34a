"""Synthetic healthy runs: the shapes that the curves of real ones have, with noise. No model of training.

No two are alike: pace, levels, batch size, heaviness of tails and length vary from run to run, because a rule that
holds for one healthy run only is none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

__all__ = ["HEALTHY", "Curves"]

Curves = dict[str, list[float | None]]
"""For each metric a value for each step, None where it was not logged."""


def _shares(steps: int) -> list[float]:
    return [step / max(steps - 1, 1) for step in range(steps)]


def _rise(share: float, start: float, end: float, middle: float, pace: float) -> float:
    """A logistic rise."""
    return start + (end - start) / (1 + math.exp(-pace * (share - middle)))


def _binomial(random: Random, chance: float, count: int) -> float:
    """A share of successes; for many, as good as normal."""
    if count <= 64:  # noqa: PLR2004 - few enough to draw one by one
        return sum(random.random() < chance for _ in range(count)) / count
    spread = math.sqrt(max(chance * (1 - chance), 1e-9) / count)
    return min(max(random.gauss(chance, spread), 0.0), 1.0)


def grpo(random: Random, steps: int, noise: float) -> Curves:
    """Group-relative training of a language model, with an evaluation now and then."""
    group, samples = random.choice((4, 8, 16)), random.choice((64, 128, 512, 1024))
    start, end = random.uniform(0.08, 0.4), random.uniform(0.5, 0.8)
    middle, pace = random.uniform(0.3, 0.6), random.uniform(4, 8)
    entropy, kept = random.uniform(0.4, 1.8), random.uniform(0.4, 0.85)
    length, longer = random.uniform(120, 900), random.uniform(0.85, 1.5)
    drift, gradient = random.uniform(0.005, 0.3), 10 ** random.uniform(-1, 0.5)
    tails = random.uniform(0.08, 0.35) * noise
    limit = random.uniform(0.0, 0.03)
    rate, warm_up = 10 ** random.uniform(-6.5, -5), random.uniform(0.0, 0.05)
    weight = random.choice((0.1, 0.2, 0.5))
    every = max(steps // 25, 1)
    curves: Curves = {}

    def put(name: str, value: float | None) -> None:
        curves.setdefault(name, []).append(value)

    for step, share in enumerate(_shares(steps)):
        chance = _rise(share, start, end, middle, pace)
        solved = _binomial(random, chance, max(int(samples / noise**2), 8))
        styled = min(max(_rise(share, 0.4, 0.97, 0.05, 60) + random.gauss(0, 0.01 * noise), 0), 1)
        same = chance**group + (1 - chance) ** group
        mean = length * (1 + (longer - 1) * share)
        put("reward_mean", solved + weight * styled)
        put("reward_std", max(math.sqrt(chance * (1 - chance)) + random.gauss(0, 0.01 * noise), 0.01))
        put("frac_zero_std_groups", _binomial(random, same, max(samples // group, 4)))
        put("reward_component/correctness", solved)
        put("reward_component/format", styled)
        put(
            "entropy_mean",
            entropy * (kept + (1 - kept) * math.exp(-3 * share)) * math.exp(random.gauss(0, 0.03 * noise)),
        )
        put("kl_mean", drift * math.sqrt(share + 1e-4) * math.exp(random.gauss(0, 0.1 * noise)))
        put("grad_norm", gradient * math.exp(-0.5 * share + random.gauss(0, tails)))
        put("clip_frac", max(random.gauss(0.01 + 0.02 * share, 0.003 * noise), 0.0))
        put("response_len_mean", mean * math.exp(random.gauss(0, 0.03 * noise)))
        put("truncation_rate", _binomial(random, limit, samples))
        put("lr", rate * min((step + 1) / (warm_up * steps + 1), 1.0) * (1 - 0.9 * share))
        put("loss", random.gauss(0, 0.01 * noise))
        put("step_time", (10 + mean / 40) * math.exp(random.gauss(0, 0.05 * noise)))
        put("kl_mismatch", 2e-4 * math.exp(random.gauss(0, 0.15 * noise)))
        put("eval/accuracy", _binomial(random, max(chance - 0.03, 0.02), 400) if step % every == 0 else None)
    if random.random() < 0.5:  # noqa: PLR2004 - every other run has one, and is none the worse for it
        place = random.randrange(steps // 4, steps)
        curves["grad_norm"][place] = (curves["grad_norm"][place] or 0) * random.uniform(4, 30)
    return curves


def ppo(random: Random, steps: int, noise: float) -> Curves:
    """Training with a critic, on a reward model's scores without bounds."""
    curves = grpo(random, steps, noise)
    for name in ("frac_zero_std_groups", "reward_component/correctness", "reward_component/format", "eval/accuracy"):
        del curves[name]
    scale, offset = random.uniform(0.5, 5), random.uniform(-3, 3)
    settled = random.uniform(0.4, 0.9)
    curves["reward_mean"] = [offset + scale * (value or 0.0) for value in curves["reward_mean"]]
    curves["value_loss"], curves["explained_variance"], curves["kl_old"], curves["ratio_mean"] = [], [], [], []
    for share in _shares(steps):
        explained = _rise(share, -0.3, settled, 0.1, 30)
        curves["explained_variance"].append(min(explained + random.gauss(0, 0.05 * noise), 1.0))
        curves["value_loss"].append(scale**2 * (1.05 - explained) * 0.1 * math.exp(random.gauss(0, 0.15 * noise)))
        curves["kl_old"].append(8e-4 * math.exp(random.gauss(0, 0.3 * noise)))
        curves["ratio_mean"].append(1 + random.gauss(0, 1e-3 * noise))
    return curves


def agent(random: Random, steps: int, noise: float) -> Curves:
    """An agent in an environment, which learns by leaps and may reach all there is."""
    end, middle, pace = random.uniform(100, 1000), random.uniform(0.2, 0.6), random.uniform(6, 20)
    entropy, settled = random.uniform(0.5, 3), random.uniform(0.4, 0.95)
    curves: Curves = {name: [] for name in ("reward_mean", "episode_len_mean", "entropy_mean", "explained_variance")}
    curves |= {name: [] for name in ("value_loss", "kl_old", "clip_frac", "lr", "env_steps_per_second")}
    trailing = _rise(0, 5, end, middle, pace)
    for share in _shares(steps):
        level = _rise(share, 5, end, middle, pace)
        # What is logged is the mean over the last hundred episodes.
        trailing += 0.2 * (level * math.exp(random.gauss(0, 0.15 * noise)) - trailing)
        explained = _rise(share, -0.2, settled, 0.15, 25)
        curves["reward_mean"].append(trailing)
        curves["episode_len_mean"].append(trailing * random.uniform(0.98, 1.02))
        curves["entropy_mean"].append(entropy * (1 - 0.6 * share) * math.exp(random.gauss(0, 0.02 * noise)))
        curves["explained_variance"].append(min(explained + random.gauss(0, 0.08 * noise), 1.0))
        curves["value_loss"].append((1 + level / 10) * math.exp(random.gauss(0, 0.3 * noise)))
        curves["kl_old"].append(0.008 * math.exp(random.gauss(0, 0.3 * noise)))
        curves["clip_frac"].append(max(random.gauss(0.1, 0.02 * noise), 0.0))
        curves["lr"].append(3e-4 * (1 - share))
        curves["env_steps_per_second"].append(1500 * math.exp(random.gauss(0, 0.05 * noise)))
    return curves


def dpo(random: Random, steps: int, noise: float) -> Curves:
    """Training on preference pairs."""
    end, batch = random.uniform(0.4, 2.5), random.choice((16, 32, 64))
    down = random.uniform(-0.3, 0.3)
    curves: Curves = {name: [] for name in ("loss", "grad_norm", "lr", "reward_chosen", "reward_rejected", "margin")}
    curves["accuracy"] = []
    for share in _shares(steps):
        gained = end * (1 - math.exp(-4 * share))
        spread = 0.1 * noise * (gained + 0.02)
        chosen = down * gained + random.gauss(0, spread)
        rejected = chosen - gained + random.gauss(0, spread)
        curves["reward_chosen"].append(chosen)
        curves["reward_rejected"].append(rejected)
        curves["margin"].append(chosen - rejected)
        curves["accuracy"].append(_binomial(random, 0.5 + 0.3 * (1 - math.exp(-5 * share)), batch))
        curves["loss"].append(
            (math.log(2) - 0.12 * end * (1 - math.exp(-4 * share))) * math.exp(random.gauss(0, 0.04 * noise))
        )
        curves["grad_norm"].append(2 * math.exp(random.gauss(0, 0.2 * noise)))
        curves["lr"].append(5e-7 * min(share * 10 + 0.01, 1.0) * (1 - 0.95 * share))
    return curves


def sft(random: Random, steps: int, noise: float) -> Curves:
    """Supervised training."""
    start, end = random.uniform(1.2, 3), random.uniform(0.4, 1)
    curves: Curves = {name: [] for name in ("loss", "grad_norm", "lr")}
    for share in _shares(steps):
        curves["loss"].append((end + (start - end) * math.exp(-5 * share)) * math.exp(random.gauss(0, 0.06 * noise)))
        curves["grad_norm"].append((0.6 + math.exp(-8 * share)) * math.exp(random.gauss(0, 0.2 * noise)))
        curves["lr"].append(2e-5 * min(share * 20 + 0.01, 1.0) * (0.5 + 0.5 * math.cos(math.pi * share)))
    return curves


HEALTHY: Final[dict[str, Callable[[Random, int, float], Curves]]] = {
    "grpo": grpo,
    "ppo": ppo,
    "agent": agent,
    "dpo": dpo,
    "sft": sft,
}
"""What is trained, and a run of it."""
