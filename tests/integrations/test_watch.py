"""A run that is judged while it is recorded, without any trainer."""

from __future__ import annotations

import functools
import itertools
import json
import math
import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rldk.alerts.rule import Finding, Rule, stateless
from rldk.alerts.sinks import Webhook, log
from rldk.integrations.attempt import RecordedAttempt
from rldk.integrations.openrlhf import OpenRLHFCallback
from rldk.integrations.troubles import Troubles
from rldk.integrations.watch import Watch, Wish, check_watch
from rldk.io.manifest import Attempt
from rldk.io.reader import read_events
from rldk.io.segments import log_path, run_log
from tests.runs import TIMESTAMP, make_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rldk.alerts import Alert
    from rldk.alerts.record import Record


def loss_above(limit: float, **changes: Any) -> Rule:
    """A rule on the last loss."""

    def found(record: Record) -> list[Finding]:
        loss = record.train.get("loss")
        if loss is None or loss.last <= limit:
            return []
        return [Finding(severity=rule.severity, message=f"loss is {loss.last:g}.", first_step=loss.last_step)]

    texts = dict.fromkeys(("summary", "why", "advice"), "...")
    fields: dict[str, Any] = {"name": "loss_high", "group": "user", "severity": "critical", "eager": True}
    rule = Rule(**{**texts, **fields, **changes}, references=(), traps=(), make=stateless(found), needs=("loss",))
    return rule


class Recording:
    """An attempt of the run r that is judged, and what came of it."""

    def __init__(self, folder: Path, resumed_from: int | None, options: dict[str, Any]) -> None:
        self.folder = folder
        self.told: list[tuple[str, str, int]] = []
        self.troubles = Troubles(raises=options.pop("raises", False))
        watch = check_watch(**{"rules": [loss_above(10)], "on_alert": [self.tell]} | options)
        self.attempt = RecordedAttempt(
            folder,
            "r",
            rank=0,
            world_size=1,
            framework="trl",
            algorithm="grpo",
            trainer_output_dir="/checkpoints",
            facts=Attempt(attempt=0, started=TIMESTAMP, resumed_from=resumed_from),
            budget=30.0,
            troubles=self.troubles,
            watch=watch,
        )

    def tell(self, alert: Alert, run_id: str) -> None:
        """Keep what is told of the rule on the loss."""
        if alert.rule == "loss_high":
            self.told.append((run_id, alert.state, alert.last_step))

    def record(self, first: int, *losses: float) -> Recording:
        """Record some steps."""
        for step, loss in enumerate(losses, first):
            self.attempt.record(step, {"loss": loss}, phase="train", data_slice={})
        return self

    def alerts(self) -> Any:
        """What the file says of the rule on the loss."""
        found = json.loads((self.folder / "r_alerts.json").read_text())
        return [(each["state"], each["first_step"]) for each in found["alerts"] if each["rule"] == "loss_high"]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Recording]]:
    """Begins attempts, and closes them after the test."""
    begun: list[Recording] = []

    def start(resumed_from: int | None = None, **options: Any) -> Recording:
        begun.append(Recording(tmp_path, resumed_from, options))
        return begun[-1]

    yield start
    for each in begun:
        each.attempt.close("interrupted")


def test_an_alert_is_told_of_when_it_changes(begin: Callable[..., Recording]) -> None:
    """When it begins to fire and when it is over, not at each step."""
    run = begin().record(1, 1.0, 11.0, 12.0, *[2.0] * 10, 20.0)

    assert [(run_id, state) for run_id, state, _ in run.told] == [
        ("r", "firing"),
        ("r", "resolved"),
        ("r", "firing"),
    ]
    assert run.told[0] == ("r", "firing", 2)


def test_the_file_is_there_as_soon_as_there_is_an_alert(begin: Callable[..., Recording]) -> None:
    """Not before, and not only at the end: a run that is killed has it."""
    run = begin().record(1, 1.0)
    before = (run.folder / "r_alerts.json").exists()
    run.record(2, 11.0)

    assert not before
    assert run.alerts() == [("firing", 2)]


def test_the_file_is_written_no_more_than_every_ten_seconds(tmp_path: Path) -> None:
    """An alert that comes and goes at each step does not write a file at each step; what waits is written at last."""
    now = 100.0
    settings = check_watch(rules=[loss_above(10)])
    assert settings
    (tmp_path / "r_events.jsonl").touch()
    watch = Watch(
        run_log(log_path(tmp_path, "r")),
        settings,
        algorithm="grpo",
        semantics={},
        stamps={},
        troubles=Troubles(raises=True),
        clock=lambda: now,
    )
    path = tmp_path / "r_alerts.json"
    seen = []
    for step in range(1, 61):
        watch.add(make_event(step, metrics={"loss": 11.0 if step % 12 == 1 else 1.0}))
        seen.append(path.stat().st_ino)
        now += 2.0
    watch.add(make_event(61, metrics={"loss": 11.0}))
    waits = json.loads(path.read_text())["alerts"][0]["state"]
    watch.finish()

    assert 5 <= len([one for one, other in itertools.pairwise(seen) if one != other]) <= 12
    assert (waits, json.loads(path.read_text())["alerts"][0]["state"]) == ("resolved", "firing")


def test_the_derived_files_have_the_verdict(begin: Callable[..., Recording]) -> None:
    """At the end alerts.json and the final report say what was found."""
    run = begin().record(1, 1.0, 11.0)
    run.attempt.end("completed")
    final = json.loads((run.folder / "r_final_report.json").read_text())

    assert run.alerts() == [("firing", 2)]
    assert "loss_high" in [alert["rule"] for alert in final["alerts"]]
    assert final["health"] == "bad"


@pytest.mark.parametrize(
    ("on_critical", "severity", "action", "wish"),
    [
        ("warn", "critical", "", Wish()),
        ("save", "critical", "", Wish(save=True)),
        ("stop", "critical", "", Wish(stop=True)),
        ("save_and_stop", "critical", "", Wish(save=True, stop=True)),
        ("save_and_stop", "warning", "", Wish()),
        ("warn", "warning", "stop", Wish(stop=True)),
        ("save_and_stop", "critical", "warn", Wish()),
        ("stop", "critical", "save", Wish(save=True)),
    ],
)
def test_what_the_trainer_is_asked_to_do(
    begin: Callable[..., Recording], on_critical: Any, severity: str, action: str, wish: Wish
) -> None:
    """What a rule says wins; of what is critical, what the user wants; nothing else asks for anything."""
    rules = [loss_above(10, severity=severity, action=action)]
    run = begin(rules=rules, on_critical=on_critical).record(1, 1.0, 11.0)

    assert (run.attempt.take_wish(), run.attempt.take_wish()) == (wish, Wish())
    assert run.attempt.stopped_by == ("loss_high at step 2: loss is 11." if wish.stop else "")


def test_a_rule_asks_only_once(begin: Callable[..., Recording]) -> None:
    """A checkpoint at each coming and going of an alert would fill the disk."""
    run = begin(on_critical="save").record(1, 1.0, 11.0)
    first = run.attempt.take_wish()
    run.record(3, *[1.0] * 10, 11.0)

    assert (first, run.attempt.take_wish()) == (Wish(save=True), Wish())


def test_a_resumed_run_is_judged_by_all_of_it(begin: Callable[..., Recording]) -> None:
    """What earlier attempts have recorded is known: an alert that fires goes on, and is not told of again."""
    begin().record(1, 1.0, 11.0, 11.0).attempt.close("interrupted")
    run = begin(resumed_from=3).record(4, 11.0)
    run.attempt.end("completed")

    assert run.told == []
    assert run.alerts() == [("firing", 2)]


def test_what_metrics_mean_is_known_of_earlier_attempts(begin: Callable[..., Recording]) -> None:
    """A rule that asks for the estimator judges what was recorded before as it judged it then."""
    told: list[tuple[int, str]] = []
    for number, resumed_from in ((1, None), (2, 6)):
        tell = functools.partial(lambda attempt, alert, _: told.append((attempt, alert.rule)), number)
        attempt = begin(resumed_from, on_alert=[tell]).attempt
        for step in range(6 * number - 5, 6 * number + 1):
            attempt.record(step, {"kl": -0.01}, phase="train", data_slice={})
        attempt.close("completed")

    assert [each for each in told if each[1] == "kl_negative"] == [(1, "kl_negative")]


def test_a_sink_that_fails_is_counted_and_the_others_are_told(
    begin: Callable[..., Recording], caplog: pytest.LogCaptureFixture
) -> None:
    """One warning says what happened; the event is in the log, and the run is judged on."""

    def broken(_alert: Alert, _run_id: str) -> None:
        raise ZeroDivisionError("broken")

    told: list[str] = []
    run = begin(on_alert=[broken, lambda alert, _: told.append(alert.state)])
    run.record(1, 1.0, 11.0, *[1.0] * 10, 11.0)
    warnings = [record.getMessage() for record in caplog.records if record.name == "rldk.integrations.troubles"]

    assert told[:3] == ["firing", "resolved", "firing"]
    assert run.troubles.count >= 3
    assert warnings == [
        (
            "telling of an alert: ZeroDivisionError: broken; training goes on, "
            "the run is recorded, but an alert may be missing"
        )
    ]
    assert len(list(read_events(run.folder / "r_events.jsonl"))) == 13


def test_a_rule_that_fails_ends_the_judging_and_not_the_recording(
    begin: Callable[..., Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an engine remembers that has failed is not to be trusted; the report judges the log anew."""
    run = begin()
    engine = run.attempt._watch._engine  # type: ignore[union-attr]

    def broken(_event: object) -> None:
        raise ZeroDivisionError("broken")

    monkeypatch.setattr(engine, "add", broken)
    run.record(1, 1.0, 11.0, 11.0)
    run.attempt.end("completed")

    assert run.troubles.count == 1
    assert run.told == []
    assert len(list(read_events(run.folder / "r_events.jsonl"))) == 3
    assert (run.folder / "r_final_report.json").exists()


def test_what_a_rule_finds_that_no_file_can_hold_costs_no_report(begin: Callable[..., Recording]) -> None:
    """A tensor among the evidence, say: the derived files are written, and judge the log without the rule."""
    evidence: Any = {"odd": object()}
    found = [Finding(severity="warning", message="odd.", first_step=1, evidence=evidence)]
    odd = msgspec.structs.replace(loss_above(10), make=stateless(lambda _: found))
    run = begin(rules=[odd]).record(1, 1.0, math.nan, math.nan)
    run.attempt.end("completed")
    final = json.loads((run.folder / "r_final_report.json").read_text())

    assert run.troubles.count >= 1
    assert [each["rule"] for each in final["alerts"]] == ["non_finite"]


def test_trouble_is_raised_when_it_is_to_be_raised(begin: Callable[..., Recording]) -> None:
    """With `on_error="raise"` the user hears of it."""

    def broken(_alert: Alert, _run_id: str) -> None:
        raise ZeroDivisionError("broken")

    run = begin(on_alert=[broken], raises=True)

    with pytest.raises(ZeroDivisionError, match=r"\Abroken\Z"):
        run.record(1, 1.0, 11.0)


def test_a_file_that_cannot_be_written_is_a_warning(begin: Callable[..., Recording]) -> None:
    """The run is recorded and judged on."""
    run = begin()
    (run.folder / "r_alerts.json").mkdir()
    run.record(1, 1.0, 11.0, *[1.0] * 10)

    assert [state for _, state, _ in run.told] == ["firing", "resolved"]
    assert run.troubles.count == 1


def test_a_forked_child_judges_nothing(begin: Callable[..., Recording]) -> None:
    """Neither file nor sink hears of what a child does with its copy."""
    run = begin().record(1, 1.0)
    child = os.fork()
    if child == 0:
        run.record(2, 11.0)
        run.attempt.end("completed")
        os._exit(len(run.told))
    _, status = os.waitpid(child, 0)

    assert status == 0
    assert not (run.folder / "r_alerts.json").exists()


def test_sinks_are_flushed_at_the_end(begin: Callable[..., Recording]) -> None:
    """One that delivers in the background is given some time."""

    class Slow:
        flushed = 0

        def __call__(self, alert: Alert, run_id: str) -> None:
            """Take it."""

        def flush(self) -> None:
            """Count."""
            self.flushed += 1

    slow = Slow()
    run = begin(on_alert=[slow]).record(1, 1.0)
    run.attempt.end("completed")

    assert slow.flushed == 1


def test_an_interruption_while_sinks_deliver_costs_no_report(begin: Callable[..., Recording]) -> None:
    """Who presses Ctrl-C because the end takes long still has the derived files, once the log is closed."""

    class Slow:
        interrupts = 1

        def __call__(self, alert: Alert, run_id: str) -> None:
            """Take it."""

        def flush(self) -> None:
            """Be interrupted, once."""
            if self.interrupts:
                self.interrupts = 0
                raise KeyboardInterrupt

    run = begin(on_alert=[Slow()]).record(1, 1.0)
    with pytest.raises(KeyboardInterrupt):
        run.attempt.end("completed")
    run.attempt.close("interrupted")

    assert json.loads((run.folder / "r_final_report.json").read_text())["outcome"] == "completed"


def test_sinks_that_hang_share_the_time_at_the_end(tmp_path: Path) -> None:
    """However many there are, the end of a training is held up no longer than by one, and each gets some of it."""
    given: list[float] = []
    now = [0.0]

    class Hanging(Webhook):
        def flush(self, patience: float = math.inf) -> None:
            """Take all the time that there is."""
            given.append(round(patience, 2))
            now[0] += patience

    (tmp_path / "r_events.jsonl").touch()
    settings = check_watch(on_alert=[Hanging("http://localhost/") for _ in range(3)])
    assert settings is not None
    watch = Watch(
        run_log(log_path(tmp_path, "r")),
        settings,
        algorithm="grpo",
        semantics={},
        stamps={},
        troubles=Troubles(raises=True),
        clock=lambda: now[0],
    )

    watch.finish()

    assert given == [1.67, 1.67, 1.67]


def test_a_loop_of_the_users_own_is_told_to_stop(tmp_path: Path) -> None:
    """The callback for OpenRLHF says what rules want; a loop that heeds it was stopped by the rule."""
    recorder = OpenRLHFCallback(tmp_path, run_id="r", rules=[loss_above(10)], on_critical="save_and_stop")
    wishes = []
    for step, loss in enumerate((1.0, 11.0, 1.0), 1):
        recorder.on_step_end(step, {"loss": loss})
        wishes.append(recorder.take_wish())
        if wishes[-1].stop:
            break
    recorder.on_train_end()
    recorder.close()
    final = json.loads((tmp_path / "r_final_report.json").read_text())

    assert wishes == [Wish(), Wish(save=True, stop=True)]
    assert (final["outcome"], final["outcome_detail"]) == ("stopped_by_rule", "loss_high at step 2: loss is 11.")


def test_nothing_is_judged_when_that_is_not_wanted(begin: Callable[..., Recording]) -> None:
    """With `alerts=False` nobody is told; the report at the end judges the log all the same."""
    run = begin(alerts=False).record(1, 1.0, 11.0)
    run.attempt.end("completed")

    assert run.told == []
    assert json.loads((run.folder / "r_alerts.json").read_text())["schema"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alerts": "rlhf"}, "alerts: expected True, False or one of auto, dpo, grpo, ppo, sft, found 'rlhf'"),
        ({"on_critical": "halt"}, "on_critical: expected one of warn, save, stop, save_and_stop, found 'halt'"),
        ({"rules": ["rules.toml"]}, "rules: expected a file of rules or a list of `Rule`, found ['rules.toml']"),
        ({"rules": [loss_above(1, action="halt")]}, "rules: loss_high: expected an action of warn, "),
        ({"rules": 5}, "rules: expected a file of rules or a list of `Rule`, found 5"),
        ({"on_alert": ["https://x"]}, "on_alert: expected a list of functions of an alert and a run id, found "),
        ({"on_alert": log}, "on_alert: expected a list of functions of an alert and a run id, found "),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    """When the callback is made, not in the middle of a training."""
    with pytest.raises(ValueError, match=message.split(":", maxsplit=1)[0]) as error:
        check_watch(**options)

    assert str(error.value).startswith(message)
