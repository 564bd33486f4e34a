"""Rules on exploration and on the length of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rldk.alerts.rule import Finding, Rule, stateless
from rldk.alerts.rules.shapes import fallen, grown, since
from rldk.alerts.rules.signals import saturated
from rldk.alerts.rules.wording import number, percent, times
from rldk.alerts.statistics import median

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rldk.alerts.findings import Severity
    from rldk.alerts.record import Record
    from rldk.alerts.series import Series

__all__ = ["RULES"]


def _entropy(record: Record) -> Series:
    exact = record.train.get("entropy_mean")
    return exact if exact is not None and exact.n else record.train["entropy_sampled"]


def _collapse(record: Record) -> Iterator[Finding]:
    """An entropy that is used up."""
    series = _entropy(record)
    level = fallen(series, 0.3)
    if level is None:
        return
    progress, gone = record.progress, level.ratio < 0.1  # noqa: PLR2004 - the threshold
    good = saturated(record)
    severity: Severity = "info"
    if not good and progress in {"flat", "falling"}:
        severity = "critical" if gone and progress == "falling" else "warning"
    elif not good and gone and (progress == "unknown" or level.ratio < 0.05):  # noqa: PLR2004 - nothing is left
        severity = "warning"
    why = {
        "rising": "; the reward still rises",
        "flat": ", and the reward no longer rises",
        "falling": ", and the reward falls",
        "unknown": "",
    }[progress]
    yield Finding(
        severity=severity,
        message=f"Of the entropy {percent(level.ratio)} are left, {number(level.before)} to {number(level.now)}"
        + ("; the reward is about as high as it can be." if good else f"{why}."),
        first_step=level.step,
        metric=series.name,
        value=level.now,
        baseline=level.before,
        evidence={"ratio": level.ratio, "reward": progress},
        confidence=0.85 if severity != "info" else 0.5,
    )


def _explosion(record: Record) -> Iterator[Finding]:
    """An entropy that grows."""
    series = _entropy(record)
    level = grown(series, 2.0)
    if level is None or level.before <= 0:
        return
    calm = record.progress == "rising"
    yield Finding(
        severity="info" if calm else ("critical" if level.ratio > 5 and level.now > 1 else "warning"),  # noqa: PLR2004
        message=f"The entropy has grown to {times(level.ratio)} its beginning, {number(level.before)} to "
        f"{number(level.now)}: the policy turns into noise.",
        first_step=level.step,
        metric=series.name,
        value=level.now,
        baseline=level.before,
        evidence={"ratio": level.ratio, "reward": record.progress},
        confidence=0.8,
    )


def _long(record: Record) -> Iterator[Finding]:
    """Answers that grow without getting better."""
    series = record.train["response_len_mean"]
    level = grown(series, 2.0)
    if level is None:
        return
    cut = record.train.get("truncation_rate")
    cutting = cut is not None and cut.n >= 10 and cut.level > 0.05 and cut.level > 2 * max(cut.baseline, 0.01)  # noqa: PLR2004
    stalled = record.progress in {"flat", "falling"}
    severity: Severity = "info"
    if cutting or stalled:
        severity = "critical" if cutting and record.progress == "falling" else "warning"
    also = [what for what, holds in (("more are cut off", cutting), ("the reward does not rise", stalled)) if holds]
    yield Finding(
        severity=severity,
        message=f"Answers have grown to {times(level.ratio)} their length, {level.before:.0f} to {level.now:.0f} "
        "tokens" + (f", and {' and '.join(also)}." if also else "."),
        first_step=level.step,
        metric="response_len_mean",
        value=level.now,
        baseline=level.before,
        evidence={"ratio": level.ratio, "reward": record.progress, "truncated": cut.level if cut and cut.n else "?"},
        confidence=0.8,
    )


def _truncated(record: Record) -> Iterator[Finding]:
    """Answers that are cut off."""
    series = record.train["truncation_rate"]
    late = list(series.recent)[-max(10, min(round(0.25 * series.n), 64)) :]
    level, now = median(late), series.level
    growing = now > 0.1 and now > 2 * max(series.baseline, 0.02) and record.direction(series.name) == "rising"  # noqa: PLR2004
    if level <= 0.2 and not growing:  # noqa: PLR2004 - the threshold
        return
    falling = record.direction(series.name) == "falling"
    severity: Severity = "critical" if level >= 0.5 else "warning"  # noqa: PLR2004 - half of the answers have no end
    yield Finding(
        severity="info" if falling and level < 0.9 else severity,  # noqa: PLR2004 - base models begin high
        message=f"{percent(max(level, now) if growing else level)} of the answers are cut off at the length limit"
        + ("; it gets less." if falling else ", at the beginning " + percent(series.baseline) + "."),
        first_step=since(series, 1) if growing else series.steps[-len(late)],
        metric="truncation_rate",
        value=now if growing else level,
        baseline=series.baseline,
        confidence=0.85,
    )


def _short(record: Record) -> Iterator[Finding]:
    """Answers that have become very short."""
    series = record.train["response_len_mean"]
    level = fallen(series, 0.3)
    if level is None or level.before < 10:  # noqa: PLR2004 - they were short from the beginning
        return
    yield Finding(
        severity="critical" if level.ratio < 0.1 else "warning",  # noqa: PLR2004 - next to nothing
        message=f"Answers have shrunk to {percent(level.ratio)} of their length, {level.before:.0f} to "
        f"{level.now:.0f} tokens.",
        first_step=level.step,
        metric="response_len_mean",
        value=level.now,
        baseline=level.before,
        evidence={"ratio": level.ratio, "reward": record.progress},
        confidence=0.7,
    )


def _gap(record: Record) -> Iterator[Finding]:
    """Wrong answers that are far longer than right ones."""
    right, wrong = record.train["correct_seq_len/avg"], record.train["incorrect_seq_len/avg"]
    if right.level <= 0 or right.baseline <= 0:
        return
    now, before = wrong.level / right.level, wrong.baseline / right.baseline
    if now > 2 and now > 1.2 * before:  # noqa: PLR2004 - the threshold, and growing
        yield Finding(
            severity="info",
            message=f"Wrong answers are {times(now)} as long as right ones, at the beginning {times(before)}.",
            first_step=since(wrong, 1),
            metric="incorrect_seq_len/avg",
            value=now,
            baseline=before,
            confidence=0.5,
        )


_MEASURED: Final = "A threshold of RLDK's own, measured: docs/explanation/diagnosis.md"
_CUI: Final = "Cui et al., The Entropy Mechanism of Reinforcement Learning for Reasoning LLMs (arXiv:2505.22617)"
_DAPO: Final = "Yu et al., DAPO (arXiv:2503.14476)"

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="entropy_collapse",
        group="exploration",
        severity="critical",
        summary="The entropy of the policy is used up while the reward no longer rises.",
        why="Reward is bought with entropy, R = -a exp(H) + b: when it is gone, so is what can be learnt.",
        advice="Raise the upper clip bound (0.28), clip or penalise by covariance (Clip-Cov, KL-Cov), add an entropy "
        "bonus or raise the temperature; with a reward that is high enough, stop.",
        references=(_CUI, f"{_DAPO}: clip-higher"),
        traps=(
            (
                "Falling entropy is normal, 73 % in the first 200 of 2400 steps of the paper: while the reward rises, "
                "or is as high as it gets, it is an information."
            ),
            "Only the ratio to the same metric's beginning counts, no absolute value.",
        ),
        make=stateless(_collapse),
        one_of=("entropy_mean", "entropy_sampled"),
        least=20,
    ),
    Rule(
        name="entropy_explosion",
        group="exploration",
        severity="critical",
        summary="The entropy of the policy grows to a multiple.",
        why="The policy turns into noise: an entropy bonus, an upper clip bound or a learning rate that is too high; "
        "usually length and divergence rise with it.",
        advice="Take the bonus or the bound back, lower the learning rate, and go on from a checkpoint before it.",
        references=(_DAPO, "Liu et al., ProRL (arXiv:2505.24864)"),
        traps=("A temperature schedule or new tasks raise it, too: while the reward rises it is an information.",),
        make=stateless(_explosion),
        one_of=("entropy_mean", "entropy_sampled"),
        least=20,
    ),
    Rule(
        name="length_explosion",
        group="exploration",
        severity="critical",
        summary="Answers grow to a multiple while more are cut off or the reward stalls.",
        why="Dividing by the length favours long wrong answers, or the policy repeats itself.",
        advice="Take the loss per token (DAPO) or without division by length (Dr. GRPO), shape the reward of overlong "
        "answers, and read some.",
        references=("Liu et al., Dr. GRPO (arXiv:2503.20783)", f"{_DAPO}: overlong reward shaping"),
        traps=("Longer reasoning with a rising reward is what is wanted: then it is an information.",),
        make=stateless(_long),
        needs=("response_len_mean",),
        least=20,
    ),
    Rule(
        name="truncation_saturated",
        group="exploration",
        severity="critical",
        summary="Many answers are cut off at the length limit.",
        why="The limit is too low, or the policy has not learnt, or has forgotten, to end. The reward of an answer "
        "that was cut off measures the limit.",
        advice="Raise the limit, leave truncated answers out of the loss, or penalise a missing end.",
        references=("TRL docs/source/ppo_trainer.md: the EOS trick", f"{_DAPO}: overlong filtering"),
        traps=("Base models begin high and learn to end: while it falls it is an information.",),
        make=stateless(_truncated),
        needs=("truncation_rate",),
        least=10,
    ),
    Rule(
        name="length_collapse",
        group="exploration",
        severity="critical",
        summary="Answers have become very short.",
        why="Short or empty answers are rewarded by mistake, or a divergence in the reward favours them.",
        advice="Read some answers; check what the reward of an empty one is.",
        references=(_MEASURED,),
        traps=("Some tasks have short answers: only the ratio to the beginning counts.",),
        make=stateless(_short),
        needs=("response_len_mean",),
        least=20,
    ),
    Rule(
        name="length_gap",
        group="exploration",
        severity="info",
        summary="Wrong answers are ever longer than right ones.",
        why="The signature of a length bias in the loss.",
        advice="Take a loss without division by length.",
        references=("Liu et al., Dr. GRPO (arXiv:2503.20783)",),
        traps=("Hard prompts have longer answers, so it is an information only.",),
        make=stateless(_gap),
        needs=("correct_seq_len/avg", "incorrect_seq_len/avg"),
        least=20,
    ),
)
"""The rules of this group."""
