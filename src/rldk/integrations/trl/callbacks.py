"""The callback that records a run of a Trainer."""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

from transformers import TrainerCallback

from rldk.errors import RLDKError
from rldk.integrations.attempt import RecordedAttempt, outcome_at_exit
from rldk.integrations.trl.facts import algorithm, attempt_facts, batch_facts, framework, model_facts
from rldk.integrations.trl.logs import counter_note, leftovers, loss_note, read_entry
from rldk.io.manifest import find_resumed
from rldk.io.segments import check_run_id, new_run_id
from rldk.io.writer import check_options, run_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from transformers import TrainerControl, TrainerState, TrainingArguments

    from rldk.io.event_schema import Primitive
    from rldk.io.manifest import Attempt
    from rldk.io.writer import WriterOptions

__all__ = ["RLDKCallback"]

_log: Final = logging.getLogger(__name__)
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_GROUP_RELATIVE: Final = frozenset({"grpo", "rloo"})


def _guarded(hook: Callable[..., None]) -> Callable[..., None]:
    """Keep whatever goes wrong in a hook away from the trainer, unless the user wants to hear of it."""

    @functools.wraps(hook)
    def guarded(self: RLDKCallback, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        try:
            hook(self, args, state, control, **kwargs)
        except Exception as error:
            if self._options.get("on_error") == "raise":
                raise
            self._troubles.report(hook.__name__, error, self._attempt.recorded if self._attempt else None)

    return guarded


class _Troubles:
    """Counts what went wrong, and tells of it once."""

    def __init__(self) -> None:
        self.count = 0

    def report(self, where: str, error: Exception, recorded: RecordedAttempt | None) -> None:
        """Take note of an error; the writer itself may have told of the same trouble already."""
        self.count += 1
        if self.count == 1 and not (recorded and recorded.troubled):
            what = "nothing is recorded" if recorded is None else "this may be missing from the log"
            # What the world does to us is told in a sentence; of a mistake of ours the place is told too.
            expected = isinstance(error, (RLDKError, OSError))
            message = "%s: %s: %s; training goes on, %s"
            _log.warning(message, where, type(error).__name__, error, what, exc_info=None if expected else error)


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
        **options: Unpack[WriterOptions],
    ) -> None:
        check_options(**options)
        self._folder = Path(output_dir)
        self._enabled = enable_jsonl_logging and os.environ.get("RLDK_DISABLE_JSONL", "").lower() not in _TRUE
        self._run_id = None if run_id is None else check_run_id(run_id)
        self._all_ranks = all_ranks
        self._options = options
        self._budget = report_budget
        self._attempt: _TrainerAttempt | None = None
        self._gave_up = False
        self._troubles = _Troubles()

    @property
    def errors(self) -> int:
        """How often something went wrong in a hook; only the first time is reported."""
        return self._troubles.count

    @property
    def run_id(self) -> str | None:
        """The run being recorded, None before it began."""
        return self._attempt.recorded.run_id if self._attempt else self._run_id

    @property
    def path(self) -> Path | None:
        """The event log being written, None before it began."""
        return self._attempt.recorded.log.path if self._attempt else None

    @_guarded
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin an attempt; a new one when this trainer trained before, or resumes."""
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
            self._attempt = None
        self._begin(args, state, resumed_from, kwargs)
        if self._attempt:
            self._attempt.begin_training(state, kwargs)

    @_guarded
    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Record one event."""
        if not logs or not self._records(state) or self._gave_up:
            return
        if self._attempt is None:
            self._begin(args, state, None, kwargs)
        if self._attempt:
            self._attempt.log(state, logs)

    @_guarded
    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Build the derived files. The log stays open: an evaluation may follow."""
        if self._attempt:
            self._attempt.recorded.end("completed")

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
            **self._options,
        )
        self._attempt = _TrainerAttempt(recorded, facts, args, state, kwargs)
        weakref.finalize(self, _close, recorded, self._troubles)
        self._gave_up = False

    def _choose_run_id(self, args: TrainingArguments, folder: Path, resumed_from: int | None) -> str:
        named = os.environ.get("RLDK_RUN_ID") or self._run_id
        if named:
            return check_run_id(named)

        def choose() -> str:
            trained_into = os.path.abspath(args.output_dir or ".")  # noqa: PTH100 - as it was written
            found = find_resumed(folder, trained_into) if resumed_from else None
            return found or new_run_id(algorithm(args))

        return _from_main_process(choose) if self._all_ranks else choose()


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
        self._filtering = bool(getattr(args, "logging_nan_inf_filter", False))
        self._group_relative = algorithm(args) in _GROUP_RELATIVE
        self._args = args
        self._averaged = False
        self._learn(state, kwargs)

    def _learn(self, state: TrainerState, kwargs: Mapping[str, Any]) -> None:
        """Take the trainer's state as the point it goes on from, and what is known by now of model and optimizer."""
        model, optimizer = kwargs.get("model"), kwargs.get("optimizer")
        self.recorded.learn(model_facts(self._facts, self._args, model, optimizer))
        self._batch = batch_facts(self._args, state)
        self._began = self._logged = state.global_step
        counted = (row["num_tokens"] for row in reversed(state.log_history) if "num_tokens" in row)
        self._tokens = next(counted, None)

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
        phase, eval_set, metrics = read_entry(logs)
        if phase == "eval":
            data_slice: dict[str, Primitive] = {} if eval_set is None else {"eval_set": eval_set}
            self.recorded.record(step, metrics, phase=phase, data_slice=data_slice)
        elif phase == "final":
            self._log_final(step, metrics)
        else:
            self._log_step(step, metrics)

    def _log_step(self, step: int, metrics: dict[str, Any]) -> None:
        data_slice = dict(self._batch)
        window = step - self._logged
        if "learning_rate" in metrics or "lr" in metrics:
            self._logged = step
            if window > 0:
                data_slice["window"] = window
            if window > 1:
                self._warn_averaged(step, window)
        found = [counter_note(self._tokens, metrics.get("num_tokens"))]
        self._tokens = metrics.get("num_tokens", self._tokens)
        if self._filtering:
            found.append(loss_note(metrics, group_relative=self._group_relative))
        notes = [note for note in found if note]
        self.recorded.record(step, metrics, phase="train", data_slice=data_slice, notes=notes)

    def _log_final(self, step: int, metrics: dict[str, Any]) -> None:
        notes = []
        left = leftovers(metrics)
        if left and step > self._logged:
            what = f"{', '.join(left)} are of {_steps(self._logged + 1, step)} and had no log of their own"
            notes.append(f"final_leftovers: {what}")
        if self._began:
            notes.append(f"final_scope: the summary covers {_steps(self._began + 1, step)} only, after the resume")
        self.recorded.record(step, metrics, phase="final", data_slice=self._batch, notes=notes)

    def _warn_averaged(self, step: int, window: int) -> None:
        if not self._averaged:
            self._averaged = True
            _log.warning(
                "the event of step %d stands for %d steps, their mean: the trainer does not log every step; "
                "set logging_steps=1 to record each",
                step,
                window,
            )


def _steps(first: int, last: int) -> str:
    return f"step {last}" if first == last else f"steps {first} to {last}"


def _close(recorded: RecordedAttempt, troubles: _Troubles) -> None:
    """At the end of the interpreter, or of the callback: close the log. In a forked child this does nothing."""
    try:
        recorded.close(*outcome_at_exit("transformers", "trl", "accelerate", training=recorded.training))
    except Exception as error:  # noqa: BLE001 - nobody is left who could decide
        troubles.report("closing the log", error, recorded)


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
