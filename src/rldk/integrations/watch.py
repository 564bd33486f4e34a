"""Judge a run while it is being recorded: tell of alerts, and say what the trainer is to do about them."""

from __future__ import annotations

import functools
import os
import time
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

import msgspec

from rldk.alerts import PRESETS, Engine, Rule, load_rules, rules_for
from rldk.alerts.rules_file import ACTIONS
from rldk.alerts.sinks import Command, Sink, Webhook, log
from rldk.alerts.sinks.outbox import PATIENCE
from rldk.io.manifest import read_manifest
from rldk.io.reader import read_log
from rldk.report.files import write_alerts

if TYPE_CHECKING:
    from rldk.alerts import Alert, Verdict
    from rldk.integrations.troubles import Troubles
    from rldk.io.event_schema import Event, Primitive
    from rldk.io.segments import Log
    from rldk.metrics import Source

__all__ = ["OnCritical", "Watch", "WatchSettings", "Wish", "check_watch"]

OnCritical = Literal["warn", "save", "stop", "save_and_stop"]
"""What is to be done when a critical alert begins to fire: tell of it, save a checkpoint, end the training, or both."""

_EVERY: Final = 10.0
"""Seconds that pass at least from one writing of the alerts to the next."""

_PRIMING: Final = 10.0
"""Seconds that may be spent on what earlier attempts have recorded."""


class Wish(NamedTuple):
    """What the trainer is asked to do."""

    save: bool = False
    stop: bool = False


class WatchSettings(msgspec.Struct, frozen=True):
    """How a run is judged while it is recorded: the arguments that integrations have in common, checked."""

    preset: str
    rules: tuple[Rule, ...]
    on_critical: OnCritical
    sinks: tuple[Sink, ...]

    @property
    def asks(self) -> bool:
        """Whether the trainer may be asked to do anything."""
        return self.on_critical != "warn" or any(rule.action not in {"", "warn"} for rule in self.rules)


def check_watch(
    alerts: bool | str = True,  # noqa: FBT001, FBT002 - an argument of the callbacks, handed on by name
    rules: str | os.PathLike[str] | Sequence[Rule] | None = None,
    on_critical: OnCritical = "warn",
    on_alert: Sequence[Sink] = (),
) -> WatchSettings | None:
    """The arguments that integrations have in common, checked; None when nothing is to be judged.

    Raises:
        ValueError: one has a value that it cannot have.
        RLDKError: a file of rules cannot be used.
        OSError: it cannot be read.
    """
    preset = "auto" if alerts is True else alerts
    if preset is not False and preset not in PRESETS:
        raise ValueError(f"alerts: expected True, False or one of {', '.join(PRESETS)}, found {alerts!r}")
    if on_critical not in get_args(OnCritical):
        raise ValueError(f"on_critical: expected one of {', '.join(get_args(OnCritical))}, found {on_critical!r}")
    sinks = tuple(on_alert) if isinstance(on_alert, Iterable) else ()
    if not all(map(callable, sinks)) or not isinstance(on_alert, Iterable):
        raise ValueError(f"on_alert: expected a list of functions of an alert and a run id, found {on_alert!r}")
    given = load_rules(Path(rules)) if isinstance(rules, (str, os.PathLike)) else rules or ()
    own = tuple(given) if isinstance(given, Iterable) else ()
    if not all(isinstance(rule, Rule) for rule in own) or not isinstance(given, Iterable):
        raise ValueError(f"rules: expected a file of rules or a list of `Rule`, found {rules!r}")
    for rule in own:
        if rule.action not in {"", *ACTIONS}:
            raise ValueError(f"rules: {rule.name}: expected an action of {', '.join(ACTIONS)}, found {rule.action!r}")
    return None if preset is False else WatchSettings(str(preset), own, on_critical, (log, *sinks))


class Watch:
    """Judges a run, event by event, and keeps its `alerts.json` up to date.

    What goes wrong in it reaches nobody, unless the user wants to hear of it: it is reported, and the run is
    recorded without being judged.

    Args:
        log: the run's log.
        options: how it is judged.
        algorithm: what is trained with.
        semantics: what is known of the metrics by now, by their native keys.
        stamps: what the writer adds to the `model_info` of every event.
        troubles: who hears of what goes wrong.
        clock: tells seconds.
    """

    def __init__(
        self,
        log: Log,
        options: WatchSettings,
        *,
        algorithm: str,
        semantics: MutableMapping[str, Source],
        stamps: Mapping[str, Primitive],
        troubles: Troubles,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._algorithm, self._semantics = algorithm, semantics
        self._log, self._options, self._stamps = log, options, stamps
        self._troubles, self._clock = troubles, clock
        self._engine: Engine | None = None
        self._reporting("beginning to judge the run", self._begin)
        self._actions = {rule.name: rule.action for rule in options.rules if rule.action}
        self._asked: set[str] = set()
        self._pid = os.getpid()
        """A forked child judges nothing."""
        self._changed = False
        self._next = 0.0
        self._save = self._stop = False
        self._why = ""
        self.stopped_by = ""
        """The alert on account of which the trainer has been told to stop, in words."""

    def _begin(self) -> None:
        self._engine = self._new_engine()

    def _new_engine(self) -> Engine:
        rules = (*rules_for(self._options.preset, self._algorithm), *self._options.rules)
        return Engine(rules, algorithm=self._algorithm, semantics=self._semantics)

    def prime(self) -> None:
        """Take in what earlier attempts have recorded; if that takes too long, the run is judged from here on."""
        self._reporting("judging what was recorded before", self._prime)

    def add(self, event: Event) -> None:
        """Take in an event, and tell of the alerts that it brings about."""
        self._guarded(lambda engine: self._add(engine, event))

    def take_wish(self) -> Wish:
        """What the trainer is asked to do since this was last asked."""
        wish = Wish(self._save, self._stop)
        self._save = self._stop = False
        if wish.stop:
            self.stopped_by = self._why
        return wish

    def finish(self) -> Verdict | None:
        """The verdict when training ends; None when the run could not be judged.

        What is only known now is told of, what is not yet written is written, and what is not yet delivered is
        waited for, a few seconds.
        """
        verdicts: list[Verdict] = []
        self._guarded(lambda engine: verdicts.append(self._settled(engine)))
        self._flush()
        return verdicts[0] if verdicts else None

    def close(self) -> None:
        """Judge no more: the log is closed, and may be another attempt's by now."""
        self._engine = None

    def _settled(self, engine: Engine) -> Verdict:
        for alert in engine.settle():
            self._tell(alert)
        verdict = engine.verdict()
        # A rule of the user's may have found what no file can hold; then the log is judged anew, without it.
        msgspec.json.encode(verdict)
        return verdict

    def _flush(self) -> None:
        if self._changed:
            self._reporting("writing the alerts", self._write)
        deadline = self._clock() + PATIENCE
        flushed = [(sink, flush) for sink in self._options.sinks if (flush := getattr(sink, "flush", None))]
        for left, (sink, flush) in zip(range(len(flushed), 0, -1), flushed, strict=True):
            if isinstance(sink, (Command, Webhook)):
                # What one does not need is for those after it, so that several that hang take no longer than one.
                patience = max(deadline - self._clock(), 0.0) / left
                self._reporting("delivering alerts", functools.partial(flush, patience))
            else:
                self._reporting("delivering alerts", flush)

    def _guarded(self, what: Callable[[Engine], object]) -> None:
        """Do something with the engine; when that fails, be done with it: what it remembers may be wrong."""
        engine = self._engine
        if engine and os.getpid() == self._pid and not self._reporting("judging the run", lambda: what(engine)):
            self._engine = None

    def _reporting(self, where: str, what: Callable[[], object]) -> bool:
        """Do something; whether it went well."""
        return self._troubles.attempt(where, what, "the run is recorded, but an alert may be missing")

    def _prime(self) -> None:
        deadline = self._clock() + _PRIMING
        # This attempt has logged nothing yet, so that what its metrics mean is only known from the ones before it.
        self._semantics = ChainMap(self._semantics, read_manifest(self._log).metrics)
        engine = self._new_engine()
        for count, event in enumerate(read_log(self._log, "salvage", lambda *_: None)):
            if count % 100 == 0 and self._clock() > deadline:
                raise TimeoutError(f"{self._log.path}: there is too much of it")
            engine.add(event)
        self._engine = engine

    def _add(self, engine: Engine, event: Event) -> None:
        stamped = msgspec.structs.replace(event, model_info={**event.model_info, **self._stamps})
        for alert in engine.add(stamped):
            self._tell(alert)
            if alert.state == "firing" and event.phase != "final":
                self._ask(alert)
        if self._changed and self._clock() >= self._next:
            self._reporting("writing the alerts", self._write)

    def _tell(self, alert: Alert) -> None:
        self._changed = True
        for sink in self._options.sinks:
            self._reporting("telling of an alert", functools.partial(sink, alert, self._log.run_id))

    def _ask(self, alert: Alert) -> None:
        """Ask the trainer for what the user wants done about an alert, once for each rule."""
        default = self._options.on_critical if alert.severity == "critical" else "warn"
        action = self._actions.get(alert.rule, default)
        if action == "warn" or alert.rule in self._asked:
            return
        self._asked.add(alert.rule)
        self._save |= action in {"save", "save_and_stop"}
        if action in {"stop", "save_and_stop"}:
            self._stop = True
            self._why = self._why or f"{alert.rule} at step {alert.last_step}: {alert.message}"

    def _write(self) -> None:
        # First of all, so that a disk that is full is not tried again at every event.
        self._next = self._clock() + _EVERY
        if self._engine:
            write_alerts(self._log, self._engine.verdict())
        self._changed = False
