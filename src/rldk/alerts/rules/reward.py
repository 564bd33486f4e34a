"""Rules on the course of the reward and the signal it gives."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from rldk.alerts.rule import Finding, Rule, stateless
from rldk.alerts.rules.shapes import Streak, since
from rldk.alerts.rules.signals import no_signal, saturated, without_signal
from rldk.alerts.rules.wording import number, percent
from rldk.alerts.statistics import mad, mann_whitney, median, theil_sen, trend

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rldk.alerts.findings import Severity
    from rldk.alerts.record import Record
    from rldk.alerts.series import Series

__all__ = ["RULES"]

_NOTHING: Final[tuple[Finding, ...]] = ()

_GROUPS: Final = ("grpo", "rloo", "reinforce", "dapo", "gspo")

_EPSILON: Final = 1e-12


def _stalled(record: Record) -> Iterator[Finding]:
    """A reward that no longer rises."""
    reward = record.train["reward_mean"]
    values = reward.values
    part = values[-round(0.6 * len(values)) :]
    if _rises(part):
        return
    never = not _rises(values) and reward.level - reward.baseline < 3 * reward.spread
    full = saturated(record)
    held_out = record.held_out
    evaluations = 8 if record.finished else 16
    flat_too = held_out is not None and held_out.n >= evaluations and _flat(held_out)
    # A run that goes on may still take off: alone, a reward that never rose counts only at the end.
    confirmed = flat_too or without_signal(record) or (never and record.finished)
    enough = 100 if record.finished else 400
    serious = confirmed and not full and reward.n >= enough
    how = "has not risen since the beginning" if never else "has not risen over the last 60 % of the run"
    also = ", and neither has the score on data kept apart" if flat_too else ""
    top = "; it is about as high as it can be" if full else ""
    yield Finding(
        severity="warning" if serious else "info",
        message=f"The reward {how} ({number(median(part[: max(len(part) // 3, 1)]))} to {number(reward.level)})"
        f"{also}{top}.",
        first_step=record.first_step or 0 if never else reward.step_at(len(values) - len(part)),
        metric="reward_mean",
        value=reward.level,
        baseline=reward.baseline,
        evidence={"points": reward.n, "slope per point": theil_sen(part) / reward.stride},
        confidence=0.75 if serious else 0.5,
    )


def _of_episodes(record: Record) -> bool:
    """Whether the reward is that of an agent in an environment, which learns by leaps and setbacks."""
    return "episode_len_mean" in record.train


def _rises(values: list[float]) -> bool:
    third = max(len(values) // 3, 1)
    return trend(values) > 2 or mann_whitney(values[:third], values[-third:]) > 2  # noqa: PLR2004 - no chance


def _flat(series: Series) -> bool:
    part = series.values[-max(round(0.6 * len(series.values)), 5) :]
    return trend(part) < 2  # noqa: PLR2004 - chance


def _best(values: list[float]) -> tuple[float, int]:
    """The highest median of five neighbours, and the place of the last of them."""
    width = min(5, len(values))
    found = [(median(values[at : at + width]), at + width - 1) for at in range(len(values) - width + 1)]
    return max(found, key=lambda each: each[0])


def _collapse(record: Record) -> Iterator[Finding]:
    """A reward that has fallen far below its best."""
    reward = record.train["reward_mean"]
    values, recent = reward.values, list(reward.recent)[-15:]
    best, place = _best(values)
    size = max(abs(best), best - reward.baseline)
    level = median(recent)
    drop = best - level
    share = 0.5 if _of_episodes(record) else 0.35
    if len(recent) < 15 or drop < share * size or drop < 4 * reward.noise:  # noqa: PLR2004 - the thresholds
        return
    jitter = mad([later - earlier for earlier, later in itertools.pairwise(recent)], 0.0) / 1.414
    around = values[max(place - 9, 0) : place + 1]
    if drop < 4 * jitter or sorted(recent)[-2] > best - 0.15 * size or mann_whitney(recent, around) < 3:  # noqa: PLR2004
        return
    worst = level < reward.baseline + 0.1 * (best - reward.baseline) or drop > 0.7 * size
    onset = next((at for at in range(place, len(values)) if values[at] < best - 0.15 * size), len(values) - 1)
    yield Finding(
        severity="critical" if worst else "warning",
        message=f"The reward has fallen from {number(best)} to {number(level)}.",
        first_step=reward.step_at(onset),
        metric="reward_mean",
        value=level,
        baseline=best,
        evidence={"best at step": reward.step_at(place), "components": _together(record)},
        confidence=0.85,
    )


def _together(record: Record) -> str:
    """Whether the reward functions fell together, as they do when what computes them has failed."""
    fell = [each.name for each in record.components if each.n >= 20 and each.level < 0.5 * max(each.values)]  # noqa: PLR2004
    return f"{len(fell)} of {len(record.components)} fell"


class _ZeroSignal:
    """Finds groups in which all answers have the same reward."""

    def __init__(self) -> None:
        self._row = 0
        self._first = 0

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The finding, while most groups give no signal."""
        values = no_signal(record)
        if values is None:
            return _NOTHING
        series, other = values
        now = series.last + (other.last if other else 0.0)
        if not record.finished:
            if record.phase != "train" or series.last_step != record.step:
                return _NOTHING
            self._count(now, record.step)
        if self._row >= 5:  # noqa: PLR2004 - the threshold
            return [self._dead(record, series)]
        # The median below needs sorting, so it is looked for only where the last value gives reason to.
        if now <= 0.4 or series.n < 10:  # noqa: PLR2004 - the limit with some room
            return _NOTHING
        return self._often(record, series, other)

    def _count(self, now: float, step: int) -> None:
        if now < 1 - 1e-6:
            self._row = 0
            return
        self._first = self._first if self._row else step
        self._row += 1

    def _dead(self, record: Record, series: Series) -> Finding:
        good = saturated(record)
        return Finding(
            severity="warning" if good else "critical",
            message=f"No group has given a signal for {self._row} points: all answers to a prompt have the same reward"
            + (", a high one." if good else "."),
            first_step=self._first,
            metric=series.name,
            value=1.0,
            baseline=series.baseline,
            evidence={"points in a row": self._row, "all good": int(good)},
            confidence=0.95,
        )

    def _often(self, record: Record, series: Series, other: Series | None) -> Sequence[Finding]:
        last = list(series.recent)[-max(10, min(round(0.25 * series.n), 64)) :]
        if other:
            last = [one + two for one, two in zip(last, list(other.recent)[-len(last) :], strict=False)]
        level = median(last)
        if level <= 0.5:  # noqa: PLR2004 - the threshold
            return _NOTHING
        good = saturated(record)
        severity: Severity = "critical" if level >= 0.9 and not good else "warning"  # noqa: PLR2004 - nearly all
        if not good and _natural(record, series, level):
            severity = "info"
        kind = "all good" if good else "mostly all bad or all alike"
        return [
            Finding(
                severity=severity,
                message=f"{percent(level)} of the groups give no signal, because all answers have the same reward "
                f"({kind}): they cost as much as the others and teach nothing.",
                first_step=since(series, 1),
                metric=series.name,
                value=level,
                baseline=series.baseline,
                evidence={"all good": int(good), "reward": record.progress},
                confidence=0.85,
            )
        ]


def _natural(record: Record, series: Series, level: float) -> bool:
    """Whether a share of groups without signal may be what small groups have while little is solved yet."""
    if level < 0.9 and (record.progress == "rising" or record.direction(series.name) == "falling"):  # noqa: PLR2004
        return True
    # Of four answers, each right in one case of ten, two thirds of the groups are all wrong.
    as_at_first = level < 0.75 and level <= series.baseline + 0.15  # noqa: PLR2004 - see above
    return series.n < 20 or (as_at_first and not record.finished)  # noqa: PLR2004 - hardly a beginning


def _vanishing(record: Record) -> Iterator[Finding]:
    """Rewards that no longer differ."""
    series = record.train["reward_std"]
    before, now = series.baseline, series.level
    if before <= _EPSILON or now >= 0.1 * before or before < 3 * series.noise:
        return
    good = saturated(record)
    yield Finding(
        severity="info" if good or record.progress == "rising" else "warning",
        message=f"Rewards hardly differ any more: their standard deviation is {number(now)}, at the beginning "
        f"{number(before)}" + ("; the reward is about as high as it can be." if good else "."),
        first_step=since(series, -1),
        metric="reward_std",
        value=now,
        baseline=before,
        confidence=0.8,
    )


class _Constant:
    """Finds a reward that is the same in every step."""

    def __init__(self) -> None:
        self._streak = Streak("reward_mean")

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The finding, while the reward is constant."""
        streak = self._streak
        count = streak.look(record)
        if count < 5 or streak.by_chance() * record.points > 1e-3:  # noqa: PLR2004 - the threshold
            return _NOTHING
        reward = record.train["reward_mean"]
        before = [value for value, step in zip(reward.recent, reward.steps, strict=True) if step < streak.first_step]
        # A game that is won each time was won before, now and then.
        good = saturated(record) and (not before or max(before) >= 0.95 * reward.last)
        severity: Severity = "critical" if count >= 10 else "warning"  # noqa: PLR2004 - twice what is enough
        if _of_episodes(record):
            # An agent that has not found a reward yet is at the beginning of what it has to learn.
            severity = "warning" if record.finished and count >= 50 else "info"  # noqa: PLR2004 - long enough to find one
        return [
            Finding(
                severity="info" if good else severity,
                message=f"The reward has been exactly {reward.last:.6g} for {count} points"
                + (", the highest it has been." if good else ": it does not depend on the answers."),
                first_step=streak.first_step,
                metric="reward_mean",
                value=reward.last,
                baseline=reward.baseline,
                evidence={"points in a row": count},
                confidence=0.9,
            )
        ]


_MEASURED: Final = "A threshold of RLDK's own, measured: docs/explanation/diagnosis.md"

_DAPO: Final = "Yu et al., DAPO (arXiv:2503.14476)"

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="reward_stalled",
        group="reward",
        severity="warning",
        summary="The reward does not rise.",
        why="There is no signal, the learning rate is wrong, or prompts are too easy or too hard; or the run has "
        "learnt what its data can teach.",
        advice="Look at the share of groups without signal and at headroom. If the score on data kept apart is flat, "
        "too, keep its best checkpoint and stop.",
        references=("Mann, Nonparametric Tests Against Trend (Econometrica, 1945)", "Stable-Baselines3, RL tips"),
        traps=(
            "A reward that is as high as it gets does not rise, and is success.",
            "A plateau after a gain is an information, unless data kept apart confirms it.",
        ),
        make=stateless(_stalled),
        needs=("reward_mean",),
        least=50,
    ),
    Rule(
        name="reward_collapse",
        group="reward",
        severity="critical",
        summary="The reward has fallen far below its best, and stays there.",
        why="The policy diverged, or what computes the reward failed: then all its parts fall together.",
        advice="Go back to a checkpoint before it; look at divergence, gradient and at the reward service.",
        references=(_MEASURED,),
        traps=("Small batches are noisy: ten values in a row must be below, by more than three times their noise.",),
        make=stateless(_collapse),
        needs=("reward_mean",),
        least=20,
    ),
    Rule(
        name="zero_signal_groups",
        group="reward",
        severity="critical",
        summary="In most groups all answers have the same reward.",
        why="The advantage is relative to the group: without a difference there is none. All good means that prompts "
        "are too easy, all bad that they are too hard or that the reward function fails.",
        advice="Sample dynamically, filter prompts by how often they are solved, take more samples for each prompt; if "
        "all are bad, grade some answers by hand first.",
        references=(f"{_DAPO}: dynamic sampling", "TRL GRPO: frac_reward_zero_std"),
        traps=(
            (
                "With two to four samples for each prompt it is naturally high (p^G + (1-p)^G): while the reward rises "
                "it is an information."
            ),
            "All good at a reward as high as it gets is success, and no reason for more than a warning.",
        ),
        make=_ZeroSignal,
        one_of=("frac_zero_std_groups", "frac_all_bad_groups"),
        least=5,
        algorithms=_GROUPS,
        eager=True,
    ),
    Rule(
        name="reward_std_vanishing",
        group="reward",
        severity="warning",
        summary="Rewards hardly differ any more.",
        why="All answers are alike, or only a constant part of the reward is left. Normalising by so small a spread "
        "amplifies noise.",
        advice="Look at some answers; raise the temperature, or normalise without the standard deviation.",
        references=("Liu et al., Dr. GRPO (arXiv:2503.20783): normalisation by the standard deviation",),
        traps=("At a reward as high as it gets there is nothing left to differ.",),
        make=stateless(_vanishing),
        needs=("reward_std",),
        least=20,
    ),
    Rule(
        name="reward_constant",
        group="reward",
        severity="critical",
        summary="The reward is exactly the same in every step.",
        why="The reward function fails and gives its default, is cached, or does not look at the answer.",
        advice="Call the reward function on two very different answers.",
        references=(_MEASURED,),
        traps=(
            "A coarse reward of small batches is often equal by chance: how often it was equal before is counted in.",
            "A game that is won each time has a constant reward, too, and it is its highest.",
        ),
        make=_Constant,
        needs=("reward_mean",),
        least=5,
        eager=True,
    ),
)
"""The rules of this module."""
