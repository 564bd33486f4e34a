"""The engine: states of alerts, effective history, what could not be judged, and what an event may hold."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rldk.alerts import RULES, Engine, check, rules_for
from rldk.alerts.findings import Passed, Unchecked
from rldk.io.problems import Problem
from rldk.metrics import METRICS
from tests.alerts.runs import events, fired, judged, noisy, point, ramp, verdict

_GOOD: dict[str, Any] = {
    "reward_mean": ramp(0.2, 0.6, 0, 300),
    "grad_norm": noisy(1, 0.1),
    "entropy_mean": ramp(1.0, 0.7, 0, 300),
}


def _nan_from(first: int, last: int = 10**9) -> dict[str, Any]:
    return {**_GOOD, "loss": lambda step: math.nan if first <= step <= last else 0.5 + step % 7 / 100}


def test_an_alert_fires_once_gets_worse_and_is_resolved() -> None:
    """A NaN loss is a warning at once, critical when it is the second, and resolved ten good points later."""
    changes, found = judged(events(100, **_nan_from(50, 51)))

    mine = [(each.severity, each.state, each.last_step, each.fired_step) for each in changes if each.metric == "loss"]
    assert mine == [
        ("warning", "firing", 50, 50),
        ("critical", "firing", 51, 50),
        ("critical", "resolved", 51, 50),
    ]
    assert found.health == "good"
    assert [alert.state for alert in found.alerts if alert.rule == "non_finite"] == ["resolved"]
    assert found.sentence.startswith("Nothing is wrong any more: ")
    assert found.sentence.endswith(" could not be checked; resolved: non_finite.")


def test_the_verdict_names_what_is_wrong() -> None:
    """The sentence, the health and the alert say since when and what was there before."""
    found = verdict(events(100, **_nan_from(60)))

    alert = found.alerts[0]
    assert found.health == "bad"
    assert found.sentence == alert.message
    assert alert.message == "loss is nan since step 60, 40 times; the last number before was 0.53."
    assert (alert.rule, alert.severity, alert.first_step, alert.last_step) == ("non_finite", "critical", 60, 99)
    assert (alert.value, alert.baseline, alert.evidence) == (None, pytest.approx(0.53), {"value": "nan", "count": 40})
    assert alert.advice
    assert alert.references


def test_a_verdict_may_be_asked_for_at_any_time() -> None:
    """Asking twice changes nothing, and the run may go on."""
    engine = Engine()
    for event in events(60, **_nan_from(50)):
        engine.add(event)

    first, second = engine.finish(), engine.finish()

    assert first == second
    assert [alert.rule for alert in engine.firing] == ["non_finite"]
    engine.add(point(60, {"loss": math.nan}))
    assert engine.finish().alerts[0].evidence["count"] == 11


def test_what_is_cut_off_is_forgotten() -> None:
    """An alert on steps that a later attempt replaced is taken back, and the run judged without them."""
    good = list(events(100, **_nan_from(1000)))
    broken = [
        point(step, {"loss": math.nan, "reward_mean": 0.3 + step % 9 / 100}, attempt=1) for step in range(100, 150)
    ]
    first = [*(point(event.step, event.metrics, attempt=1) for event in good), *broken]
    second = [
        point(event.step, event.metrics, attempt=2, resumed_from=99)
        for event in events(200, **_nan_from(1000))
        if event.step >= 100
    ]

    changes, found = judged([*first, *second])

    states = [(alert.rule, alert.state) for alert in changes if alert.severity == "critical"]
    assert states == [("non_finite", "firing"), ("non_finite", "resolved")]
    assert found.health == "good"
    assert [(alert.rule, alert.message) for alert in found.alerts] == [
        ("rewound", "Attempt 2 took over at step 100: steps 100 to 149 of the attempt before no longer count."),
    ]
    assert (found.points, found.steps) == (200, (0, 199))


@pytest.mark.parametrize("kept", [5, 20, 49])
def test_a_run_may_be_rewound_further_than_single_values_are_kept(kept: int) -> None:
    """Metrics that the new attempt does not log are judged by what was kept of them, be it ever so little."""
    names = [name.replace("<f>", "answer") for name in METRICS]
    before = [point(step, dict.fromkeys(names, 0.5), attempt=1) for step in range(kept + 70)]
    after = [point(step, {"loss": 1.0}, attempt=2, resumed_from=kept - 1) for step in range(kept, kept + 60)]

    found = verdict([*before, *after], rules=RULES)

    assert (found.points, found.steps) == (kept + 60, (0, kept + 59))


def test_a_log_without_attempts_that_goes_back_has_a_seam() -> None:
    """In a foreign log a step that goes back begins an attempt, and late events of replaced ones are left out."""
    metrics = {"reward_mean": 0.5}
    run = [point(step, metrics) for step in (0, 1, 2, 3, 2, 3, 4)]

    found = verdict(run)

    assert (found.points, found.steps) == (5, (0, 4))
    assert [alert.rule for alert in found.alerts] == ["rewound"]


def test_events_of_a_replaced_attempt_are_left_out() -> None:
    """An attempt that is over says nothing any more."""
    run = [
        point(1, {"loss": 1.0}, attempt=1),
        point(1, {"loss": 1.0}, attempt=2, resumed_from=0),
        point(2, {"loss": math.nan}, attempt=1),
    ]

    assert verdict(run).steps == (1, 1)


def test_the_effective_history_gives_the_same_verdict() -> None:
    """Whether the cut branch is given or not, findings, stories and what passed are the same."""
    metrics = {"reward_mean": noisy(0.5, 0.01), "grad_norm": noisy(1.0, 0.01)}
    kept = [point(event.step, event.metrics, attempt=1) for event in events(60, **metrics)]
    cut = [point(step, {"reward_mean": -5.0, "grad_norm": 1e9}, attempt=1) for step in range(60, 90)]
    rest = [
        point(event.step, event.metrics, attempt=2, resumed_from=59)
        for event in events(120, **metrics)
        if event.step > 59
    ]

    full, effective = verdict([*kept, *cut, *rest]), verdict([*kept, *rest])

    assert [each.rule for each in full.passed] == [each.rule for each in effective.passed]
    assert [each.rule for each in full.alerts] == [each.rule for each in effective.alerts]


def test_what_cannot_be_judged_is_said() -> None:
    """A rule that misses a metric names it, one with too few points says how many, the others have passed."""
    found = verdict(events(12, reward_mean=noisy(0.5, 0.1), grad_norm=noisy(1, 0.1)))

    unchecked = {each.rule: each for each in found.unchecked}
    assert unchecked["kl_runaway"] == Unchecked(
        rule="kl_runaway", why="not applicable: needs kl_mean", missing=("kl_mean",)
    )
    assert unchecked["reward_collapse"] == Unchecked(
        rule="reward_collapse", why="insufficient data: 12 of 20 points of reward_mean"
    )
    assert unchecked["entropy_collapse"].why == "not applicable: needs entropy_mean or entropy_sampled"
    assert Passed(rule="dead_gradient", points=12) in found.passed


def test_every_rule_is_accounted_for() -> None:
    """Each rule has passed, has found something, or says why it could not judge; never two of these."""
    found = verdict(events(200, **_nan_from(100)))

    said = [each.rule for each in (*found.passed, *found.unchecked)] + list({each.rule for each in found.alerts})
    assert sorted(said) == sorted(rule.name for rule in RULES)


def test_what_rests_on_broken_data_is_not_judged() -> None:
    """While a metric is no number, rules that need it say so and find nothing."""
    run = [
        point(step, {"reward_mean": 0.1 + step / 50 if step < 50 else None, "grad_norm": 1.0}) for step in range(100)
    ]

    found = verdict(run)

    unchecked = {each.rule: each.why for each in found.unchecked}
    assert unchecked["reward_collapse"] == "not judged: reward_mean is no number at the end, 50 times"
    assert {alert.rule for alert in found.alerts} == {"null_values"}


def test_nothing_is_no_verdict() -> None:
    """A run without events, or without anything that rules know, is not called healthy."""
    assert Engine().finish().health == "unknown"
    found = verdict(events(20, mood=noisy(1, 0.1)))
    assert (found.health, found.unknown) == ("unknown", {"mood": 20})
    assert found.sentence.startswith("Nothing of the training could be judged: ")


def test_native_keys_are_judged_by_what_they_are_taken_for() -> None:
    """A reward that nobody calls canonical is judged as one, and the verdict says so."""
    run = [point(step, {"reward": 0.5, "rewards/format/mean": 0.1, "mood": 1}) for step in range(30)]

    found = verdict(run)

    assert found.taken_for == {"reward": "reward_mean", "rewards/format/mean": "reward_component/format"}
    assert found.unknown == {"mood": 30}
    assert "reward_constant" in {alert.rule for alert in found.alerts}


def test_a_canonical_name_wins_over_one_that_is_taken_for_it() -> None:
    """Beside the real one, a key of a similar name is not judged."""
    run = [point(step, {"reward_mean": 0.5 + step / 100, "reward": math.nan}) for step in range(30)]

    found = verdict(run)

    assert found.taken_for == {}
    assert found.health == "good"


def test_unreadable_records_are_told() -> None:
    """A torn end and a bad line, told by the reader, are findings with their place."""
    engine = Engine()
    for event in events(30, **_GOOD):
        engine.add(event)

    torn = engine.note(Problem("torn_tail", "a newline", "34 bytes without one", line=201, byte=99), "x.jsonl")
    bad = engine.note(Problem("bad_json", "JSON", "a comma", line=7), "x.jsonl")

    assert [alert.message for alert in torn] == [
        "The log ends in a torn record at x.jsonl:201: expected a newline, found 34 bytes without one."
    ]
    assert [alert.message for alert in bad] == [
        "A record cannot be read, first at x.jsonl:7: expected JSON, found a comma."
    ]


def test_neither_other_ranks_nor_bad_lines_count_twice() -> None:
    """What is counted of the own rank is not counted again when something else comes between."""
    engine = Engine()
    for step in range(9):
        engine.add(point(step, {"grad_norm": 0.0, "loss": math.nan}, rank=0))
        engine.add(point(step, {"grad_norm": 0.0}, rank=1))
        engine.note(Problem("bad_json", "JSON", "a comma"))

    found = {alert.rule: alert for alert in engine.finish().alerts}

    assert "dead_gradient" not in found
    assert found["non_finite"].evidence["count"] == 9


def test_the_lowest_rank_is_judged() -> None:
    """When a lower rank turns up, it is the one that is judged."""
    engine = Engine()
    engine.add(point(1, {"loss": math.nan}, rank=1))
    for step in range(1, 20):
        engine.add(point(step, {"loss": 0.5}, rank=0))
        engine.add(point(step, {"loss": math.nan}, rank=1))

    assert engine.finish().points == 19
    assert not [alert for alert in engine.finish().alerts if alert.rule == "non_finite"]


def test_check_yields_what_the_engine_says() -> None:
    """`check` is the engine over events, and what only the end shows comes last."""
    changes, _ = judged(events(120, **_nan_from(60)))

    assert list(check(events(120, **_nan_from(60))))[: len(changes)] == changes


def test_rules_that_do_not_apply_are_left_out() -> None:
    """What is about preference pairs is neither passed nor unchecked in a run of another algorithm."""
    found = verdict(events(30, **_GOOD), algorithm="grpo")

    said = {each.rule for each in (*found.passed, *found.unchecked)}
    assert said == {rule.name for rule in rules_for("grpo")}
    assert "both_logps_fall" not in said


def test_equal_runs_have_one_fingerprint() -> None:
    """Runs that agree in every step have the same one, others do not, short runs have none."""
    one, same = verdict(events(30, **_GOOD)), verdict(events(30, **_GOOD))
    other = verdict(events(30, **{**_GOOD, "grad_norm": noisy(1, 0.1, seed=2)}))

    assert one.fingerprint == same.fingerprint is not None
    assert other.fingerprint != one.fingerprint
    assert verdict(events(9, **_GOOD)).fingerprint is None


_anything = st.one_of(
    st.none(),
    st.floats(),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0.0, 1.0, 1e-308, 1.7e308, -1.7e308, math.inf, math.nan]),
)
_names = [name.replace("<f>", "format") for name in METRICS] + ["reward_component/task", "clip_ratio/low_mean", "kl"]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_value_makes_the_engine_raise(data: st.DataObject) -> None:
    """Whatever numbers a log has, in whatever order of steps, ranks, attempts and phases, there is a verdict."""
    engine = Engine()
    names = data.draw(st.lists(st.sampled_from(_names), min_size=1, max_size=12, unique=True))
    pools = {name: data.draw(st.lists(_anything, min_size=1, max_size=4)) for name in names}
    count = data.draw(st.integers(1, 160))
    for step in range(count):
        info: dict[str, Any] = {}
        if data.draw(st.integers(0, 30)) == 0:
            info = data.draw(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "attempt": st.integers(1, 3),
                        "rank": st.integers(0, 2),
                        "phase": st.sampled_from(["train", "eval", "final"]),
                    },
                )
            )
        metrics = {name: pool[(step * 7 + len(name)) % len(pool)] for name, pool in pools.items()}
        phase = info.pop("phase", "train")
        engine.add(point(data.draw(st.integers(0, step + 1)) if info else step, metrics, phase=phase, **info))

    found = engine.finish()

    assert found.sentence


@pytest.mark.parametrize("algorithm", ["", "grpo", "ppo", "dpo", "sft", "dpo or cpo", "unheard_of"])
def test_any_algorithm_is_judged(algorithm: str) -> None:
    """A NaN gradient is found whatever the algorithm is called."""

    def broken(step: int) -> float:
        return math.nan if step > 10 else 1.0 + step / 100

    assert fired(events(30, grad_norm=broken), algorithm) == {"non_finite": "critical"}


def test_evaluations_are_curves_of_their_own() -> None:
    """A NaN of an evaluation is told with its phase and set, and is no matter of training."""
    (alert,) = verdict([*events(30, **_GOOD), point(29, {"loss": math.nan}, phase="eval")]).alerts

    assert (alert.rule, alert.severity, alert.phase, alert.metric) == ("non_finite", "warning", "eval", "loss")
