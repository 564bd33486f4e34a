"""The verdict on a run in one word and in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldk.alerts.findings import Alert, Health, Story
    from rldk.alerts.rule import Group, Rule

__all__ = ["health_of", "sentence_of"]

_ABOUT_THE_LOG: Final[frozenset[Group]] = frozenset({"integrity", "seams", "ranks"})
"""Rules that say nothing of the training itself."""


def health_of(alerts: Sequence[Alert], judged: Sequence[Rule], points: int) -> Health:
    """The verdict in one word, by what fires and by whether anything of the training could be judged."""
    severities = {alert.severity for alert in alerts if alert.state == "firing"}
    if "critical" in severities:
        return "bad"
    if "warning" in severities:
        return "attention"
    if not points or all(rule.group in _ABOUT_THE_LOG for rule in judged):
        return "unknown"
    return "good"


def sentence_of(
    health: Health, alerts: Sequence[Alert], stories: Sequence[Story], *, passed: int, unchecked: int, points: int
) -> str:
    """The verdict in one sentence: what happened, what was found, or that nothing was."""
    serious = [alert for alert in alerts if alert.state == "firing" and alert.severity != "info"]
    if stories:
        return stories[0].sentence
    if serious:
        more = len(serious) - 1
        also = f" And {more} more finding{'s' if more > 1 else ''}." if more else ""
        return f"{serious[0].message}{also}"
    if health == "unknown":
        return f"Nothing of the training could be judged: {unchecked} rules lack what they need."
    # What the exit code of `rldk diagnose` counts is not to be missing from its first line.
    over = list(dict.fromkeys(alert.rule for alert in alerts if alert.severity != "info"))
    resolved = f"; resolved: {', '.join(over)}" if over else ""
    return (
        f"Nothing is wrong {'any more' if over else 'as far as could be seen'}: {passed} rules found nothing in "
        f"{points:,} points, {unchecked} could not be checked{resolved}."
    )
