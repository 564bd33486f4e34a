"""Training that goes on, or begins again: attempts of one run, and what of them still counts."""

from __future__ import annotations

import json
import os
import shutil
import signal
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("trl")

from trl import SFTTrainer

from rldk.io.segments import run_log
from rldk.io.validator import validate_jsonl_file
from tests.integrations.trl.conftest import run_module
from tests.integrations.trl.endings import CHECKPOINTS
from tests.integrations.trl.trainings import AtStep, Lab, said

if TYPE_CHECKING:
    from rldk.io.event_schema import Event
    from tests.integrations.trl.conftest import Ending
    from tests.integrations.trl.trainings import Tiny

pytestmark = pytest.mark.trl

Point = tuple[int, str, int]
"""Attempt, phase and step of an event."""


def _points(events: list[Event]) -> list[Point]:
    return [(event.attempt, event.phase, event.step) for event in events]


class Resumed:
    """A training of 8 steps, killed by SIGKILL at the end of step 7 and resumed here from its checkpoint of step 4."""

    def __init__(self, ending: Ending, kind: str, tiny: Tiny) -> None:
        self.code = ending.code
        self.lab = Lab(tiny, ending.folder)
        log = run_log(self.lab.logs)
        self.run_id, self.path = log.run_id, log.path
        self.files = sorted(path.name.removeprefix(log.run_id) for path in self.lab.logs.iterdir())
        self.manifest = self.lab.derived("manifest", log.run_id)
        self.before = log.path.read_bytes()
        self.left = shutil.copytree(self.lab.logs, ending.folder / "left")
        self.kind = kind
        self.callback = self.lab.callback(run_id=None)
        self.trainer = self.lab.trainer(kind, self.callback, **CHECKPOINTS)
        self.trainer.train(resume_from_checkpoint=True)

    def events(self, **options: Any) -> list[Event]:
        """What was recorded, by both processes."""
        return self.lab.events(self.run_id, **options)


@pytest.fixture(scope="module", params=["sft", "grpo"])
def resumed(request: pytest.FixtureRequest, endings: dict[str, Ending], tiny: Tiny) -> Resumed:
    """One with a trainer that counts tokens anew when it resumes, and one that goes on counting."""
    return Resumed(endings["killed" if request.param == "sft" else "killed_grpo"], request.param, tiny)


def test_what_a_killed_training_leaves(resumed: Resumed) -> None:
    """SIGKILL leaves the events, a manifest without an outcome and a lock; the step being trained was not logged."""
    common = {"loss", "grad_norm", "learning_rate", "epoch", "entropy", "num_tokens"}

    assert resumed.code == -signal.SIGKILL
    assert resumed.files == [".lock", "_events.jsonl", "_manifest.json"]
    assert [("outcome" in attempt, "ended" in attempt) for attempt in resumed.manifest["attempts"]] == [(False, False)]
    assert common <= resumed.manifest["metrics"].keys()
    assert _points(resumed.events(history="all"))[:7] == [
        (1, "train", 1),
        (1, "train", 2),
        (1, "train", 3),
        (1, "train", 4),
        (1, "eval", 4),
        (1, "train", 5),
        (1, "train", 6),
    ]


def test_the_report_of_what_a_killed_training_left(resumed: Resumed) -> None:
    """`rldk report` builds everything else from the events, says that the run crashed, and leaves the events alone."""
    report = json.loads(run_module("rldk", "report", "--json", resumed.left))
    built = sorted(path.name.removeprefix(resumed.run_id) for path in resumed.left.iterdir())

    assert (report["outcome"], report["outcome_detail"]) == ("crashed", "its process ended without a word")
    assert (report["steps"], report["counters"]["events"]) == ([1, 6], 7)
    assert built == [
        ".lock",
        "_alerts.json",
        "_events.jsonl",
        "_final_report.json",
        "_manifest.json",
        "_metrics.csv",
        "_metrics.json",
    ]
    assert (resumed.left / resumed.path.name).read_bytes() == resumed.before


def test_the_same_run_is_found_again(resumed: Resumed) -> None:
    """Without being told, the resumed trainer goes on with the run that was recorded for its output_dir."""
    assert resumed.callback.run_id == resumed.run_id
    assert resumed.callback.path == resumed.path
    assert [path.name for path in resumed.lab.logs.glob("*.jsonl")] == [resumed.path.name]


def test_what_was_recorded_before_stays(resumed: Resumed) -> None:
    """The resumed process appends; steps it repeats are there twice, told apart by their attempt."""
    events = resumed.events(history="all")

    assert resumed.path.read_bytes().startswith(resumed.before)
    assert _points(events)[5:] == [
        (1, "train", 5),
        (1, "train", 6),
        (2, "train", 5),
        (2, "train", 6),
        (2, "train", 7),
        (2, "train", 8),
        (2, "eval", 8),
        (2, "final", 8),
    ]
    assert [event.resumed_from for event in events] == [None] * 7 + [4] * 6
    assert [event.seq for event in events] == [*range(7), *range(6)]
    assert [event.data_slice["window"] for event in events if event.phase == "train"] == [1] * 10
    assert validate_jsonl_file(resumed.path, strict=True).problems == []


def test_each_step_counts_once(resumed: Resumed) -> None:
    """The effective history, and `metrics.csv`, have each step once, the repeated ones from the second attempt."""
    train = [("train", step, 1 if step <= 4 else 2) for step in range(1, 9)]
    expected = [*train, ("eval", 4, 1), ("eval", 8, 2), ("final", 8, 2)]
    events = [(event.phase, event.step, event.attempt) for event in resumed.events()]
    rows = [(row[0], int(row[2]), int(row[5])) for row in resumed.lab.table(resumed.run_id)[1:]]

    assert sorted(events) == sorted(expected)
    assert rows == expected


def test_repeated_steps_are_the_same_steps(resumed: Resumed) -> None:
    """Data order and random state are restored: a repeated step has the same loss, gradient and rate, to the bit."""
    events = [event for event in resumed.events(history="all") if event.phase == "train" and event.step in {5, 6}]
    values = [[event.metrics[name] for name in ("loss", "grad_norm", "lr", "epoch")] for event in events]

    assert values[:2] == values[2:]


def test_the_notes_of_a_resumed_attempt(resumed: Resumed) -> None:
    """SFT counts its tokens anew, which a note says; GRPO goes on counting. The summary covers what was resumed."""
    events = [event for event in resumed.events(history="all") if event.notes or event.phase == "final"]
    train = [event for event in resumed.events(history="all") if event.phase == "train"]
    before, now = train[3].metrics["tokens_total"], train[6].metrics["tokens_total"]
    reset = f"counter_reset: num_tokens went from {before:g} to {now:g}, this trainer begins it anew on resume"
    scope = "final_scope: the summary covers steps 5 to 8 only, after the resume"

    assert (now < before) == (resumed.kind == "sft")
    assert [(event.attempt, event.step, event.notes) for event in events] == [
        *([(2, 5, [reset])] if resumed.kind == "sft" else []),
        (2, 8, [scope]),
    ]


def test_the_manifest_of_a_resumed_run(resumed: Resumed) -> None:
    """The manifest tells of both attempts: of the first that nothing is known of its end."""
    attempts = resumed.lab.derived("manifest", resumed.run_id)["attempts"]
    report = resumed.lab.derived("final_report", resumed.run_id)

    assert [(each["attempt"], each.get("resumed_from"), each.get("outcome")) for each in attempts] == [
        (1, None, None),
        (2, 4, "completed"),
    ]
    assert attempts[0] == resumed.manifest["attempts"][0]
    assert (report["outcome"], report["steps"], report["counters"]) == (
        "completed",
        [1, 8],
        {"events": 11, "dropped": 0, "replaced": 2},
    )


def test_the_time_of_a_resumed_run_includes_downtime(resumed: Resumed) -> None:
    """`wall_time` goes on, downtime included, in step with the timestamps."""
    last, first = (event for event in resumed.events(history="all")[6:8])

    assert first.wall_time - last.wall_time == pytest.approx(_instant(first) - _instant(last), abs=0.3)


def _instant(event: Event) -> float:
    return datetime.fromisoformat(str(event.timestamp)).timestamp()


def test_a_fresh_training_is_a_new_run(lab: Lab) -> None:
    """A training from the beginning, into the same output_dir, is another run."""
    first, second = lab.callback(run_id=None), lab.callback(run_id=None)
    lab.sft(first, max_steps=1).train()
    lab.sft(second, max_steps=1).train()

    assert first.run_id != second.run_id
    assert [_points(lab.events(str(callback.run_id))) for callback in (first, second)] == [
        [(1, "train", 1), (1, "final", 1)]
    ] * 2


def test_a_new_trainer_in_the_same_process(lab: Lab) -> None:
    """In a notebook a trainer that was interrupted lives on; one built anew resumes its run all the same."""
    first, second = lab.callback(run_id=None), lab.callback(run_id=None)
    interrupted = lab.sft(AtStep(3, _press_ctrl_c), first, max_steps=4, save_strategy="steps", save_steps=2)
    with pytest.raises(KeyboardInterrupt):
        interrupted.train()
    lab.sft(second, max_steps=4).train(resume_from_checkpoint=True)
    run_id = str(first.run_id)

    assert second.run_id == run_id
    assert second.errors == 0
    assert _points(lab.events(run_id, history="all")) == [
        (1, "train", 1),
        (1, "train", 2),
        (2, "train", 3),
        (2, "train", 4),
        (2, "final", 4),
    ]
    assert [(each["outcome"], each.get("outcome_detail")) for each in lab.derived("manifest", run_id)["attempts"]] == [
        ("interrupted", "train() was called again before it ended"),
        ("completed", None),
    ]


def _press_ctrl_c() -> None:
    raise KeyboardInterrupt


def test_a_trainer_that_was_succeeded_is_silent(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """What a trainer logs after another has taken over its run, new names too, is not recorded and changes no file."""
    first, second = lab.callback(), lab.callback()
    old = lab.sft(first, max_steps=2, save_strategy="steps", save_steps=1)
    old.train()
    lab.sft(second, max_steps=3).train(resume_from_checkpoint=True)
    files = {path.name: path.read_bytes() for path in lab.logs.iterdir()}
    old.evaluate()
    old.log({"step_time": 1.0})
    old.remove_callback(first)
    del first

    assert {path.name: path.read_bytes() for path in lab.logs.iterdir()} == files
    assert said(caplog) == [
        (
            f"{lab.logs}/run_events.jsonl: the event was not written: the writer is closed; "
            "training goes on, further events like it are only counted"
        )
    ]


def test_two_trainings_at_once_are_not_mixed(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """A training into another output_dir does not take over a run of the same name: it is refused, and said once."""
    first, second = lab.callback(), lab.callback()
    lab.sft(first, max_steps=1).train()
    before = (lab.logs / "run_events.jsonl").read_bytes()
    lab.sft(second, max_steps=1, output_dir=str(lab.folder / "elsewhere")).train()
    (message,) = said(caplog)

    assert (lab.logs / "run_events.jsonl").read_bytes() == before
    assert message.startswith(f"on_train_begin: RunLockedError: {lab.logs}/run.lock: the run is being written by ")
    assert message.endswith("; training goes on, nothing is recorded")


def test_the_run_is_found_among_others(lab: Lab) -> None:
    """Of several runs the one that was trained into this output_dir is resumed, be others newer."""
    mine, other, evaluated = (lab.callback(run_id=run_id) for run_id in ("mine", "other", "evaluated"))
    lab.sft(mine, max_steps=2, save_strategy="steps", save_steps=1).train()
    lab.sft(other, max_steps=1, output_dir=str(lab.folder / "elsewhere")).train()
    lab.sft(evaluated).evaluate()
    resumed = lab.callback(run_id=None)
    lab.sft(resumed, max_steps=3).train(resume_from_checkpoint=True)

    assert resumed.run_id == "mine"
    assert _points(lab.events("mine"))[-2:] == [(2, "train", 3), (2, "final", 3)]


def test_the_newest_of_several_runs_is_resumed(lab: Lab) -> None:
    """Of two trainings into one output_dir the later one is resumed, as its checkpoints are those that are there."""
    for run_id in ("b-first", "a-second"):
        lab.sft(lab.callback(run_id=run_id), max_steps=2, save_strategy="steps", save_steps=1).train()
    resumed = lab.callback(run_id=None)
    lab.sft(resumed, max_steps=3).train(resume_from_checkpoint=True)

    assert resumed.run_id == "a-second"


def test_the_manifest_is_there_before_the_first_log(lab: Lab) -> None:
    """A process killed before it logs anything leaves a manifest by which its run is found again."""
    found: list[dict[str, Any]] = []
    lab.sft(AtStep(1, lambda: found.append(lab.derived("manifest"))), lab.callback(), max_steps=1).train()
    (manifest,) = found
    (attempt,) = manifest["attempts"]

    assert (manifest["trainer_output_dir"], manifest["metrics"]) == (str(lab.folder / "trainer"), {})
    assert (attempt["attempt"], "outcome" in attempt) == (1, False)
    assert attempt["process"]["pid"] == os.getpid()


def test_an_evaluation_before_the_resume(lab: Lab) -> None:
    """A trainer that evaluates and then resumes goes on with the run it resumes; the evaluation is a run apart."""
    lab.sft(lab.callback(run_id="mine"), max_steps=2, save_strategy="steps", save_steps=1).train()
    callback = lab.callback(run_id=None)
    trainer = lab.sft(callback, max_steps=3)
    trainer.evaluate()
    apart = str(callback.run_id)
    trainer.train(resume_from_checkpoint=True)

    assert callback.run_id == "mine"
    assert _points(lab.events("mine"))[-2:] == [(2, "train", 3), (2, "final", 3)]
    assert _points(lab.events(apart)) == [(1, "eval", 0)]
    assert lab.derived("final_report", apart)["outcome"] == "completed"


def test_a_checkpoint_without_a_run(lab: Lab) -> None:
    """A trainer that resumes where nothing was recorded begins a run, which says where it came from."""
    lab.sft(max_steps=2, save_strategy="steps", save_steps=1).train()
    callback = lab.callback(run_id=None)
    lab.sft(callback, max_steps=3).train(resume_from_checkpoint=True)
    events = lab.events(str(callback.run_id))

    assert [(event.attempt, event.resumed_from, event.phase, event.step) for event in events] == [
        (1, 2, "train", 3),
        (1, 2, "final", 3),
    ]


def test_train_called_twice(lab: Lab) -> None:
    """A second `train()` on one trainer begins at step 0 again: a second attempt, which takes the first one's place."""
    callback = lab.callback()
    trainer = lab.sft(callback, max_steps=2)
    trainer.train()
    trainer.train()
    events = lab.events(history="all")

    assert _points(events) == [
        (1, "train", 1),
        (1, "train", 2),
        (1, "final", 2),
        (2, "train", 1),
        (2, "train", 2),
        (2, "final", 2),
    ]
    assert [event.resumed_from for event in events] == [None] * 3 + [0] * 3
    assert _points(lab.events()) == _points(events)[3:]
    assert [row[:3] + row[5:6] for row in lab.table()[1:]] == [
        ["train", "", "1", "2"],
        ["train", "", "2", "2"],
        ["final", "", "2", "2"],
    ]
    assert [(each["outcome"], each["counters"]["written"]) for each in lab.derived("manifest")["attempts"]] == [
        ("completed", 3),
        ("completed", 3),
    ]


def test_train_called_twice_without_step_logs(lab: Lab) -> None:
    """Two trainings of which only the ends are logged are two attempts, too."""
    trainer = lab.sft(lab.callback(), max_steps=1, logging_strategy="no")
    trainer.train()
    trainer.train()

    assert _points(lab.events(history="all")) == [(1, "final", 1), (2, "final", 1)]


class OutOfMemory(SFTTrainer):
    """Runs out of memory once."""

    at_step = 0

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Fail, when it is the step."""
        if self.state.global_step == self.at_step:
            self.at_step = -1
            raise RuntimeError("CUDA out of memory. Tried to allocate 1 GiB")
        return super().training_step(*args, **kwargs)


class OutOfMemoryLater(OutOfMemory):
    """Runs out of memory when two steps have been logged."""

    at_step = 2


def test_a_smaller_batch_after_running_out_of_memory(lab: Lab) -> None:
    """`auto_find_batch_size` begins anew without an end: a second attempt, with the batch size that is trained with."""
    lab.sft(lab.callback(), trainer=OutOfMemoryLater, auto_find_batch_size=True, max_steps=2 + 1).train()
    events = lab.events(history="all")

    assert _points(events) == [
        (1, "train", 1),
        (1, "train", 2),
        (2, "train", 1),
        (2, "train", 2),
        (2, "train", 3),
        (2, "final", 3),
    ]
    assert [event.data_slice["batch_size"] for event in events] == [4, 4, 3, 3, 3, 3]
    assert [(each["outcome"], each.get("outcome_detail")) for each in lab.derived("manifest")["attempts"]] == [
        ("interrupted", "train() was called again before it ended"),
        ("completed", None),
    ]
    assert validate_jsonl_file(lab.logs / "run_events.jsonl", strict=True).problems == []


def test_out_of_memory_before_the_first_log(lab: Lab) -> None:
    """Where nothing was trained yet there is one attempt, with the batch size that is trained with."""
    lab.sft(lab.callback(), trainer=OutOfMemory, auto_find_batch_size=True, max_steps=1).train()

    assert [(event.attempt, event.phase, event.data_slice["batch_size"]) for event in lab.events()] == [
        (1, "train", 3),
        (1, "final", 3),
    ]
