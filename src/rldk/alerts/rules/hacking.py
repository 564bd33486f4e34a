"""Rules on whether the reward means what it should: its parts, and quality on data kept apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rldk.alerts.rule import Finding, Rule, stateless
from rldk.alerts.rules.shapes import since
from rldk.alerts.rules.signals import is_auxiliary, task_reward
from rldk.alerts.rules.wording import number, percent
from rldk.alerts.statistics import mann_whitney, median, noise, trend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rldk.alerts.record import Record
    from rldk.alerts.series import Series

__all__ = ["RULES"]

_TASKS: Final = ("accuracy", "answer", "correct", "equation", "solve", "task", "verif")
"""Parts of the names of reward functions that ask whether the task was done."""

_EPSILON: Final = 1e-12


def _hacking(record: Record) -> Iterator[Finding]:
    """A reward that rises while quality elsewhere does not."""
    reward = task_reward(record)
    gain = reward.level - reward.baseline
    if (
        gain < 3 * reward.noise
        or gain < 0.3 * abs(reward.baseline)
        or mann_whitney(reward.head(), reward.tail(0.2)) < 3  # noqa: PLR2004 - no chance
    ):
        return
    held_out = record.held_out
    if held_out is not None and held_out.n >= 6:  # noqa: PLR2004 - fewer say nothing
        if found := _falls(held_out, reward) or _stays_behind(held_out, reward, finished=record.finished):
            yield found
    elif held_out is None:
        yield from _by_itself(record, reward)


def _falls(held_out: Series, reward: Series) -> Finding | None:
    """The score falls from its best while the reward goes on rising."""
    scores = held_out.values
    best, place = _peak(scores)
    now = median(scores[-3:])
    then = median(reward.values[: max(reward.place_of(held_out.step_at(place)), 1)][-5:])
    falling = (
        len(scores) - place - 1 >= 4  # noqa: PLR2004 - one bad evaluation is chance
        and best - now > 3 * held_out.noise
        and best - now > 0.1 * abs(best)
        and trend(scores[place:]) < -1.5  # noqa: PLR2004 - they go down, not up and down
        and reward.level - then > 3 * reward.noise
    )
    if not falling:
        return None
    return Finding(
        severity="critical",
        message=f"The reward rises ({number(then)} to {number(reward.level)} since step "
        f"{held_out.step_at(place)}) while the score on data kept apart falls ({number(best)} to {number(now)}).",
        first_step=held_out.step_at(place),
        metric=reward.name,
        value=reward.level,
        baseline=then,
        evidence={"held out": now, "held out at best": best, "evaluations": held_out.n},
        confidence=0.85,
    )


def _stays_behind(held_out: Series, reward: Series, *, finished: bool) -> Finding | None:
    """The reward has risen much, the score has hardly."""
    scores = held_out.values
    start, now = median(scores[:3]), median(scores[-3:])
    gain = (reward.level - reward.baseline) / max(abs(reward.baseline), _EPSILON)
    gained = (now - start) / max(abs(start), _EPSILON)
    behind = (
        len(scores) >= (8 if finished else 12)
        and gain > 0.5  # noqa: PLR2004 - half as much again
        # Half as much of a gain would have been seen.
        and 0.5 * min(gain, 4.0) * abs(start) > 4 * held_out.noise
        and gained < 0.25 * min(gain, 4.0)
        and (trend(scores) < 2 or gained < 0.2 * gain)  # noqa: PLR2004 - no more than chance
    )
    if not behind:
        return None
    return Finding(
        severity="warning",
        message=f"The reward has risen by {percent(gain)}, the score on data kept apart by {percent(gained)} "
        f"({number(start)} to {number(now)}).",
        first_step=since(reward, 1),
        metric="reward_mean",
        value=reward.level,
        baseline=reward.baseline,
        evidence={"held out": now, "held out at first": start, "evaluations": held_out.n},
        confidence=0.7,
    )


def _peak(scores: list[float]) -> tuple[float, int]:
    found = [(median(scores[at : at + 3]), at + 1) for at in range(len(scores) - 2)]
    return max(found, key=lambda each: each[0])


def _by_itself(record: Record, reward: Series) -> Iterator[Finding]:
    kl, length = record.series("kl_mean", 30), record.series("response_len_mean", 30)
    if kl is None or length is None or length.level < 1.5 * length.baseline:
        return
    middle = median(kl.values[: len(kl.values) // 2 + 1][-5:])
    if kl.level > 2 * max(middle, _EPSILON) and kl.level > 0.05:  # noqa: PLR2004 - faster than the root of time
        yield Finding(
            severity="info",
            message="Reward, length and divergence from the reference rise together, the divergence faster than "
            "learning explains; without a score on data kept apart it cannot be told from real progress.",
            first_step=since(kl, 1),
            metric="reward_mean",
            value=reward.level,
            baseline=reward.baseline,
            evidence={"kl": kl.level, "length": length.level},
            confidence=0.4,
        )


def _conflict(record: Record) -> Iterator[Finding]:
    """A reward function that falls while the whole rises."""
    if record.direction("reward_mean") != "rising":
        return
    for series in record.components:
        if series.n < 50 or record.direction(series.name) != "falling":  # noqa: PLR2004 - short runs wander
            continue
        lost = series.baseline - series.level
        if lost > 0.3 * abs(series.baseline) and lost > 3 * series.noise and trend(series.values) < -3:  # noqa: PLR2004
            serious = not is_auxiliary(series.name) and lost > 0.5 * abs(series.baseline)
            yield Finding(
                severity="warning" if serious else "info",
                message=f"{series.name} falls ({number(series.baseline)} to {number(series.level)}) while the whole "
                "reward rises.",
                first_step=since(series, -1),
                metric=series.name,
                value=series.level,
                baseline=series.baseline,
                confidence=0.7,
            )


def _constant_part(record: Record) -> Iterator[Finding]:
    """A reward function that never changes."""
    parts = record.components
    for series in parts:
        if series.n >= 20 and max(series.values) - min(series.values) <= 1e-9 * max(abs(series.last), 1e-9):  # noqa: PLR2004
            # Where the task itself is never solved, only what is beside it is learnt.
            task = any(part in series.name.lower() for part in _TASKS) and series.last == 0
            serious = task and series.n >= 30 and len(parts) > 1  # noqa: PLR2004 - the first steps may all fail
            yield Finding(
                severity="warning" if serious else "info",
                message=f"{series.name} has been {number(series.last)} in all {series.n} points"
                + (": the task itself is never solved." if serious else "."),
                first_step=record.first_step or 0,
                metric=series.name,
                value=series.last,
                confidence=0.8,
            )


def _domination(record: Record) -> Iterator[Finding]:
    """A reward function beside the task that carries nearly all of the variance."""
    parts = [series for series in record.components if series.n >= 150]  # noqa: PLR2004 - formats settle early
    if len(parts) < 2:  # noqa: PLR2004 - one carries all of it
        return
    # What still rises is being learnt; only what varies about its level counts.
    varies = {series.name: noise(series.values[len(series.values) // 2 :]) for series in parts}
    name = max(varies, key=lambda each: varies[each])
    # As parts of the largest, whose squares no double is too small for.
    share = 1 / sum((each / varies[name]) * (each / varies[name]) for each in varies.values())
    if record.direction(name) == "rising":
        return
    if share > 0.7 and is_auxiliary(name):  # noqa: PLR2004 - most of it
        yield Finding(
            severity="warning",
            message=f"{name} carries {percent(share)} of the variance of the reward functions: the policy is taught "
            "by it and hardly by the task.",
            first_step=parts[0].step_at(len(parts[0].values) // 2),
            metric=name,
            value=share,
            confidence=0.7,
        )


_MEASURED: Final = "A threshold of RLDK's own, measured: docs/explanation/diagnosis.md"

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="reward_hacking_suspect",
        group="reward",
        severity="critical",
        summary="The reward rises while the score on data kept apart does not.",
        why="The policy optimises what the reward measures and not what it is meant to: the true score rises, peaks "
        "and falls.",
        advice="Read twenty answers with a high reward. Check the verifier with known wrong answers, and go on from "
        "the checkpoint at the peak of the score.",
        references=(
            "Gao et al., Scaling Laws for Reward Model Overoptimization (arXiv:2210.10760)",
            "Zheng et al., Secrets of RLHF in Large Language Models, Part I (arXiv:2307.04964)",
        ),
        traps=(
            (
                "Real progress raises reward, length and divergence as well: without a score on data kept apart it is "
                "an information at most."
            ),
        ),
        make=stateless(_hacking),
        needs=("reward_mean",),
        least=30,
    ),
    Rule(
        name="component_conflict",
        group="reward",
        severity="warning",
        summary="One reward function falls while the whole reward rises.",
        why="The weights make it worth while to give one up for another.",
        advice="Weigh the functions anew, or make the one that is given up a condition.",
        references=("Hugging Face open-r1: reward functions and their weights",),
        traps=("A penalty may fall by design; for functions beside the task it is an information.",),
        make=stateless(_conflict),
        needs=("reward_mean",),
        least=50,
    ),
    Rule(
        name="component_constant",
        group="reward",
        severity="warning",
        summary="A reward function has never changed.",
        why="It always fails or always succeeds, so it teaches nothing.",
        advice="Call it on an answer that should succeed and on one that should not.",
        references=(_MEASURED,),
        traps=(
            "A format may be right from the beginning, or never be asked for: only a task that is never solved counts.",
        ),
        make=stateless(_constant_part),
        one_of=("reward_component/<f>",),
        least=20,
    ),
    Rule(
        name="component_domination",
        group="reward",
        severity="warning",
        summary="A reward function beside the task carries most of the variance.",
        why="What varies is what teaches: a format that still varies late in the run outweighs the task.",
        advice="Lower its weight, or make it a condition for the task's reward.",
        references=(_MEASURED,),
        traps=("Formats carry most of the variance at the beginning of every run: only its second half counts.",),
        make=stateless(_domination),
        one_of=("reward_component/<f>",),
        least=150,
    ),
)
"""The rules of this module."""
