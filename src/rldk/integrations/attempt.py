"""One attempt of a run, from its first event to its derived files, whatever the trainer."""

from __future__ import annotations

import logging
import os
import sys
import time
import weakref
from typing import TYPE_CHECKING, Any, Final, Unpack

from rldk.integrations.troubles import Troubles
from rldk.integrations.watch import Watch, Wish
from rldk.io.clock import RunClock, timestamp
from rldk.io.manifest import Attempt, find_resumed, update_manifest
from rldk.io.recorder import Recorder
from rldk.io.segments import check_run_id, log_path, new_run_id, run_log
from rldk.io.writer import open_writer
from rldk.metrics import Translator
from rldk.report.files import write_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from rldk.integrations.watch import WatchSettings
    from rldk.io.event_schema import Event, Primitive
    from rldk.io.manifest import Manifest, Outcome
    from rldk.io.protocol import Writer
    from rldk.io.writer import WriterOptions

__all__ = ["RecordedAttempt", "close_at_exit", "jsonl_enabled", "named_run", "outcome_at_exit", "unnamed_run"]

_log: Final = logging.getLogger(__name__)
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_CHAIN: Final = 10
"""How many errors are looked at of those that led to the last."""


class RecordedAttempt:
    """Records one attempt of one rank, and at its end builds the files derived from the run.

    The manifest is written at the beginning, so that a killed run has one, and again whenever a key is met
    for the first time whose meaning is known. When an earlier attempt of the same training still holds the log,
    because its trainer lives on in this process, it makes way.

    Args:
        folder: the folder of the run's files.
        run_id: the run.
        rank: the rank this process writes for.
        world_size: how many ranks there are.
        framework: what trains, as `trl`.
        algorithm: what it trains with, as `grpo`.
        trainer_output_dir: where the trainer keeps its checkpoints.
        facts: what is known of this attempt; number, start and end are filled in.
        budget: seconds that building the derived files may take.
        troubles: who hears of what goes wrong while the run is judged.
        watch: how the run is judged while it is recorded, None when it is not; only rank 0 is.
        options: how the log is written; see `rldk.io.writer.open_writer`.
    """

    def __init__(
        self,
        folder: Path,
        run_id: str,
        *,
        rank: int,
        world_size: int,
        framework: str,
        algorithm: str,
        trainer_output_dir: str,
        facts: Attempt,
        budget: float,
        troubles: Troubles | None = None,
        watch: WatchSettings | None = None,
        **options: Unpack[WriterOptions],
    ) -> None:
        self._key = (os.getpid(), log_path(folder, run_id, rank))
        self.trainer_output_dir = trainer_output_dir
        earlier = _open.get(self._key)
        if earlier and earlier.trainer_output_dir == trainer_output_dir:
            earlier.replace()
        self._writer = open_writer(
            folder,
            run_id=run_id,
            rank=rank,
            world_size=world_size,
            resumed_from=facts.resumed_from,
            **options,
        )
        self.run_id = run_id = self._writer.run_id
        self.log = run_log(self._writer.path)
        self._derives = rank == 0
        self._budget = budget
        self._derived_at = -1
        self._raises = options.get("on_error") == "raise"
        self._warned = self._closed = False
        self._facts = facts
        facts.attempt = self._writer.attempt
        self._framework, self._algorithm = framework, algorithm
        self._translator = Translator(framework, algorithm)
        self._known = 0
        self._watch: Watch | None = None
        if watch and rank == 0:
            self._watch = self._begin_watch(watch, troubles or Troubles(raises=self._raises))
        self._recorder = Recorder(
            _Judged(self._writer, self._watch) if self._watch else self._writer,
            clock=RunClock(self._writer.past),
            translator=self._translator,
            rng=facts.seeds,
            model_info={"run_id": run_id},
        )
        self.training = False
        """Whether training has begun; before, there can only be evaluations."""
        self.trained = False
        """Whether there was an event of training in this attempt."""
        try:
            self._write_manifest()
        except BaseException:
            self._writer.close()
            raise
        _open[self._key] = self

    def _begin_watch(self, settings: WatchSettings, troubles: Troubles) -> Watch:
        stamps: dict[str, Primitive] = {"attempt": self._facts.attempt, "rank": 0}
        if self._facts.resumed_from is not None:
            stamps["resumed_from"] = self._facts.resumed_from
        watch = Watch(
            self.log,
            settings,
            algorithm=self._algorithm,
            semantics=self._translator.applied,
            stamps=stamps,
            troubles=troubles,
        )
        if self._writer.past:
            watch.prime()
        return watch

    @property
    def stopped_by(self) -> str:
        """The alert on account of which the trainer was told to stop, in words; empty when it was not."""
        return self._watch.stopped_by if self._watch else ""

    def take_wish(self) -> Wish:
        """What the trainer is asked to do, since this was last asked, on account of alerts."""
        return self._watch.take_wish() if self._watch else Wish()

    @property
    def troubled(self) -> bool:
        """Whether the user has been warned of something that went wrong in this attempt."""
        counters = self._writer.counters
        return self._warned or counters.held + counters.dropped + counters.refused > 0

    def learn(self, model_info: Mapping[str, Primitive]) -> None:
        """Take in what is known of the model by now; it is in all events from here on."""
        self._recorder.model_info.update(model_info)

    def begin_training(self) -> None:
        """Training begins; from now on the run is found again when it is resumed from a checkpoint."""
        self.training = True
        self._write_manifest()

    def record(
        self,
        step: int,
        metrics: Mapping[str, Any],
        *,
        phase: str,
        data_slice: Mapping[str, Primitive],
        notes: Iterable[str] = (),
    ) -> None:
        """Write one event; see `rldk.io.recorder.Recorder.record`."""
        self._recorder.record(step, metrics, phase=phase, data_slice=data_slice, notes=notes)
        self.trained |= phase != "eval"
        if len(self._translator.applied) > self._known:
            self._write_manifest()

    def end(self, outcome: Outcome, detail: str = "") -> None:
        """Write down how the attempt ended, and build the derived files; the log stays open for later events."""
        self._facts.outcome, self._facts.outcome_detail = outcome, detail
        self._facts.ended = timestamp(time.time())
        self._finish()

    def close(self, outcome: Outcome, detail: str = "") -> None:
        """Close the log. An attempt that has not ended ends so; derived files are brought up to date."""
        try:
            if self._facts.outcome is None:
                self.end(outcome, detail)
            elif self._writer.counters.written != self._derived_at:
                self._finish()
        finally:
            self._closed = True
            if self._watch:
                self._watch.close()
            self._writer.close()
            if _open.get(self._key) is self:
                del _open[self._key]

    def replace(self) -> None:
        """Close the log because a new attempt of the same run begins, which will build the derived files."""
        self._derives = self._derives and not self.training
        self.close(*_stopped(self.training, "train() was called again before it ended"))

    @property
    def _writes(self) -> bool:
        """Whether the files of the run are this attempt's to write: not after it, and not in a forked child."""
        return not self._closed and os.getpid() == self._key[0]

    def _finish(self) -> None:
        counters = self._writer.counters
        self._facts.counters = {name: getattr(counters, name) for name in counters.__struct_fields__}
        self._facts.counters["refused_metrics"] += self._recorder.refused_metrics
        self._write_manifest()
        verdict = self._watch.finish() if self._watch and self._writes else None
        # Not before: Ctrl-C while alerts are delivered leaves the rest for when the log is closed.
        self._derived_at = counters.written
        if self._derives and self._writes:
            try:
                deadline = time.monotonic() + self._budget
                write_files(self.log, deadline=deadline, verdict=verdict)
            except OSError as error:
                self._trouble(error, f"build the derived files later with: rldk report {self.log.path}")

    def _write_manifest(self) -> None:
        """Write the manifest; when that fails the events go on, because they are worth more."""
        if not self._writes:
            return
        self._known = len(self._translator.applied)
        try:
            update_manifest(self.log, self._enter)
        except (OSError, UnicodeError) as error:
            self._trouble(error, "the manifest cannot be written, events still can")

    def _enter(self, manifest: Manifest) -> None:
        """Put into the manifest what this attempt knows."""
        manifest.framework, manifest.algorithm = self._framework, self._algorithm
        if self.training:
            manifest.trainer_output_dir = self.trainer_output_dir
        manifest.metrics |= self._translator.applied
        # An attempt that wrote no event left its number to this one.
        others = [each for each in manifest.attempts if each.attempt != self._facts.attempt]
        manifest.attempts = [*others, self._facts]

    def _trouble(self, error: Exception, what: str) -> None:
        """Tell of a derived file that could not be written; of no more than the first trouble in an attempt."""
        if self._raises:
            raise error
        if not self.troubled:
            self._warned = True
            _log.warning("%s; %s", error, what)


class _Judged:
    """A writer that has the run judged by what is written.

    Args:
        to: the writer.
        watch: who judges.
    """

    def __init__(self, to: Writer, watch: Watch) -> None:
        self._to = to
        self._watch = watch
        self.flush = to.flush
        self.close = to.close

    def write(self, event: Event) -> bool:
        """Write an event, and then judge the run; see `Writer`."""
        written = self._to.write(event)
        self._watch.add(event)
        return written


_open: Final[dict[tuple[int, Path], RecordedAttempt]] = {}
"""The attempts whose log is open, by process and path: a forked child has no part in those of its parent."""


def jsonl_enabled(*, wanted: bool) -> bool:
    """Whether anything is to be written at all: `RLDK_DISABLE_JSONL` wins over what the user's code wants."""
    return wanted and os.environ.get("RLDK_DISABLE_JSONL", "").lower() not in _TRUE


def named_run(run_id: str | None) -> str | None:
    """The run that the user names: by `RLDK_RUN_ID`, which wins, or in code; None when there is no name.

    Raises:
        RunIdError: the name could not be part of a file name.
    """
    named = os.environ.get("RLDK_RUN_ID") or run_id
    return check_run_id(named) if named else None


def unnamed_run(folder: Path, algorithm: str, trained_into: str | None) -> str:
    """The run that nobody names: the newest that was trained into the same place, when it is resumed; else a new one.

    Args:
        folder: the folder of the run's files.
        algorithm: what a new run is named after.
        trained_into: where the trainer keeps the checkpoints it resumes from, None when it begins at the beginning.
    """
    return (find_resumed(folder, trained_into) if trained_into else None) or new_run_id(algorithm)


def close_at_exit(owner: object, recorded: RecordedAttempt, troubles: Troubles, *modules: str) -> None:
    """Close the log of an attempt when its owner is gone or the interpreter exits; in a forked child do nothing.

    Args:
        owner: who records the attempt.
        recorded: the attempt.
        troubles: who hears of what goes wrong.
        modules: the trainer's packages; see `outcome_at_exit`.
    """
    weakref.finalize(owner, _close, recorded, troubles, modules)


def _close(recorded: RecordedAttempt, troubles: Troubles, modules: tuple[str, ...]) -> None:
    try:
        recorded.close(*outcome_at_exit(*modules, training=recorded.training))
    except Exception as error:  # noqa: BLE001 - nobody is left who could decide
        troubles.report("closing the log", error)


def outcome_at_exit(*modules: str, training: bool) -> tuple[Outcome, str]:
    """How training ended that did not come to its own end, asked when the interpreter exits.

    Args:
        modules: the trainer's packages; an error that did not pass through them is not its.
        training: whether training had begun.
    """
    error = getattr(sys, "last_value", None)
    if error is None or not _passed_through(error, modules):
        return _stopped(training, "training stopped before its end, by the script itself")
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "Ctrl-C"
    return "crashed", f"{type(error).__name__}: {error}"[:500]


def _stopped(training: bool, how: str) -> tuple[Outcome, str]:  # noqa: FBT001 - the only question
    return ("interrupted", how) if training else ("completed", "nothing was trained")


def _passed_through(error: BaseException, modules: tuple[str, ...]) -> bool:
    """Whether an error, or one it was raised on account of, came through a package."""
    cause: BaseException | None = error
    for _ in range(_CHAIN):
        traceback = cause.__traceback__ if cause else None
        while traceback:
            if traceback.tb_frame.f_globals.get("__name__", "").partition(".")[0] in modules:
                return True
            traceback = traceback.tb_next
        cause = cause and (cause.__cause__ or cause.__context__)
    return False
