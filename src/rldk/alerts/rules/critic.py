"""Rules on the critic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rldk.alerts.rule import Finding, Rule, stateless
from rldk.alerts.rules.shapes import grown
from rldk.alerts.rules.wording import number, times
from rldk.alerts.statistics import median

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rldk.alerts.record import Record

__all__ = ["RULES"]


def _useless(record: Record) -> Iterator[Finding]:
    """A critic that explains nothing."""
    series = record.train["explained_variance"]
    if series.n < 1000 and not record.finished:  # noqa: PLR2004 - a run that goes on has time to learn it
        return
    half = series.values[len(series.values) // 2 :]
    level, now = median(half), series.level
    # A critic that predicts a constant explains 0, give or take noise.
    if level > 0.01 or now > 0.05:  # noqa: PLR2004 - see above
        return
    rising = record.direction("explained_variance") == "rising"
    yield Finding(
        severity="info" if rising else "warning",
        message=f"The critic has explained {number(level)} of the variance of the returns over the last half of the "
        "run" + ("; it gets better." if rising else ", no more than a constant would."),
        first_step=series.step_at(len(series.values) // 2),
        metric="explained_variance",
        value=level,
        baseline=series.baseline,
        confidence=0.8,
    )


def _explosion(record: Record) -> Iterator[Finding]:
    """A critic's loss that has grown to a multiple."""
    series = record.train["value_loss"]
    level = grown(series, 10.0)
    if level is None or record.progress == "rising" or record.direction("explained_variance") == "rising":
        return
    reward, explained = record.train.get("reward_mean"), record.train.get("explained_variance")
    gained = reward is not None and reward.n > 0 and reward.level > reward.baseline + 3 * reward.spread
    # Returns have grown with the reward, and their variance with them: only a critic that got worse is to blame.
    if gained and (explained is None or not explained.n or explained.level > 0.5 * max(explained.values)):
        return
    yield Finding(
        severity="critical" if level.ratio > 100 else "warning",  # noqa: PLR2004 - two orders of magnitude
        message=f"The critic's loss has grown to {times(level.ratio)} its beginning, {number(level.before)} to "
        f"{number(level.now)}.",
        first_step=level.step,
        metric="value_loss",
        value=level.now,
        baseline=level.before,
        evidence={"ratio": level.ratio},
        confidence=0.8,
    )


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="critic_useless",
        group="critic",
        severity="warning",
        summary="The critic explains nothing of the returns.",
        why="Its learning rate or capacity is wrong, rewards are badly scaled, or the end of episodes is not handled.",
        advice="Train the critic alone for some steps, normalise returns, and check terminal states.",
        references=(
            "Jones, Debugging RL, Without the Agonizing Pain: the residual variance should fall from about 1",
            "Huang et al., The 37 Implementation Details of Proximal Policy Optimization (ICLR blog, 2022)",
        ),
        traps=("It is negative at first in healthy runs: only the last half of at least 40 points counts.",),
        make=stateless(_useless),
        needs=("explained_variance",),
        least=40,
    ),
    Rule(
        name="value_loss_explosion",
        group="critic",
        severity="critical",
        summary="The critic's loss has grown to a multiple.",
        why="Returns are not normalised, or there is a fault in bootstrapping.",
        advice="Normalise returns, clip the critic's update, lower its learning rate.",
        references=("Zheng et al., Secrets of RLHF in Large Language Models, Part I (arXiv:2307.04964)",),
        traps=(
            (
                "Returns grow with success, and with them the loss: while reward or explained variance rise, nothing "
                "is said."
            ),
        ),
        make=stateless(_explosion),
        needs=("value_loss",),
        least=20,
    ),
)
"""The rules of this group."""
