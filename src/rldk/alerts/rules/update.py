"""Rules on the size of an update of the policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rldk.alerts.rule import Finding, Rule, stateless
from rldk.alerts.rules.wording import number, percent
from rldk.alerts.statistics import median

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rldk.alerts.record import Record
    from rldk.alerts.series import Series

__all__ = ["RULES"]


def _update(record: Record) -> Iterator[Finding]:
    """A policy that moves too far in one step."""
    if (series := record.series("kl_old", 10)) is not None:
        yield from _moved_far(series)
    if (series := record.series("ratio_mean", 5)) is not None:
        last = list(series.recent)[-5:]
        outside = [value for value in last if not 0.5 <= value <= 2]  # noqa: PLR2004 - as TRL's page has it
        if len(outside) >= 3:  # noqa: PLR2004 - three of five is no chance
            yield Finding(
                severity="critical",
                message=f"The ratio of new to old probabilities is {number(outside[-1])}, where it should be near 1.",
                first_step=series.steps[-len(last)],
                metric="ratio_mean",
                value=outside[-1],
                baseline=1.0,
                confidence=0.9,
            )


def _moved_far(series: Series) -> Iterator[Finding]:
    level = median([abs(value) for value in series.tail()])
    before = median([abs(value) for value in series.head()])
    # 1.5 times the largest target that Spinning Up names, for agents; language models stay far below it.
    if level <= 0.075 and not (level > 0.02 and level > 10 * before):  # noqa: PLR2004 - see above
        return
    yield Finding(
        severity="critical" if level > 1 else "warning",
        message=f"The policy moves {number(level)} nats from the one before each update, at the beginning "
        f"{number(before)}: the steps are too large.",
        first_step=series.step_at(max(len(series.values) - len(series.tail()), 0)),
        metric="kl_old",
        value=level,
        baseline=before,
        confidence=0.8,
    )


def _clipped(record: Record) -> Iterator[Finding]:
    """A clip range that binds too often."""
    series = record.train["clip_frac"]
    level = median(series.tail(0.25))
    source = record.semantics.get("clip_frac")
    unsigned = source is not None and "whether or not" in source.caveat
    limit = 0.5 if unsigned else 0.3
    if level <= limit or (series.n < 30 and median(list(series.recent)) <= limit):  # noqa: PLR2004 - a short run
        return
    yield Finding(
        severity="critical" if level > limit + 0.2 else "warning",
        message=f"{percent(level)} of the update is cut off by the clip range: the steps are too large.",
        first_step=_above(series, limit),
        metric="clip_frac",
        value=level,
        baseline=series.baseline,
        evidence={"limit": limit},
        confidence=0.85,
    )


def _above(series: Series, limit: float) -> int:
    """The step since when a metric has been above a limit, but for single values."""
    values = series.values
    place = len(values)
    while place > 0 and (values[place - 1] > limit or (place > 1 and values[place - 2] > limit)):
        place -= 1
    return series.step_at(min(place, len(values) - 1))


def _one_sided(record: Record) -> Iterator[Finding]:
    """Clipping that suppresses far more than it promotes."""
    low, high = record.train["clip_ratio/low_mean"], record.train["clip_ratio/high_mean"]
    below, above = median(low.tail(0.25)), median(high.tail(0.25))
    if below < 0.02 or below < 3 * above:  # noqa: PLR2004 - what is rare may be one-sided by chance
        return
    bad = below >= 0.1 and below >= 5 * above and record.direction("entropy_mean") == "falling"  # noqa: PLR2004
    yield Finding(
        severity="warning" if bad else "info",
        message=f"The lower clip bound binds in {percent(below)} of the tokens and the upper one in {percent(above)}: "
        "the update suppresses more than it promotes.",
        first_step=_above(low, 3 * above),
        metric="clip_ratio/low_mean",
        value=below,
        baseline=above,
        confidence=0.6,
    )


def _never_clipped(record: Record) -> Iterator[Finding]:
    """A clip range that never binds."""
    series = record.train["clip_frac"]
    if series.zeros == series.n:
        yield Finding(
            severity="info",
            message=f"The clip range has never bound in {series.n} points: either there is one update for each "
            "rollout, or the policy does not move.",
            first_step=record.first_step or 0,
            metric="clip_frac",
            value=0.0,
            confidence=0.7,
        )


def _first_ratio(record: Record) -> Iterator[Finding]:
    """A first ratio of new to old probabilities that is not 1."""
    series = record.train["ratio_mean"]
    first = series.first
    if abs(first - 1) > 1e-3 and (record.first_step or 0) <= 1:  # noqa: PLR2004 - as slime has it
        yield Finding(
            severity="info",
            message=f"The first ratio of new to old probabilities is {first:.5g}, where nothing has been learnt yet.",
            first_step=record.first_step or 0,
            last_step=record.first_step,
            metric="ratio_mean",
            value=first,
            baseline=1.0,
            confidence=0.5,
        )


_PPO: Final = "Schulman et al., Proximal Policy Optimization Algorithms (arXiv:1707.06347)"

_DETAILS: Final = "Huang et al., The 37 Implementation Details of Proximal Policy Optimization (ICLR blog, 2022)"

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="update_too_large",
        group="optimiser",
        severity="critical",
        summary="Each update moves the policy too far.",
        why="The learning rate, the number of epochs or of mini-batches for each rollout is too high.",
        advice="Lower the learning rate or the epochs for each rollout, or stop an epoch at a target divergence.",
        references=(
            "OpenAI Spinning Up: target_kl 0.01 to 0.05; Stable-Baselines3 ppo.py: stops at 1.5 times target_kl",
            "TRL docs/source/ppo_trainer.md: val/ratio should hover around 1",
        ),
        traps=(
            "k1 has a sign: its size is judged.",
            "Of language models it is 10 to 100 times smaller than of agents, so growth counts as well as size.",
        ),
        make=stateless(_update),
        one_of=("kl_old", "ratio_mean"),
        least=10,
    ),
    Rule(
        name="clip_saturated",
        group="optimiser",
        severity="critical",
        summary="The clip range binds in a large part of the update.",
        why="The steps are too large, or rollouts are old: the true learning rate is not the one that was set.",
        advice="Lower the learning rate or the number of updates for each rollout; look for stale rollouts.",
        references=(_PPO, _DETAILS),
        traps=(
            "Stable-Baselines3 and CleanRL count also where the clip does not bind: the limit is higher there.",
            "Ratios of whole sequences (GSPO) are clipped far more often.",
        ),
        make=stateless(_clipped),
        needs=("clip_frac",),
        least=10,
    ),
    Rule(
        name="clip_one_sided",
        group="optimiser",
        severity="warning",
        summary="The lower clip bound binds far more often than the upper one.",
        why="Rare tokens are clipped before they are reinforced, which takes exploration away.",
        advice="Raise the upper bound alone (0.28 beside 0.2): clip-higher.",
        references=("Yu et al., DAPO (arXiv:2503.14476): clip-higher",),
        traps=("By itself it is an information; with falling entropy it is a warning.",),
        make=stateless(_one_sided),
        needs=("clip_ratio/low_mean", "clip_ratio/high_mean"),
        least=20,
    ),
    Rule(
        name="clip_dead",
        group="optimiser",
        severity="info",
        summary="The clip range never binds.",
        why="With one update for each rollout it cannot; with more, the policy does not move.",
        advice="With several updates for each rollout, raise the learning rate.",
        references=(_PPO,),
        traps=("With one update for each rollout it is 0 by construction, so it is an information only.",),
        make=stateless(_never_clipped),
        needs=("clip_frac",),
        least=50,
    ),
    Rule(
        name="ratio_not_one_first",
        group="optimiser",
        severity="info",
        summary="Before anything was learnt, new and old probabilities differ.",
        why="Temperature, dropout, masks or padding differ between the two, or the computation is not deterministic.",
        advice="Compute the log-probabilities of one batch twice and compare them.",
        references=("slime docs/en/developer_guide/debug.md: must be exactly 0 in the first step",),
        traps=("A mean over several updates is not the first one.",),
        make=stateless(_first_ratio),
        needs=("ratio_mean",),
    ),
)
"""The rules of this module."""
