"""Rules on the optimiser: gradient, learning rate, and a loss that diverges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rldk.alerts.rule import Finding, Rule, stateless
from rldk.alerts.rules.shapes import Spikes, grown
from rldk.alerts.rules.wording import number, percent, times
from rldk.alerts.statistics import median

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rldk.alerts.findings import Severity
    from rldk.alerts.record import Record

__all__ = ["RULES"]

_NOTHING: Final[tuple[Finding, ...]] = ()

_DEAD: Final = 1e-6

_SUPERVISED: Final = ("sft", "dpo", "kto", "orpo", "cpo", "reward", "rm", "kd")


class _GradientSpikes:
    """Finds gradients far above the last fifty."""

    def __init__(self) -> None:
        self._spikes = Spikes("grad_norm", 3.0)

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The finding, once there was a spike."""
        spikes = self._spikes
        spikes.look(record)
        if not spikes.found:
            return _NOTHING
        often = spikes.persistent or spikes.recurring(10.0)
        severity: Severity = "warning" if often else "info"
        what = "three of the last five" if spikes.persistent else f"{spikes.total} so far"
        return [
            Finding(
                severity=severity,
                message=f"The gradient spikes, {what}: {spikes.told()}.",
                first_step=spikes.found[0].step,
                last_step=spikes.found[-1].step,
                metric="grad_norm",
                value=spikes.largest.value,
                baseline=spikes.largest.usual,
                evidence={"spikes": spikes.total},
                confidence=0.8 if often else 0.6,
            )
        ]


def _growth(record: Record) -> Iterator[Finding]:
    """A gradient that has grown while the reward has not."""
    series = record.train["grad_norm"]
    level = grown(series, 3.0)
    if level is None or record.progress == "rising":
        return
    known = record.progress != "unknown"
    severity: Severity = "warning" if known or level.ratio >= 10 else "info"  # noqa: PLR2004 - a rise without excuse
    yield Finding(
        severity=severity,
        message=f"grad_norm has grown to {times(level.ratio)} its beginning, {number(level.before)} to "
        f"{number(level.now)}" + (", while the reward does not rise." if known else "."),
        first_step=level.step,
        metric="grad_norm",
        value=level.now,
        baseline=level.before,
        evidence={"ratio": level.ratio, "reward": record.progress},
        confidence=0.75,
    )


class _Dead:
    """Finds gradients that are zero."""

    def __init__(self) -> None:
        self._row = 0
        self._first = 0
        self._zeros = self._points = 0
        self._since = 0

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The finding, while the gradient is zero, or often was."""
        series = record.train.get("grad_norm")
        if series is None or series.last_step != record.step or record.phase != "train":
            return _NOTHING
        if record.cut_to is not None:
            self._row = 0
        self._points += 1
        if series.last <= _DEAD:
            if not self._row:
                self._first = record.step
            self._row += 1
            self._zeros += 1
            self._since = self._since or record.step
        else:
            self._row = 0
        if self._row >= 10:  # noqa: PLR2004 - the threshold
            return [self._dead(record)]
        if self._zeros > 0.3 * self._points and self._points >= 30:  # noqa: PLR2004 - the threshold
            return [self._often()]
        return _NOTHING

    def _dead(self, record: Record) -> Finding:
        return Finding(
            severity="critical",
            message=f"The gradient has been zero for {self._row} points: nothing is learnt any more.",
            first_step=self._first,
            metric="grad_norm",
            value=record.train["grad_norm"].last,
            baseline=record.train["grad_norm"].baseline,
            evidence={"points in a row": self._row, "zero in all": self._zeros},
            confidence=0.95,
        )

    def _often(self) -> Finding:
        share = self._zeros / self._points
        return Finding(
            severity="critical" if share >= 0.7 else "warning",  # noqa: PLR2004 - most steps do nothing
            message=f"The gradient was zero in {percent(share)} of {self._points} points: these steps taught nothing.",
            first_step=self._since,
            metric="grad_norm",
            value=share,
            evidence={"zero": self._zeros, "points": self._points},
            confidence=0.9,
        )


class _LearningRate:
    """Finds a learning rate that jumps up, or is zero while training goes on."""

    def __init__(self) -> None:
        self._before: float | None = None
        self._zeros = self._zeros_from = 0
        self._jump: tuple[int, float, float] | None = None
        self._largest = 0.0
        self._n = 0

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The finding, once it jumped, or while it is zero."""
        series = record.train.get("lr")
        if series is None or series.last_step != record.step or record.phase != "train":
            return _NOTHING
        value, before = series.last, self._before
        self._before = value
        self._n += 1
        if before == value:
            # Most schedules move, but a constant one is quickest to say nothing of.
            if value == 0 and self._largest > 0:
                self._zeros += 1
        else:
            self._moved(record, before, value)
        self._largest = max(self._largest, value)
        return self._findings(record)

    def _moved(self, record: Record, before: float | None, value: float) -> None:
        self._zeros = 0
        if value == 0:
            self._zeros, self._zeros_from = 1, record.step
        elif before and value > 3 * before and self._n > 20 and record.seam is None:  # noqa: PLR2004 - past the warm-up
            self._jump = (record.step, before, value)

    def _findings(self, record: Record) -> Sequence[Finding]:
        if self._zeros >= max(10, 0.05 * self._n):
            return [
                Finding(
                    severity="warning",
                    message=f"The learning rate has been 0 for {self._zeros} points while training goes on.",
                    first_step=self._zeros_from,
                    metric="lr",
                    value=0.0,
                    baseline=self._largest,
                    evidence={"points": self._zeros},
                    confidence=0.9,
                )
            ]
        if self._jump is None or (record.cut_to is not None and self._jump[0] > record.cut_to):
            self._jump = None
            return _NOTHING
        step, before, value = self._jump
        return [
            Finding(
                severity="warning" if value >= 10 * before else "info",
                message=f"The learning rate jumped from {number(before)} to {number(value)} at step {step}.",
                first_step=step,
                last_step=step,
                metric="lr",
                value=value,
                baseline=before,
                confidence=0.7,
            )
        ]


def _diverging(record: Record) -> Iterator[Finding]:
    """A supervised loss that rises for good."""
    if "reward_mean" in record.train:
        # The loss of a policy gradient is no measure of progress.
        return
    series = record.train["loss"]
    values = series.values
    width = max(len(values) // 10, 5)
    best_at = min(range(0, len(values) - width + 1, max(width // 2, 1)), key=lambda at: median(values[at : at + width]))
    best, level = median(values[best_at : best_at + width]), series.level
    if best <= 0 or level < 1.5 * best or level < 1.1 * series.baseline or level - best < 4 * series.noise:
        return
    yield Finding(
        severity="critical" if level > 2 * series.baseline else "warning",
        message=f"The loss rises: {number(level)} now, {number(best)} at its best, {number(series.baseline)} at the "
        "beginning.",
        first_step=series.step_at(best_at + width - 1),
        metric="loss",
        value=level,
        baseline=best,
        evidence={"beginning": series.baseline},
        confidence=0.85,
    )


_MEASURED: Final = "A threshold of RLDK's own, measured: docs/explanation/diagnosis.md"

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="grad_norm_spike",
        group="optimiser",
        severity="warning",
        summary="The gradient is far above its usual size, again and again.",
        why="A bad batch, a learning rate that is too high, or a trainer that disagrees with its inference engine. "
        "Spikes precede divergence, and disturb the optimizer's second moments for many steps even when clipped.",
        advice="Clip the gradient lower, look at the samples of these steps, and lower the learning rate if they come "
        "closer together.",
        references=("prime-rl docs/training.md: spikes precede divergence",),
        traps=(
            (
                "It is measured before clipping, so a single one may be harmless: only three of five, or three of ten "
                "times the usual within 300 points, are a warning."
            ),
            (
                "Beside the tiny gradients at the end of a run anything is large: a spike must also be three times the "
                "run's beginning."
            ),
        ),
        make=_GradientSpikes,
        needs=("grad_norm",),
        least=20,
        eager=True,
    ),
    Rule(
        name="grad_norm_growth",
        group="optimiser",
        severity="warning",
        summary="The gradient grows while the reward does not.",
        why="Trainer and inference engine differ in precision, or the policy is diverging.",
        advice="Compare the log-probabilities of trainer and inference engine; lower the learning rate.",
        references=("verl docs/faq/faq.rst: growing grad_norm and mismatch of precision",),
        traps=("Longer answers and harder data raise it: while the reward rises, nothing is said.",),
        make=stateless(_growth),
        needs=("grad_norm",),
        least=30,
    ),
    Rule(
        name="dead_gradient",
        group="optimiser",
        severity="critical",
        summary="The gradient is zero.",
        why="All answers of each group have the same reward, so there is no advantage; or parameters are frozen, or "
        "nothing is left to learn.",
        advice="Look at the share of groups without signal and at the reward function. Filter prompts by difficulty, "
        "sample dynamically, or stop.",
        references=("Yu et al., DAPO (arXiv:2503.14476): dynamic sampling",),
        traps=("On policy the first loss is 0, but the gradient is not.",),
        make=_Dead,
        needs=("grad_norm",),
        least=10,
        eager=True,
    ),
    Rule(
        name="lr_anomaly",
        group="optimiser",
        severity="warning",
        summary="The learning rate jumps up, or is zero while training goes on.",
        why="The schedule was not restored, is shorter than the training, or is one with restarts.",
        advice="Compare the schedule's length with that of the training; save the scheduler with the checkpoint.",
        references=(_MEASURED,),
        traps=(
            "The last step of a decay is 0: it takes ten, and a twentieth of the run.",
            "A rate that is rounded to 0 from the beginning was never more, and is not judged.",
        ),
        make=_LearningRate,
        needs=("lr",),
        least=10,
        eager=True,
    ),
    Rule(
        name="loss_diverging",
        group="optimiser",
        severity="critical",
        summary="The loss of supervised or preference training rises for good.",
        why="The learning rate is too high, the data changed, or numbers overflow.",
        advice="Go back to the checkpoint of the lowest loss and lower the learning rate.",
        references=("Pascanu et al., On the difficulty of training recurrent neural networks (arXiv:1211.5063)",),
        traps=("The loss of a policy gradient is no measure of progress: runs with a reward are not judged by it.",),
        make=stateless(_diverging),
        needs=("loss",),
        least=20,
        algorithms=_SUPERVISED,
    ),
)
"""The rules of this module."""
