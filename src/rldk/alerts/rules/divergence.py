"""Rules on the divergence of the policy from its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rldk.alerts.rule import Finding, Rule, stateless
from rldk.alerts.rules.shapes import Spikes, since
from rldk.alerts.rules.wording import number, percent, times
from rldk.alerts.statistics import median

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rldk.alerts.findings import Severity
    from rldk.alerts.record import Record

__all__ = ["RULES"]

_NOTHING: Final[tuple[Finding, ...]] = ()


class _KLSpikes:
    """Finds single divergences far above the last fifty."""

    def __init__(self) -> None:
        self._spikes = Spikes("kl_mean", 10.0, floor=0.05)

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The finding, once there was a spike."""
        spikes = self._spikes
        spikes.look(record)
        if not spikes.found:
            return _NOTHING
        return [
            Finding(
                severity="warning" if spikes.persistent else "info",
                message=f"The divergence from the reference spikes, {spikes.total} so far: {spikes.told()}.",
                first_step=spikes.found[0].step,
                last_step=spikes.found[-1].step,
                metric="kl_mean",
                value=spikes.largest.value,
                baseline=spikes.largest.usual,
                evidence={"spikes": spikes.total},
                confidence=0.7,
            )
        ]


def _runaway(record: Record) -> Iterator[Finding]:
    """A divergence that grows faster than learning explains."""
    series = record.train["kl_mean"]
    values, level = series.values, series.level
    if level <= 0.5:  # noqa: PLR2004 - per token, half a nat is another model already
        return
    half = values[max(len(values) // 2 - len(series.tail()), 0) : len(values) // 2 + 1]
    middle, start = max(median(half), 1e-12), max(series.baseline, 1e-12)
    # With learning it grows like the root of time, 1.4 times over the second half; straight on, 2 times.
    racing = level > 2.2 * middle and level > 5 * start
    stalled = record.progress in {"flat", "falling"}
    severity: Severity | None = None
    if (racing and stalled and level > 1) or (level > 5 and level > 5 * start):  # noqa: PLR2004 - sequences are noise
        severity = "critical"
    elif racing and (stalled or level > 2):  # noqa: PLR2004 - see above
        severity = "warning"
    if severity:
        stalls = ", while the reward does not rise" if stalled else ""
        yield Finding(
            severity=severity,
            message=f"The divergence from the reference runs away: {number(level)} nats per token, "
            f"{times(level / middle)} that of half the run ago{stalls}.",
            first_step=since(series, 1),
            metric="kl_mean",
            value=level,
            baseline=series.baseline,
            evidence={"half the run ago": middle, "reward": record.progress},
            confidence=0.85 if stalled else 0.7,
        )


def _start(record: Record) -> Iterator[Finding]:
    """A divergence before anything was learnt."""
    series = record.train["kl_mean"]
    first = series.first
    if (record.first_step or 0) > 1 or abs(first) <= 1e-3:  # noqa: PLR2004 - the threshold
        return
    yield Finding(
        severity="warning" if abs(first) > 0.1 else "info",  # noqa: PLR2004 - no adapter of the same model is so far
        message=f"The divergence from the reference is {number(first)} in the first step, where it should be 0.",
        first_step=record.first_step or 0,
        last_step=record.first_step,
        metric="kl_mean",
        value=first,
        baseline=0.0,
        confidence=0.6,
    )


def _negative(record: Record) -> Iterator[Finding]:
    """A divergence that is negative."""
    series = record.train["kl_mean"]
    source = record.semantics.get("kl_mean")
    never = source is not None and (source.estimator in {"k2", "k3", "exact"} or source.sign == ">= 0")
    recent = list(series.recent)
    below = [value for value in recent if value < -1e-6]  # noqa: PLR2004 - rounding
    if never and below:
        yield Finding(
            severity="warning",
            message=f"kl_mean is {number(min(below))}, but its estimator ({source.estimator if source else ''}) "
            "cannot be negative.",
            first_step=next(step for step, value in zip(series.steps, recent, strict=True) if value < 0),
            metric="kl_mean",
            value=min(below),
            baseline=0.0,
            confidence=0.9,
        )
    elif not never and len(recent) >= 20 and len(below) >= 0.8 * len(recent):  # noqa: PLR2004 - no noise about 0
        level = median(recent)
        if level < -1e-3 and -level > 3 * series.noise / len(recent) ** 0.5:  # noqa: PLR2004 - see above
            yield Finding(
                severity="warning",
                message=f"The divergence from the reference is negative, {number(level)}, in "
                f"{percent(len(below) / len(recent))} of the last {len(recent)} points: samples do not come from the "
                "policy that is measured.",
                first_step=series.steps[0],
                metric="kl_mean",
                value=level,
                baseline=0.0,
                confidence=0.8,
            )


def _flat(record: Record) -> Iterator[Finding]:
    """A divergence that is always zero."""
    series = record.train["kl_mean"]
    if series.zeros == series.n:
        yield Finding(
            severity="info",
            message=f"The divergence from the reference has been exactly 0 in {series.n} points: it is not measured, "
            "or the policy does not move.",
            first_step=record.first_step or 0,
            metric="kl_mean",
            value=0.0,
            confidence=0.8,
        )


_GAO: Final = "Gao et al., Scaling Laws for Reward Model Overoptimization (arXiv:2210.10760)"

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="kl_spike",
        group="divergence",
        severity="warning",
        summary="The divergence from the reference is far above its usual size, several times in a row.",
        why="The trust region is lost, or a few rare tokens dominate: with k3 a single token can be worth thousands.",
        advice="Look at the samples of these steps; clip the estimate per token.",
        references=("NVIDIA NeMo-RL docs/guides/grpo.md",),
        traps=("k3 has a heavy tail and single spikes are common: only three of five are a warning.",),
        make=_KLSpikes,
        needs=("kl_mean",),
        least=20,
        eager=True,
    ),
    Rule(
        name="kl_runaway",
        group="divergence",
        severity="critical",
        summary="The divergence from the reference grows faster than learning explains.",
        why="The weight of the divergence is too small or its controller is off. What is paid for with divergence and "
        "does not raise the reward is lost elsewhere.",
        advice="Raise the weight of the divergence or lower the learning rate; go on from a checkpoint before it.",
        references=(
            _GAO,
            "Ziegler et al., Fine-Tuning Language Models from Human Preferences (arXiv:1909.08593)",
        ),
        traps=(
            (
                "It should rise with learning, like the root of time: it must be faster, and the reward stall or the "
                "divergence be beyond what any reward justifies."
            ),
        ),
        make=stateless(_runaway),
        needs=("kl_mean",),
        least=30,
    ),
    Rule(
        name="kl_nonzero_at_start",
        group="divergence",
        severity="warning",
        summary="The policy differs from its reference before anything was learnt.",
        why="Another adapter, chat template or quantisation, or dropout in one of the two.",
        advice="Compare the log-probabilities of policy and reference on one batch.",
        references=("slime docs/en/developer_guide/debug.md: KL is 0 in the first step",),
        traps=("The first log may come after several steps, and a policy with an adapter may start elsewhere.",),
        make=stateless(_start),
        needs=("kl_mean",),
    ),
    Rule(
        name="kl_negative",
        group="divergence",
        severity="warning",
        summary="The divergence is negative.",
        why="Answers are not sampled from the policy that is measured (top-k, top-p, temperature, minimum length, "
        "masks of padding), and the policy learns to exploit that; or the estimator is not the one it is called.",
        advice="Sample with temperature 1 and without top-k and top-p, and check the mask of end and padding tokens.",
        references=("TRL docs, PPO: negative KL", "Huang et al., The N Implementation Details of RLHF with PPO (2023)"),
        traps=("k1 is noisy about 0: it takes four fifths of the last points, and clearly below.",),
        make=stateless(_negative),
        needs=("kl_mean",),
        least=5,
    ),
    Rule(
        name="kl_flat_zero",
        group="divergence",
        severity="info",
        summary="The divergence is exactly 0 throughout.",
        why="Its weight is 0, it is counted in the loss instead, there is no reference, or the policy is frozen.",
        advice="Nothing, if no divergence is wanted; else check weight and reference.",
        references=("OpenRLHF experience_maker.py: zero when the KL is in the loss",),
        traps=("KTO's reference point is cut at 0 and is not judged.",),
        make=stateless(_flat),
        needs=("kl_mean",),
        least=20,
    ),
)
"""The rules of this group."""
