"""Make out what OpenRLHF logs: a step, or an evaluation, which may be of several data sets at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ROLLOUTS", "Entry", "Trainer", "read_eval", "read_train", "trainer_of"]

ROLLOUTS: Final = "global step: one batch of rollouts trained on"
"""What the steps of PPO and its kin count; the other trainers count optimizer updates."""

_SAMPLES: Final = "generated_samples"
_OF_A_SET: Final = re.compile(r"eval_(.+)_(pass\d+|response_length_mean|truncated_rate)", re.DOTALL)
"""What PPO measures on one data set of several: `eval_{data set}_pass1`."""
_PREFIX: Final = re.compile(r"eval[_ ]")
"""Before what is measured on all of them, `eval_num_samples`; SFT writes `eval gpt_loss`."""

_NO_CRITIC: Final = "dr_grpo or flash_reinforce or grpo or reinforce or reinforce_baseline or rloo"
_OWN: Final = tuple(
    (frozenset(keys.split()), algorithm)
    for keys, algorithm in (
        ("critic_loss critic_lr", "ppo"),
        ("policy_loss actor_lr", _NO_CRITIC),
        ("policy_loss ppo_clip_ratio", _NO_CRITIC),
        ("policy_loss rollout/reward_mean", _NO_CRITIC),
        ("policy_loss generated_samples", _NO_CRITIC),
        ("gpt_loss distil_loss", "kd"),
        ("gpt_loss", "sft"),
        ("kto_loss", "kto"),
        ("prm_loss", "prm"),
        ("chosen_reward reject_reward", "dpo or rm"),
    )
)
"""Keys that together only OpenRLHF logs for a step, and the algorithm that logs them; a critic comes with the rest."""


class Entry(NamedTuple):
    """A log made out, or the part of it that is of one data set: its metrics without the prefix of that."""

    phase: str
    eval_set: str | None
    metrics: dict[str, Any]


def read_train(logs: Mapping[str, Any]) -> Entry:
    """The metrics that a trainer logs for a step, without the sample that it logs beside them."""
    return Entry("train", None, {key: value for key, value in logs.items() if key != _SAMPLES})


def read_eval(logs: Mapping[str, Any]) -> list[Entry]:
    """The metrics that a trainer logs for an evaluation, one entry for each data set it names.

    What is measured on all of them is an entry without a set. A key that would be there twice without its prefix
    keeps it.
    """
    sets: dict[str | None, dict[str, Any]] = {}
    for key, value in logs.items():
        match = _OF_A_SET.fullmatch(key)
        metrics = sets.setdefault(match[1] if match else None, {})
        name = match[2] if match else _PREFIX.sub("", key, count=1) if _PREFIX.match(key) else key
        metrics[key if name in metrics or not name else name] = value
    return [Entry("eval", name, metrics) for name, metrics in sets.items()]


class Trainer(NamedTuple):
    """Which of OpenRLHF's trainers it was, as far as its keys tell."""

    algorithm: str
    """What it trains with; several joined with ` or ` when its keys do not tell which, empty when they tell nothing."""
    axis: str
    """What its steps count."""
    keys: tuple[str, ...]
    """Those that told it; together they are logged by OpenRLHF alone."""


def trainer_of(keys: Iterable[str]) -> Trainer:
    """Which trainer logs these keys for a step."""
    found = frozenset(keys)
    own, algorithm = next(((own, algorithm) for own, algorithm in _OWN if own <= found), (frozenset(), ""))
    axis = ROLLOUTS if {"policy_loss", "critic_loss"} & found else "optimizer update"
    return Trainer(algorithm, axis, tuple(sorted(own)))
