"""Rules on how far the trainer and the inference engine disagree about the same policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rldk.alerts.rule import Finding, Rule, stateless
from rldk.alerts.rules.shapes import grown, since
from rldk.alerts.rules.wording import number, times
from rldk.alerts.statistics import median

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rldk.alerts.findings import Severity
    from rldk.alerts.record import Record

__all__ = ["RULES"]


class _Limit(NamedTuple):
    """Where a measure of the mismatch is no longer healthy."""

    metric: str
    warning: float
    critical: float
    below: bool = False
    """Whether low values are the bad ones."""


_LIMITS: Final = (
    _Limit("training/rollout_probs_diff_mean", 0.01, 0.05),
    _Limit("token_mult_prob_error", 1.05, 1.5),
    _Limit("training/rollout_actor_probs_pearson_corr", 0.95, 0.8, below=True),
    _Limit("mismatch_logp_mean", 0.1, 0.5),
    _Limit("kl_mismatch", 0.1, 0.5),
)
_MEASURES: Final = tuple(limit.metric for limit in _LIMITS)
_WEIGHTS: Final = (
    _Limit("rollout_corr/rollout_is_eff_sample_size", 0.3, 0.1, below=True),
    _Limit("rollout_corr/rollout_is_std", 1.0, 5.0),
    _Limit("rollout_corr/chi2_token", 1.0, 10.0),
)


def _beyond(record: Record, limits: tuple[_Limit, ...]) -> Iterator[Finding]:
    for limit in limits:
        series = record.series(limit.metric, 10)
        if series is None:
            continue
        sign = -1 if limit.below else 1
        level = median([sign * (value if limit.below else abs(value)) for value in list(series.recent)[-20:]])
        if level <= sign * limit.warning:
            continue
        severity: Severity = "critical" if level > sign * limit.critical else "warning"
        yield Finding(
            severity=severity,
            message=f"Trainer and inference engine disagree: {limit.metric} is {number(sign * level)}, healthy is "
            f"{'above' if limit.below else 'below'} {number(limit.warning)}.",
            first_step=series.steps[-min(20, len(series.steps))],
            metric=limit.metric,
            value=sign * level,
            baseline=limit.warning,
            confidence=0.8,
        )


def _mismatch(record: Record) -> Iterator[Finding]:
    """Probabilities that differ too much."""
    yield from _beyond(record, _LIMITS)


def _growing(record: Record) -> Iterator[Finding]:
    """Probabilities that differ more and more."""
    for name in ("kl_mismatch", "mismatch_logp_mean", "training/rollout_probs_diff_mean"):
        series = record.series(name, 20)
        if series is None or series.level <= 1e-3:  # noqa: PLR2004 - healthy whatever it was before
            continue
        level = grown(series, 3.0)
        if level is not None and record.direction(name) == "rising":
            yield Finding(
                severity="warning",
                message=f"{name} has grown to {times(level.ratio)} its beginning, {number(level.before)} to "
                f"{number(level.now)}: trainer and inference engine drift apart.",
                first_step=level.step,
                metric=name,
                value=level.now,
                baseline=level.before,
                evidence={"ratio": level.ratio},
                confidence=0.8,
            )


def _degenerate(record: Record) -> Iterator[Finding]:
    """Importance weights that correct nothing any more."""
    yield from _beyond(record, _WEIGHTS)
    series = record.series("mismatch_ratio_mean", 10)
    if series is None:
        return
    level = median(list(series.recent)[-10:])
    if not 0.5 <= level <= 2:  # noqa: PLR2004 - as verl's health check has it
        yield Finding(
            severity="warning",
            message=f"The mean importance weight between trainer and inference engine is {number(level)}, healthy is "
            "0.5 to 2.",
            first_step=since(series, 1 if level > 1 else -1),
            metric="mismatch_ratio_mean",
            value=level,
            baseline=1.0,
            confidence=0.85,
        )


def _not_synced(record: Record) -> Iterator[Finding]:
    """A mismatch that begins with the first update."""
    for name in ("kl_mismatch", "mismatch_logp_mean"):
        series = record.series(name, 10)
        if series is None or record.progress == "rising":
            continue
        first, rest = abs(series.first), [abs(value) for value in series.values[2:]]
        usual = median(rest)
        if usual > 0.05 and first < 0.05 * usual and min(rest) > 3 * first:  # noqa: PLR2004 - far from any noise
            yield Finding(
                severity="warning",
                message=f"{name} was {number(first)} before the first update and is {number(usual)} since: the "
                "inference engine may still hold the first weights.",
                first_step=series.step_at(1),
                metric=name,
                value=usual,
                baseline=first,
                confidence=0.6,
            )


_VERL: Final = "verl docs/faq/faq.rst and docs/algo/rollout_corr.md"
_NEMO: Final = "NVIDIA NeMo-RL docs/guides/grpo.md: token_mult_prob_error, KL errors"

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="prob_mismatch",
        group="mismatch",
        severity="critical",
        summary="Trainer and inference engine give the same tokens different probabilities.",
        why="Numerics of the engine, a wrong temperature, other weights, or routing of experts. Training is then off "
        "policy without knowing it.",
        advice="Correct by truncated importance sampling, use fp16 or the same kernels on both sides, replay the "
        "routing, and check the temperature.",
        references=(_VERL, _NEMO, "Yao et al., Your Efficient RL Framework Secretly Brings You Off-Policy RL Training"),
        traps=("Single spikes without harm are common: the median of the last 20 points is judged.",),
        make=stateless(_mismatch),
        one_of=_MEASURES,
        least=10,
    ),
    Rule(
        name="mismatch_growth",
        group="mismatch",
        severity="warning",
        summary="Trainer and inference engine disagree more and more.",
        why="Rollouts grow stale or weights are not synchronised: a sustained, growing mean is the early sign of an "
        "off-policy collapse.",
        advice="Synchronise weights more often, limit how old a rollout may be.",
        references=("prime-rl docs/training.md: mismatch KL",),
        traps=("A change of how asynchronous the run is moves it once; it must still be rising.",),
        make=stateless(_growing),
        one_of=("kl_mismatch", "mismatch_logp_mean", "training/rollout_probs_diff_mean"),
        least=20,
    ),
    Rule(
        name="is_degenerate",
        group="mismatch",
        severity="critical",
        summary="Importance weights rest on few samples or are far from 1.",
        why="Few samples carry all of the correction, so the update is noise.",
        advice="Truncate weights lower, keep rollouts younger.",
        references=(f"{_VERL}: health check of rollout correction",),
        traps=("Over whole sequences chi-square is large in healthy runs, and is not judged.",),
        make=stateless(_degenerate),
        one_of=("mismatch_ratio_mean", *(limit.metric for limit in _WEIGHTS)),
        least=10,
    ),
    Rule(
        name="weights_not_synced",
        group="mismatch",
        severity="warning",
        summary="The inference engine seems to serve the first weights for ever.",
        why="The transfer of weights failed or is not called.",
        advice="Compare a weight on both sides after an update.",
        references=("slime docs/en/developer_guide/debug.md",),
        traps=("Asynchronous designs are some steps behind by design: the reward must not rise.",),
        make=stateless(_not_synced),
        one_of=("kl_mismatch", "mismatch_logp_mean"),
        least=10,
    ),
)
"""The rules of this group."""
