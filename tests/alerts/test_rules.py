"""Each rule: a run it is made for, and one that it must not be fooled by."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest

from rldk.alerts import RULES, clones, rules_for
from rldk.alerts.rules import CLONE_RUN
from rldk.metrics import METRICS, Source
from tests.alerts.runs import always, events, fired, judged, noisy, point, ramp, verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from rldk.io.event_schema import Event

_FLAT = noisy(0.5, 0.02)
_RISING = ramp(0.2, 0.9, 0, 300)


class Case(NamedTuple):
    """A run, and what a rule says of it."""

    rule: str
    severity: str | None
    """None when nothing is to be said."""
    metrics: dict[str, Callable[[int], Any]]
    algorithm: str = "grpo"
    steps: int = 300


def _spiky(*places: int) -> Callable[[int], float]:
    usual = noisy(1, 0.1)
    return lambda step: 50.0 if step in places else usual(step)


CASES = [
    Case("grad_norm_spike", "info", {"grad_norm": _spiky(100), "reward_mean": _RISING}),
    Case("grad_norm_spike", "warning", {"grad_norm": _spiky(100, 140, 180, 220), "reward_mean": _RISING}),
    Case("grad_norm_spike", None, {"grad_norm": noisy(1, 0.3), "reward_mean": _RISING}),
    # Large only beside what little is left at the end.
    Case("grad_norm_spike", None, {"grad_norm": lambda s: 0.5 if s in {250, 260, 270} else 5 * 0.97**s}, "sft"),
    Case("grad_norm_growth", "warning", {"grad_norm": ramp(1, 8, 100, 200), "reward_mean": _FLAT}),
    Case("grad_norm_growth", None, {"grad_norm": ramp(1, 8, 0, 300), "reward_mean": _RISING}),
    Case("dead_gradient", "critical", {"grad_norm": lambda s: 1.0 if s < 100 else 0.0}),
    Case("dead_gradient", "warning", {"grad_norm": lambda s: 0.0 if s % 2 else 1.0 + s / 1e3}),
    Case("dead_gradient", None, {"grad_norm": lambda s: 1e-4 if s > 100 else 1.0}),
    Case("lr_anomaly", "warning", {"lr": lambda s: 0.0 if s > 150 else 1e-6}),
    Case("lr_anomaly", "warning", {"lr": lambda s: 1e-5 if s > 150 else 1e-6 * (1 - s / 300)}),
    Case("lr_anomaly", None, {"lr": lambda s: 1e-6 * max(0.0, 1 - s / 299)}),
    Case("lr_anomaly", None, {"lr": lambda s: 1e-6 * min(s + 1, 60) / 60}),
    Case("lr_anomaly", None, {"lr": always(0.0)}),
    Case("update_too_large", "warning", {"kl_old": noisy(0.2, 0.02)}),
    Case("update_too_large", "critical", {"ratio_mean": lambda s: 1.0 if s < 290 else 7.0}),
    Case("update_too_large", None, {"kl_old": noisy(0.01, 0.003), "ratio_mean": noisy(1, 0.01)}),
    Case("clip_saturated", "warning", {"clip_frac": ramp(0.05, 0.4, 50, 150)}),
    Case("clip_saturated", "critical", {"clip_frac": ramp(0.05, 0.7, 50, 150)}),
    Case("clip_saturated", None, {"clip_frac": noisy(0.2, 0.03)}),
    Case(
        "clip_one_sided", "info", {"clip_ratio__low_mean": noisy(0.06, 0.005), "clip_ratio__high_mean": noisy(0.01, 0)}
    ),
    Case(
        "clip_one_sided",
        "warning",
        {
            "clip_ratio__low_mean": noisy(0.2, 0.01),
            "clip_ratio__high_mean": noisy(0.01, 0.001),
            "entropy_mean": ramp(1, 0.5, 0, 300),
        },
    ),
    Case("clip_dead", "info", {"clip_frac": always(0.0)}),
    Case("clip_dead", None, {"clip_frac": noisy(0.01, 0.001)}),
    Case("ratio_not_one_first", "info", {"ratio_mean": always(1.01)}),
    Case("ratio_not_one_first", None, {"ratio_mean": lambda s: 1.0 + s / 1e4}),
    Case("loss_diverging", "critical", {"loss": ramp(1, 8, 150, 250)}, "sft"),
    Case("loss_diverging", None, {"loss": ramp(2, 0.5, 0, 300, 0.2)}, "sft"),
    Case("loss_diverging", None, {"loss": ramp(0.01, 8, 150, 250), "reward_mean": _RISING}, ""),
    Case("kl_spike", "info", {"kl_mean": lambda s: 9.0 if s == 200 else 0.05 + (s % 5) / 200}),
    Case("kl_spike", "warning", {"kl_mean": lambda s: 9.0 if s > 296 else 0.05 + (s % 5) / 200}),
    Case("kl_runaway", "critical", {"kl_mean": lambda s: 0.01 + (s / 100) ** 3, "reward_mean": _FLAT}),
    Case("kl_runaway", None, {"kl_mean": lambda s: 0.05 * math.sqrt(s), "reward_mean": _RISING}),
    Case("kl_runaway", None, {"kl_mean": lambda s: 1e-4 * s, "reward_mean": _FLAT}),
    Case("kl_nonzero_at_start", "info", {"kl_mean": always(0.02)}),
    Case("kl_nonzero_at_start", "warning", {"kl_mean": always(0.5)}),
    Case("kl_nonzero_at_start", None, {"kl_mean": lambda s: s / 1000}),
    Case("kl_negative", "warning", {"kl_mean": noisy(-0.05, 0.01)}),
    Case("kl_negative", None, {"kl_mean": noisy(0, 0.01)}),
    Case("kl_flat_zero", "info", {"kl_mean": always(0.0)}),
    Case("reward_stalled", "warning", {"reward_mean": _FLAT}),
    Case("reward_stalled", "info", {"reward_mean": ramp(0.1, 0.6, 0, 60)}),
    Case("reward_stalled", "warning", {"reward_mean": ramp(0.1, 0.6, 0, 60), "eval__accuracy": noisy(0.5, 0.01)}),
    Case("reward_stalled", "info", {"reward_mean": ramp(0.1, 0.97, 0, 60, 0.005), "eval__accuracy": noisy(0.9, 0.01)}),
    Case("reward_stalled", None, {"reward_mean": _RISING}),
    Case("reward_collapse", "critical", {"reward_mean": lambda s: (s / 150 if s < 150 else 0.1) + _FLAT(s) / 10}),
    Case("reward_collapse", "warning", {"reward_mean": lambda s: (s / 150 if s < 150 else 0.5) + _FLAT(s) / 10}),
    Case("reward_collapse", None, {"reward_mean": noisy(0.5, 0.3)}),
    Case("reward_collapse", None, {"reward_mean": lambda s: 0.0 if s in {200, 201, 202} else s / 300}),
    Case("zero_signal_groups", "critical", {"frac_zero_std_groups": lambda s: 1.0 if s > 290 else 0.2}),
    Case("zero_signal_groups", "warning", {"frac_zero_std_groups": noisy(0.7, 0.03), "reward_mean": _FLAT}),
    Case("zero_signal_groups", "info", {"frac_zero_std_groups": noisy(0.7, 0.03), "reward_mean": _RISING}),
    Case("zero_signal_groups", "warning", {"frac_zero_std_groups": always(1.0), "reward_mean": noisy(0.97, 0.005)}),
    Case(
        "zero_signal_groups",
        "critical",
        {"frac_all_bad_groups": noisy(0.95, 0.01), "frac_all_good_groups": always(0.0)},
    ),
    Case("zero_signal_groups", None, {"frac_zero_std_groups": noisy(0.3, 0.05)}),
    Case("reward_std_vanishing", "warning", {"reward_std": ramp(0.5, 0.01, 100, 200), "reward_mean": _FLAT}),
    Case("reward_std_vanishing", "info", {"reward_std": ramp(0.5, 0.01, 0, 200), "reward_mean": noisy(0.97, 0.005)}),
    Case("reward_constant", "critical", {"reward_mean": lambda s: 0.25 if s > 285 else _RISING(s)}),
    Case("reward_constant", "info", {"reward_mean": lambda s: min(s * 5.0 + s % 3, 500.0)}),
    Case("reward_constant", None, {"reward_mean": lambda s: float((s * 7919) % 13 > 5)}),
    Case(
        "reward_hacking_suspect",
        "critical",
        {"reward_mean": _RISING, "eval__accuracy": ramp(0.6, 0.2, 100, 300)},
    ),
    Case("reward_hacking_suspect", "warning", {"reward_mean": _RISING, "eval__accuracy": noisy(0.4, 0.01)}),
    Case("reward_hacking_suspect", None, {"reward_mean": _RISING, "eval__accuracy": ramp(0.15, 0.7, 0, 300)}),
    Case(
        "reward_hacking_suspect",
        "info",
        {"reward_mean": _RISING, "kl_mean": lambda s: (s / 300) ** 3, "response_len_mean": ramp(100, 300, 0, 300)},
    ),
    Case("component_conflict", "warning", {"reward_mean": _RISING, "reward_component__answer": ramp(0.5, 0.1, 0, 300)}),
    Case("component_conflict", "info", {"reward_mean": _RISING, "reward_component__format": ramp(0.5, 0.1, 0, 300)}),
    Case("component_conflict", None, {"reward_mean": _RISING, "reward_component__answer": _RISING}),
    Case("component_constant", "info", {"reward_component__format": always(1.0), "reward_component__answer": _RISING}),
    Case(
        "component_constant",
        "warning",
        {"reward_component__format": _RISING, "reward_component__answer": always(0.0)},
    ),
    Case(
        "component_domination",
        "warning",
        {"reward_component__format": noisy(0.6, 0.1), "reward_component__answer": noisy(0.02, 0.01)},
    ),
    Case(
        "component_domination",
        None,
        {"reward_component__format": noisy(0.9, 0.01), "reward_component__answer": noisy(0.4, 0.1)},
    ),
    Case("entropy_collapse", "warning", {"entropy_mean": ramp(1, 0.05, 0, 200), "reward_mean": _FLAT}),
    Case(
        "entropy_collapse", "critical", {"entropy_mean": ramp(1, 0.05, 0, 200), "reward_mean": ramp(0.6, 0.3, 0, 300)}
    ),
    Case("entropy_collapse", "info", {"entropy_mean": ramp(1, 0.1, 0, 200), "reward_mean": _RISING}),
    Case(
        "entropy_collapse",
        "info",
        {"entropy_mean": ramp(1, 0.02, 0, 200), "reward_mean": ramp(0.3, 0.98, 0, 100, 0.002)},
    ),
    Case("entropy_collapse", "warning", {"entropy_sampled": ramp(1, 0.05, 0, 200)}),
    Case("entropy_explosion", "warning", {"entropy_mean": ramp(1, 4, 100, 200), "reward_mean": _FLAT}),
    Case("entropy_explosion", "critical", {"entropy_mean": ramp(1, 9, 100, 200), "reward_mean": _FLAT}),
    Case("entropy_explosion", "info", {"entropy_mean": ramp(1, 4, 0, 300), "reward_mean": _RISING}),
    Case("length_explosion", "warning", {"response_len_mean": ramp(200, 900, 50, 250), "reward_mean": _FLAT}),
    Case("length_explosion", "info", {"response_len_mean": ramp(200, 900, 0, 300), "reward_mean": _RISING}),
    Case("truncation_saturated", "warning", {"truncation_rate": ramp(0.01, 0.35, 50, 250)}),
    Case("truncation_saturated", "critical", {"truncation_rate": noisy(0.7, 0.02)}),
    Case("truncation_saturated", "info", {"truncation_rate": ramp(0.9, 0.3, 0, 300)}),
    Case("truncation_saturated", None, {"truncation_rate": noisy(0.05, 0.02)}),
    Case("length_collapse", "warning", {"response_len_mean": ramp(300, 60, 50, 200)}),
    Case("length_collapse", None, {"response_len_mean": ramp(300, 150, 50, 200)}),
    Case(
        "length_gap",
        "info",
        {"correct_seq_len__avg": noisy(200, 5), "incorrect_seq_len__avg": ramp(250, 700, 0, 300)},
        "",
    ),
    Case("critic_useless", "warning", {"explained_variance": noisy(-0.2, 0.05)}, "ppo"),
    Case("critic_useless", None, {"explained_variance": ramp(-0.5, 0.8, 0, 100)}, "ppo"),
    Case("value_loss_explosion", "critical", {"value_loss": ramp(0.1, 30, 100, 250), "reward_mean": _FLAT}, "ppo"),
    Case("value_loss_explosion", None, {"value_loss": ramp(0.1, 30, 0, 300), "reward_mean": _RISING}, "ppo"),
    Case("prob_mismatch", "critical", {"kl_mismatch": noisy(1.3, 0.1)}),
    Case("prob_mismatch", "warning", {"training__rollout_probs_diff_mean": noisy(0.02, 0.001)}),
    Case("prob_mismatch", "warning", {"training__rollout_actor_probs_pearson_corr": noisy(0.9, 0.005)}),
    Case("prob_mismatch", None, {"kl_mismatch": noisy(1e-3, 1e-4), "token_mult_prob_error": noisy(1.01, 0.002)}),
    Case("mismatch_growth", "warning", {"kl_mismatch": ramp(1e-3, 2e-2, 50, 300)}),
    Case("mismatch_growth", None, {"kl_mismatch": ramp(1e-5, 5e-4, 50, 300)}),
    Case("is_degenerate", "warning", {"mismatch_ratio_mean": noisy(0.3, 0.02)}),
    Case("is_degenerate", "warning", {"rollout_corr__rollout_is_eff_sample_size": noisy(0.2, 0.01)}),
    Case("is_degenerate", None, {"mismatch_ratio_mean": noisy(0.95, 0.02)}),
    Case(
        "weights_not_synced",
        "warning",
        {"kl_mismatch": lambda s: 0.0 if s < 2 else 0.09 + s % 3 / 100, "reward_mean": _FLAT},
    ),
    Case(
        "both_logps_fall",
        "warning",
        {"reward_chosen": ramp(-0.01, -6, 0, 300), "reward_rejected": ramp(-0.01, -9, 0, 300)},
        "dpo",
    ),
    Case(
        "both_logps_fall",
        None,
        {"reward_chosen": ramp(0.01, 1, 0, 300), "reward_rejected": ramp(-0.01, -2, 0, 300)},
        "dpo",
    ),
    Case("dpo_overfit", "info", {"accuracy": ramp(0.5, 1, 0, 100, 0.001), "loss": ramp(0.69, 0.001, 0, 100)}, "dpo"),
    Case("start_not_neutral", "warning", {"margin": noisy(0.9, 0.01)}, "dpo"),
    Case("start_not_neutral", None, {"margin": ramp(0.001, 1, 0, 300)}, "dpo"),
    Case("preference_inverted", "warning", {"accuracy": noisy(0.3, 0.05)}, "dpo"),
    Case("preference_inverted", None, {"accuracy": noisy(0.5, 0.1)}, "dpo"),
    Case("slowdown", "warning", {"step_time": ramp(10, 30, 100, 150)}),
    Case("slowdown", None, {"step_time": ramp(10, 30, 0, 300), "response_len_mean": ramp(100, 320, 0, 300)}),
    Case("slowdown", "warning", {"tokens_per_second": ramp(1000, 300, 100, 150)}),
    Case(
        "seqlen_imbalance", "info", {"global_seqlen__minmax_diff": noisy(60, 1), "global_seqlen__mean": noisy(100, 1)}
    ),
    Case("quantised_loss", "info", {"loss": always(0.0), "grad_norm": noisy(1, 0.1)}),
    Case("quantised_loss", None, {"loss": noisy(1, 0.1), "grad_norm": noisy(1, 0.1)}),
    Case("non_finite", "critical", {"grad_norm": lambda s: math.nan if s > 100 else 1.0 + s / 100}),
    Case("non_finite", "info", {"explained_variance": lambda s: math.nan if s > 290 else s / 300}, "ppo"),
    Case("null_values", "critical", {"loss": lambda s: None if s > 290 else 1.0 + s / 100}),
    Case("null_values", None, {"loss": always(None)}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.severity}")
def test_a_rule_finds_what_it_is_for_and_no_more(case: Case) -> None:
    """A made-up run, and the severity with which the rule fires at its end, if it does."""
    found = fired(events(case.steps, **case.metrics), case.algorithm)

    assert found.get(case.rule) == case.severity


def _attempts(*steps: range, **metrics: Callable[[int], Any]) -> list[Event]:
    return [
        point(step, {name: make(step) for name, make in metrics.items()}, attempt=attempt)
        for attempt, each in enumerate(steps, 1)
        for step in each
    ]


def _with(event: Event, **changes: Any) -> Event:
    return msgspec.structs.replace(event, **changes)


def test_seams() -> None:
    """A reward that is lower and a rate that is higher behind a seam are told, each with the seam."""
    before = _attempts(range(100), reward_mean=noisy(0.5, 0.01), lr=always(1e-6))
    after = [
        _with(event, model_info={**event.model_info, "attempt": 2})
        for event in _attempts(range(80, 120), reward_mean=noisy(-0.5, 0.01), lr=always(1e-5))
    ]

    alerts = {(alert.rule, alert.metric): alert for alert in verdict([*before, *after], "grpo").alerts}

    assert alerts["rewound", None].message == (
        "Attempt 2 took over at step 80: steps 80 to 99 of the attempt before no longer count."
    )
    assert alerts["seam_jump", "lr"].message == (
        "lr goes from 1e-06 to 1e-05 where attempt 2 took over at step 80: the schedule was not restored."
    )
    assert alerts["seam_jump", "reward_mean"].first_step == 80


def test_a_rate_that_is_no_number_has_not_jumped() -> None:
    """NaN at a seam is the finding of another rule."""
    before = _attempts(range(10), range(10, 20), lr=lambda step: math.nan if step < 10 else 1e-6)

    assert {alert.rule for alert in verdict(before, "grpo").alerts} == {"rewound", "non_finite"}


def test_a_restart_loop() -> None:
    """Three attempts that get no further are a warning, two are not."""
    twice = _attempts(range(10), range(10), loss=lambda step: 1.0 + step)
    thrice = _attempts(range(10), range(10), range(10), range(1), loss=lambda step: 1.0 + step)

    assert "restart_loop" not in fired(twice)
    assert fired(thrice)["restart_loop"] == "warning"


def test_a_gap_between_attempts() -> None:
    """Steps between the end of one log and the checkpoint that the next began with are told."""
    first = _attempts(range(20), loss=noisy(1, 0.1))
    second = [point(step, {"loss": 1.0}, attempt=2, resumed_from=49) for step in range(50, 60)]

    alert = next(each for each in verdict([*first, *second]).alerts if each.rule == "seam_gap")

    assert alert.message == (
        "Attempt 2 continued after step 49, but the log of the attempt before ends at step 19: 30 steps are in no log."
    )


def test_steps_that_go_back_within_an_attempt() -> None:
    """In a log that names its attempts, a step that goes back is two writers."""
    run = _attempts(range(10), loss=noisy(1, 0.1)) + _attempts(range(5, 8), loss=noisy(1, 0.1))

    alert = next(each for each in verdict(run).alerts if each.rule == "step_back")

    assert alert.message == "The step goes back from 9 to 5 within one attempt, and 2 times more."


@pytest.mark.parametrize(("other", "severity"), [(0.0, "info"), (0.5, "warning")])
def test_points_that_came_twice(other: float, severity: str) -> None:
    """Points logged twice are harmless with equal values, and a warning when many differ."""
    run = [point(step, {"loss": 1.0 + extra}) for step in range(40) for extra in (0.0, other)]

    assert fired(run)["duplicates"] == severity


def test_an_evaluation_is_no_duplicate() -> None:
    """An evaluation, and a second log of other metrics, at a step of training are part of it."""
    run: list[Event] = []
    for step in range(30):
        run += [
            point(step, {"loss": 1.0 + step}),
            point(step, {"mood": 1.0}),
            point(step, {"loss": 1.5}, phase="eval"),
        ]

    assert "duplicates" not in fired(run)


def test_missing_events() -> None:
    """Notes on dropped events and gaps in `seq` are told, and not counted twice."""
    run = [_with(event, seq=event.step) for event in _attempts(range(20), loss=noisy(1, 0.1))]
    noted = _with(point(37, {"loss": 1.0}, attempt=1), seq=37, notes=["events_dropped: 17, seq 20-36"])

    alert = next(each for each in verdict([*run, noted]).alerts if each.rule == "missing_events")

    assert alert.message == "17 events are missing: the recorder could not write them."
    assert alert.evidence == {"dropped": 17, "gaps": 0}
    unexplained = _with(noted, notes=[])
    alert = next(each for each in verdict([*run, unexplained]).alerts if each.rule == "missing_events")
    assert alert.message == "17 events are missing: their sequence numbers are missing."


def test_gaps_stalls_and_counters() -> None:
    """A long stride, a long pause and a counter that goes back are worth knowing, no more."""
    run = []
    for place in range(60):
        step = place if place < 40 else place + 100
        seconds = 10.0 * place + (4000 if place >= 50 else 0)
        metrics = {"tokens_total": 100.0 * place if place < 30 else 100.0 * (place - 30)}
        run.append(_with(point(step, metrics), wall_time=seconds))

    alerts = {alert.rule: alert for alert in verdict(run).alerts}

    assert alerts["gaps"].message == "100 steps were not logged before step 140."
    assert alerts["stalls"].message == "A pause of 4.01e+03 s before step 150, where 10 s are usual."
    assert alerts["counter_reset"].message == (
        "tokens_total goes back from 2,900 to 0 at step 30, where no attempt began."
    )
    assert {alert.severity for alert in alerts.values()} == {"info"}


def test_ranks_that_disagree() -> None:
    """Another gradient on another rank is found after three points, and a rank that falls silent later."""
    run: list[Event] = []
    for step in range(60):
        run.append(point(step, {"grad_norm": 1.0 + step / 100, "lr": 1e-6}, rank=0))
        if step < 30:
            gradient = 1.0 + step / 100 if step < 10 else 9.0
            run.append(point(step, {"grad_norm": gradient, "lr": 1e-6}, rank=3))

    changes, found = judged(run)

    first = next(alert for alert in changes if alert.rule == "rank_disagreement")
    assert (first.first_step, first.severity, first.evidence["rank"]) == (12, "warning", 3)
    silent = next(alert for alert in found.alerts if alert.rule == "rank_silent")
    assert silent.message == "Rank 3 has logged nothing for 30 steps, since step 29."


def test_ranks_that_agree() -> None:
    """Ranks that log the same say nothing."""
    run = [point(step, {"grad_norm": 1.0 + step / 100}, rank=rank) for step in range(60) for rank in (0, 1)]

    assert fired(run) == {}


def test_ranks_that_agree_in_nan() -> None:
    """A gradient that is NaN on every rank is broken, but no rank differs from another."""
    run = [point(step, {"grad_norm": math.nan}, rank=rank) for step in range(10) for rank in (0, 1)]

    assert {*fired(run)} == {"non_finite"}


def test_a_loss_that_the_trainer_hides() -> None:
    """The trainer's note that a NaN loss is shown as 0 is part of the evidence."""
    run = list(events(20, grad_norm=noisy(1, 0.1)))
    note = "loss_filtered: loss 0 beside grad_norm nan is not to be trusted"
    run += [_with(point(step, {"grad_norm": math.nan, "loss": 0.0}), notes=[note]) for step in (20, 21)]

    alert = next(each for each in verdict(run).alerts if each.rule == "non_finite")

    assert alert.evidence["loss_filtered"] == "the trainer shows a NaN loss as 0.0"


def test_an_overflow_of_mixed_precision_is_no_fault() -> None:
    """A gradient that is infinite once is a step that was skipped."""
    gradient = noisy(1, 0.1)

    changes, _ = judged(events(60, grad_norm=lambda step: math.inf if step == 3 else gradient(step)))

    assert [(alert.rule, alert.severity, alert.state) for alert in changes] == [
        ("non_finite", "info", "firing"),
        ("non_finite", "info", "resolved"),
    ]


def test_an_estimator_that_cannot_be_negative() -> None:
    """With k3 a single negative value is a fault, with k1 it is noise."""
    source = Source("kl", "kl_mean", "trl", estimator="k3", versus="reference policy")
    divergence = noisy(0.01, 0.01)
    run = list(events(100, kl_mean=divergence))

    assert fired(run, semantics={"kl": source})["kl_negative"] == "warning"
    assert "kl_negative" not in fired(run)


def test_an_evaluation_that_gets_worse_while_all_pairs_are_told_apart() -> None:
    """Overfitting is a warning when the loss of the evaluation rises."""
    run = list(events(100, accuracy=ramp(0.5, 1, 0, 50, 0.001), loss=ramp(0.69, 0.001, 0, 50)))
    run += [point(99, {"loss": 0.5 + step / 10}, phase="eval") for step in range(1)]
    for place, event in enumerate(list(run[:100:10])):
        run.insert(11 * place + 10, point(event.step + 9, {"loss": 0.5 + place / 5}, phase="eval"))

    assert fired(run, "dpo")["dpo_overfit"] == "warning"


def test_clones() -> None:
    """Of runs that agree in every step each but the first is told; other runs are not."""

    def run(name: str, seed: int) -> list[Event]:
        return [
            _with(event, model_info={**event.model_info, "run_id": name})
            for event in events(30, loss=noisy(1, 0.1, seed))
        ]

    verdicts = [verdict(run(name, seed)) for name, seed in (("a", 1), ("b", 2), ("c", 1))]

    (alert,) = clones(verdicts)

    assert alert.message == "c agrees with a in all 30 points."
    assert (alert.rule, alert.severity) == (CLONE_RUN.name, "warning")
    assert clones([verdicts[0], verdicts[0]]) == []


def test_rules_say_all_that_their_page_needs() -> None:
    """Each rule has a summary, a reason, advice, references, and names no metric that could not be logged."""
    for rule in (*RULES, CLONE_RUN):
        assert rule.summary.endswith("."), rule.name
        assert rule.why.endswith("."), rule.name
        assert rule.advice.endswith("."), rule.name
        assert rule.references, rule.name
        for name in (*rule.needs, *rule.one_of):
            assert name in METRICS or "/" in name or name == "token_mult_prob_error", (rule.name, name)
    names = [rule.name for rule in RULES]
    assert len(names) == len(set(names))


def test_every_rule_is_tested() -> None:
    """Each rule stands in the table above or has a test of its own."""
    own = {
        *("rewound", "restart_loop", "seam_gap", "seam_jump", "step_back", "duplicates", "torn_record"),
        *("unreadable_records", "missing_events", "gaps", "stalls", "counter_reset", "rank_disagreement"),
        "rank_silent",
    }

    assert {rule.name for rule in RULES} == {case.rule for case in CASES} | own


@pytest.mark.parametrize("algorithm", ["grpo", "ppo", "dpo", "sft"])
def test_a_preset_has_only_rules_that_apply(algorithm: str) -> None:
    """No rule of a preset would be left out by the engine."""
    assert all(rule.applies(algorithm) for rule in rules_for(algorithm))
