"""The vocabulary: which key of which framework is given which name."""

from __future__ import annotations

import csv
import json
import re
from typing import TYPE_CHECKING

import msgspec
import pytest

from rldk.metrics import LOOKALIKES, METRICS, SOURCES, Source, Translator
from tests.shared import REAL, SHARED, needs_shared

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rldk.metrics import Lookalike

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
    "sampling/sampling_logp_difference/mean": "mismatch_logp_mean",
    "sampling/sampling_logp_difference/max": "mismatch_logp_max",
    "sampling/importance_sampling_ratio/mean": "mismatch_ratio_mean",
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
        "val/clipfrac_avg": "value_clip_frac",
    },
}
"""For each algorithm, the keys whose meaning is known."""

KEPT = {
    "grpo": [
        "clip_ratio/low_mean",
        "clip_ratio/low_min",
        "clip_ratio/high_max",
        "completions/mean_terminated_length",
        "sampling/importance_sampling_ratio/max",
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


@pytest.mark.parametrize("key", ["rewards//mean", "rewards/a/b/mean", "rewards/", "rewards/f/max", "my/rewards/f/mean"])
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

    assert Translator("another", "grpo").translate(metrics) == metrics
    assert Translator("", "").translate(metrics) == metrics


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


def test_the_frameworks_are_those_that_adapters_name() -> None:
    """Each framework that a log may be of has keys in the table, under the name that is used everywhere."""
    names = "transformers trl openrlhf verl sb3 cleanrl baselines rllib nemo_rl prime_rl areal slime open_instruct"
    names += " llamafactory ms_swift tinker dreamer"

    assert {source.framework for source in SOURCES} == set(names.split())
    assert {each.framework for each in LOOKALIKES} <= set(names.split())


def test_a_native_key_that_is_spelled_like_a_name_means_it() -> None:
    """No framework's key is renamed away from a canonical name to another one."""
    assert [source.native for source in SOURCES if source.native in METRICS and source.native != source.canonical] == []


def test_a_key_has_one_meaning_in_one_algorithm() -> None:
    """No two sources of a framework claim the same key for the same algorithm, and no lookalike is claimed."""
    claims = [
        (each.framework, each.native, algorithm)
        for each in (*SOURCES, *LOOKALIKES)
        for algorithm in each.algorithms or ("every",)
    ]

    assert len(claims) == len(set(claims))


def test_patterns_are_carried_over_on_both_sides() -> None:
    """A source with a placeholder has it in both keys, once."""
    assert {(source.native.count("<f>"), source.canonical.count("<f>")) for source in SOURCES} == {(0, 0), (1, 1)}


def test_a_lookalike_resembles_a_metric_and_says_what_it_is() -> None:
    """One can look up what it must not be taken for."""
    assert {each.resembles for each in LOOKALIKES} <= METRICS.keys()
    assert [each for each in LOOKALIKES if not each.why] == []


@pytest.mark.parametrize("each", LOOKALIKES, ids=lambda each: f"{each.framework}-{each.native}")
def test_a_lookalike_is_never_renamed(each: Lookalike) -> None:
    """Neither for the algorithms for which it is one, nor when nothing is known of the algorithm."""
    metrics = {each.native: 0.5}
    for algorithm in (*each.algorithms, "") if each.algorithms else ("", "grpo", "ppo", "dpo", "sft"):
        assert Translator(each.framework, algorithm).translate(metrics) == metrics


FORBIDDEN = {
    "loss": r"policy_loss|loss/policy|policy_avg|pg_loss|value|vf_|critic",
    "policy_loss": r"value|vf_|critic|total",
    "clip_frac": r"completion|response|prompt|length|range|eps|val/|vf_|value|lower|tis",
    "truncation_rate": r"clipfrac|pg_|ppo_|(?<!response_length/)(?<!response_)clip_ratio",
    "entropy_mean": r"objective|coef|approx|sample|optim",
    "kl_mean": r"approx|ppo_kl|old|mismatch|vllm|sample|objective/kl\Z|coef",
    "kl_old": r"ref|vllm|sample|mismatch|coef|penalty",
    "kl_mismatch": r"ref|ppo_kl|penalty",
    "reward_mean": r"rewards|shaped|chosen|std|kl|rlhf",
    "response_len_mean": r"ep_len|eplen|EpLen|episod|seq_?len(?!gths)|total|prompt|terminated",
    "lr": r"1e-4|critic",
    "grad_norm": r"critic",
    "accuracy": r"token",
}
"""For each name what no key has in it that means the same."""


@pytest.mark.parametrize("canonical", FORBIDDEN)
def test_no_source_maps_a_forbidden_pair(canonical: str) -> None:
    """The names that look equal and are not are kept apart in every framework."""
    natives = [source.native for source in SOURCES if source.canonical == canonical]

    assert natives
    assert [native for native in natives if re.search(FORBIDDEN[canonical], native)] == []


VERSUS = {
    "kl_mean": {"reference policy"},
    "kl_coef": {"reference policy"},
    "kl_old": {"old policy"},
    "ratio_mean": {"old policy"},
    "kl_mismatch": {"inference engine"},
    "mismatch_logp_mean": {"inference engine"},
    "mismatch_logp_max": {"inference engine"},
    "mismatch_ratio_mean": {"inference engine"},
}
"""What each of these names is measured against, whoever logs it."""


@pytest.mark.parametrize("canonical", VERSUS)
def test_a_name_says_against_what_it_is_measured(canonical: str) -> None:
    """Distances from the reference, from the old policy and between the engines never share a name."""
    assert {source.versus for source in SOURCES if source.canonical == canonical} == VERSUS[canonical]


def test_a_divergence_says_how_it_is_estimated() -> None:
    """A `kl` without estimator and reduction could not be compared with any other."""
    divergences = [source for source in SOURCES if source.canonical in {"kl_mean", "kl_old", "kl_mismatch"}]

    assert len(divergences) > 20
    assert [
        (source.framework, source.native)
        for source in divergences
        if not (re.match(r"k[123]\b|exact\Z|as \w+ says", source.estimator) and source.reduction)
    ] == []
    assert {
        (source.estimator, source.sign) for source in divergences if re.fullmatch("k[123]|exact", source.estimator)
    } == {
        ("k1", "may be negative"),
        ("k2", ">= 0"),
        ("k3", ">= 0"),
        ("exact", ">= 0"),
    }


def test_a_source_is_written_without_what_it_does_not_say() -> None:
    """The manifest holds what is known, and no empty strings."""
    source = Source("epoch", "epoch", "transformers")

    assert msgspec.json.encode(source) == b'{"native":"epoch","canonical":"epoch","framework":"transformers"}'


# What is not known of the algorithm.


@pytest.mark.parametrize(
    ("framework", "algorithm", "metrics", "translated"),
    [
        ("trl", "", {"reward": 1, "entropy": 2}, {"reward_mean": 1, "entropy_mean": 2}),
        ("trl", "", {"kl": 1}, {"kl": 1}),
        ("trl", "grpo or rloo", {"kl": 1}, {"kl_mean": 1}),
        ("trl", "kto or dpo", {"kl": 1}, {"kl": 1}),
        ("trl", "", {"rewards/chosen": 1, "rewards/margins": 2}, {"rewards/chosen": 1, "rewards/margins": 2}),
        ("trl", "dpo or cpo", {"rewards/chosen": 1, "rewards/margins": 2}, {"reward_chosen": 1, "margin": 2}),
        ("trl", "dpo or nashmd", {"rewards/chosen": 1}, {"rewards/chosen": 1}),
        ("trl", "", {"rewards/f": 1, "rewards/f/mean": 2}, {"rewards/f": 1, "rewards/f/mean": 2}),
        ("trl", "grpo or rloo", {"rewards/f": 1}, {"reward_component/f": 1}),
        ("trl", "grpo or rloo", {"rewards/f/std": 1}, {"reward_component_std/f": 1}),
        ("trl", "grpo or rloo", {"policy/approxkl_avg": 1}, {"policy/approxkl_avg": 1}),
        ("trl", "ppo or rloo", {"policy/entropy_avg": 1}, {"entropy_mean": 1}),
        ("openrlhf", "", {"kl": 1, "reward": 2}, {"kl": 1, "reward_mean": 2}),
        ("openrlhf", "ppo", {"kl": 1, "reward": 2}, {"kl_mean": 1, "reward_mean": 2}),
        ("openrlhf", "kto", {"kl": 1, "chosen_reward": 2}, {"kl": 1, "reward_chosen": 2}),
        ("ms_swift", "", {"kl": 1, "token_acc": 2}, {"kl": 1, "token_acc": 2}),
        ("ms_swift", "grpo", {"kl": 1, "loss": 2}, {"kl_mean": 1, "loss": 2}),
        ("ms_swift", "dpo", {"rewards/chosen": 1, "loss": 2}, {"reward_chosen": 1, "loss": 2}),
    ],
)
def test_what_all_algorithms_in_question_agree_on_is_named(
    framework: str, algorithm: str, metrics: dict[str, float], translated: dict[str, float]
) -> None:
    """A name is given when it would be right whichever of the algorithms it is."""
    assert Translator(framework, algorithm).translate(metrics) == translated


def test_what_algorithms_do_not_agree_on_is_left_open() -> None:
    """The name is sure, the estimator is not: the source says what it depends on, and claims nothing."""
    translator = Translator("trl", "grpo or rloo")
    translator.translate({"kl": 0.1})

    assert translator.applied == {
        "kl": Source(
            "kl",
            "kl_mean",
            "trl",
            ("grpo", "rloo"),
            versus="reference policy",
            reduction="mean over tokens",
            caveat="the algorithm is not known, and with it: estimator k3 or k1, sign >= 0 or may be negative, caveat "
            "measured at the loss; logged only when beta is not 0 or measured at generation",
            reference="trl/trainer/grpo_trainer.py, trl/trainer/rloo_trainer.py",
        )
    }


def test_a_framework_goes_before_what_it_is_built_on() -> None:
    """The spread that ms-swift logs is that within groups, where TRL's is over the batch."""
    translator = Translator("ms_swift", "grpo")
    translator.translate({"reward_std": 0.1, "learning_rate": 1e-6})
    applied = translator.applied

    assert {key: (source.framework, source.reduction) for key, source in applied.items()} == {
        "reward_std": ("ms_swift", "mean of the standard deviations within groups"),
        "learning_rate": ("transformers", "last step of the window"),
    }


# Priority, prefixes, and the keys of real logs.


@pytest.mark.parametrize(
    ("framework", "algorithm", "first", "second", "canonical"),
    [
        ("openrlhf", "grpo", "rollout/reward_mean", "reward", "reward_mean"),
        ("openrlhf", "grpo", "rollout/truncated_rate", "truncated", "truncation_rate"),
        ("openrlhf", "sft", "loss_mean", "gpt_loss", "loss"),
        ("openrlhf", "dpo", "acc_mean", "acc", "accuracy"),
        ("verl", "grpo", "actor/kl_loss", "actor/reward_kl_penalty", "kl_mean"),
        ("verl", "grpo", "actor/entropy", "actor/entropy_loss", "entropy_mean"),
        ("verl", "grpo", "rollout_corr/kl", "rollout_corr/k3_kl", "kl_mismatch"),
        ("cleanrl", "ppo", "losses/approx_kl", "losses/old_approx_kl", "kl_old"),
        ("tinker", "", "optim/kl_sample_train_v1", "optim/kl_sample_train_v2", "kl_mismatch"),
        ("trl", "grpo", "rewards/f/mean", "rewards/f", "reward_component/f"),
    ],
)
def test_of_two_keys_of_one_metric_the_first_is_renamed(
    framework: str, algorithm: str, first: str, second: str, canonical: str
) -> None:
    """Whichever comes first in the log, the table decides, and the other keeps its own name."""
    for metrics in ({first: 1, second: 2}, {second: 2, first: 1}):
        assert Translator(framework, algorithm).translate(metrics) == {canonical: 1, second: 2}
    assert Translator(framework, algorithm).translate({second: 2}) == {canonical: 2}


@pytest.mark.parametrize(
    ("framework", "key", "canonical"),
    [
        ("areal", "ppo_actor/task_reward/avg", "reward_mean"),
        ("areal", "grpo_actor/update/entropy/avg", "entropy_mean"),
        ("areal", "ppo_actor/update/approx_kl/avg", "ppo_actor/update/approx_kl/avg"),
        ("areal", "ppo_critic/update/grad_norm", "ppo_critic/update/grad_norm"),
        ("nemo_rl", "train/kl_penalty", "kl_mean"),
        ("nemo_rl", "kl_penalty", "kl_mean"),
        ("slime", "train/entropy_loss", "entropy_mean"),
        ("trl", "train/reward", "reward_mean"),
        ("trl", "train/my_own", "train/my_own"),
        ("trl", "eval/reward", "eval/reward"),
        ("sb3", "train/loss", "loss"),
        ("sb3", "loss", "loss"),
    ],
)
def test_a_prefix_that_a_framework_puts_before_its_keys_is_seen_through(
    framework: str, key: str, canonical: str
) -> None:
    """A key means the same with it; one that is not known keeps it, and so does an evaluation's."""
    translator = Translator(framework, "")

    assert translator.translate({key: 1.0}) == {canonical: 1.0}
    assert translator.applied.keys() <= {key}


def renamed(framework: str, algorithm: str, keys: Iterable[str]) -> dict[str, str]:
    """Of these keys those that are renamed, with their names."""
    keys = dict.fromkeys(keys)
    given = Translator(framework, algorithm).translate({key: key for key in keys})
    return {key: name for name, key in given.items() if name != key}


def real_keys(local: str) -> list[str]:
    """The keys in a real log, as its list has them."""
    with (REAL / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        return next(row["keys"].split(";") for row in csv.DictReader(file) if row["local"] == local)


OLD_GRPO = {
    "completion_length": "response_len_mean",
    "kl": "kl_mean",
    "learning_rate": "lr",
    "reward": "reward_mean",
    "rewards/correctness_reward_func": "reward_component/correctness_reward_func",
    "rewards/int_reward_func": "reward_component/int_reward_func",
    "rewards/soft_format_reward_func": "reward_component/soft_format_reward_func",
    "rewards/strict_format_reward_func": "reward_component/strict_format_reward_func",
    "rewards/xmlcount_reward_func": "reward_component/xmlcount_reward_func",
}
GOLDEN = {
    "openrlhf/ZetangForward__MyRLHF/checkpoint/tensorboard/llama3.1-8b-sft/tensorboard/sft_1023T01-41/"
    "events.out.tfevents.1729619875.gpu015.145623.0": (
        "openrlhf",
        "sft",
        {"train/loss_mean": "loss", "train/lr": "lr"},
    ),
    "trl/IMJONEZZ__UnslothGRPO/outputs/checkpoint-250/trainer_state.json": ("trl", "grpo", OLD_GRPO),
    "trl/ccccai239__llama2-7b-miniguanaco-dpo/dpo_model/trainer_state.json": (
        "trl",
        "dpo",
        {
            "learning_rate": "lr",
            "rewards/accuracies": "accuracy",
            "rewards/chosen": "reward_chosen",
            "rewards/margins": "margin",
            "rewards/rejected": "reward_rejected",
        },
    ),
    "wandb/zhiyuanhubj__logic-rl-formula/wandb/run-20250302_114336-m950nfkl/files/output.log": (
        "verl",
        "",
        {
            "actor/kl_loss": "kl_mean",
            "actor/kl_coef": "kl_coef",
            "actor/entropy_loss": "entropy_mean",
            "actor/pg_loss": "policy_loss",
            "actor/pg_clipfrac": "clip_frac",
            "actor/ppo_kl": "kl_old",
            "actor/grad_norm": "grad_norm",
            "actor/lr": "lr",
            "critic/score/mean": "reward_mean",
            "critic/rewards/mean": "reward_shaped_mean",
            "critic/advantages/mean": "advantage_mean",
            "critic/returns/mean": "return_mean",
            "response_length/mean": "response_len_mean",
            "response_length/max": "response_len_max",
            "response_length/min": "response_len_min",
            "response_length/clip_ratio": "truncation_rate",
            "prompt_length/mean": "prompt_len_mean",
            "timing_s/step": "step_time",
        },
    ),
    "sb3/DLR-RM__stable-baselines3/data/tb/A2C_11/events.out.tfevents.1636419669.62c662a09419.88.3": (
        "sb3",
        "",
        {
            "rollout/ep_len_mean": "episode_len_mean",
            "rollout/ep_rew_mean": "reward_mean",
            "time/fps": "env_steps_per_second",
            "train/explained_variance": "explained_variance",
            "train/learning_rate": "lr",
            "train/policy_loss": "policy_loss",
            "train/value_loss": "value_loss",
        },
    ),
    "tinker/sushantmehta-code__tinker-cookbook/logs/metrics.jsonl": (
        "tinker",
        "",
        {
            "optim/lr": "lr",
            "env/all/reward/total": "reward_mean",
            "env/all/by_group/frac_all_good": "frac_all_good_groups",
            "env/all/by_group/frac_all_bad": "frac_all_bad_groups",
            "optim/kl_sample_train_v1": "kl_mismatch",
            "optim/entropy": "entropy_sampled",
            "time/total": "step_time",
        },
    ),
    "llamafactory/hykun1989__360-LLaMA-Factory-grpo/trainer_log.jsonl": ("llamafactory", "", {}),
    "llamafactory/hiyouga__LLaMA-Factory/data/sft_checkpoint/drive_1109/trainer_log.jsonl": (
        "llamafactory",
        "",
        {"learning_rate": "lr", "reward": "reward_mean"},
    ),
    "ms-swift/TangBinghao__swift/logging@1f950c13.jsonl": ("ms_swift", "", {"learning_rate": "lr"}),
    "dreamer/danijar__dreamerv3/ablation_results/metrics.jsonl": (
        "dreamer",
        "",
        {
            "episode/score": "reward_mean",
            "episode/length": "episode_len_mean",
            "train/adv": "advantage_mean",
            "train/adv_std": "advantage_std",
            "train/ent/action": "entropy_mean",
            "train/loss/policy": "policy_loss",
            "train/loss/value": "value_loss",
            "train/opt/grad_norm": "grad_norm",
            "train/opt/loss": "loss",
            "train/val": "value_mean",
        },
    ),
    "baselines/morikatron__GAIL_PPO/sample_result/ppo/progress.csv": (
        "baselines",
        "",
        {"mean 100 episode reward": "reward_mean"},
    ),
}
"""For each of some real logs who wrote it, and which of its keys are renamed."""


@needs_shared
@pytest.mark.parametrize("local", GOLDEN)
def test_the_keys_of_a_real_log_are_given_their_names(local: str) -> None:
    """Those whose meaning is known, and no others."""
    framework, algorithm, names = GOLDEN[local]

    assert renamed(framework, algorithm, real_keys(local)) == names


@needs_shared
@pytest.mark.parametrize(
    ("run", "names"),
    [
        (
            "grpo-qwen2.5-7b-2n8g-megatron-sglang-noncolo-nccl",
            {
                "advantages/mean": "advantage_mean",
                "approx_entropy": "entropy_sampled",
                "gen_kl_error": "kl_mismatch",
                "kl_penalty": "kl_mean",
                "max_gen_tokens_per_sample": "response_len_max",
                "mean_gen_tokens_per_sample": "response_len_mean",
                "mean_prompt_length": "prompt_len_mean",
                "performance/samples_per_sec": "samples_per_second",
                "performance/tokens_per_sec": "tokens_per_second",
                "performance/tokens_per_sec_per_gpu": "tokens_per_second_gpu",
                "probs_ratio": "ratio_mean",
                "reward": "reward_mean",
                "sampling_importance_ratio": "mismatch_ratio_mean",
                "timing/train/total_step_time": "step_time",
                "total_num_tokens": "tokens_step",
            },
        ),
        (
            "dpo-nanov3-30B3AB-2n8g-fsdp2-cpuoffload",
            {
                "rewards_chosen_mean": "reward_chosen",
                "rewards_rejected_mean": "reward_rejected",
                "timing/train/total_step_time": "step_time",
            },
        ),
    ],
)
def test_the_keys_of_a_real_run_of_nemo_rl_are_given_their_names(run: str, names: dict[str, str]) -> None:
    """Those whose meaning is known, and no others; percentages and complements keep their own."""
    path = REAL / f"nemo-rl/NVIDIA-NeMo__RL/tests/test_suites/llm/{run}/metrics.json"
    keys = [key.removeprefix("train/") for key in json.loads(path.read_bytes()) if not key.startswith("validation")]

    assert renamed("nemo_rl", run.partition("-")[0], keys) == names


OPENRLHF = {
    "ppo_sync": {
        "group_reward_std": "reward_group_std",
        "ppo_kl": "kl_old",
        "entropy_loss": "entropy_mean",
        "kl": "kl_mean",
        "ppo_clip_ratio": "clip_frac",
        "actor_grad_norm": "grad_norm",
        "actor_lr": "lr",
        "rollout/reward_mean": "reward_mean",
        "rollout/reward_std": "reward_std",
        "rollout/response_length_mean": "response_len_mean",
        "rollout/truncated_rate": "truncation_rate",
        "timing/step_total": "step_time",
    },
    "dpo": {
        "acc_mean": "accuracy",
        "chosen_reward": "reward_chosen",
        "reject_reward": "reward_rejected",
    },
}
OPENRLHF["ppo_async"] = {
    **{key: name for key, name in OPENRLHF["ppo_sync"].items() if key != "entropy_loss"},
    "critic_loss": "value_loss",
    "values": "value_mean",
    "critic_lr": "value_lr",
    "critic_grad_norm": "value_grad_norm",
    "vllm_kl": "kl_mismatch",
}
OPENRLHF["rm"] = OPENRLHF["dpo"]


@needs_shared
@pytest.mark.parametrize("run", OPENRLHF)
def test_the_keys_of_a_real_run_of_openrlhf_are_given_their_names(run: str) -> None:
    """Those whose meaning is known, and no others; `reward` stays where `rollout/reward_mean` is."""
    records = [
        json.loads(line)
        for path in (SHARED / "openrlhf/samples" / run / "rec").glob("*.jsonl")
        for line in path.read_bytes().splitlines()
    ]
    keys = [key for record in records if record["kind"] == "train" for key in record["metrics"]]

    assert keys
    assert renamed("openrlhf", run.partition("_")[0], keys) == OPENRLHF[run]
