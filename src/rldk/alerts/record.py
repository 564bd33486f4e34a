"""What is remembered of a run while it is judged: the effective history of each metric, and what is odd about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from rldk.alerts.presumed import presumed
from rldk.alerts.series import Series
from rldk.alerts.statistics import mann_whitney, noise, theil_sen, trend
from rldk.io.history import Seams
from rldk.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rldk.io.event_schema import Event, Number
    from rldk.io.history import Seam
    from rldk.io.problems import Problem
    from rldk.metrics import Source

__all__ = ["Direction", "Odd", "Record"]

_MOST: Final = 2000
"""So many names are told apart, and so many evaluation sets times names; a log with more has keys that are data."""

_TEMPLATES: Final = tuple(name.partition("<")[0] for name in METRICS if "<" in name)
_COMPONENT: Final = "reward_component/"
_HELD_OUT: Final = ("eval", "val", "test", "heldout", "held_out", "validation")
_SCORES: Final = ("accuracy", "reward_mean", "reward", "score", "acc", "pass@1", "success_rate", "pass_rate", "mean@1")
"""How the quality on data kept apart may be called, the surest names first."""

Direction = Literal["rising", "flat", "falling", "unknown"]

_SURE: Final = 2.5
"""So many standard deviations are no chance, of about a hundred looks at a run."""


class Odd(NamedTuple):
    """A value of the last event that is no finite number."""

    phase: str
    eval_set: str | None
    metric: str
    value: Number
    known: bool
    """Whether the meaning of the metric is known."""


class Record:
    """The effective history of a run on its lowest rank.

    Args:
        algorithm: what is trained with, empty when that is not known.
        semantics: what is known of the metrics; while a log is read it may become more.
        asked: names that rules ask for, canonical or not.
    """

    def __init__(
        self, algorithm: str = "", semantics: Mapping[str, Source] | None = None, asked: Iterable[str] = ()
    ) -> None:
        self._asked = frozenset(asked)
        self.algorithm = algorithm
        self._semantics = {} if semantics is None else semantics
        self.run_id = ""
        self.train: dict[str, Series] = {}
        """Each metric of training by its canonical name, or its own where it has none."""
        self.evals: dict[tuple[str | None, str], Series] = {}
        """The metrics of evaluations, by evaluation set and name."""
        self.points = 0
        """Points of training in the effective history."""
        self.first_step: int | None = None
        self.last_step: int | None = None
        self.unknown: dict[str, int] = {}
        self.taken_for: dict[str, str] = {}
        """Keys that are judged by the rules of a canonical name, though nothing fixes their meaning."""
        self.seams: list[Seam] = []
        """The first hundred."""
        self.torn: list[tuple[str, Problem]] = []
        """The torn end of the log, when it has one, and the file it is in."""
        self.bad: list[tuple[str, Problem]] = []
        """The first records that cannot be read."""
        self.unreadable = 0
        self.finished = False
        """Whether no more events will follow, as far as is known."""
        self.other_ranks = False
        """Whether events of other ranks were seen."""
        self.other: Event | None = None
        """The last event, when it is of another rank."""
        self.stride: int | None = None
        """From the last point of training to the one before."""
        # Of the last event:
        self.event: Event | None = None
        self.step = 0
        self.phase = "train"
        self.odd: list[Odd] = []
        self.repeated: list[tuple[str, float, float]] = []
        """Metrics that the same point had already, with the value before and the new one."""
        self.went_back: int | None = None
        """The step before, when this one goes back within its attempt."""
        self.seam: Seam | None = None
        self.cut_to: int | None = None
        """The last step that still counts, when this event's attempt replaces what came after it."""
        self._seams = Seams()
        self._clock = Series("step")
        self._attempt = 0
        self._names: dict[str, str | None] = {}
        self._known: dict[str, bool] = {}
        self._directions: dict[str, tuple[int, Direction]] = {}

    @property
    def semantics(self) -> dict[str, Source]:
        """What is known of the metrics by now, by canonical name."""
        return {source.canonical: source for source in self._semantics.values()}

    # The loop over metrics is what an event costs; it is written to be quick.
    def add(self, event: Event) -> bool:
        """Take in the next event of the rank; False for one of an attempt that was replaced already."""
        self.event, self.step, self.phase = event, event.step, event.phase
        self.odd, self.repeated, self.went_back, self.seam, self.cut_to = [], [], None, None, None
        self.run_id, self.other = self.run_id or event.run_id, None
        if "attempt" in event.model_info:
            if event.attempt < self._attempt:
                return False
            self._attempt = event.attempt
        if seam := self._seams.add(event):
            self._join(seam)
        if self.phase == "train":
            self._add_train(event)
        elif self.phase == "eval":
            self._add_eval(event)
        else:
            self._look(event)
        return True

    def _join(self, seam: Seam) -> None:
        self.seam = seam
        if len(self.seams) < 100:  # noqa: PLR2004 - a run that restarts more often is not told more by it
            self.seams.append(seam)
        last = seam.first_step - 1 if seam.resumed_from is None else seam.resumed_from
        if self.last_step is not None and last < self.last_step:
            self.cut_to = last
            for series in (self._clock, *self.train.values(), *self.evals.values()):
                series.cut(last)
            self.points = self._clock.n
            self.last_step = last if self.points else None
            self._directions.clear()

    def _add_train(self, event: Event) -> None:  # noqa: C901 - one pass, see above
        step, train, names, unknown = self.step, self.train, self._names, self.unknown
        last = self.last_step
        if last is None or step > last:
            self.points += 1
            self._clock.add(step, step)
            self.stride = None if last is None else step - last
            self.last_step = step
            if self.first_step is None:
                self.first_step = step
        elif step < last:
            self.went_back = last
        for key, value in event.metrics.items():
            name = names[key] if key in names else self._learn(key, event.metrics)
            if name is None:
                if key in unknown:
                    unknown[key] += 1
                if value is None or value - value != 0:
                    self.odd.append(Odd("train", None, key, value, known=False))
                continue
            series = train[name]
            if value is None or value - value != 0:
                series.odd += 1
                self.odd.append(Odd("train", None, name, value, known=True))
                continue
            if step <= series.last_step:
                self.repeated.append((name, series.last, value))
                if step < series.last_step:
                    continue
            series.add(step, value)

    def _learn(self, key: str, metrics: Mapping[str, Number]) -> str | None:
        """The name under which a key is remembered, None when nothing is asked of it."""
        known = key in METRICS or key.startswith(_TEMPLATES)
        name: str | None = presumed(key) if not known else None
        if name is None and (known or key in self._asked or _held_out(key)):
            name = key
        if not known and len(self.unknown) < _MOST:
            self.unknown[key] = 0
        if name is not None and name != key:
            if name in metrics or name in self.train:
                name = key if key in self._asked else None
            else:
                self.taken_for[key] = name
        if len(self.train) >= _MOST:
            name = None
        if len(self._names) < 2 * _MOST:
            self._names[key] = name
        if name is not None and name not in self.train:
            self.train[name] = Series(name)
        if name is not None and name != key and key in self._asked:
            # Asked for by its own name, too.
            self.train[key] = self.train[name]
        if not known and key in self.unknown and name is not None:
            self.unknown[key] += 1
        return name

    def _add_eval(self, event: Event) -> None:
        eval_set = event.eval_set
        for key, value in event.metrics.items():
            name = key if key in METRICS else presumed(key) or key
            if value is None or value - value != 0:
                self.odd.append(Odd("eval", eval_set, name, value, known=key in METRICS))
                continue
            series = self.evals.get((eval_set, name))
            if series is None:
                if len(self.evals) >= _MOST:
                    continue
                series = self.evals[eval_set, name] = Series(name)
            if self.step >= series.last_step:
                series.add(self.step, value)

    def _look(self, event: Event) -> None:
        for key, value in event.metrics.items():
            if value is None or value - value != 0:
                self.odd.append(Odd(self.phase, None, key, value, known=key in METRICS))

    def add_other(self, event: Event) -> None:
        """Take in an event of another rank, of which nothing is remembered here."""
        self.pause()
        self.other, self.other_ranks = event, True

    def pause(self) -> None:
        """Let rules look once more with no event to count."""
        self.phase, self.event, self.other = "final", None, None
        self.odd, self.repeated, self.went_back, self.seam, self.cut_to = [], [], None, None, None

    def end(self) -> None:
        """The same, as if nothing followed."""
        self.pause()
        self.finished = True

    def note(self, problem: Problem, path: str) -> None:
        """Take note of a record that cannot be read."""
        if problem.kind == "torn_tail":
            self.torn = [(path, problem)]
            return
        self.unreadable += 1
        if len(self.bad) < 20:  # noqa: PLR2004 - the account of an ingest has them all
            self.bad.append((path, problem))

    def series(self, name: str, least: int = 1) -> Series | None:
        """A metric of training that has at least so many values."""
        series = self.train.get(name)
        return series if series is not None and series.n >= least else None

    @property
    def components(self) -> list[Series]:
        """The reward functions."""
        return [series for name, series in self.train.items() if name.startswith(_COMPONENT)]

    @property
    def held_out(self) -> Series | None:
        """The quality on data that is kept apart: of evaluations, or logged beside training as `eval/accuracy`."""
        found = [
            (_SCORES.index(name), -series.n, order, series)
            for order, ((_, name), series) in enumerate(self.evals.items())
            if name in _SCORES
        ]
        for order, (name, series) in enumerate(self.train.items()):
            if (score := _held_out(name)) is not None:
                found.append((_SCORES.index(score), -series.n, order, series))
        return min(found)[-1] if found else None

    def direction(self, name: str) -> Direction:
        """Where a metric of training has been going lately: over its last half, the end against what is before."""
        series = self.train.get(name)
        if series is None or series.n < 12:  # noqa: PLR2004 - three times four values
            return "unknown"
        known = self._directions.get(name)
        if known is None or known[0] != series.n:
            known = self._directions[name] = (series.n, going(series.values))
        return known[1]

    @property
    def progress(self) -> Direction:
        """Where the reward has been going lately, or what stands for it: the accuracy of preferences."""
        for name in ("reward_mean", "accuracy"):
            if name in self.train:
                return self.direction(name)
        return "unknown"


def going(values: list[float]) -> Direction:
    """Where values go over their last half."""
    half = values[-max(len(values) // 2, 12) :]
    third = max(len(half) // 3, 1)
    by_order, by_thirds = trend(half), mann_whitney(half[:third], half[-third:])
    if abs(by_order) <= _SURE or by_order * by_thirds < abs(by_order):
        return "flat"
    # What is sure may still be too little to matter.
    if abs(theil_sen(half)) * len(half) < noise(half):
        return "flat"
    return "rising" if by_order > 0 else "falling"


def _held_out(name: str) -> str | None:
    """The score that a key beside training is, when its first part says that it is of data kept apart."""
    first, slash, rest = name.partition("/")
    if not slash or not first.lower().startswith(_HELD_OUT):
        return None
    last = rest.rpartition("/")[2]
    return next((score for score in _SCORES if score in {rest, last}), None)
