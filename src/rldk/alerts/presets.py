"""Which rules for which algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rldk.alerts.rules import RULES

if TYPE_CHECKING:
    from rldk.alerts.rule import Group, Rule

__all__ = ["PRESETS", "preset_of", "rules_for"]

_ALWAYS: Final[tuple[Group, ...]] = ("integrity", "seams", "ranks", "optimiser", "throughput")
_POLICY: Final[tuple[Group, ...]] = (*_ALWAYS, "divergence", "reward", "exploration", "mismatch")

_GROUPS: Final[dict[str, tuple[Group, ...]]] = {
    "dpo": (*_ALWAYS, "preference"),
    "grpo": _POLICY,
    "ppo": (*_POLICY, "critic"),
    "sft": _ALWAYS,
}

PRESETS: Final = ("auto", *_GROUPS)
"""The names of all presets."""

_LIKE: Final = {
    "grpo": ("grpo", "rloo", "dapo", "gspo", "reinforce", "distillation"),
    "ppo": ("ppo", "ppo1", "ppo2", "a2c"),
    "dpo": ("dpo", "cpo", "orpo", "kto", "ipo", "simpo", "bco", "reward", "rm", "prm"),
    "sft": ("sft", "kd"),
}


def preset_of(algorithm: str) -> str:
    """The preset for an algorithm, `auto` when there is none for it or it is not known."""
    names = {*algorithm.split(" or ")} - {""}
    return next((preset for preset, likes in _LIKE.items() if names and names <= {*likes}), "auto")


def rules_for(preset: str = "auto", algorithm: str = "") -> tuple[Rule, ...]:
    """The rules of a preset; `auto` chooses by the algorithm, and takes all rules when that is not known.

    Args:
        preset: one of `PRESETS`.
        algorithm: what is trained with, as in the manifest; a preset stands for its own when it is empty.

    Raises:
        ValueError: there is no such preset.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, found {preset!r}")
    chosen = preset_of(algorithm) if preset == "auto" else preset
    groups = _GROUPS.get(chosen)
    named = algorithm or ("" if chosen == "auto" else chosen)
    return tuple(rule for rule in RULES if (groups is None or rule.group in groups) and rule.applies(named))
