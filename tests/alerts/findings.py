"""Alerts to test with."""

from __future__ import annotations

from typing import Any

from rldk.alerts import Alert

__all__ = ["an_alert"]


def an_alert(**changes: Any) -> Alert:
    """A critical alert that fires."""
    fields: dict[str, Any] = {
        "rule": "reward_constant",
        "severity": "critical",
        "state": "firing",
        "first_step": 12,
        "last_step": 40,
        "fired_step": 40,
        "metric": "reward_mean",
        "value": 0.25,
        "message": "reward_mean is 0.25 at each of 28 steps",
        "advice": "Check the reward function.",
        "confidence": 0.9,
    }
    return Alert(**fields | changes)
