"""The callback that records a run of a Trainer."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

from transformers import TrainerCallback

from rldk.adapters.trl_logs import LogReader
from rldk.integrations.attempt import RecordedAttempt, close_at_exit, jsonl_enabled, named_run, unnamed_run
from rldk.integrations.trl.agreement import Agreement
from rldk.integrations.trl.facts import algorithm, attempt_facts, batch_facts, framework, model_facts
from rldk.integrations.troubles import Troubles, guarded
from rldk.integrations.watch import Wish, check_watch
from rldk.io.segments import check_run_id
from rldk.io.writer import check_options, run_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from transformers import TrainerControl, TrainerState, TrainingArguments

    from rldk.alerts import Rule
    from rldk.alerts.sinks import Sink
    from rldk.integrations.watch import OnCritical
    from rldk.io.manifest import Attempt
    from rldk.io.writer import WriterOptions

__all__ = ["RLDKCallback"]

_log: Final = logging.getLogger(__name__)
_GROUP_RELATIVE: Final = frozenset({"grpo", "rloo"})


class RLDKCallback(TrainerCallback):
    """Writes an event for everything a Trainer logs; for every TRL trainer and for `transformers.Trainer`.

    Give it to the trainer: `GRPOTrainer(..., callbacks=[RLDKCallback("logs")])`. Nothing is opened before
    training begins or something is logged. No error of the recorder reaches the trainer.

    Args:
        output_dir: the folder of the run's files. `RLDK_OUTPUT_DIR` wins over it.
        enable_jsonl_logging: False writes nothing at all, as does `RLDK_DISABLE_JSONL=1`.
        run_id: the run. When not given, a trainer that resumes goes on with the run it has recorded before,
            and any other begins a new one. `RLDK_RUN_ID` wins over it.
        all_ranks: record every rank in a file of its own, not only the main process.
        report_budget: seconds that building the derived files may take at the end.
        alerts: whether the run is judged while it trains: True chooses the rules by the algorithm, the name of a
            preset takes those of that preset.
        rules: a file with rules of your own, or a list of rules, beside those.
        on_critical: what is done when a critical alert begins to fire: "warn", "save", "stop" or "save_and_stop".
            With several processes, each needs this callback.
        on_alert: functions of an alert and the run's id; see `rldk.alerts.sinks`. Alerts are logged in any case.
        options: how the log is written: `rotation`, `compression`, `keep`, `sync`, `buffer`, `filters`, `on_error`
            and `if_locked` of `rldk.open_writer`. `on_error="raise"` lets trouble stop the training.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str] = "./rldk_logs",
        enable_jsonl_logging: bool = True,  # noqa: FBT001, FBT002 - the specified signature
        run_id: str | None = None,
        *,
        all_ranks: bool = False,
        report_budget: float = 30.0,
        alerts: bool | str = True,
        rules: str | os.PathLike[str] | Sequence[Rule] | None = None,
        on_critical: OnCritical = "warn",
        on_alert: Sequence[Sink] = (),
        **options: Unpack[WriterOptions],
    ) -> None:
        check_options(**options)
        self._watch = check_watch(alerts, rules, on_critical, on_alert)
        self._folder = Path(output_dir)
        self._enabled = jsonl_enabled(wanted=enable_jsonl_logging)
        self._run_id = None if run_id is None else check_run_id(run_id)
        self._all_ranks = all_ranks
        self._options = options
        self._budget = report_budget
        self._attempt: _TrainerAttempt | None = None
        self._gave_up = False
        self._stopped = False
        """Whether a rule has had this training stopped."""
        self._agreement: Agreement | None = None
        self.troubles = Troubles(raises=options.get("on_error") == "raise")
        """What went wrong in the hooks."""

    @property
    def errors(self) -> int:
        """How often something went wrong in a hook; only the first time is reported."""
        return self.troubles.count

    @property
    def run_id(self) -> str | None:
        """The run being recorded, None before it began."""
        return self._attempt.recorded.run_id if self._attempt else self._run_id

    @property
    def path(self) -> Path | None:
        """The event log being written, None before it began."""
        return self._attempt.recorded.log.path if self._attempt else None

    @guarded
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin an attempt; a new one when this trainer trained before, or resumes."""
        self._stopped = False
        self._agreement = Agreement() if self._enabled and self._watch and self._watch.asks else None
        if not self._records(state):
            return
        self._gave_up = False
        resumes = state.global_step > 0
        resumed_from = state.global_step if resumes else None
        if self._attempt and not (resumes or self._attempt.recorded.trained):
            self._attempt.begin_training(state, kwargs)
            return
        if self._attempt:
            if self._attempt.recorded.training:
                self._run_id = self._attempt.recorded.run_id
                resumed_from = state.global_step
            self._attempt.recorded.replace()
            self._attempt = self.troubles.recorded = None
        self._begin(args, state, resumed_from, kwargs)
        if self._attempt:
            self._attempt.begin_training(state, kwargs)

    @guarded
    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Record one event, and have the trainer do what rules want."""
        wish = Wish()
        try:
            if logs and self._records(state) and not self._gave_up:
                wish = self._record(args, state, logs, kwargs)
        finally:
            # All processes have to come by here, whatever happens in one of them.
            if self._agreement:
                granted = self._agreement.ask(wish, state.global_step)
                control.should_save |= granted.save
                control.should_training_stop |= granted.stop
                self._stopped |= granted.stop

    @guarded
    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Build the derived files. The log stays open: an evaluation may follow."""
        if self._attempt:
            recorded = self._attempt.recorded
            if self._stopped and state.global_step < state.max_steps:
                recorded.end("stopped_by_rule", recorded.stopped_by or "the main process was asked to stop")
            else:
                recorded.end("completed")

    def _record(
        self, args: TrainingArguments, state: TrainerState, logs: dict[str, Any], kwargs: Mapping[str, Any]
    ) -> Wish:
        if self._attempt is None:
            self._begin(args, state, None, kwargs)
        if self._attempt is None:
            return Wish()
        self._attempt.log(state, logs)
        return self._attempt.recorded.take_wish()

    def _records(self, state: TrainerState) -> bool:
        return self._enabled and (self._all_ranks or state.is_world_process_zero)

    def _begin(
        self, args: TrainingArguments, state: TrainerState, resumed_from: int | None, kwargs: Mapping[str, Any]
    ) -> None:
        self._gave_up = True
        folder = run_folder(self._folder)
        run_id = self._choose_run_id(args, folder, resumed_from)
        facts = attempt_facts(args, resumed_from, time.time())
        recorded = RecordedAttempt(
            folder,
            run_id,
            rank=args.process_index if self._all_ranks else 0,
            world_size=args.world_size,
            framework=framework(args),
            algorithm=algorithm(args),
            trainer_output_dir=os.path.abspath(args.output_dir or "."),  # noqa: PTH100 - a string for JSON
            facts=facts,
            budget=self._budget,
            troubles=self.troubles,
            watch=self._watch,
            **self._options,
        )
        self._attempt = _TrainerAttempt(recorded, facts, args, state, kwargs)
        self.troubles.recorded = recorded
        close_at_exit(self, recorded, self.troubles, "transformers", "trl", "accelerate")
        self._gave_up = False

    def _choose_run_id(self, args: TrainingArguments, folder: Path, resumed_from: int | None) -> str:
        def choose() -> str:
            trained_into = os.path.abspath(args.output_dir or ".")  # noqa: PTH100 - as it was written
            return unnamed_run(folder, algorithm(args), trained_into if resumed_from else None)

        return named_run(self._run_id) or (_from_main_process(choose) if self._all_ranks else choose())


class _TrainerAttempt:
    """What must be remembered from log to log during one attempt of a Trainer."""

    def __init__(
        self,
        recorded: RecordedAttempt,
        facts: Attempt,
        args: TrainingArguments,
        state: TrainerState,
        kwargs: Mapping[str, Any],
    ) -> None:
        self.recorded = recorded
        self._facts = facts
        self._args = args
        self._averaged = False
        self._learn(state, kwargs)

    def _learn(self, state: TrainerState, kwargs: Mapping[str, Any]) -> None:
        """Take the trainer's state as the point it goes on from, and what is known by now of model and optimizer."""
        model, optimizer = kwargs.get("model"), kwargs.get("optimizer")
        self.recorded.learn(model_facts(self._facts, self._args, model, optimizer))
        self._batch = batch_facts(self._args, state)
        counted = (row["num_tokens"] for row in reversed(state.log_history) if "num_tokens" in row)
        self._logs = LogReader(
            state.global_step,
            next(counted, None),
            filtering=bool(getattr(self._args, "logging_nan_inf_filter", False)),
            zero_is_healthy=algorithm(self._args) in _GROUP_RELATIVE,
        )

    def begin_training(self, state: TrainerState, kwargs: Mapping[str, Any]) -> None:
        """Go on from the trainer's state: before, there was nothing, or an evaluation without an optimizer."""
        self._learn(state, kwargs)
        self.recorded.begin_training()

    def log(self, state: TrainerState, logs: dict[str, Any]) -> None:
        """Record a log; what an earlier callback has taken out of it is in the trainer's own history."""
        last = state.log_history[-1] if state.log_history else {}
        if last.get("step") == state.global_step:
            logs = {**{key: value for key, value in last.items() if key != "step"}, **logs}
        step = state.global_step
        phase, metrics, data_slice, notes = self._logs.read(step, logs)
        window = data_slice.get("window")
        if isinstance(window, int) and window > 1:
            self._warn_averaged(step, window)
        if phase != "eval":
            data_slice = self._batch | data_slice
        self.recorded.record(step, metrics, phase=phase, data_slice=data_slice, notes=notes)

    def _warn_averaged(self, step: int, window: int) -> None:
        if not self._averaged:
            self._averaged = True
            _log.warning(
                "the event of step %d stands for %d steps, their mean: the trainer does not log every step; "
                "set logging_steps=1 to record each",
                step,
                window,
            )


def _from_main_process(choose: Callable[[], str]) -> str:
    """What the main process chooses, in every process; when it cannot, its error is raised in every process."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return choose()
    shared: list[str | Exception] = [""]
    if distributed.get_rank() == 0:
        try:
            shared = [choose()]
        except Exception as error:  # noqa: BLE001 - the other ranks wait for an answer, whatever it is
            shared = [error]
    distributed.broadcast_object_list(shared, src=0)
    if isinstance(shared[0], Exception):
        raise shared[0]
    return shared[0]
