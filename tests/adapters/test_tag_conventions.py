"""Tags tell who gave them where that is sure, and otherwise keep their names."""

from __future__ import annotations

from typing import Any

import pytest

from rldk.adapters.tag_conventions import Convention, convention_of
from rldk.adapters.trl_logs import Made


def calls(convention: Convention, tags: list[str]) -> list[list[str]]:
    """Tags of one step as they were logged together."""
    groups: dict[int, dict[str, Any]] = {}
    call = 0
    before: dict[str, Any] | None = None
    for tag in tags:
        call = convention.call(tag, before, call)
        before = groups.setdefault(call, {})
        before[tag] = 0.0
    return [list(group) for group in groups.values()]


@pytest.mark.parametrize(
    ("tags", "framework", "why"),
    [
        ({"train/policy_loss", "train/actor_lr"}, "openrlhf", "train/actor_lr, train/policy_loss"),
        (
            {"train/policy_loss", "train/generated_samples/text_summary"},
            "openrlhf",
            "train/generated_samples, train/policy_loss",
        ),
        ({"train/loss", "train/epoch", "train/learning_rate"}, "transformers", "train/epoch, train/learning_rate"),
        ({"args/text_summary", "train/mean_token_accuracy"}, "trl", "args/text_summary"),
        ({"val-core/math/acc", "actor/pg_loss"}, "verl", "actor/pg_loss"),
        ({"timing/train/total_step_time", "train/loss"}, "nemo_rl", "timing/train/total_step_time"),
        ({"time/fps", "rollout/ep_rew_mean", "train/policy_loss"}, "sb3", "time/fps"),
        ({"charts/SPS", "losses/policy_loss"}, "cleanrl", "charts/SPS"),
        ({"train/loss", "train/epoch"}, "", ""),
        (set(), "", ""),
    ],
)
def test_a_framework_is_told_by_its_tags(tags: set[str], framework: str, why: str) -> None:
    """Only tags that no other tool writes tell who wrote them."""
    found = convention_of(frozenset(tags))

    assert (found.framework, found.why) == (framework, why)


def test_unknown_tags_keep_their_names() -> None:
    """`eval/` alone says something: the phase."""
    found = Convention().read(1, {"train/loss": 0.5, "val/acc": 0.25, "eval/loss": 0.75})

    assert found == [
        Made("train", {"train/loss": 0.5, "val/acc": 0.25}, {}, []),
        Made("eval", {"loss": 0.75}, {}, []),
    ]


def test_what_a_trainer_logs_at_one_time_is_known_by_the_epoch() -> None:
    """A step, evaluations of two sets and the summary at the end of one step are told apart again."""
    convention = convention_of(frozenset({"args/text_summary"}))
    step = ["train/loss", "train/epoch"]
    first = ["eval/math_loss", "eval/math_runtime", "eval/math_samples_per_second", "train/epoch"]
    second = ["eval/code_loss", "eval/code_runtime", "eval/code_samples_per_second", "train/epoch"]
    final = ["train/train_runtime", "train/total_flos", "train/train_loss", "train/epoch"]

    assert calls(convention, step + first + second + final) == [step, first, second, final]
    assert convention.read(4, dict.fromkeys(second, 0.5)) == [
        Made(
            "eval",
            {"loss": 0.5, "runtime": 0.5, "samples_per_second": 0.5, "epoch": 0.5},
            {"eval_set": "code"},
            [],
        )
    ]
    assert convention.read(4, dict.fromkeys(final, 0.5))[0].phase == "final"


def test_a_count_of_tokens_comes_behind_the_epoch() -> None:
    """With include_num_input_tokens_seen, a log ends with it and with the speed."""
    convention = convention_of(frozenset({"args/text_summary"}))
    step = ["train/loss", "train/epoch", "train/num_input_tokens_seen", "train/train_runtime"]
    final = ["train/train_runtime", "train/train_loss", "train/epoch", "train/num_input_tokens_seen"]

    assert calls(convention, step + final) == [step, final]


def test_verl_logs_validation_with_the_step() -> None:
    """Both are at one time; each has its phase."""
    convention = convention_of(frozenset({"actor/pg_loss"}))

    assert calls(convention, ["actor/pg_loss", "val-core/a/acc", "actor/lr"]) == [
        ["actor/pg_loss", "val-core/a/acc", "actor/lr"]
    ]
    assert convention.read(1, {"actor/pg_loss": 0.5, "val-core/a/acc": 0.25}) == [
        Made("train", {"actor/pg_loss": 0.5}, {}, []),
        Made("eval", {"val-core/a/acc": 0.25}, {}, []),
    ]


def test_nemo_rl_logs_its_nodes_by_the_time() -> None:
    """What a node did has no step; validation is taken apart by its sets."""
    convention = convention_of(frozenset({"timing/train/total_step_time"}))

    assert convention.other_axis("ray/node.0.gpu.0.util") == "seconds since the run began"
    assert convention.other_axis("train/loss") == ""
    assert convention.read(1, {"validation/accuracy": 0.5, "validation-math/accuracy": 0.25}) == [
        Made("eval", {"accuracy": 0.5}, {}, []),
        Made("eval", {"accuracy": 0.25}, {"eval_set": "math"}, []),
    ]
