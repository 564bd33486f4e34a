"""What users and other callbacks put into logs, or take out of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("trl")

import numpy as np
import torch
from transformers import TrainerCallback

from rldk.io.validator import validate_jsonl_file
from tests.integrations.trl.trainings import AtStep, BeforeStep, Seen, said

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from tests.integrations.trl.trainings import Lab

pytestmark = pytest.mark.trl


def _train_and_log(lab: Lab, logs: dict[Any, Any]) -> Any:
    """Train two steps; in the middle of the second, before its own log, the user logs something."""
    at_step = AtStep(2, lambda: trainer.log(logs))
    trainer = lab.sft(at_step, lab.callback(), max_steps=2)
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (1.5, 1.5),
        (7, 7),
        (True, 1),
        (None, None),
        (math.inf, math.inf),
        (np.float32(2.1), float(np.float32(2.1))),
        (np.int64(-3), -3),
        (np.bool_(1), 1),
        (torch.tensor(1.5), 1.5),
        (torch.tensor(3), 3),
        (torch.tensor(0.1, dtype=torch.float16), 0.0999755859375),
        (torch.tensor(0.1, dtype=torch.bfloat16), 0.10009765625),
        (torch.tensor(2.5, requires_grad=True), 2.5),
        (np.array(4.5), 4.5),
    ],
    ids=repr,
)
def test_a_scalar_is_kept(lab: Lab, value: object, kept: object) -> None:
    """Whatever is one number is recorded as that number, exactly."""
    _train_and_log(lab, {"custom": value})
    event = lab.events()[1]

    assert (event.metrics["custom"], type(event.metrics["custom"])) == (kept, type(kept))
    assert event.notes == []


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("custom", "hello", "str"),
        ("custom", {"a": 1}, "dict"),
        ("custom", [1, 2], "list"),
        ("custom", torch.tensor([1.5]), "torch.Tensor"),
        ("custom", torch.ones(2), "torch.Tensor"),
        ("custom", np.ones(2), "numpy.ndarray"),
        ("custom", 1 + 2j, "complex"),
        ("custom", 2**64, "an integer beyond 64 bits"),
        ("\ud800", 1.0, "its name holds half a surrogate pair"),
        (5, 1.0, "its name is int, no string"),
    ],
    ids=["text", "dict", "list", "vector of one", "vector", "array", "complex", "big", "surrogate", "number as name"],
)
def test_what_is_no_scalar_is_refused_by_name(lab: Lab, name: object, value: object, why: str) -> None:
    """What is no number is left out, and a note names it; the rest of the log is kept, and training goes on."""
    trainer = _train_and_log(lab, {name: value, "mine": 1.0})
    event = lab.events()[1]
    shown = ascii(name) if type(name) is not str or name != "custom" else name

    assert event.notes == [f"refused: {shown} ({why})"]
    assert event.metrics.keys() == {"mine", "entropy_mean", "mean_token_accuracy", "tokens_total", "epoch"}
    assert trainer.state.global_step == 2
    assert validate_jsonl_file(lab.logs / "run_events.jsonl", strict=True).problems == []


def test_many_things_at_once(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """One log with all of it: numbers are kept, the others named in one note, and nobody is warned."""
    _train_and_log(lab, {"a": torch.tensor(1.5), "b": "x", "c": None, "d": [1], "e": True, "f": {}, "g": np.float64(2)})
    event = lab.events()[1]

    assert {name: event.metrics[name] for name in "aceg"} == {"a": 1.5, "c": None, "e": 1, "g": 2.0}
    assert event.notes == ["refused: b (str), d (list), f (dict)"]
    assert said(caplog) == []


def test_a_log_between_two_steps_is_an_event_of_its_own(lab: Lab) -> None:
    """What a user logs between two steps is an event at the step before, without a window."""
    between = BeforeStep(2, lambda: trainer.log({"mine": 1.0}))
    trainer = lab.sft(between, lab.callback(), max_steps=3)
    trainer.train()
    events = lab.events()

    assert [(event.phase, event.step, event.data_slice.get("window")) for event in events] == [
        ("train", 1, 1),
        ("train", 2, 1),
        ("train", 2, None),
        ("train", 3, 1),
        ("final", 3, None),
    ]
    assert events[2].metrics == {"mine": 1.0, "epoch": 0.25}
    assert [list(event.metrics.values()) for event in events] == _values(trainer)


def test_both_events_of_a_step_make_one_row(lab: Lab) -> None:
    """In `metrics.csv` the two events of step 2 are one row, which lacks nothing."""
    between = BeforeStep(2, lambda: trainer.log({"mine": 1.0}))
    trainer = lab.sft(between, lab.callback(), max_steps=3)
    trainer.train()
    head, *rows = lab.table()
    second = dict(zip(head, rows[1], strict=True))

    assert [row[2] for row in rows] == ["1", "2", "3", "3"]
    assert [name for name in ("mine", "loss", "grad_norm", "lr", "entropy_mean") if not second[name]] == []


def test_a_log_at_the_end_of_a_step_takes_the_place_of_its_own(lab: Lab) -> None:
    """Logging in `on_step_end` keeps the trainer from logging that step: its loss is in the window of the next."""
    at_end = AtStep(2, lambda: trainer.log({"mine": 1.0}))
    trainer = lab.sft(at_end, lab.callback(run_id="user"), max_steps=3)
    trainer.train()
    lab.sft(lab.callback(run_id="alone"), max_steps=3).train()
    events, alone = lab.events("user"), lab.events("alone")

    assert [(event.phase, event.step, event.data_slice.get("window")) for event in events] == [
        ("train", 1, 1),
        ("train", 2, None),
        ("train", 3, 2),
        ("final", 3, None),
    ]
    assert list(events[1].metrics) == ["mine", "entropy_mean", "mean_token_accuracy", "tokens_total", "epoch"]
    assert events[2].metrics["loss"] == pytest.approx(sum(event.metrics["loss"] or 0.0 for event in alone[1:3]) / 2)
    assert [list(event.metrics.values()) for event in events] == _values(trainer)


def _values(trainer: Any) -> list[list[Any]]:
    return [[value for key, value in row.items() if key != "step"] for row in trainer.state.log_history]


class Meddler(TrainerCallback):
    """Changes the logs that later callbacks are given."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take the loss out, and put something in."""
        logs = logs if logs is not None else {}
        logs.pop("loss", None)
        logs["injected"] = 1.0


def test_a_callback_before_takes_something_out(lab: Lab) -> None:
    """What an earlier callback took out of the logs is recorded from the trainer's own history, what it put in too."""
    seen = Seen()
    trainer = lab.sft(Meddler(), seen, lab.callback(), max_steps=2)
    trainer.train()
    events = [event for event in lab.events() if event.phase == "train"]

    assert ["loss" in logs for _, logs in seen.logs] == [False] * 3
    assert [event.metrics["loss"] for event in events] == [row["loss"] for row in trainer.state.log_history[:2]]
    assert [event.metrics["injected"] for event in lab.events()] == [1.0] * 3


def test_a_callback_added_late(lab: Lab) -> None:
    """Behind the PrinterCallback, which takes `total_flos` out of the final log, it is recorded all the same."""
    seen = Seen()
    trainer = lab.sft(max_steps=2)
    trainer.add_callback(seen)
    trainer.add_callback(lab.callback())
    trainer.train()
    final = lab.events()[-1]

    assert "total_flos" not in seen.logs[-1][1]
    assert final.metrics["total_flos"] == trainer.state.log_history[-1]["total_flos"]
    assert [event.step for event in lab.events()] == [1, 2, 2]


def test_the_logs_are_left_as_they_are(lab: Lab) -> None:
    """The callback changes nothing in the logs that later callbacks are given."""
    seen = Seen()
    trainer = lab.sft(lab.callback(), seen, max_steps=2)
    trainer.train()

    assert [logs | {"step": step} for step, logs in seen.logs] == trainer.state.log_history
