"""The vocabulary: which key of which framework is given which name."""

from __future__ import annotations

import re

import msgspec
import pytest

from rldk.metrics import METRICS, SOURCES, Translator

HF = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "lr",
    "epoch": "epoch",
    "num_tokens": "tokens_total",
    "step_time": "step_time",
}
"""What every TRL trainer logs, and its canonical name."""

GENERATION = {
    "completions/mean_length": "response_len_mean",
    "completions/max_length": "response_len_max",
    "completions/min_length": "response_len_min",
    "completions/clipped_ratio": "truncation_rate",
}
GROUP = {
    **HF,
    **GENERATION,
    "reward": "reward_mean",
    "reward_std": "reward_std",
    "rewards/length_reward/mean": "reward_component/length_reward",
    "rewards/length_reward/std": "reward_component_std/length_reward",
    "frac_reward_zero_std": "frac_zero_std_groups",
    "kl": "kl_mean",
    "entropy": "entropy_mean",
    "policy_loss": "policy_loss",
    "clip_ratio/region_mean": "clip_frac",
}
PAIRS = {
    **HF,
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "entropy": "entropy_mean",
}
NAMES = {
    "grpo": GROUP,
    "rloo": GROUP,
    "dpo": PAIRS,
    "kto": PAIRS,
    "sft": {**HF, "entropy": "entropy_mean"},
    "reward": {**HF, "accuracy": "accuracy", "margin": "margin"},
    "ppo": {
        **HF,
        "objective/scores": "reward_mean",
        "objective/rlhf_reward": "reward_shaped_mean",
        "policy/approxkl_avg": "kl_old",
        "policy/entropy_avg": "entropy_mean",
        "policy/clipfrac_avg": "clip_frac",
        "loss/policy_avg": "policy_loss",
        "loss/value_avg": "value_loss",
        "val/ratio": "ratio_mean",
    },
}
"""For each algorithm, the keys whose meaning is known."""

KEPT = {
    "grpo": [
        "clip_ratio/low_mean",
        "clip_ratio/low_min",
        "clip_ratio/high_max",
        "completions/mean_terminated_length",
        "sampling/importance_sampling_ratio/mean",
        "rewards/chosen",
        "objective/kl",
        "mean_token_accuracy",
        "my_own",
    ],
    "rloo": ["cispo_clip_ratio", "rewards/accuracies"],
    "dpo": ["logps/chosen", "logits/rejected", "mean_token_accuracy", "rewards/f/mean", "reward", "kl"],
    "kto": ["kl", "logps/chosen", "rewards/chosen/sum"],
    "sft": ["mean_token_accuracy", "kl", "reward", "rewards/chosen", "accuracy"],
    "reward": ["min_reward", "mean_reward", "max_reward", "rewards/margins", "entropy"],
    "ppo": [
        "objective/kl",
        "objective/entropy",
        "objective/non_score_reward",
        "val/clipfrac_avg",
        "val/ratio_var",
        "val/num_eos_tokens",
        "episode",
        "eps",
        "kl",
        "reward",
    ],
}
"""For each algorithm, keys that mean something else, or nothing known: they stay as they are."""


@pytest.mark.parametrize("algorithm", NAMES)
def test_the_keys_of_trl_are_given_their_names(algorithm: str) -> None:
    """Each key whose meaning is known gets its canonical name; values and order are untouched."""
    translated = Translator("trl", algorithm).translate({key: index for index, key in enumerate(NAMES[algorithm])})

    assert list(translated.items()) == [(name, index) for index, name in enumerate(NAMES[algorithm].values())]


@pytest.mark.parametrize("algorithm", KEPT)
def test_a_key_that_means_something_else_stays_as_it_is(algorithm: str) -> None:
    """A name is never given for its likeness: KTO's `kl` is no drift, PPO's `objective/kl` is a sum."""
    translator = Translator("trl", algorithm)
    metrics = dict.fromkeys(KEPT[algorithm], 0.5)

    assert translator.translate(metrics) == metrics
    assert translator.applied == {}


def test_policy_loss_is_never_loss() -> None:
    """The policy's part is about 0 on policy; it is not the value the optimizer minimises."""
    for algorithm in ("grpo", "rloo", "ppo"):
        for key in ("policy_loss", "loss/policy_avg"):
            assert "loss" not in Translator("trl", algorithm).translate({key: 0.0})


def test_truncation_is_not_clipping() -> None:
    """TRL's `completions/clipped_ratio` counts answers cut off, `clip_ratio/region_mean` where PPO's clip binds."""
    metrics = {"completions/clipped_ratio": 0.9, "clip_ratio/region_mean": 0.1}

    assert Translator("trl", "grpo").translate(metrics) == {"truncation_rate": 0.9, "clip_frac": 0.1}


@pytest.mark.parametrize("name", ["<lambda>", "<f>", "f", "format reward", "läßt.sich", "a:b", "mean", "line\nbreak"])
def test_a_reward_function_keeps_its_name(name: str) -> None:
    """Whatever it is called, a lambda included, it is carried over."""
    metrics = {f"rewards/{name}/mean": 1.0, f"rewards/{name}/std": 0.1}

    assert Translator("trl", "grpo").translate(metrics) == {
        f"reward_component/{name}": 1.0,
        f"reward_component_std/{name}": 0.1,
    }


@pytest.mark.parametrize(
    "key", ["rewards//mean", "rewards/a/b/mean", "rewards/f", "rewards/f/max", "my/rewards/f/mean"]
)
def test_a_key_that_is_merely_like_a_reward_functions_stays(key: str) -> None:
    """The name of a function holds no slash and is not empty, and nothing stands around the pattern."""
    assert Translator("trl", "grpo").translate({key: 1.0}) == {key: 1.0}


def test_rewards_are_functions_in_grpo_and_implicit_in_dpo() -> None:
    """The same prefix means different quantities, so it is read by the algorithm."""
    metrics = {"rewards/chosen": 1.0, "rewards/chosen/mean": 2.0}

    assert Translator("trl", "grpo").translate(metrics) == {"rewards/chosen": 1.0, "reward_component/chosen": 2.0}
    assert Translator("trl", "dpo").translate(metrics) == {"reward_chosen": 1.0, "rewards/chosen/mean": 2.0}


@pytest.mark.parametrize(
    ("algorithm", "metrics", "translated"),
    [
        (
            "grpo",
            {"cispo_clip_ratio": 0.2, "clip_ratio/region_mean": 0.1},
            {"cispo_clip_ratio": 0.2, "clip_frac": 0.1},
        ),
        ("grpo", {"lr": 0.5, "learning_rate": 0.1}, {"lr": 0.5, "learning_rate": 0.1}),
        ("grpo", {"learning_rate": 0.1, "lr": 0.5}, {"learning_rate": 0.1, "lr": 0.5}),
        ("grpo", {"kl_mean": 9.0, "kl": 0.1, "loss": 0.0}, {"kl_mean": 9.0, "kl": 0.1, "loss": 0.0}),
        ("ppo", {"learning_rate": 0.1, "lr": 0.5}, {"learning_rate": 0.1, "lr": 0.5}),
        ("ppo", {"lr": 0.5, "learning_rate": 0.1, "epoch": 1}, {"lr": 0.5, "learning_rate": 0.1, "epoch": 1}),
        (
            "grpo",
            {"reward_component/f": 1.0, "rewards/f/mean": 2.0, "rewards/g/mean": 3.0},
            {"reward_component/f": 1.0, "rewards/f/mean": 2.0, "reward_component/g": 3.0},
        ),
        (
            "grpo",
            {"clip_frac": 0.3, "cispo_clip_ratio": 0.2, "clip_ratio/region_mean": 0.1},
            {"clip_frac": 0.3, "cispo_clip_ratio": 0.2, "clip_ratio/region_mean": 0.1},
        ),
    ],
)
def test_no_value_is_lost_when_two_keys_want_one_name(
    algorithm: str, metrics: dict[str, float], translated: dict[str, float]
) -> None:
    """A key spelled like the name keeps it, else the first in the table gets it; the others stay native."""
    assert list(Translator("trl", algorithm).translate(metrics).items()) == list(translated.items())


def test_a_clash_concerns_only_the_event_it_is_in() -> None:
    """Where a user's own key does not stand in the way, the name is given."""
    translator = Translator("trl", "grpo")
    one = translator.translate({"kl": 0.1})
    both = translator.translate({"kl": 0.1, "kl_mean": 7.0})

    assert one == translator.translate({"kl": 0.1}) == {"kl_mean": 0.1}
    assert both == {"kl": 0.1, "kl_mean": 7.0}


def test_what_was_applied_is_kept_with_the_native_keys() -> None:
    """The manifest can say of each renamed key what it measures, and undo the renaming."""
    translator = Translator("trl", "rloo")
    translator.translate({"kl": 0.1, "my_own": 1.0})
    translator.translate({"rewards/f/mean": 0.1, "kl": 0.2})
    applied = translator.applied

    assert {key: (source.native, source.canonical) for key, source in applied.items()} == {
        "kl": ("kl", "kl_mean"),
        "rewards/f/mean": ("rewards/f/mean", "reward_component/f"),
    }
    assert (applied["kl"].estimator, applied["kl"].versus, applied["kl"].sign) == (
        "k1",
        "reference policy",
        "may be negative",
    )


def test_the_kl_of_grpo_and_of_rloo_are_different_estimators() -> None:
    """One name, and beside it what must agree before two runs are compared."""
    estimators = []
    for algorithm in ("grpo", "rloo"):
        translator = Translator("trl", algorithm)
        translator.translate({"kl": 0.1})
        estimators.append(translator.applied["kl"].estimator)

    assert estimators == ["k3", "k1"]


def test_a_framework_that_is_not_known_has_only_its_own_keys() -> None:
    """Nothing is guessed about the keys of other trainers."""
    metrics = {"loss": 0.1, "kl": 0.1, "reward": 1.0}

    assert Translator("verl", "grpo").translate(metrics) == metrics


def test_transformers_alone_has_only_what_every_trainer_logs() -> None:
    """A key of TRL means nothing known in a plain Trainer."""
    metrics = {"loss": 0.1, "learning_rate": 1e-6, "kl": 0.1, "num_tokens": 5}

    assert Translator("transformers", "").translate(metrics) == {"loss": 0.1, "lr": 1e-6, "kl": 0.1, "num_tokens": 5}


def test_no_metrics_are_no_metrics() -> None:
    """An empty event stays empty."""
    assert Translator("trl", "grpo").translate({}) == {}


def test_every_name_that_is_given_is_explained() -> None:
    """Each source leads to a metric with a meaning and a unit."""
    assert {source.canonical for source in SOURCES} <= METRICS.keys()
    assert [metric for metric in METRICS.values() if not (metric.meaning and metric.unit)] == []


def test_every_metric_has_a_source() -> None:
    """No name is in the vocabulary that nothing is ever given."""
    assert METRICS.keys() <= {source.canonical for source in SOURCES}


def test_the_metrics_are_sorted_by_name() -> None:
    """One can find a name in the table, and each is in it once."""
    assert list(METRICS) == sorted(METRICS)
    assert [metric.name for metric in METRICS.values()] == list(METRICS)


def test_the_names_of_the_specification_are_in_the_vocabulary() -> None:
    """Its eight names are canonical, spelled as they are there."""
    names = {"reward_mean", "reward_std", "kl_mean", "entropy_mean", "clip_frac", "grad_norm", "lr", "loss"}

    assert names <= METRICS.keys()


def test_a_native_key_that_is_spelled_like_a_name_means_it() -> None:
    """No framework's key is renamed away from a canonical name to another one."""
    assert [source.native for source in SOURCES if source.native in METRICS and source.native != source.canonical] == []


def test_a_key_has_one_meaning_in_one_algorithm() -> None:
    """No two sources of a framework claim the same key for the same algorithm."""
    claims = [
        (source.framework, source.native, algorithm)
        for source in SOURCES
        for algorithm in source.algorithms or ("every",)
    ]

    assert len(claims) == len(set(claims))


def test_patterns_are_carried_over_on_both_sides() -> None:
    """A source with a placeholder has it in both keys, once."""
    assert {(source.native.count("<f>"), source.canonical.count("<f>")) for source in SOURCES} == {(0, 0), (1, 1)}


def test_a_divergence_says_against_what_and_how_it_is_estimated() -> None:
    """A `kl` without estimator and reference could not be compared with any other."""
    divergences = [source for source in SOURCES if source.canonical in {"kl_mean", "kl_old"}]

    assert len(divergences) == 3
    assert all(re.fullmatch("k[123]", source.estimator) and source.versus and source.sign for source in divergences)


def test_a_source_is_written_without_what_it_does_not_say() -> None:
    """The manifest holds what is known, and no empty strings."""
    source = next(source for source in SOURCES if source.native == "epoch")

    assert msgspec.json.encode(source) == b'{"native":"epoch","canonical":"epoch","framework":"transformers"}'
