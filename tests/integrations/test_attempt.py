"""One attempt of a run, from its first event to its derived files, without any trainer."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rldk.errors import RunLockedError
from rldk.integrations.attempt import RecordedAttempt, outcome_at_exit
from rldk.io.manifest import Attempt, Manifest, find_resumed, read_manifest
from rldk.io.reader import read_events
from rldk.io.validator import validate_jsonl_file
from rldk.report.final import build_report
from tests.runs import TIMESTAMP, files, run_python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DERIVED = ["r_alerts.json", "r_final_report.json", "r_metrics.csv", "r_metrics.json"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RecordedAttempt]]:
    """Begins attempts of the run r, and closes them after the test."""
    begun: list[RecordedAttempt] = []

    def begin(resumed_from: int | None = None, **changes: Any) -> RecordedAttempt:
        settings: dict[str, Any] = {
            "rank": 0,
            "world_size": 1,
            "framework": "trl",
            "algorithm": "grpo",
            "trainer_output_dir": "/checkpoints",
            "facts": Attempt(attempt=0, started=TIMESTAMP, resumed_from=resumed_from, seeds={"seed": 42}),
            "on_error": "warn",
            "budget": 30.0,
        }
        attempt = RecordedAttempt(tmp_path, "r", **settings | changes)
        begun.append(attempt)
        return attempt

    yield begin
    for attempt in begun:
        attempt.close("interrupted")


def record(attempt: RecordedAttempt, step: int, phase: str = "train", **metrics: Any) -> None:
    """Record an event."""
    attempt.record(step, metrics or {"loss": 0.5}, phase=phase, data_slice={})


def manifest_of(attempt: RecordedAttempt) -> Manifest:
    """What the manifest on disk says."""
    return read_manifest(attempt.log)


# The beginning


def test_the_manifest_is_there_from_the_start(tmp_path: Path, start: Callable[..., RecordedAttempt]) -> None:
    """Before any event: which run, trained by what, and the attempt with all that is known of it."""
    attempt = start(facts=Attempt(attempt=0, started=TIMESTAMP, git={"sha": "abc", "dirty": True}))

    assert sorted(files(tmp_path)) == ["r.lock", "r_events.jsonl", "r_manifest.json"]
    assert manifest_of(attempt) == Manifest(
        run_id="r",
        framework="trl",
        algorithm="grpo",
        attempts=[Attempt(attempt=1, started=TIMESTAMP, git={"sha": "abc", "dirty": True})],
    )


def test_a_run_is_found_again_once_it_has_trained(tmp_path: Path, start: Callable[..., RecordedAttempt]) -> None:
    """An evaluation alone is nothing to resume; from the beginning of training on the run is found by its folder."""
    attempt = start()
    before = find_resumed(tmp_path, "/checkpoints")
    attempt.begin_training()

    assert (before, find_resumed(tmp_path, "/checkpoints"), find_resumed(tmp_path, "/other")) == (None, "r", None)


def test_a_key_is_explained_when_it_is_first_met(start: Callable[..., RecordedAttempt]) -> None:
    """The manifest says what a renamed key means as soon as it is in the log, so that a killed run has it too."""
    attempt = start()
    met = []
    for metrics in ({"mine": 1.0}, {"reward": 0.5}, {"reward": 0.5, "mine": 1.0}, {"reward": 0.5, "kl": 0.1}):
        attempt.record(1, metrics, phase="train", data_slice={})
        met.append({native: source.canonical for native, source in manifest_of(attempt).metrics.items()})

    assert met == [{}, {"reward": "reward_mean"}, {"reward": "reward_mean"}, {"reward": "reward_mean", "kl": "kl_mean"}]
    assert manifest_of(attempt).metrics["kl"].estimator == "k3"


def test_the_manifest_is_not_written_for_each_event(start: Callable[..., RecordedAttempt]) -> None:
    """Events whose keys are known cost no second file."""
    attempt = start()
    record(attempt, 1, reward=0.5)
    before = (attempt.log.path.parent / "r_manifest.json").stat()
    for step in range(2, 50):
        record(attempt, step, reward=0.5)
    after = (attempt.log.path.parent / "r_manifest.json").stat()

    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_events_say_what_is_known_of_run_and_model(start: Callable[..., RecordedAttempt]) -> None:
    """The seeds and the run from the start, the model as soon as it was learned."""
    attempt = start()
    record(attempt, 0, "eval")
    attempt.learn({"model_name": "tiny"})
    record(attempt, 1)
    first, second = read_events(attempt.log.path)

    assert first.rng == second.rng == {"seed": 42}
    assert first.run_id == "r"
    assert "model_name" not in first.model_info
    assert second.model_info["model_name"] == "tiny"


# The end


def test_the_end_builds_the_files_and_the_log_stays_open(tmp_path: Path, start: Callable[..., RecordedAttempt]) -> None:
    """After the end an evaluation may follow; closing brings the files up to date and keeps the outcome."""
    attempt = start()
    attempt.begin_training()
    record(attempt, 1)
    attempt.end("completed")
    ended = files(tmp_path)
    ended_facts = manifest_of(attempt).attempts[0]
    record(attempt, 1, "eval", accuracy=0.5)
    attempt.close("interrupted", "too late to say so")
    closed_facts = manifest_of(attempt).attempts[0]

    assert sorted(ended) == sorted(["r.lock", "r_events.jsonl", "r_manifest.json", *DERIVED])
    assert ended["r_metrics.csv"].count(b"\n") == 2
    assert (tmp_path / "r_metrics.csv").read_bytes().count(b"\n") == 3
    assert (ended_facts.outcome, ended_facts.counters["written"]) == ("completed", 1)
    assert (closed_facts.outcome, closed_facts.counters["written"]) == ("completed", 2)
    assert closed_facts.ended == ended_facts.ended
    assert json.loads((tmp_path / "r_final_report.json").read_text())["outcome"] == "completed"
    assert not (tmp_path / "r.lock").exists()


@pytest.mark.parametrize("outcome", ["completed", "interrupted", "crashed"])
def test_closing_ends_an_attempt_that_has_not_ended(start: Callable[..., RecordedAttempt], outcome: Any) -> None:
    """Manifest and final report say how, and since when; nothing of it is said twice."""
    attempt = start()
    record(attempt, 1)
    attempt.close(outcome, "for a reason")
    before = files(attempt.log.path.parent)
    attempt.close("crashed", "again")
    (facts,) = manifest_of(attempt).attempts
    final = build_report(attempt.log).final

    assert (facts.outcome, facts.outcome_detail) == (outcome, "for a reason")
    assert facts.ended is not None
    assert (final.outcome, final.outcome_detail) == (outcome, "for a reason")
    assert files(attempt.log.path.parent) == before


def test_nothing_is_built_again_for_nothing(tmp_path: Path, start: Callable[..., RecordedAttempt]) -> None:
    """Closing after the end, with no event in between, leaves the files as they are."""
    attempt = start()
    record(attempt, 1)
    attempt.end("completed")
    before = {name: (tmp_path / name).stat().st_ino for name in DERIVED}
    attempt.close("interrupted")

    assert {name: (tmp_path / name).stat().st_ino for name in DERIVED} == before


def test_the_manifest_keeps_the_counters(start: Callable[..., RecordedAttempt]) -> None:
    """What was written, dropped and refused, metrics that the recorder itself left out among it."""
    attempt = start()
    record(attempt, 1, loss=0.5, text="high", other=[1])
    record(attempt, -1)
    attempt.close("completed")

    assert manifest_of(attempt).attempts[0].counters == {
        "written": 1,
        "held": 0,
        "buffered": 0,
        "dropped": 0,
        "filtered": 0,
        "filtered_metrics": 0,
        "refused": 1,
        "refused_metrics": 2,
        "torn_bytes": 0,
    }


def test_the_segment_of_the_manifest_is_that_of_the_log(start: Callable[..., RecordedAttempt]) -> None:
    """Closing after the end counts the later events too."""
    attempt = start()
    record(attempt, 1)
    attempt.end("completed")
    record(attempt, 2, "eval")
    attempt.close("completed")
    (segment,) = manifest_of(attempt).segments

    assert (segment.events, segment.bytes) == (2, attempt.log.path.stat().st_size)


# One attempt after the other


def test_attempts_add_up(tmp_path: Path, start: Callable[..., RecordedAttempt]) -> None:
    """The second attempt resumes the first: one log, both in the manifest, time that goes on, and one history."""
    first = start()
    for step in range(1, 5):
        record(first, step, reward=0.5)
    first.close("crashed", "boom")
    second = start(resumed_from=2)
    for step in range(3, 6):
        record(second, step, kl=0.1)
    second.close("completed")
    events = list(read_events(tmp_path, history="all"))
    manifest = manifest_of(second)

    assert validate_jsonl_file(second.log.path, strict=True)
    assert [(event.attempt, event.step, event.resumed_from) for event in events] == [
        *[(1, step, None) for step in range(1, 5)],
        *[(2, step, 2) for step in range(3, 6)],
    ]
    assert [event.wall_time for event in events] == sorted(event.wall_time or 0.0 for event in events)
    assert [event.step for event in read_events(tmp_path)] == [1, 2, 3, 4, 5]
    assert [(each.attempt, each.outcome, each.resumed_from) for each in manifest.attempts] == [
        (1, "crashed", None),
        (2, "completed", 2),
    ]
    assert list(manifest.metrics) == ["reward", "kl"]
    assert build_report(second.log).final.outcome == "completed"


def test_an_attempt_makes_way_for_the_next_of_the_same_training(
    tmp_path: Path, start: Callable[..., RecordedAttempt]
) -> None:
    """train() again in one process: the log of the first is closed, and the files are left to the second."""
    first = start()
    first.begin_training()
    record(first, 1)
    second = start(resumed_from=1)
    left = sorted(files(tmp_path))
    record(second, 2)
    record(first, 9)
    second.close("completed")

    assert left == ["r.lock", "r_events.jsonl", "r_manifest.json"]
    assert [(each.attempt, each.outcome, each.outcome_detail) for each in manifest_of(second).attempts] == [
        (1, "interrupted", "train() was called again before it ended"),
        (2, "completed", ""),
    ]
    assert [event.step for event in read_events(tmp_path)] == [1, 2]


def test_another_training_does_not_take_the_log_away(start: Callable[..., RecordedAttempt]) -> None:
    """A trainer with other checkpoints is another run; it is refused, and the first goes on."""
    first = start()
    with pytest.raises(RunLockedError):
        start(trainer_output_dir="/elsewhere")
    record(first, 1)

    assert [event.step for event in read_events(first.log.path)] == [1]


def test_an_attempt_without_an_event_leaves_its_number(start: Callable[..., RecordedAttempt]) -> None:
    """A training that failed before its first event and was begun again has one attempt, the one that completed."""
    start().close("crashed", "out of memory")
    second = start()
    record(second, 1)
    second.close("completed")

    assert [(each.attempt, each.outcome) for each in manifest_of(second).attempts] == [(1, "completed")]
    assert build_report(second.log).final.outcome == "completed"


KILLED = """
import os, signal, sys
from pathlib import Path
from rldk.integrations.attempt import RecordedAttempt
from rldk.io.manifest import Attempt
attempt = RecordedAttempt(
    Path(sys.argv[1]), "r", rank=0, world_size=1, framework="trl", algorithm="grpo", trainer_output_dir="/checkpoints",
    facts=Attempt(attempt=0, started="2026-01-31T23:59:59.000000Z"), on_error="warn", budget=30.0,
)
for step in range(3):
    attempt.record(step, {"reward": 0.5}, phase="train", data_slice={})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_attempt_has_its_events_and_its_manifest(
    tmp_path: Path, start: Callable[..., RecordedAttempt]
) -> None:
    """After SIGKILL the report says that it crashed; the next attempt goes on where it was."""
    done = run_python("-c", KILLED, tmp_path)
    killed = sorted(files(tmp_path))
    second = start()
    second.close("completed")
    record_of_first, record_of_second = manifest_of(second).attempts

    assert done.returncode == -signal.SIGKILL
    assert killed == ["r.lock", "r_events.jsonl", "r_manifest.json"]
    assert len(list(read_events(tmp_path))) == 3
    assert (record_of_first.attempt, record_of_first.outcome) == (1, None)
    assert (record_of_second.attempt, record_of_second.outcome) == (2, "completed")
    assert list(manifest_of(second).metrics) == ["reward"]


def test_a_run_killed_after_its_first_events_is_called_crashed(tmp_path: Path) -> None:
    """What `rldk report` says of it, before anybody resumes it."""
    run_python("-c", KILLED, tmp_path)
    done = run_python("-m", "rldk", "report", tmp_path)

    assert "\nr  crashed  its process ended without a word\n" in done.stdout
    assert sorted(files(tmp_path)) == sorted(["r.lock", "r_events.jsonl", "r_manifest.json", *DERIVED])


# Ranks and processes


def test_other_ranks_derive_nothing(tmp_path: Path, start: Callable[..., RecordedAttempt]) -> None:
    """A rank beside the first has its log and its manifest; the files of the run are the first rank's."""
    attempt = start(rank=1, world_size=2)
    record(attempt, 1)
    attempt.close("completed")

    assert sorted(files(tmp_path)) == ["r_events.rank1.jsonl", "r_manifest.rank1.json"]
    assert [event.rank for event in read_events(attempt.log.path)] == [1]


FORKED = """
import os, sys
from pathlib import Path
from rldk.integrations.attempt import RecordedAttempt
from rldk.io.manifest import Attempt
attempt = RecordedAttempt(
    Path(sys.argv[1]), "r", rank=0, world_size=1, framework="trl", algorithm="grpo", trainer_output_dir="/checkpoints",
    facts=Attempt(attempt=0, started="2026-01-31T23:59:59.000000Z"), on_error="warn", budget=30.0,
)
attempt.record(0, {"loss": 0.5}, phase="train", data_slice={})
pid = os.fork()
if not pid:
    attempt.record(1, {"reward": 0.5}, phase="train", data_slice={})
    attempt.close("crashed", "in the child")
    os._exit(0)
os.waitpid(pid, 0)
print(sorted(os.listdir(sys.argv[1])))
attempt.record(2, {"loss": 0.5}, phase="train", data_slice={})
attempt.close("completed")
"""


def test_a_forked_child_has_no_part_in_it(tmp_path: Path) -> None:
    """What the worker of a data loader does with a copy of the attempt changes no file."""
    done = run_python("-c", FORKED, tmp_path)
    path = tmp_path / "r_events.jsonl"
    (facts,) = json.loads((tmp_path / "r_manifest.json").read_text())["attempts"]

    assert done.returncode == 0
    assert done.stdout == "['r.lock', 'r_events.jsonl', 'r_manifest.json']\n"
    assert [event.step for event in read_events(path)] == [0, 2]
    assert (facts["outcome"], facts["counters"]["written"]) == ("completed", 2)
    assert json.loads((tmp_path / "r_manifest.json").read_text())["metrics"].keys() == {"loss"}


# Trouble


def test_a_budget_that_is_too_small_is_told(
    tmp_path: Path, start: Callable[..., RecordedAttempt], caplog: pytest.LogCaptureFixture
) -> None:
    """The derived files are given up, the events and the manifest are not; the warning says what to do."""
    attempt = start(budget=-1.0)
    record(attempt, 1)
    attempt.close("completed")

    assert sorted(files(tmp_path)) == ["r_events.jsonl", "r_manifest.json"]
    assert manifest_of(attempt).attempts[0].outcome == "completed"
    (message,) = caplog.messages
    assert message == (
        f"{attempt.log.path}: building the derived files took too long; "
        f"build the derived files later with: rldk report {attempt.log.path}"
    )


def test_a_manifest_that_cannot_be_written_costs_no_event(
    tmp_path: Path, start: Callable[..., RecordedAttempt], caplog: pytest.LogCaptureFixture
) -> None:
    """One warning for all that goes wrong with it, and every event in the log."""
    (tmp_path / "r_manifest.json").mkdir()
    attempt = start()
    for step in range(3):
        record(attempt, step, **{f"rewards/f{step}/mean": 0.5})
    attempt.close("completed")
    told = [message for message in caplog.messages if "the manifest cannot be read" not in message]

    assert [event.step for event in read_events(attempt.log.path)] == [0, 1, 2]
    assert len(told) == 1
    assert told[0].endswith("; the manifest cannot be written, events still can")


def test_a_caller_who_asks_to_be_told_is_told_and_may_try_again(
    tmp_path: Path, start: Callable[..., RecordedAttempt]
) -> None:
    """With on_error="raise" a manifest that cannot be written is an error, and the log is not left locked."""
    (tmp_path / "r_manifest.json").mkdir()
    with pytest.raises(IsADirectoryError):
        start(on_error="raise")
    (tmp_path / "r_manifest.json").rmdir()
    attempt = start(on_error="raise")
    record(attempt, 1)

    assert [event.step for event in read_events(attempt.log.path)] == [1]


def test_a_folder_whose_name_is_no_text_costs_the_manifest_only(
    tmp_path: Path, start: Callable[..., RecordedAttempt], caplog: pytest.LogCaptureFixture
) -> None:
    """JSON cannot hold the name of such a checkpoint folder; the events are written all the same."""
    attempt = start(trainer_output_dir=os.fsdecode(b"/caf\xe9"))
    attempt.begin_training()
    record(attempt, 1)
    attempt.close("completed")

    assert [event.step for event in read_events(tmp_path)] == [1]
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith("; the manifest cannot be written, events still can")


# How a training ended that did not come to its own end


def last_error(monkeypatch: pytest.MonkeyPatch, raising: Callable[[], None]) -> None:
    """Make an error the one that ended the interpreter."""
    try:
        raising()
    except BaseException as error:  # noqa: BLE001 - whatever it is
        monkeypatch.setattr(sys, "last_value", error, raising=False)


def test_without_an_error_the_script_stopped_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that ended in the middle of training interrupted it; where nothing was trained, nothing was."""
    monkeypatch.delattr(sys, "last_value", raising=False)

    assert outcome_at_exit("tests", training=True) == (
        "interrupted",
        "training stopped before its end, by the script itself",
    )
    assert outcome_at_exit("tests", training=False) == ("completed", "nothing was trained")


def test_an_error_that_passed_through_the_trainer_is_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crashed, with the error; an error that did not pass through the trainer is somebody else's."""

    def fail() -> None:
        raise ValueError("boom")

    last_error(monkeypatch, fail)

    assert outcome_at_exit("transformers", "tests", training=True) == ("crashed", "ValueError: boom")
    assert outcome_at_exit("transformers", training=True)[0] == "interrupted"


def test_an_error_raised_on_account_of_another_counts_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that wraps the trainer's error in its own still crashed in the trainer."""

    def fail() -> None:
        try:
            json.loads("{")
        except ValueError as error:
            raise RuntimeError("training failed") from error

    last_error(monkeypatch, fail)

    assert outcome_at_exit("json", training=True) == ("crashed", "RuntimeError: training failed")


def test_ctrl_c_is_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own wish is no crash."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    last_error(monkeypatch, interrupt)

    assert outcome_at_exit("tests", training=True) == ("interrupted", "Ctrl-C")


def test_a_long_error_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest keeps the beginning of a message that goes on for pages."""

    def fail() -> None:
        raise ValueError("x" * 10_000)

    last_error(monkeypatch, fail)
    _, detail = outcome_at_exit("tests", training=True)

    assert detail == "ValueError: " + "x" * 488
