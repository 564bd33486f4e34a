"""One attempt of a run, from its first event to its derived files, whatever the trainer."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from rldk.io.clock import RunClock, timestamp
from rldk.io.manifest import Attempt, read_manifest, write_manifest
from rldk.io.recorder import Recorder
from rldk.io.segments import run_log
from rldk.io.writer import open_writer
from rldk.metrics import Translator
from rldk.report.files import write_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from rldk.io.event_schema import Primitive
    from rldk.io.manifest import Outcome
    from rldk.io.writer import OnError

__all__ = ["RecordedAttempt"]

_log: Final = logging.getLogger(__name__)


class RecordedAttempt:
    """Records one attempt of one rank, and at its end builds the files derived from the run.

    The manifest is written at the beginning, so that a killed run has one, and again whenever a key is met
    for the first time whose meaning is known.

    Args:
        folder: the folder of the run's files.
        run_id: the run.
        rank: the rank this process writes for.
        world_size: how many ranks there are.
        framework: what trains, as `trl`.
        algorithm: what it trains with, as `grpo`.
        trainer_output_dir: where the trainer keeps its checkpoints.
        facts: what is known of this attempt; number, start and end are filled in.
        model_info: what is known of the model.
        on_error: what to do about an event that cannot be written.
        budget: seconds that building the derived files may take.
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
        model_info: Mapping[str, Primitive],
        on_error: OnError,
        budget: float,
    ) -> None:
        self._writer = open_writer(
            folder,
            run_id=run_id,
            rank=rank,
            world_size=world_size,
            resumed_from=facts.resumed_from,
            on_error=on_error,
        )
        self.run_id = run_id
        self.log = run_log(self._writer.path)
        self._derives = rank == 0
        self._budget = budget
        self._derived_at = -1
        self._facts = facts
        facts.attempt = self._writer.attempt
        self._manifest = read_manifest(self.log)
        self._manifest.framework, self._manifest.algorithm = framework, algorithm
        self._manifest.trainer_output_dir = trainer_output_dir
        self._manifest.attempts.append(facts)
        self._translator = Translator(framework, algorithm)
        self._known = 0
        self._recorder = Recorder(
            self._writer,
            clock=RunClock(self._writer.past),
            translator=self._translator,
            rng=facts.seeds,
            model_info={"run_id": run_id, **model_info},
        )
        self.train_events = 0
        """How many events of training there were in this attempt."""
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
        self.train_events += phase == "train"
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
            self._writer.close()

    def replace(self) -> None:
        """Close the log because a new attempt of the same run begins, which will build the derived files."""
        self._derives = False
        self.close("interrupted", "train() was called again before it ended")

    def _finish(self) -> None:
        counters = self._writer.counters
        self._facts.counters = {name: getattr(counters, name) for name in counters.__struct_fields__}
        self._write_manifest()
        self._derived_at = counters.written
        if self._derives:
            try:
                self._manifest = write_files(self.log, deadline=time.monotonic() + self._budget).manifest
            except TimeoutError:
                _log.warning(
                    "%s: the derived files took longer than %.0f s; build them with: rldk report %s",
                    self.log.path,
                    self._budget,
                    self.log.path,
                )

    def _write_manifest(self) -> None:
        self._known = len(self._translator.applied)
        self._manifest.metrics |= self._translator.applied
        write_manifest(self.log, self._manifest)


def outcome_at_exit(*modules: str) -> tuple[Outcome, str]:
    """How training ended that did not come to its own end, asked when the interpreter exits.

    Args:
        modules: the trainer's packages; an error that did not pass through them is not its.
    """
    error = getattr(sys, "last_value", None)
    if error is None or not _passed_through(error, modules):
        return "interrupted", "training stopped before its end, by the script itself"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "Ctrl-C"
    return "crashed", f"{type(error).__name__}: {error}"[:500]


def _passed_through(error: BaseException, modules: tuple[str, ...]) -> bool:
    traceback = error.__traceback__
    while traceback:
        if traceback.tb_frame.f_globals.get("__name__", "").partition(".")[0] in modules:
            return True
        traceback = traceback.tb_next
    return False
