"""The rules, a module for each group, integrity first: nothing else is meaningful without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rldk.alerts.rules import (
    critic,
    divergence,
    exploration,
    hacking,
    integrity,
    intervals,
    mismatch,
    optimiser,
    order,
    preference,
    ranks,
    reward,
    seams,
    throughput,
    update,
)
from rldk.alerts.rules.clones import CLONE_RUN, clones

if TYPE_CHECKING:
    from types import ModuleType

    from rldk.alerts.rule import Rule

__all__ = ["CLONE_RUN", "RULES", "clones"]

_GROUPS: Final[tuple[ModuleType, ...]] = (
    integrity,
    order,
    intervals,
    seams,
    ranks,
    optimiser,
    update,
    reward,
    hacking,
    divergence,
    exploration,
    critic,
    mismatch,
    preference,
    throughput,
)

RULES: Final[tuple[Rule, ...]] = tuple(rule for group in _GROUPS for rule in group.RULES)
"""All rules on one run."""
