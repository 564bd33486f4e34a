"""What the reward says of a run: whether it is as high as it gets, and whether there is anything to learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rldk.alerts.record import Record
    from rldk.alerts.series import Series

__all__ = ["is_auxiliary", "no_signal", "saturated", "task_reward", "without_signal"]

_AUXILIARY: Final = ("format", "tag", "xml", "json", "length", "lang", "style", "think", "penalty")
"""Parts of the names of reward functions that do not ask whether the task was done."""

_EPSILON: Final = 1e-12


def saturated(record: Record) -> bool:
    """Whether the reward is as high as it gets, as far as can be told."""
    good = record.train.get("frac_all_good_groups")
    if good is not None and good.n and good.level > 0.5:  # noqa: PLR2004 - most groups
        return True
    reward = record.train.get("reward_mean")
    if reward is None or reward.n < 5:  # noqa: PLR2004 - no level yet
        return False
    values, level = reward.values, reward.level
    task = task_reward(record)
    top = max(task.values)
    if min(task.values) >= -_EPSILON and top <= 1 + 1e-6 and task.level >= 0.9:  # noqa: PLR2004 - most are right
        return True
    # Right answers may be worth 1 and a little for the format: then there is no signal left at the top.
    if min(values) >= -0.2 and max(values) <= 1.2 and level >= 0.9 and without_signal(record):  # noqa: PLR2004
        return True
    # Constant at its best after it has risen, as a game that is won each time.
    top, bottom = max(values), min(values)
    return top > bottom and level >= top - 0.01 * (top - bottom) and level > reward.baseline + 0.5 * (top - bottom)


def task_reward(record: Record) -> Series:
    """The reward function of the task, where it is told from those beside it; else the whole reward."""
    parts = [each for each in record.components if each.n >= 30 and not is_auxiliary(each.name)]  # noqa: PLR2004
    beside = any(is_auxiliary(each.name) for each in record.components)
    if parts and beside:
        return max(parts, key=lambda each: max(each.values) - min(each.values))
    return record.train["reward_mean"]


def without_signal(record: Record) -> bool:
    """Whether most groups give no signal at the end."""
    groups = no_signal(record)
    return groups is not None and groups[0].level + (groups[1].level if groups[1] else 0.0) > 0.5  # noqa: PLR2004


def no_signal(record: Record) -> tuple[Series, Series | None] | None:
    """The share of groups without signal; where it is logged in two parts, that of the all good ones is the second."""
    series = record.train.get("frac_zero_std_groups")
    if series is not None and series.n:
        return series, None
    good, bad = record.train.get("frac_all_good_groups"), record.train.get("frac_all_bad_groups")
    if good is not None and bad is not None and good.n and bad.n:
        return bad, good
    return None


def is_auxiliary(name: str) -> bool:
    """Whether a reward function, by its name, does not ask whether the task was done."""
    return any(part in name.lower() for part in _AUXILIARY)
