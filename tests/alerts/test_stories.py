"""Several findings that are one."""

from __future__ import annotations

from typing import Any

import pytest

from rldk.alerts import RULES, Alert
from rldk.alerts.stories import TALES, stories
from tests.alerts.runs import events, noisy, ramp, verdict


def _alert(rule: str, severity: Any = "warning", first_step: int = 10, **evidence: Any) -> Alert:
    return Alert(
        rule=rule,
        severity=severity,
        state="firing",
        first_step=first_step,
        last_step=99,
        fired_step=first_step,
        evidence=evidence,
        message="",
        advice="",
        confidence=1.0,
    )


@pytest.mark.parametrize(
    ("name", "alerts"),
    [
        ("broken_numbers", [_alert("non_finite", "critical"), _alert("grad_norm_spike")]),
        ("broken_resume", [_alert("seam_jump"), _alert("reward_collapse", "critical", 12), _alert("rewound", "info")]),
        ("saturated_success", [_alert("zero_signal_groups", **{"all good": 1}), _alert("reward_stalled", "info")]),
        ("dead_run", [_alert("zero_signal_groups", "critical"), _alert("dead_gradient", "critical")]),
        ("dead_run", [_alert("reward_constant", "critical"), _alert("reward_std_vanishing")]),
        ("mismatch_collapse", [_alert("mismatch_growth", first_step=5), _alert("reward_collapse")]),
        ("truncation_spiral", [_alert("length_explosion"), _alert("truncation_saturated", "critical")]),
        ("collapse", [_alert("entropy_collapse"), _alert("reward_collapse"), _alert("grad_norm_spike")]),
        ("over_optimisation", [_alert("reward_hacking_suspect"), _alert("kl_runaway")]),
    ],
)
def test_a_story_explains_its_findings(name: str, alerts: list[Alert]) -> None:
    """The findings of a story are told as one, with the first step and the rules in their order."""
    (story,) = stories(alerts)

    assert story.name == name
    assert sorted(story.rules) == sorted(alert.rule for alert in alerts)
    assert str(story.first_step) in story.sentence
    assert story.first_step == min(alert.first_step for alert in alerts)


@pytest.mark.parametrize(
    "alerts",
    [
        [],
        [_alert("non_finite", "critical")],
        [_alert("grad_norm_spike"), _alert("slowdown")],
        [_alert("entropy_collapse", "info"), _alert("reward_stalled", "info")],
        [_alert("reward_hacking_suspect", "info"), _alert("length_explosion", "info")],
    ],
)
def test_findings_that_are_no_story(alerts: list[Alert]) -> None:
    """A single finding, findings that have nothing to do with each other, and mere informations are no story."""
    assert stories(alerts) == ()


def test_each_finding_belongs_to_one_story() -> None:
    """What broke first takes the findings it explains with it."""
    told = stories(
        [
            _alert("zero_signal_groups", "critical"),
            _alert("dead_gradient", "critical"),
            _alert("entropy_collapse"),
            _alert("reward_collapse"),
        ]
    )

    assert [story.name for story in told] == ["dead_run"]


def test_stories_name_rules_that_there_are() -> None:
    """Every rule in a story exists."""
    names = {rule.name for rule in RULES}

    assert {name for tale in TALES for part in (*tale.all_of, tale.explains) for name in part} <= names


def test_a_dead_run_is_told_by_the_engine() -> None:
    """A reward function that turned constant is one story, and the verdict's sentence."""
    run = events(
        120,
        reward_mean=lambda step: 0.25 if step > 60 else 0.3 + step % 7 / 50,
        frac_zero_std_groups=lambda step: 1.0 if step > 60 else 0.2,
        grad_norm=lambda step: 0.0 if step > 60 else 1.0 + step % 5 / 10,
    )

    found = verdict(run, "grpo")

    assert found.sentence == (
        "The run has been dead since step 61: rewards do not differ, so there is no gradient and nothing is learnt."
    )
    assert found.stories[0].severity == "critical"


def test_a_run_that_has_succeeded_is_told_by_the_engine() -> None:
    """A task that is solved is not called a collapse."""
    run = events(
        300,
        reward_mean=ramp(0.3, 0.97, 0, 80, 0.004),
        frac_zero_std_groups=lambda step: min(0.1 + step / 100, 0.8) + noisy(0, 0.01)(step),
        entropy_mean=ramp(1, 0.05, 0, 150),
    )

    found = verdict(run, "grpo")

    assert [story.name for story in found.stories] == ["saturated_success"]
    assert found.health == "attention"
