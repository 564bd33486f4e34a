"""Which rules for which algorithm."""

from __future__ import annotations

import pytest

from rldk.alerts import PRESETS, RULES, rules_for
from rldk.alerts.presets import preset_of


@pytest.mark.parametrize(
    ("algorithm", "preset"),
    [
        ("grpo", "grpo"),
        ("rloo", "grpo"),
        ("ppo", "ppo"),
        ("dpo or cpo", "dpo"),
        ("sft", "sft"),
        ("", "auto"),
        ("x", "auto"),
    ],
)
def test_the_preset_of_an_algorithm(algorithm: str, preset: str) -> None:
    """An algorithm has the preset that is made for it, an unknown one has all rules."""
    assert preset_of(algorithm) == preset
    assert rules_for("auto", algorithm) == rules_for(preset, algorithm)


def test_all_rules_where_nothing_is_known() -> None:
    """Without an algorithm nothing is left out."""
    assert rules_for() == RULES


@pytest.mark.parametrize(
    ("preset", "has", "has_not"),
    [
        ("grpo", {"zero_signal_groups", "entropy_collapse"}, {"critic_useless", "both_logps_fall", "loss_diverging"}),
        ("ppo", {"critic_useless", "entropy_collapse"}, {"zero_signal_groups", "both_logps_fall"}),
        ("dpo", {"both_logps_fall", "loss_diverging"}, {"reward_stalled", "kl_runaway"}),
        ("sft", {"loss_diverging", "grad_norm_spike"}, {"reward_stalled", "entropy_collapse", "dpo_overfit"}),
    ],
)
def test_what_is_in_a_preset(preset: str, has: set[str], has_not: set[str]) -> None:
    """A preset has what its algorithm can have, and integrity always."""
    names = {rule.name for rule in rules_for(preset)}

    assert has | {"non_finite", "rewound"} <= names
    assert not has_not & names


def test_a_preset_that_there_is_not() -> None:
    """An unknown preset is refused with those that there are."""
    with pytest.raises(ValueError, match="preset: expected one of auto, dpo, grpo, ppo, sft, found 'x'"):
        rules_for("x")
    assert PRESETS == ("auto", "dpo", "grpo", "ppo", "sft")
