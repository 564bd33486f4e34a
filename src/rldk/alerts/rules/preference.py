"""Rules on training with preference pairs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from rldk.alerts.rule import Finding, Rule, stateless
from rldk.alerts.rules.shapes import since
from rldk.alerts.rules.wording import number, percent
from rldk.alerts.statistics import mann_whitney, median

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rldk.alerts.record import Record

__all__ = ["RULES"]

_PAIRS: Final = ("dpo", "cpo", "orpo", "kto", "ipo", "simpo", "onlinedpo", "xpo", "bco")
_JUDGED: Final = (*_PAIRS, "reward", "rm")


def _both_fall(record: Record) -> Iterator[Finding]:
    """Chosen and rejected answers that both become less likely."""
    chosen, rejected = record.train["reward_chosen"], record.train["reward_rejected"]
    if record.direction("reward_chosen") != "falling" or record.direction("reward_rejected") != "falling":
        return
    fell = chosen.baseline - chosen.level
    if chosen.level >= 0 or fell < 3 * chosen.noise or rejected.level >= chosen.level:
        return
    # Rewards are beta times the change of a whole answer's log-probability: 1 at beta 0.1 is a factor of 22,000.
    serious = chosen.level < -1
    yield Finding(
        severity="warning" if serious else "info",
        message=f"Chosen answers become less likely together with rejected ones: their rewards are "
        f"{number(chosen.level)} and {number(rejected.level)}.",
        first_step=since(chosen, -1),
        metric="reward_chosen",
        value=chosen.level,
        baseline=chosen.baseline,
        evidence={"rejected": rejected.level},
        confidence=0.75,
    )


def _overfit(record: Record) -> Iterator[Finding]:
    """Pairs that are all told apart, with a loss next to nothing."""
    accuracy, loss = record.train["accuracy"], record.train["loss"]
    if accuracy.level < 0.99 or loss.level > 0.1 * max(loss.baseline, 1e-12) or loss.level > 0.1:  # noqa: PLR2004
        return
    evaluated = [series for (_, name), series in record.evals.items() if name == "loss" and series.n >= 4]  # noqa: PLR2004
    worse = any(series.level > 1.1 * min(series.values) for series in evaluated)
    yield Finding(
        severity="warning" if worse else "info",
        message=f"{percent(accuracy.level)} of the pairs are told apart and the loss is {number(loss.level)}"
        + (", while the loss of the evaluation rises." if worse else ": nothing is left to learn from them."),
        first_step=since(accuracy, 1),
        metric="accuracy",
        value=accuracy.level,
        baseline=accuracy.baseline,
        evidence={"loss": loss.level},
        confidence=0.8 if worse else 0.5,
    )


def _start(record: Record) -> Iterator[Finding]:
    """Pairs that are told apart before anything was learnt."""
    if (record.first_step or 0) > 1:
        return
    margin, loss = record.train["margin"], record.train.get("loss")
    first = margin.first
    off = loss is not None and loss.n and record.algorithm == "dpo" and abs(loss.first - math.log(2)) > 0.05  # noqa: PLR2004
    if abs(first) <= 0.1 and not off:  # noqa: PLR2004 - a tenth of a nat times beta
        return
    yield Finding(
        severity="warning" if abs(first) > 0.5 else "info",  # noqa: PLR2004 - no single step moves so far
        message=f"The first margin is {number(first)}, where policy and reference should still agree.",
        first_step=record.first_step or 0,
        last_step=record.first_step,
        metric="margin",
        value=first,
        baseline=0.0,
        confidence=0.6,
    )


def _inverted(record: Record) -> Iterator[Finding]:
    """Pairs that are told apart the wrong way round."""
    accuracy = record.train["accuracy"]
    late = list(accuracy.recent)[-30:]
    if median(late) >= 0.45 or mann_whitney(late, [0.5] * len(late)) < 3:  # noqa: PLR2004 - chance is 0.5
        return
    yield Finding(
        severity="warning",
        message=f"Only {percent(median(late))} of the pairs have the chosen answer above the rejected one: fewer than "
        "by chance.",
        first_step=accuracy.steps[-len(late)],
        metric="accuracy",
        value=median(late),
        baseline=0.5,
        confidence=0.8,
    )


_MEASURED: Final = "A threshold of RLDK's own, measured: docs/explanation/diagnosis.md"

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="both_logps_fall",
        group="preference",
        severity="warning",
        summary="Chosen answers become less likely together with rejected ones.",
        why="The loss asks for a difference only: likelihood is displaced to answers that are in no pair.",
        advice="Add a supervised term on the chosen answers, lower the learning rate or raise beta.",
        references=(
            "Pal et al., Smaug: DPO-Positive (arXiv:2402.13228)",
            "Razin et al., Unintentional Unalignment: Likelihood Displacement in DPO (arXiv:2410.08847)",
        ),
        traps=("Small falls are typical: below a reward of -1 it is a warning.",),
        make=stateless(_both_fall),
        needs=("reward_chosen", "reward_rejected"),
        least=20,
        algorithms=_PAIRS,
    ),
    Rule(
        name="dpo_overfit",
        group="preference",
        severity="warning",
        summary="All pairs are told apart and the loss is next to nothing.",
        why="Too many epochs, a leak, or pairs that are told apart by something trivial, as their length.",
        advice="Stop earlier; look at what tells the pairs apart.",
        references=("Rafailov et al., Direct Preference Optimization (arXiv:2305.18290)",),
        traps=("Small data sets are learnt by heart: without an evaluation that gets worse it is an information.",),
        make=stateless(_overfit),
        needs=("accuracy", "loss"),
        least=20,
        algorithms=_JUDGED,
    ),
    Rule(
        name="start_not_neutral",
        group="preference",
        severity="warning",
        summary="Pairs are told apart before anything was learnt.",
        why="The reference is not the policy that training began with, labels are swapped, or dropout is on in one.",
        advice="Compare the log-probabilities of policy and reference on one batch.",
        references=("Rafailov et al., Direct Preference Optimization (arXiv:2305.18290): the loss begins at ln 2",),
        traps=("The first log may come after several steps; only runs logged from step 0 or 1 are judged.",),
        make=stateless(_start),
        needs=("margin",),
        algorithms=("dpo", "kto", "bco"),
    ),
    Rule(
        name="preference_inverted",
        group="preference",
        severity="warning",
        summary="The rejected answer is preferred more often than by chance.",
        why="Labels are swapped, or the learning rate is so high that training diverges.",
        advice="Look at some pairs; lower the learning rate.",
        references=(_MEASURED,),
        traps=("Accuracies of small batches are noisy: the last 30 points must be below one half, and surely so.",),
        make=stateless(_inverted),
        needs=("accuracy",),
        least=30,
        algorithms=_JUDGED,
    ),
)
"""The rules of this group."""
