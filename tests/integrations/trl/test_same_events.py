"""One training, read from RLDK's log, from what its trainer saved, and from what it printed: the same events."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("trl")

from rldk.adapters.trl import TRLAdapter

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.adapters.base import Reading
    from rldk.io.event_schema import Event
    from tests.integrations.trl.trainings import Lab

pytestmark = pytest.mark.trl

_UNSAID = ("batch_size", "sequence_length")
"""What the trainer's arguments say, and neither its state nor its console."""


def _read(path: Path) -> tuple[Reading, list[Event]]:
    reading = TRLAdapter().read(path)
    return reading, list(TRLAdapter().events(path))


def _told(event: Event) -> dict[str, Any]:
    """All of an event but its time and what only the running trainer knows: seeds, model, versions, attempt."""
    data_slice = {key: value for key, value in event.data_slice.items() if key not in _UNSAID}
    info = {key: event.model_info[key] for key in ("phase", "framework", "algorithm")}
    return {
        "step": event.step,
        "metrics": event.metrics,
        "data_slice": data_slice,
        "model_info": info,
        "notes": event.notes,
    }


def _train(lab: Lab, kind: str, **settings: Any) -> None:
    trainer = lab.trainer(kind, lab.callback(), eval_strategy="steps", eval_steps=2, max_steps=5, **settings)
    trainer.train()
    trainer.save_state()
    trainer.save_model()


@pytest.mark.parametrize("logging_steps", [1, 2])
@pytest.mark.parametrize("kind", ["grpo", "rloo", "dpo", "sft"])
def test_the_state_holds_the_same_events(lab: Lab, kind: str, logging_steps: int) -> None:
    """Phase, set, step, every metric bit by bit, windows and notes are equal; the state has no time and no seeds."""
    _train(lab, kind, logging_steps=logging_steps)
    recorded, live = _read(lab.logs)
    saved, found = _read(lab.folder / "trainer")

    assert [_told(event) for event in found] == [_told(event) for event in live]
    assert {event.phase for event in found} == {"train", "eval", "final"}
    assert saved.facts["algorithm"] == recorded.facts["algorithm"] == kind
    list(saved.items)
    assert dict(saved.sources) == dict(recorded.sources)
    assert all(event.wall_time is None for event in found)


@pytest.mark.parametrize("checkpoint", ["checkpoint-2", "checkpoint-4"])
def test_a_checkpoint_holds_what_was_logged_till_then(lab: Lab, checkpoint: str) -> None:
    """The state of a checkpoint, alone in its folder, holds the first events of the run."""
    _train(lab, "sft", save_strategy="steps", save_steps=2)
    (lab.folder / "trainer" / "trainer_state.json").unlink()
    _, live = _read(lab.logs)
    _, found = _read(lab.folder / "trainer" / checkpoint)

    assert [_told(event) for event in found] == [_told(event) for event in live[: len(found)]]
    assert found[-1].step == int(checkpoint.rpartition("-")[2])


def test_a_resumed_run_holds_the_effective_history(lab: Lab) -> None:
    """A resumed trainer cuts its history back, as RLDK's reader does; only what the summary covers is not saved."""
    lab.sft(lab.callback(), max_steps=3, save_strategy="steps", save_steps=2).train()
    trainer = lab.sft(lab.callback(), max_steps=5)
    trainer.train(resume_from_checkpoint=str(lab.folder / "trainer" / "checkpoint-2"))
    trainer.save_state()
    live = [_told(event) for event in lab.events()]
    _, found = _read(lab.folder / "trainer")

    assert live[-1].pop("notes") == ["final_scope: the summary covers steps 3 to 5 only, after the resume"]
    told = [_told(event) for event in found]
    assert told[-1].pop("notes") == []
    assert told == live
    assert told[2]["notes"][0].startswith("counter_reset: num_tokens went from")


@pytest.mark.parametrize("logging_steps", [1, 2])
def test_the_console_shows_the_same_events(lab: Lab, logging_steps: int) -> None:
    """What is printed has the same points and keys, four digits of each number, and the steps of the progress bar."""
    console = io.StringIO()
    with redirect_stdout(console), redirect_stderr(console):
        _train(lab, "dpo", logging_steps=logging_steps, disable_tqdm=False)
    path = lab.folder / "run.log"
    path.write_text(console.getvalue(), newline="")
    _, live = _read(lab.logs)
    reading, found = _read(path)

    assert reading.facts["steps_told_by"] == "the progress bar"
    assert [(event.phase, event.step, event.eval_set) for event in found] == [
        (event.phase, event.step, event.eval_set) for event in live
    ]
    for one, other in zip(found, live, strict=True):
        shown = {name: value for name, value in other.metrics.items() if name != "total_flos"}
        assert one.metrics.keys() == shown.keys()
        assert one.metrics == {name: float(f"{value:.4g}") for name, value in shown.items()}
        assert one.notes == other.notes


def test_the_results_are_the_last_events(lab: Lab) -> None:
    """`all_results.json` holds the summary and the last evaluation, at the step of the state beside it."""
    trainer = lab.trainer("sft", lab.callback(), max_steps=3)
    result = trainer.train()
    trainer.save_metrics("train", result.metrics)
    trainer.save_metrics("eval", trainer.evaluate())
    trainer.save_state()
    _, live = _read(lab.logs)
    _, found = _read(lab.folder / "trainer" / "all_results.json")
    ends = {event.phase: event for event in live if event.phase != "train"}

    assert [(event.phase, event.step) for event in found] == [("eval", 3), ("final", 3)]
    for event in found:
        shared = event.metrics.keys() & ends[event.phase].metrics.keys()
        assert {"loss", "runtime"} <= shared or {"train_loss", "train_runtime"} <= shared
        assert {name: event.metrics[name] for name in shared} == {
            name: ends[event.phase].metrics[name] for name in shared
        }
