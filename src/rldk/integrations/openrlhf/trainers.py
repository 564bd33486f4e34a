"""Make a live trainer of OpenRLHF tell a callback what it logs, by replacing attributes of that one object."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Final, Protocol

from rldk.errors import RLDKError
from rldk.integrations.troubles import Troubles, guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rldk.io.manifest import Outcome

__all__ = ["UnknownTrainerError", "attach"]

_SAVE: Final = "save_logs_and_checkpoints"
_NEEDED: Final = ("global_step", "logs_dict")
"""The parameters of that method which every version has, at whichever place."""
_WATCHED: Final = ("fit", "train_step", "ppo_train", "evaluate")
"""The methods that the errors which end a training come through; no version has all of them.

An actor of Ray is asked to `fit` past its attributes, so that one is not enough.
"""
_EVAL: Final = "eval/"


class UnknownTrainerError(RLDKError):
    """A trainer is none that can be attached: its class has changed, or it is none of OpenRLHF's."""


class _Callback(Protocol):
    """What is told of a training."""

    troubles: Troubles

    def on_step_end(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Take in what a step has logged."""

    def on_eval_end(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Take in what an evaluation has logged."""

    def on_train_end(self, status: Outcome, detail: str) -> None:
        """Take in how the training ended."""

    def close(self) -> None:
        """Finish the log."""


def attach(trainer: Any, callback: _Callback, ready: Callable[[Any], None]) -> None:
    """Have a trainer tell a callback of each step, of its evaluations, and of its end.

    A trainer that is attached already, or is not of the first rank, is left alone. To OpenRLHF 0.9.0 the rollouts of
    async training are made by an object of the trainer's class that logs nothing: it never becomes ready.

    Args:
        trainer: the trainer.
        callback: who is told.
        ready: called with the trainer once it can log.

    Raises:
        UnknownTrainerError: the trainer has not what is needed.
    """
    is_first = getattr(getattr(trainer, "strategy", None), "is_rank_0", None)
    if _SAVE in vars(trainer) or (callable(is_first) and not is_first()):
        return
    _Attachment(trainer, callback, ready).bind()


class _Attachment:
    """What a trainer's replaced attributes share."""

    def __init__(self, trainer: Any, callback: _Callback, ready: Callable[[Any], None]) -> None:
        self.troubles = callback.troubles
        self._trainer = trainer
        self._callback = callback
        self._ready = ready
        self._signature = _signature(trainer)
        self._failed = False
        self._evaluated: dict[str, Any] = {}
        self._evaluated_at = 0

    def bind(self) -> None:
        """Replace the attributes."""
        trainer = self._trainer
        self._before(_SAVE, self.log_step)
        for name in _WATCHED:
            self._watch(name)
        if hasattr(trainer, "tensorboard_logger"):
            trainer.tensorboard_logger = _Logger(self._callback, trainer.tensorboard_logger)
            self._ready(trainer)
        elif hasattr(trainer, "_tensorboard"):
            self._track()
        elif hasattr(trainer, "_init_wandb"):
            # To OpenRLHF 0.9.0: what logs calls it at the end of its own constructor.
            self._after("_init_wandb", self._track)
        else:
            raise UnknownTrainerError(f"expected {type(trainer).__name__} to have a logger, found none")

    @guarded
    def log_step(self, *args: Any, **kwargs: Any) -> None:
        """Tell of a step, given what `save_logs_and_checkpoints` is given."""
        given = self._signature.bind(*args, **kwargs).arguments
        logs = dict(given.get("logs_dict") or {})
        coefficient = getattr(getattr(self._trainer, "kl_ctl", None), "value", None)
        if coefficient is not None:
            logs.setdefault("kl_coef", coefficient)
        self._failed = False
        self._callback.on_step_end(given["global_step"], logs)

    @guarded
    def log_failure(self, error: BaseException) -> None:
        """Tell of the error that ends the training, once, though it comes through several methods."""
        if self._failed:
            return
        self._failed = True
        if isinstance(error, KeyboardInterrupt):
            self._callback.on_train_end("interrupted", "Ctrl-C")
        elif isinstance(error, SystemExit):
            self._callback.on_train_end("interrupted", "sys.exit")
        else:
            # What Ray hands on from another actor is all traceback, and begins with the end.
            cause = getattr(error, "cause", None)
            cause = cause if isinstance(cause, Exception) else error
            self._callback.on_train_end("crashed", f"{type(cause).__name__}: {cause}"[:500])

    @guarded
    def forget_evaluation(self, *_: Any, **__: Any) -> None:
        """An evaluation begins."""
        self._evaluated.clear()

    @guarded
    def log_evaluation(self) -> None:
        """Tell of what an evaluation has logged."""
        if self._evaluated:
            self._callback.on_eval_end(self._evaluated_at, dict(self._evaluated))

    @guarded
    def _track(self) -> None:
        """Stand in for the tracker in use, and when there is none, for the one that could have been."""
        trainer = self._trainer
        name = "_tensorboard" if getattr(trainer, "_wandb", None) is None else "_wandb"
        setattr(trainer, name, _Tracker(self, self._callback, getattr(trainer, name)))
        if hasattr(trainer, "evaluate"):
            self._before("evaluate", self.forget_evaluation)
            self._after("evaluate", self.log_evaluation)
        self._ready(trainer)

    def gather(self, key: str, value: Any, step: Any) -> None:
        """Take in what an evaluation tells a tracker."""
        if key.startswith(_EVAL):
            self._evaluated[key.removeprefix(_EVAL)] = value
            self._evaluated_at = step

    def _before(self, name: str, do: Callable[..., None]) -> None:
        """Do something with the arguments of a method, before it; it must be guarded."""
        method = getattr(self._trainer, name)

        @functools.wraps(method)
        def first(*args: Any, **kwargs: Any) -> Any:
            do(*args, **kwargs)
            return method(*args, **kwargs)

        setattr(self._trainer, name, first)

    def _after(self, name: str, do: Callable[[], None]) -> None:
        """Do something after a method; it must be guarded."""
        method = getattr(self._trainer, name)

        @functools.wraps(method)
        def then(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            do()
            return result

        setattr(self._trainer, name, then)

    def _watch(self, name: str) -> None:
        """Tell of the errors that come through a method, where there is one of that name."""
        method = getattr(self._trainer, name, None)
        if method is None:
            return

        @functools.wraps(method)
        def watched(*args: Any, **kwargs: Any) -> Any:
            try:
                return method(*args, **kwargs)
            except BaseException as error:
                self.log_failure(error)
                raise

        setattr(self._trainer, name, watched)


def _signature(trainer: Any) -> inspect.Signature:
    kind = type(trainer).__name__
    method = getattr(trainer, _SAVE, None)
    if method is None:
        raise UnknownTrainerError(f"expected {kind} to have a method {_SAVE}, found none")
    signature = inspect.signature(method)
    if set(_NEEDED) - set(signature.parameters):
        raise UnknownTrainerError(f"{kind}.{_SAVE}: expected the parameters {', '.join(_NEEDED)}, found {signature}")
    return signature


class _Logger:
    """Stands in the place of a logger: tells the callback of evaluations and of the end, and hands everything on.

    Steps come by another way, which `logging_steps` does not thin.

    Args:
        callback: who is told.
        to: the logger; None when there was none.
    """

    def __init__(self, callback: _Callback, to: Any) -> None:
        self._callback = callback
        self._to = to

    def log_train(self, global_step: int, logs_dict: dict[str, Any]) -> None:
        """Hand on a step."""
        if self._to:
            self._to.log_train(global_step, logs_dict)

    def log_eval(self, global_step: int, logs_dict: dict[str, Any]) -> None:
        """Tell of an evaluation."""
        self._callback.on_eval_end(global_step, logs_dict)
        if self._to:
            self._to.log_eval(global_step, logs_dict)

    def close(self) -> None:
        """Tell of the end."""
        self._callback.close()
        if self._to:
            self._to.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._to, name)


class _Tracker:
    """Stands in the place of a `SummaryWriter`, or of the module wandb, where a trainer logs to it directly.

    Args:
        attachment: who gathers what evaluations log.
        callback: who is told of the end.
        to: the tracker; None when there was none.
    """

    def __init__(self, attachment: _Attachment, callback: _Callback, to: Any) -> None:
        self._attachment = attachment
        self._callback = callback
        self._to = to

    def add_scalar(self, tag: str, scalar_value: Any, global_step: Any = None, *args: Any, **kwargs: Any) -> None:
        """Take a value as TensorBoard does."""
        self._attachment.gather(tag, scalar_value, global_step)
        if self._to:
            self._to.add_scalar(tag, scalar_value, global_step, *args, **kwargs)

    def add_text(self, *args: Any, **kwargs: Any) -> None:
        """Take a text as TensorBoard does."""
        if self._to:
            self._to.add_text(*args, **kwargs)

    def log(self, data: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """Take values as wandb does."""
        for key, value in data.items():
            if key != f"{_EVAL}global_step":
                self._attachment.gather(key, value, data.get(f"{_EVAL}global_step"))
        self._to.log(data, *args, **kwargs)

    def close(self) -> None:
        """End, as TensorBoard does."""
        self._callback.close()
        if self._to:
            self._to.close()

    def finish(self, *args: Any, **kwargs: Any) -> None:
        """End, as wandb does."""
        self._callback.close()
        self._to.finish(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._to, name)
