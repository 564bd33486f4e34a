"""Run the rules over events as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from rldk.alerts.findings import SEVERITIES, Alert, Passed, Unchecked, Verdict
from rldk.alerts.presets import rules_for
from rldk.alerts.record import Record
from rldk.alerts.stories import stories
from rldk.alerts.verdict import health_of, sentence_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rldk.alerts.findings import Severity
    from rldk.alerts.rule import Detector, Finding, Rule
    from rldk.alerts.series import Series
    from rldk.io.event_schema import Event
    from rldk.io.problems import Problem
    from rldk.metrics import Source

__all__ = ["Engine", "check"]

_SHARE: Final = 32
"""A rule that is not eager looks again when the run has grown by one part in so many."""

_EAGER_PATIENCE: Final = 10
_PATIENCE: Final = 2
"""So often in a row a rule must not find it any more before its alert is resolved; so it does not flicker."""

_IDENTITY: Final = (
    *("loss", "reward_mean", "grad_norm", "kl_mean", "entropy_mean", "response_len_mean", "policy_loss"),
    "value_loss",
)
"""What two runs have in common when they are the same; what depends on the machine is not among it."""

_RANK: Final[dict[Severity, int]] = {severity: place for place, severity in enumerate(SEVERITIES)}

_Key = tuple[str | None, str, str | None]


class _Watch:
    """A rule at work on a run."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.detector: Detector = rule.make()
        self.alerts: dict[_Key, Alert] = {}
        self.missed: dict[_Key, int] = {}
        self.judged = False
        """Whether it has had enough to judge."""
        self.quiet = True
        """Whether none of its alerts fires."""


class Engine:
    """Judges one run, event by event, in memory that does not grow with it.

    Give it every event of every rank in the order they were written, those that a later attempt replaced too:
    it forgets what is cut off. An effective history, and a foreign log without seq and wall_time, will do as well.
    Not for several threads at once. It raises nothing on account of what is in an event.

    Args:
        rules: the rules; those of preset `auto` when not given.
        algorithm: `grpo`, `ppo`, `dpo`, ... as in the manifest; empty when it is not known.
        semantics: what is known of the metrics, by canonical name or native key, as in the manifest (`metrics`).
    """

    def __init__(
        self,
        rules: Iterable[Rule] | None = None,
        *,
        algorithm: str = "",
        semantics: Mapping[str, Source] | None = None,
    ) -> None:
        chosen = rules_for("auto", algorithm) if rules is None else tuple(rules)
        self._algorithm, self._semantics = algorithm, semantics
        self._rules = tuple(rule for rule in chosen if rule.applies(algorithm))
        self._rank: int | None = None
        self._begin()

    def _begin(self) -> None:
        asked = (name for rule in self._rules for name in (*rule.needs, *rule.one_of))
        self._record = Record(self._algorithm, self._semantics, asked)
        self._watches = [_Watch(rule) for rule in self._rules]
        self._eager = [watch for watch in self._watches if watch.rule.eager]
        self._patient = [watch for watch in self._watches if not watch.rule.eager]
        self._next = 1
        self._print = 0

    def add(self, event: Event) -> list[Alert]:
        """Take in the next event; what changed: alerts that began to fire, got worse or were resolved."""
        record = self._record
        rank = event.model_info.get("rank") or 0
        if rank != self._rank:
            if self._rank is None or int(rank) < self._rank:
                self._take_rank(int(rank))
                record = self._record
            else:
                record.add_other(event)
                return self._look(eager_only=True)
        if not record.add(event):
            return []
        changes = self._forget(record.cut_to) if record.cut_to is not None else []
        train = event.phase == "train"
        if train:
            self._identify()
        changes += self._look(eager_only=not train or record.points < self._next)
        return changes

    def _take_rank(self, rank: int) -> None:
        """Judge by this rank from here on; what a higher one told counts as another's."""
        if self._rank is not None:
            self._begin()
        self._rank = rank

    def note(self, problem: Problem, path: str = "") -> list[Alert]:
        """Take note of a record of the log that could not be read, as a torn one; what changed."""
        record = self._record
        record.note(problem, path)
        record.pause()
        return self._look(eager_only=True)

    @property
    def firing(self) -> list[Alert]:
        """The alerts that fire now, the worst first."""
        return [alert for alert in self._alerts() if alert.state == "firing"]

    def finish(self) -> Verdict:
        """The verdict on what was taken in, as if nothing followed. More events may follow all the same."""
        self.settle()
        return self.verdict()

    def verdict(self) -> Verdict:
        """The verdict as it stands while more is to come; it changes nothing."""
        record, alerts = self._record, self._alerts()
        told = stories(alert for alert in alerts if alert.state == "firing")
        unchecked = [found for watch in self._watches if (found := _unchecked(watch, record))]
        silent = {each.rule for each in unchecked}
        passed = [
            Passed(rule=watch.rule.name, points=record.points)
            for watch in self._watches
            if not watch.alerts and watch.rule.name not in silent
        ]
        judged = {watch.rule.name: watch.rule for watch in self._watches if watch.rule.name not in silent}
        health = health_of(alerts, list(judged.values()), record.points)
        steps = None if record.first_step is None or record.last_step is None else (record.first_step, record.last_step)
        return Verdict(
            run_id=record.run_id,
            sentence=sentence_of(
                health, alerts, told, passed=len(passed), unchecked=len(unchecked), points=record.points
            ),
            health=health,
            alerts=tuple(alerts),
            stories=told,
            passed=tuple(passed),
            unchecked=tuple(unchecked),
            unknown={key: count for key, count in record.unknown.items() if key not in record.taken_for},
            taken_for=dict(record.taken_for),
            points=record.points,
            steps=steps,
            fingerprint=self._print if record.points >= 10 and self._print else None,  # noqa: PLR2004 - chance is excluded
        )

    def settle(self) -> list[Alert]:
        """Look at all that was taken in as if nothing followed; what changed."""
        record = self._record
        record.end()
        changes = self._look(eager_only=False)
        record.finished = False
        return changes

    def _look(self, *, eager_only: bool) -> list[Alert]:
        record = self._record
        changes: list[Alert] = []
        for watch in self._eager:
            findings = watch.detector(record)
            if findings:
                self._settle(watch, findings, changes)
            elif not watch.quiet and record.phase == "train":
                self._resolve(watch, set(), _EAGER_PATIENCE, changes)
        if eager_only:
            return changes
        if not record.finished:
            self._next = record.points + max(1, record.points // _SHARE)
        for watch in self._patient:
            # What rests on broken data is not judged, and neither are its alerts resolved.
            if _unchecked(watch, record) is None:
                self._settle(watch, watch.detector(record), changes)
                if not watch.quiet:
                    self._resolve(watch, self._found, _PATIENCE, changes)
        return changes

    def _settle(self, watch: _Watch, findings: Iterable[Finding], changes: list[Alert]) -> None:
        record, rule = self._record, watch.rule
        self._found: set[_Key] = set()
        for finding in findings:
            key = (finding.metric, finding.phase, finding.eval_set)
            self._found.add(key)
            before = watch.alerts.get(key)
            fires = before is not None and before.state == "firing"
            alert = Alert(
                rule=rule.name,
                severity=finding.severity,
                state="firing",
                first_step=before.first_step if fires and before else finding.first_step,
                last_step=record.step if finding.last_step is None else finding.last_step,
                fired_step=before.fired_step if fires and before else max(record.step, finding.first_step),
                phase=finding.phase,
                eval_set=finding.eval_set,
                metric=finding.metric,
                value=finding.value,
                baseline=finding.baseline,
                evidence=finding.evidence,
                message=finding.message,
                advice=rule.advice,
                references=rule.references,
                confidence=finding.confidence,
            )
            watch.alerts[key] = alert
            watch.missed[key] = 0
            watch.quiet = False
            if before is None or not fires or _RANK[alert.severity] > _RANK[before.severity]:
                changes.append(alert)
        if rule.eager and len(watch.alerts) > len(self._found) and record.phase == "train":
            self._resolve(watch, self._found, _EAGER_PATIENCE, changes)

    def _resolve(self, watch: _Watch, found: set[_Key], patience: int, changes: list[Alert]) -> None:
        firing = False
        for key, alert in watch.alerts.items():
            if alert.state == "resolved" or key in found:
                firing = firing or alert.state == "firing"
                continue
            watch.missed[key] += 1
            if watch.missed[key] < patience:
                firing = True
                continue
            watch.alerts[key] = resolved = msgspec.structs.replace(alert, state="resolved")
            changes.append(resolved)
        watch.quiet = not firing

    def _forget(self, last_step: int) -> list[Alert]:
        """Take back what was said of steps that no longer count."""
        changes = []
        for watch in self._watches:
            for key, alert in list(watch.alerts.items()):
                if alert.first_step > last_step:
                    del watch.alerts[key]
                    if alert.state == "firing":
                        changes.append(msgspec.structs.replace(alert, state="resolved"))
            watch.quiet = not any(alert.state == "firing" for alert in watch.alerts.values())
        self._next = 1
        return changes

    def _alerts(self) -> list[Alert]:
        found = [alert for watch in self._watches for alert in watch.alerts.values()]
        return sorted(found, key=lambda alert: (alert.state == "resolved", -_RANK[alert.severity], alert.first_step))

    def _identify(self) -> None:
        record = self._record
        train, step = record.train, record.step
        values = [
            series.last for name in _IDENTITY if (series := train.get(name)) is not None and series.last_step == step
        ]
        if values:
            self._print = hash((self._print, step, *values))


def _unchecked(watch: _Watch, record: Record) -> Unchecked | None:
    """Why a rule cannot judge; None when it can."""
    rule = watch.rule
    missing = [name for name in rule.needs if not _there(name, record)]
    if not missing and rule.one_of and not any(_there(name, record) for name in rule.one_of):
        return Unchecked(rule=rule.name, why=f"not applicable: needs {' or '.join(rule.one_of)}", missing=rule.one_of)
    if missing:
        return Unchecked(rule=rule.name, why=f"not applicable: needs {' and '.join(missing)}", missing=tuple(missing))
    series = [record.train[name] for name in rule.needs]
    if rule.one_of:
        series.append(max((each for name in rule.one_of for each in _named(name, record)), key=lambda each: each.n))
    broken = next((each for each in series if each.odd > 1), None)
    if broken is not None and not rule.eager:
        return Unchecked(rule=rule.name, why=f"not judged: {broken.name} is no number at the end, {broken.odd} times")
    few = min(series, key=lambda each: each.n, default=None)
    if few is not None and few.n < rule.least:
        return Unchecked(rule=rule.name, why=f"insufficient data: {few.n} of {rule.least} points of {few.name}")
    if not series and record.points < rule.least:
        return Unchecked(rule=rule.name, why=f"insufficient data: {record.points} of {rule.least} points")
    return None


def _there(name: str, record: Record) -> bool:
    return any(series.n for series in _named(name, record))


def _named(name: str, record: Record) -> Iterator[Series]:
    """The metrics of a name; `<f>` stands for any reward function."""
    prefix, template, _ = name.partition("<")
    if template:
        yield from (series for each, series in record.train.items() if each.startswith(prefix))
    elif name in record.train:
        yield record.train[name]


def check(events: Iterable[Event], rules: Iterable[Rule] | None = None, *, algorithm: str = "") -> Iterator[Alert]:
    """Every alert of a run at the moment when it would have fired, got worse or been resolved.

    Args:
        events: the events of one run.
        rules: the rules; those of preset `auto` when not given.
        algorithm: the algorithm, when it is known.
    """
    engine = Engine(rules, algorithm=algorithm)
    for event in events:
        yield from engine.add(event)
    yield from engine.settle()
