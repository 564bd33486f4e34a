"""Rules on speed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rldk.alerts.rule import Finding, Rule, stateless
from rldk.alerts.rules.shapes import fallen, grown
from rldk.alerts.rules.wording import number, percent, times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rldk.alerts.record import Record

__all__ = ["RULES"]


def _slow(record: Record) -> Iterator[Finding]:
    """Steps that take longer for the same work."""
    series = record.series("step_time", 20)
    if series is None:
        yield from _slower(record)
        return
    level = grown(series, 1.5)
    if level is None:
        return
    ratio = level.ratio
    for name in ("tokens_step", "response_len_mean"):
        work = record.series(name, 20)
        if work is not None and work.baseline > 0:
            ratio /= max(work.level / work.baseline, 1.0)
            break
    if ratio >= 1.5:  # noqa: PLR2004 - the threshold
        yield Finding(
            severity="warning" if ratio >= 2 else "info",  # noqa: PLR2004 - half the speed
            message=f"A step takes {times(ratio)} as long as at the beginning for the same work, "
            f"{number(level.before)} to {number(level.now)} s.",
            first_step=level.step,
            metric="step_time",
            value=level.now,
            baseline=level.before,
            evidence={"for the same work": ratio},
            confidence=0.7,
        )


def _slower(record: Record) -> Iterator[Finding]:
    for name in ("tokens_per_second", "tokens_per_second_gpu", "env_steps_per_second", "samples_per_second"):
        series = record.series(name, 20)
        level = fallen(series, 0.67) if series is not None else None
        if level is not None:
            yield Finding(
                severity="warning" if level.ratio < 0.5 and name.startswith("tokens") else "info",  # noqa: PLR2004
                message=f"{name} has fallen to {percent(level.ratio)} of its beginning, {number(level.before)} to "
                f"{number(level.now)}.",
                first_step=level.step,
                metric=name,
                value=level.now,
                baseline=level.before,
                confidence=0.6,
            )
            return


def _imbalance(record: Record) -> Iterator[Finding]:
    """Ranks that have very different loads."""
    gap, mean = record.train["global_seqlen/minmax_diff"], record.train["global_seqlen/mean"]
    if mean.level > 0 and gap.level > 0.5 * mean.level:
        yield Finding(
            severity="info",
            message=f"The loads of the ranks differ by {percent(gap.level / mean.level)} of their mean.",
            first_step=record.first_step or 0,
            metric="global_seqlen/minmax_diff",
            value=gap.level,
            baseline=mean.level,
            confidence=0.6,
        )


_MEASURED: Final = "A threshold of RLDK's own, measured: docs/explanation/diagnosis.md"

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="slowdown",
        group="throughput",
        severity="warning",
        summary="Steps take longer for the same work.",
        why="A straggling rank, swapping, a slow reward service, or an inference engine that runs out of cache.",
        advice="Compare the times of the parts of a step; look at memory and at the slowest rank.",
        references=(_MEASURED,),
        traps=("Longer answers take longer: time is judged per token where tokens are logged.",),
        make=stateless(_slow),
        one_of=(
            *("step_time", "tokens_per_second", "tokens_per_second_gpu", "env_steps_per_second"),
            "samples_per_second",
        ),
        least=20,
    ),
    Rule(
        name="seqlen_imbalance",
        group="throughput",
        severity="info",
        summary="Some ranks have far more tokens than others.",
        why="Samples are spread over ranks by number and not by length; the others wait.",
        advice="Balance the batch by tokens.",
        references=("verl, perf: balance_batch",),
        traps=("A few long samples suffice, so it is an information only.",),
        make=stateless(_imbalance),
        needs=("global_seqlen/minmax_diff", "global_seqlen/mean"),
        least=5,
    ),
)
"""The rules of this group."""
