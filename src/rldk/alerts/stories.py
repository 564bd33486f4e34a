"""Several findings that are one: what happened, where rules only say what they see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from rldk.alerts.findings import SEVERITIES, Alert, Severity, Story

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["TALES", "Tale", "stories"]

_Alerts = dict[str, Alert]


class Tale(msgspec.Struct, frozen=True, kw_only=True):
    """A story that can be told of a run.

    Args:
        name: what it is called.
        all_of: the rules that must all have found something, each of them or an alternative of it; the story begins
            with the first of them.
        explains: further rules whose findings belong to it.
        sentence: what happened; `{step}` is where it began.
        advice: what to do about it.
        severity: its severity; that of its worst finding when empty.
        told: whether the findings are of the kind that belongs to it.
    """

    name: str
    all_of: tuple[tuple[str, ...], ...]
    explains: tuple[str, ...]
    sentence: str
    advice: str
    severity: Severity | None = None
    told: Callable[[Mapping[str, Alert]], bool] = lambda alerts: True  # noqa: ARG005 - true of most


def _all_good(alerts: Mapping[str, Alert]) -> bool:
    found = [alerts[name].evidence.get("all good") for name in ("zero_signal_groups",) if name in alerts]
    return all(found)


def _not_all_good(alerts: Mapping[str, Alert]) -> bool:
    return not ("zero_signal_groups" in alerts and _all_good(alerts))


def _in_order(alerts: Mapping[str, Alert]) -> bool:
    """Whether the mismatch came before the fall of the reward."""
    mismatch = min(alerts[name].first_step for name in ("mismatch_growth", "prob_mismatch") if name in alerts)
    return mismatch <= alerts["reward_collapse"].last_step


TALES: Final[tuple[Tale, ...]] = (
    Tale(
        name="broken_numbers",
        all_of=(("non_finite", "null_values"),),
        explains=("grad_norm_spike", "loss_diverging", "dead_gradient"),
        sentence="The numbers broke at step {step}: what was trained since is lost.",
        advice="Go back to the last checkpoint before it, and lower the learning rate or look at the batch of that "
        "step.",
        told=lambda alerts: any(
            alerts[name].severity == "critical" for name in ("non_finite", "null_values") if name in alerts
        ),
    ),
    Tale(
        name="broken_resume",
        all_of=(
            ("seam_jump",),
            ("reward_collapse", "loss_diverging", "entropy_explosion", "grad_norm_growth", "rewound"),
        ),
        explains=("seam_gap", "kl_runaway", "grad_norm_spike"),
        sentence="The run has not been the same since it was resumed at step {step}.",
        advice="Resume from the same checkpoint again and compare the first steps: weights, optimizer, schedule, data "
        "and reward must all be what they were.",
    ),
    Tale(
        name="saturated_success",
        all_of=(("zero_signal_groups",),),
        explains=("reward_stalled", "dead_gradient", "entropy_collapse", "reward_std_vanishing", "reward_constant"),
        sentence="The task is solved: since step {step} most groups are all good, and nothing is left to learn from "
        "them.",
        advice="Stop and keep the checkpoint, or go on with harder prompts.",
        severity="warning",
        told=_all_good,
    ),
    Tale(
        name="dead_run",
        all_of=(("zero_signal_groups", "reward_constant"), ("dead_gradient", "reward_stalled", "reward_constant")),
        explains=("reward_std_vanishing", "component_constant", "entropy_collapse"),
        sentence="The run has been dead since step {step}: rewards do not differ, so there is no gradient and nothing "
        "is learnt.",
        advice="Check the reward function on two very different answers; if it is right, the prompts are too hard.",
        told=lambda alerts: _not_all_good(alerts) and len(alerts) > 1,
    ),
    Tale(
        name="mismatch_collapse",
        all_of=(("mismatch_growth", "prob_mismatch"), ("reward_collapse",)),
        explains=("grad_norm_growth", "grad_norm_spike", "is_degenerate", "entropy_explosion"),
        sentence="Trainer and inference engine drifted apart since step {step}, and the reward collapsed.",
        advice="Correct for the mismatch by truncated importance sampling, and synchronise weights more often.",
        told=_in_order,
    ),
    Tale(
        name="truncation_spiral",
        all_of=(("length_explosion", "truncation_saturated"), ("truncation_saturated", "reward_collapse")),
        explains=("reward_stalled", "entropy_explosion"),
        sentence="Answers have grown into the length limit since step {step}, and are cut off before they are right.",
        advice="Leave truncated answers out of the loss or raise the limit; take the loss per token.",
        told=lambda alerts: len(alerts) > 1 and "length_explosion" in alerts,
    ),
    Tale(
        name="collapse",
        all_of=(
            ("entropy_collapse",),
            ("zero_signal_groups", "reward_collapse", "reward_std_vanishing", "reward_stalled"),
        ),
        explains=("grad_norm_spike", "grad_norm_growth", "dead_gradient", "length_collapse", "clip_saturated"),
        sentence="The policy has collapsed since step {step}: its entropy is used up and it learns nothing new.",
        advice="Go back to a checkpoint with entropy left, and raise the upper clip bound or add an entropy bonus.",
        told=lambda alerts: _not_all_good(alerts) and alerts["entropy_collapse"].severity != "info",
    ),
    Tale(
        name="over_optimisation",
        all_of=(("reward_hacking_suspect",), ("kl_runaway", "length_explosion", "component_domination")),
        explains=("entropy_collapse", "zero_signal_groups"),
        sentence="The reward has been over-optimised since step {step}: it rises, and quality elsewhere does not.",
        advice="Go on from the checkpoint at the peak of the score on data kept apart, with a better reward.",
        told=lambda alerts: alerts["reward_hacking_suspect"].severity != "info",
    ),
)
"""Every story, in the order in which they are asked for: what broke first explains the rest."""


def stories(alerts: Iterable[Alert]) -> tuple[Story, ...]:
    """The stories that findings tell; each finding belongs to one at most.

    Args:
        alerts: those that fire.
    """
    left: _Alerts = {}
    for alert in alerts:
        # Of several metrics, the worst finding stands for the rule.
        known = left.get(alert.rule)
        if known is None or SEVERITIES.index(alert.severity) > SEVERITIES.index(known.severity):
            left[alert.rule] = alert
    found = []
    for tale in TALES:
        story = _told(tale, left)
        if story:
            found.append(story)
            for name in story.rules:
                left.pop(name)
    return tuple(found)


def _told(tale: Tale, left: _Alerts) -> Story | None:
    if not all(any(name in left for name in names) for names in tale.all_of):
        return None
    wanted = {name for names in tale.all_of for name in names} | {*tale.explains}
    mine = {name: alert for name, alert in left.items() if name in wanted}
    if len(mine) < 2 or not tale.told(mine):  # noqa: PLR2004 - a single finding says it itself
        return None
    worst = max(mine.values(), key=lambda alert: SEVERITIES.index(alert.severity)).severity
    began = min(mine[name].first_step for name in tale.all_of[0] if name in mine)
    return Story(
        name=tale.name,
        severity=tale.severity or worst,
        sentence=tale.sentence.format(step=began),
        rules=tuple(sorted(mine, key=lambda name: (mine[name].first_step, name))),
        first_step=began,
        advice=tale.advice,
    )
