"""Who gave the tags in an event file, which of them were logged together, and what they mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from rldk.adapters import verl_keys
from rldk.adapters.openrlhf_logs import ROLLOUTS, read_eval, read_train, trainer_of
from rldk.adapters.phases import parts
from rldk.adapters.trl_algorithm import Trained, trained_by_keys
from rldk.adapters.trl_logs import LogReader, Made

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Convention", "OpenRLHF", "convention_of"]

_TRAIN: Final = "train/"
_EVAL: Final = "eval/"


class Convention:
    """Tags that keep their names, but for what stands before those of an evaluation.

    Args:
        framework: who gave them, a framework of `rldk.metrics`; empty when that is not known.
        algorithm: what it trains with; several joined with ` or ` when the tags do not tell which.
        axis: what its steps count.
        why: what told it.
        at_once: whether all that is logged for a step is logged at one time, evaluations with it.
        stripped: what stands before the tags of an evaluation, and is taken away.
        kept: what stands before the tags of an evaluation, and is part of their names.
    """

    def __init__(
        self,
        framework: str = "",
        algorithm: str = "",
        *,
        axis: str = "step, as its writer counts it",
        why: str = "",
        at_once: bool = False,
        stripped: tuple[str, ...] = (_EVAL,),
        kept: tuple[str, ...] = (),
    ) -> None:
        self.framework = framework
        self.algorithm = algorithm
        self.axis = axis
        self.why = why
        self._at_once = at_once
        self._stripped = stripped
        self._kept = kept

    def other_axis(self, tag: str) -> str:
        """By what else than its steps a tag is logged; empty when it is by these."""
        return ""

    def call(self, tag: str, before: Mapping[str, Any] | None, call: int) -> int:
        """With which others of its step a tag was logged: those of the same number make up one record.

        Args:
            tag: the tag.
            before: what was logged just before, for the same step; None when that was another step.
            call: the number that was given then.
        """
        return int(not self._at_once and tag.startswith(self._stripped))

    def read(self, step: int, values: Mapping[str, Any]) -> list[Made]:
        """What was logged together, made out."""
        return [Made(part.phase, part.metrics, {}, []) for part in parts(values, self._stripped, self._kept)]


class HuggingFace(Convention):
    """Tags of the Trainer of transformers, which writes `loss` as `train/loss` and `eval_loss` as `eval/loss`.

    What it logs at one time ends with the epoch, after which comes only what `include_num_input_tokens_seen` adds.
    """

    _TOKENS: Final = "train/num_input_tokens_seen"
    _SPEED: Final = ("train/train_runtime", "train/train_tokens_per_second")

    def __init__(self, trained: Trained, why: str) -> None:
        super().__init__(trained.framework, trained.algorithm, axis="optimizer update", why=why)
        # In single precision nobody sees whether a loss of 0.0 was rounded to it.
        self._reader = LogReader(zero_is_healthy=True)

    def call(self, tag: str, before: Mapping[str, Any] | None, call: int) -> int:
        """How many times something was logged for the same step before."""
        if before is None:
            return 0
        if "train/epoch" in before:
            joins = tag == self._TOKENS or (tag in self._SPEED and self._TOKENS in before)
        else:
            joins = tag == "train/epoch" or _prefix(tag) == _prefix(next(iter(before)))
        return call if joins and tag not in before else call + 1

    def read(self, step: int, values: Mapping[str, Any]) -> list[Made]:
        """What was logged at one time, made out as the log that it was made from."""
        return [self._reader.read(step, {_key(tag): value for tag, value in values.items()})]


def _prefix(tag: str) -> str:
    return tag.partition("/")[0]


def _key(tag: str) -> str:
    """The key that a Trainer wrote as this tag."""
    for prefix, key in ((_TRAIN, ""), (_EVAL, "eval_"), ("test/", "test_")):
        if tag.startswith(prefix):
            return key + tag.removeprefix(prefix)
    return tag


class OpenRLHF(Convention):
    """Tags of OpenRLHF, which writes its keys behind `train/` and `eval/`."""

    def __init__(self, tags: frozenset[str]) -> None:
        texts = {tag.removesuffix("/text_summary") for tag in tags}
        self.trainer = trainer_of(tag.removeprefix(_TRAIN) for tag in tags | texts if tag.startswith(_TRAIN))
        """Which trainer it was."""
        why = ", ".join(_TRAIN + key for key in self.trainer.keys)
        super().__init__("openrlhf", self.trainer.algorithm, axis=self.trainer.axis, why=why)

    def read(self, step: int, values: Mapping[str, Any]) -> list[Made]:
        """What was logged at one time: a step, or an evaluation of one or more data sets."""
        of_train = {tag.removeprefix(_TRAIN): value for tag, value in values.items() if not tag.startswith(_EVAL)}
        of_eval = {tag.removeprefix(_EVAL): value for tag, value in values.items() if tag.startswith(_EVAL)}
        entries = [*([read_train(of_train)] if of_train else []), *read_eval(of_eval)]
        return [_made(*entry) for entry in entries]


class NeMoRL(Convention):
    """Tags of NeMo-RL, which logs its nodes by the time, and validation behind `validation/` or `validation-{set}/`."""

    _VALIDATION: Final = re.compile(r"validation(?:-([^/]+))?/(.+)", re.DOTALL)

    def __init__(self, why: str) -> None:
        super().__init__("nemo_rl", axis="train step", why=why, stripped=("validation",))

    def other_axis(self, tag: str) -> str:
        """What a node did is logged by seconds."""
        return "seconds since the run began" if tag.startswith("ray/") else ""

    def read(self, step: int, values: Mapping[str, Any]) -> list[Made]:
        """A step of training, or the validation on one or more sets."""
        curves: dict[tuple[str, str | None], dict[str, Any]] = {}
        for tag, value in values.items():
            match = self._VALIDATION.fullmatch(tag)
            curve = ("eval", match[1]) if match else ("train", None)
            curves.setdefault(curve, {})[match[2] if match else tag] = value
        return [_made(phase, eval_set, metrics) for (phase, eval_set), metrics in curves.items()]


def _made(phase: str, eval_set: str | None, metrics: dict[str, Any]) -> Made:
    return Made(phase, metrics, {} if eval_set is None else {"eval_set": eval_set}, [])


_ENVIRONMENT: Final = "environment step"
_NEMO_RL: Final = ("ray/node.", "timing/train/")


def convention_of(tags: frozenset[str]) -> Convention:
    """Whose tags these are, where that is sure; those of texts and pictures are among them."""
    return next(found for told in _TOLD if (found := told(tags)))


def _openrlhf(tags: frozenset[str]) -> Convention | None:
    found = OpenRLHF(tags)
    return found if found.trainer.keys else None


def _hugging_face(tags: frozenset[str]) -> Convention | None:
    for own in ({"args/text_summary"}, {"train/epoch", "train/learning_rate"}):
        if own <= tags:
            trained = trained_by_keys({_key(tag).removeprefix("eval_") for tag in tags})
            return HuggingFace(trained, ", ".join(sorted(own)))
    return None


def _nemo_rl(tags: frozenset[str]) -> Convention | None:
    own = _first(tags, _NEMO_RL)
    return NeMoRL(own) if own else None


def _verl(tags: frozenset[str]) -> Convention | None:
    own = _first(tags, verl_keys.OWN)
    if not own:
        return None
    return Convention("verl", axis=ROLLOUTS, why=own, at_once=True, stripped=verl_keys.STRIPPED, kept=verl_keys.KEPT)


def _sb3(tags: frozenset[str]) -> Convention | None:
    if "time/fps" in tags and any(tag.startswith(("rollout/", _TRAIN)) for tag in tags):
        return Convention("sb3", axis=_ENVIRONMENT, why="time/fps", at_once=True)
    return None


def _cleanrl(tags: frozenset[str]) -> Convention | None:
    return Convention("cleanrl", axis=_ENVIRONMENT, why="charts/SPS") if "charts/SPS" in tags else None


def _unknown(_: frozenset[str]) -> Convention:
    return Convention()


def _first(tags: frozenset[str], prefixes: tuple[str, ...]) -> str:
    return next((tag for tag in sorted(tags) if tag.startswith(prefixes)), "")


_TOLD: Final = (_openrlhf, _hugging_face, _nemo_rl, _verl, _sb3, _cleanrl, _unknown)
"""Who may have given them, the surest first; each answers when it was."""
