"""What the rules say of a run: alerts, what they have in common, what could not be checked, and the verdict."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = ["SEVERITIES", "Alert", "Health", "Passed", "Severity", "State", "Story", "Unchecked", "Verdict"]

Severity = Literal["info", "warning", "critical"]
"""How bad it is: worth knowing, worth a look at the run, worth stopping it."""

SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warning", "critical")
"""All severities, the mildest first."""

State = Literal["firing", "resolved"]

Health = Literal["good", "attention", "bad", "unknown"]
"""No finding worse than an information; a warning; something critical; or nothing that could be judged."""


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A finding of a rule, as it stands."""

    rule: str
    severity: Severity
    state: State
    first_step: int
    """Since when: the step at which what was found began."""
    last_step: int
    """The last step at which it was found."""
    fired_step: int
    """The step at which the rule first said so; not before `first_step`."""
    phase: str = "train"
    eval_set: str | None = None
    metric: str | None = None
    """The metric it is about, None when it is about events."""
    value: float | None = None
    """What was found; None where no finite number says it."""
    baseline: float | None = None
    """What it was compared with."""
    evidence: dict[str, int | float | str] = {}
    """The numbers behind it, by what they are, in a few words."""
    message: str
    """What is wrong, in one sentence with its numbers."""
    advice: str
    """What people do about it."""
    references: tuple[str, ...] = ()
    """Where that is written."""
    confidence: float
    """How sure, from 0 to 1."""


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Several findings that are one."""

    name: str
    severity: Severity
    sentence: str
    """What happened."""
    rules: tuple[str, ...]
    """The rules whose alerts it explains, in the order in which they began."""
    first_step: int
    advice: str


class Unchecked(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that could not judge."""

    rule: str
    why: str
    """`not applicable: needs kl_mean` or `insufficient data: 12 of 30 points of kl_mean`."""
    missing: tuple[str, ...] = ()
    """The metrics that would have to be logged."""


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that judged and found nothing."""

    rule: str
    points: int
    """How many points it judged."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said of a run."""

    run_id: str
    sentence: str
    """The verdict in one sentence."""
    health: Health
    alerts: tuple[Alert, ...]
    """All findings, resolved ones too; the worst first, and of these the earliest."""
    stories: tuple[Story, ...]
    passed: tuple[Passed, ...]
    """What was checked and found fine."""
    unchecked: tuple[Unchecked, ...]
    unknown: dict[str, int]
    """Keys whose meaning is not known, and how often they occurred."""
    taken_for: dict[str, str]
    """Keys that were judged by the rules of a canonical name, though nothing fixes their meaning."""
    points: int
    """Points of training in the effective history."""
    steps: tuple[int, int] | None
    """The first and the last step of training."""
    fingerprint: int | None = None
    """The same for runs that agree in every step; None for runs too short to tell."""
