"""Which trainer of TRL wrote a log, as far as that can surely be told from what lies beside it or from its keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["BESIDE", "Trained", "trained_by_files", "trained_by_keys"]

_PICKLED, _CARD = BESIDE = ("training_args.bin", "README.md")
"""The files beside a log that may tell it: the pickled arguments, and the model card."""

_MOST: Final = 2**20
"""Bytes that are read of a file beside a log; TRL's are a few thousand long."""

_ARGUMENTS: Final = re.compile(rb"c([\w.]{1,200})\n(\w{1,100})Config\n")
"""How pickle names a class: in `training_args.bin` the first is that of the trainer's arguments."""

_TAGS: Final = {
    "a2po": "a2po",
    "bco": "bco",
    "cpo": "cpo",
    "distillation": "distillation",
    "dpo": "dpo",
    "gkd": "gkd",
    "gmpo": "gmpo",
    "grpo": "grpo",
    "kto": "kto",
    "nash-md": "nashmd",
    "online-dpo": "onlinedpo",
    "orpo": "orpo",
    "ppo": "ppo",
    "reward-trainer": "reward",
    "rloo": "rloo",
    "sft": "sft",
    "xpo": "xpo",
}
"""The tags that trainers give the model card, and their algorithm."""

_SWIFT: Final = ("global_step/max_steps", "train_speed(iter/s)", "train_speed(s/it)")
"""Keys that ms-swift adds to whatever a trainer logs."""


class Trained(NamedTuple):
    """Who wrote a log."""

    framework: str
    algorithms: tuple[str, ...] = ()
    """What it trains with; several when the log does not tell which of them, none when it could be any."""
    why: str = ""
    """What told it."""

    @property
    def algorithm(self) -> str:
        """What it trains with, as `rldk.metrics.Translator` takes it."""
        return " or ".join(self.algorithms)

    def facts(self) -> dict[str, Any]:
        """What it says of the run."""
        return {"algorithm": self.algorithm, "algorithm_told_by": self.why} if self.why else {}

    @property
    def zero_is_healthy(self) -> bool:
        """Whether a loss of exactly 0.0 is nothing to wonder about, as where advantages of a group cancel out."""
        return bool({"grpo", "rloo"} & set(self.algorithms))


def trained_by_files(*folders: Path) -> Trained | None:
    """Who wrote what lies in the first of these folders that tells it: an output folder, a checkpoint in it."""
    for folder in folders:
        if match := _ARGUMENTS.search(_begin(folder / _PICKLED)):
            package, name = match[1].decode().partition(".")[0], match[2].decode().lower().removeprefix("unsloth")
            if package == "trl" or name in _TAGS.values():
                return Trained("trl", (name,), f"{match[2].decode()}Config in training_args.bin")
        tags = set(re.findall(r"^ {0,4}- ([\w-]{1,40}) *\r?$", _card_head(folder / _CARD), re.MULTILINE))
        found = {_TAGS[tag] for tag in tags if tag in _TAGS}
        if "trl" in tags and len(found) == 1:
            return Trained("trl", tuple(found), "the tags in README.md")
    return None


def _begin(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST)
    except OSError:
        return b""


def _card_head(path: Path) -> str:
    """The head of a model card, between two lines of dashes."""
    text = _begin(path).decode(errors="replace")
    return text.split("\n---", 1)[0] if text.startswith("---") else ""


def trained_by_keys(keys: Iterable[str]) -> Trained:
    """Who logs these keys; those of an evaluation without their prefix."""
    has = frozenset(keys)
    framework = "ms_swift" if has & set(_SWIFT) else "trl"
    for algorithms, told in ((algorithms, told) for algorithms, test in _MARKS if (told := test(has))):
        return Trained(framework, algorithms, f"the keys {', '.join(told)}")
    return Trained("ms_swift" if framework == "ms_swift" else "transformers")


_Test: TypeAlias = "Callable[[frozenset[str]], tuple[str, ...]]"
"""Looks for keys; what told it, or nothing."""


def _together(*keys: str, without: tuple[str, ...] = ()) -> _Test:
    """A test for keys that are all there, none of the others being so."""
    return lambda has: keys if has.issuperset(keys) and not has.intersection(without) else ()


def _old_group(has: frozenset[str]) -> tuple[str, ...]:
    """TRL to 0.16 logged these in GRPO alone; RLOO logged what PPO does until it was made anew in 0.22."""
    old = has & {"completion_length", "clip_ratio"}
    plain = {key for key in has if re.fullmatch(r"rewards/[^/]+", key)}
    return ("reward", *sorted(old | plain)[:2]) if {"reward", "reward_std"} <= has and (old or plain) else ()


_PAIR: Final = ("rewards/accuracies", "rewards/chosen")
_MARKS: Final[tuple[tuple[tuple[str, ...], _Test], ...]] = (
    (("ppo",), _together("loss/value_avg", "policy/approxkl_avg")),
    (("rloo",), _together("objective/rlhf_reward", "policy/approxkl_avg", "loss/policy_avg")),
    (("onlinedpo",), _together("objective/scores", *_PAIR)),
    (("orpo",), _together("log_odds_ratio", *_PAIR)),
    (("dpo",), _together(*_PAIR, "mean_token_accuracy")),
    (("dpo",), _together(*_PAIR, "entropy")),
    (("dpo", "cpo"), _together(*_PAIR, without=("objective/kl", "odds_ratio_loss"))),
    (("kto",), _together("kl", "rewards/chosen", without=("delta", "rewards/accuracies"))),
    (("reward",), _together("mean_reward", "margin", "accuracy")),
    (("grpo",), _together("cispo_clip_ratio", "reward")),
    (("grpo",), _old_group),
    (("grpo", "rloo"), _together("reward", "reward_std", "completions/mean_length")),
    (("distillation",), _together("completions/mean_length", "completions/clipped_ratio", without=("reward",))),
    (("sft",), _together("mean_token_accuracy", without=("rewards/chosen",))),
)
"""For each trainer keys that it alone logs; the first that are there tell."""
