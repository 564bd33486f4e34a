"""The callback that records a run of OpenRLHF, or of any loop that calls it."""

from __future__ import annotations

import functools
import operator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

from rldk.adapters.openrlhf_logs import read_eval, read_train
from rldk.integrations.attempt import RecordedAttempt, close_at_exit, jsonl_enabled, named_run, unnamed_run
from rldk.integrations.openrlhf.facts import RunFacts, run_facts
from rldk.integrations.openrlhf.trainers import attach
from rldk.integrations.troubles import Troubles, guarded
from rldk.integrations.watch import Wish, check_watch
from rldk.io.ranks import found_rank
from rldk.io.segments import check_run_id
from rldk.io.values import plain_number, refusal
from rldk.io.writer import check_options, run_folder

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from rldk.alerts import Rule
    from rldk.alerts.sinks import Sink
    from rldk.integrations.watch import OnCritical
    from rldk.io.event_schema import Primitive
    from rldk.io.manifest import Outcome
    from rldk.io.writer import WriterOptions

__all__ = ["OpenRLHFCallback"]

_SAMPLES: Final = "generated_samples"
_OUTCOMES: Final = ("completed", "interrupted", "stopped_by_rule", "crashed")


class OpenRLHFCallback:
    """Writes an event for each step and each evaluation of OpenRLHF, or of a loop that logs as OpenRLHF does.

    OpenRLHF has no callbacks. A trainer that lives in this process is made to call this one by `attach`; one that
    lives in a worker of Ray by `python -m rldk.integrations.openrlhf train_ppo_ray ...`. In a loop of your own call
    `on_step_end`, `on_eval_end` and `on_train_end`. It also has the methods of OpenRLHF's loggers, `log_train`,
    `log_eval` and `close`.

    Nothing is opened before a trainer is attached, training begins or something is logged. No error of the recorder
    reaches the trainer.

    Args:
        output_dir: the folder of the run's files. `RLDK_OUTPUT_DIR` wins over it.
        enable_jsonl_logging: False writes nothing at all, as does `RLDK_DISABLE_JSONL=1`.
        run_id: the run. When not given, a trainer that resumes goes on with the run it has recorded before, and any
            other begins a new one. `RLDK_RUN_ID` wins over it.
        model_name: the name of the model; an attached trainer tells it by itself.
        dataset_name: the name of the data; an attached trainer tells it by itself.
        algorithm: what is trained with, as `grpo` or `dpo`; an attached trainer tells it by itself.
        sample_chars: how much of the sample that OpenRLHF logs with a step is kept, in characters; 0 keeps none.
        report_budget: seconds that building the derived files may take at the end.
        alerts: whether the run is judged while it trains: True chooses the rules by the algorithm, the name of a
            preset takes those of that preset.
        rules: a file with rules of your own, or a list of rules, beside those.
        on_critical: what is wanted when a critical alert begins to fire: "warn", "save", "stop" or "save_and_stop".
            A loop of your own asks for it with `take_wish`; an attached trainer is only warned of.
        on_alert: functions of an alert and the run's id; see `rldk.alerts.sinks`. Alerts are logged in any case.
        options: how the log is written: `rotation`, `compression`, `keep`, `sync`, `buffer`, `filters`, `on_error`
            and `if_locked` of `rldk.open_writer`. `on_error="raise"` lets trouble stop the training.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str] = "./rldk_logs",
        enable_jsonl_logging: bool = True,  # noqa: FBT001, FBT002 - the specified signature
        run_id: str | None = None,
        model_name: str | None = None,
        dataset_name: str | None = None,
        *,
        algorithm: str = "",
        sample_chars: int = 500,
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
        self._facts = functools.partial(
            run_facts, algorithm=algorithm, model_name=model_name, dataset_name=dataset_name
        )
        self._sample_chars = sample_chars
        self._budget = report_budget
        self._options = options
        self._trainer: Any = None
        self._run: RunFacts | None = None
        self._begun = False
        """Whether what is known of the run was known of an attempt that has begun, and not of the next one."""
        self._recorded: RecordedAttempt | None = None
        self._gave_up = False
        self.troubles = Troubles(raises=options.get("on_error") == "raise")
        """What went wrong in the hooks."""

    @property
    def errors(self) -> int:
        """How often something went wrong in a hook; only the first time is reported."""
        return self.troubles.count

    @property
    def run_id(self) -> str | None:
        """The run being recorded, None before it began."""
        return self._recorded.run_id if self._recorded else self._run_id

    @property
    def path(self) -> Path | None:
        """The event log being written, None before it began and when it is closed."""
        return self._recorded.log.path if self._recorded else None

    @guarded
    def attach(self, trainer: Any, *, announce: Callable[[str], None] | None = None) -> None:
        """Record what a live trainer logs: a `BasePPOTrainer`, or a trainer of SFT, reward models or preferences.

        Every step is recorded, whatever `logging_steps` says, and whether or not a tracker is in use. Attributes
        of this one trainer are replaced; its class is not touched. On other ranks than the first nothing happens.

        Args:
            trainer: the trainer.
            announce: who is told in a sentence where the run is recorded.
        """
        if self._trainer is not None and self._trainer is not trainer:
            raise ValueError(f"expected the trainer that is attached already, found another: {trainer!r}")
        if self._trainer is None and self._enabled:
            attach(trainer, self, ready=functools.partial(self._attached, announce=announce))

    @guarded
    def on_train_begin(self, resumed_from: int | None = None) -> None:
        """Begin an attempt: in a loop of your own, when the run goes on from a checkpoint or begins once more.

        Args:
            resumed_from: the step this attempt continues after, None for one that begins at the beginning.
        """
        if not self._records():
            return
        if self._recorded:
            self._run_id = self._recorded.run_id
            self._recorded.replace()
            self._recorded = self.troubles.recorded = None
        self._begin(resumed_from)

    @guarded
    def on_step_end(self, step: int, metrics: Mapping[str, Any], **context: Any) -> None:
        """Record a step of training.

        Args:
            step: the step; OpenRLHF counts batches of rollouts trained on, or updates of the optimizer.
            metrics: keys and values as OpenRLHF logs them. `generated_samples` becomes a note.
            context: what else is known of the step, as `tokens_in=4096`; it goes into `data_slice`.
        """
        recorded = self._open(step, after=step - 1)
        if recorded is None or self._run is None:
            return
        notes = [self._sample_note(metrics[_SAMPLES])] if metrics.get(_SAMPLES) and self._sample_chars else []
        data_slice = self._run.data_slice
        if context:
            context, refused = _sections(context)
            data_slice = {**data_slice, **context}
            notes += [refusal(refused)] if refused else []
        entry = read_train(metrics)
        recorded.record(
            operator.index(step), _ordered(entry.metrics), phase=entry.phase, data_slice=data_slice, notes=notes
        )

    @guarded
    def on_eval_end(self, step: int, metrics: Mapping[str, Any], **context: Any) -> None:
        """Record an evaluation: an event for each data set that its keys name, and one for all of them together.

        Args:
            step: the step whose model was evaluated; it may lie before the last one trained.
            metrics: keys and values as OpenRLHF logs them.
            context: what else is known of the evaluation; it goes into `data_slice`.
        """
        recorded = self._open(step, after=step)
        if recorded is None:
            return
        context, refused = _sections(context)
        notes = [refusal(refused)] if refused else []
        for entry in read_eval(metrics):
            data_slice = context if entry.eval_set is None else {"eval_set": entry.eval_set, **context}
            recorded.record(
                operator.index(step), _ordered(entry.metrics), phase=entry.phase, data_slice=data_slice, notes=notes
            )

    @guarded
    def on_train_end(self, status: Outcome = "completed", detail: str = "") -> None:
        """Write down how training ended, and build the derived files. The log stays open: an evaluation may follow.

        Args:
            status: `completed`, `interrupted`, `stopped_by_rule` or `crashed`; one that was completed because a rule
                wanted it to stop is known to be so.
            detail: what there is to say about it.
        """
        if status not in _OUTCOMES:
            raise ValueError(f"status: expected {', '.join(_OUTCOMES[:-1])} or {_OUTCOMES[-1]}, found {status!r}")
        if self._recorded:
            if status == "completed" and self._recorded.stopped_by:
                status, detail = "stopped_by_rule", detail or self._recorded.stopped_by
            self._recorded.end(status, detail)

    def take_wish(self) -> Wish:
        """What rules want done since this was last asked: `save` a checkpoint, `stop` training.

        For a loop of your own: `if recorder.take_wish().stop: break`.
        """
        return self._recorded.take_wish() if self._recorded else Wish()

    def log_train(self, global_step: int, logs_dict: Mapping[str, Any]) -> None:
        """Record a step of training, as a logger of OpenRLHF is told of it."""
        self.on_step_end(global_step, logs_dict)

    def log_eval(self, global_step: int, logs_dict: Mapping[str, Any]) -> None:
        """Record an evaluation, as a logger of OpenRLHF is told of it."""
        self.on_eval_end(global_step, logs_dict)

    @guarded
    def close(self) -> None:
        """Close the log; training is complete unless `on_train_end` has said something else."""
        if self._recorded:
            self._run_id = self._recorded.run_id
            self._recorded.close("completed")
            self._recorded = self.troubles.recorded = None

    def _attached(self, trainer: Any, announce: Callable[[str], None] | None) -> None:
        """A trainer tells this callback of everything from now on.

        One that resumes does not say where from before its first log, so its attempt begins with that.
        """
        self._trainer = trainer
        self._run, self._begun = self._facts(trainer), False
        if not self._run.resumes:
            self._begin(None)
        if announce and self._recorded:
            announce(f"recording the run {self._recorded.run_id} in {self._recorded.log.path}")
        elif announce:
            announce("recording begins with the first step after the checkpoint")

    def _records(self) -> bool:
        """Whether this process writes; of several that run a loop of the user's own it is the first."""
        return self._enabled and (self._trainer is not None or found_rank()[0] == 0)

    def _resumes(self) -> bool:
        """Whether the next attempt is that of an attached trainer which goes on from a checkpoint."""
        return self._run is not None and self._run.resumes and not self._begun

    def _open(self, step: int, after: int) -> RecordedAttempt | None:
        """The attempt to record in; begun with its first log, None when there is nothing to record in.

        Args:
            step: the step that was logged.
            after: the step that a trainer which resumes has gone on from, when this is its first log.
        """
        if self._recorded is None and not self._gave_up and self._records():
            self._begin(after if self._resumes() and after > 0 else None)
        return self._recorded

    def _begin(self, resumed_from: int | None) -> None:
        self._gave_up = True
        run = self._run
        if run is None or self._begun:
            run = self._facts(self._trainer)
        self._run, self._begun = run, True
        folder = run_folder(self._folder)
        run.attempt.resumed_from = resumed_from
        recorded = RecordedAttempt(
            folder,
            named_run(self._run_id)
            or unnamed_run(folder, run.algorithm or "openrlhf", run.trained_into if resumed_from else None),
            rank=0,
            world_size=run.world_size,
            framework="openrlhf",
            algorithm=run.algorithm,
            trainer_output_dir=run.trained_into,
            facts=run.attempt,
            budget=self._budget,
            troubles=self.troubles,
            watch=self._watch,
            **self._options,
        )
        recorded.learn(run.model_info)
        recorded.begin_training()
        self._recorded = self.troubles.recorded = recorded
        close_at_exit(self, recorded, self.troubles, "openrlhf", "deepspeed", "ray")
        self._gave_up = False

    def _sample_note(self, sample: Any) -> str:
        """What is kept of the sample that OpenRLHF logs with a step: a text, and its reward."""
        text, *reward = sample if isinstance(sample, (list, tuple)) else (sample,)
        said = "".join(f"reward {plain_number(each):g}, " for each in reward[:1])
        # Half a character of a cut one is no text.
        whole = str(text).encode(errors="backslashreplace").decode()
        cut = whole[: self._sample_chars]
        return f"sample: {said}{cut}{'' if cut == whole else f'... ({len(whole)} characters)'}"


def _ordered(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics by name: OpenRLHF collects its keys in a set, whose order is another in each process."""
    return dict(sorted(metrics.items(), key=lambda item: str(item[0])))


def _sections(context: Mapping[str, Any]) -> tuple[dict[str, Primitive], dict[str, str]]:
    """Split what is known of a step into what a section of an event can hold and what it cannot, and why."""
    kept: dict[str, Primitive] = {}
    refused: dict[str, str] = {}
    for name, value in context.items():
        try:
            kept[name] = value if isinstance(value, (str, bool)) else plain_number(value)
        except (TypeError, OverflowError) as error:
            refused[name] = str(error)
    return kept, refused
