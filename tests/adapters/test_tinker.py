"""Reading the metrics of tinker-cookbook."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rldk.adapters.base import Certainty, Claim
from rldk.adapters.lines import read_head
from rldk.adapters.tinker import TinkerAdapter
from tests.adapters.items import bads, events, lines, survives
from tests.shared import REAL, needs_shared

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.adapters.base import Item

LOG = """\
{"step": 0, "progress/batch": 0, "optim/lr": 4e-05, "test/env/all/mine": 0.5, "time/run_evals": 2.0, "env/all/mine": 1}
{"progress/batch": 1, "optim/lr": 2e-05}
"""


def read(tmp_path: Path, content: str) -> list[Item]:
    """The items of a log with this content."""
    path = tmp_path / "metrics.jsonl"
    path.write_text(content)
    return list(TinkerAdapter().read(path).items)


def short(items: list[Item]) -> list[tuple[int, str, dict[str, Any]]]:
    """Step, phase and metrics of each event."""
    return [(event.step, event.phase, event.metrics) for event in events(items)]


def test_training_and_evaluation_of_a_line_are_two_events(tmp_path: Path) -> None:
    """Without its prefix a metric of the evaluation is called as in training."""
    items = read(tmp_path, LOG)

    assert short(items) == [
        (0, "train", {"progress/batch": 0, "lr": 4e-05, "time/run_evals": 2.0, "env/all/mine": 1}),
        (0, "eval", {"env/all/mine": 0.5}),
        (1, "train", {"progress/batch": 1, "lr": 2e-05}),
    ]
    assert lines(items) == 2


def test_the_settings_beside_the_log_are_facts(tmp_path: Path) -> None:
    """But for secrets, and what is an object."""
    settings = {"model_name": "Qwen3-8B", "learning_rate": 4e-05, "api_key": "secret", "max_tokens": 8, "env": {}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    path = tmp_path / "metrics.jsonl"
    path.write_text(LOG)

    reading = TinkerAdapter().read(path)

    assert reading.facts == {"model_name": "Qwen3-8B", "learning_rate": 4e-05, "max_tokens": 8}
    assert events(list(reading.items))[0].model_info["model_name"] == "Qwen3-8B"


def test_settings_that_cannot_be_read_are_no_obstacle(tmp_path: Path) -> None:
    """They are no part of the log."""
    (tmp_path / "config.json").write_text("{")

    assert len(events(read(tmp_path, LOG))) == 3


def test_a_line_without_a_step_is_bad(tmp_path: Path) -> None:
    """When it has no batch either."""
    assert bads(read(tmp_path, '{"optim/lr": 1}\n')) == [
        "<line>:1:0: $.step: expected a step, found nothing [missing_field]"
    ]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"step": 0, "progress/batch": 0}, Claim(Certainty.SURE, "JSON lines with progress/batch")),
        (
            {"step": 0, "train_mean_nll": 1.0, "num_loss_tokens": 5},
            Claim(Certainty.TYPICAL, "JSON lines with num_loss_tokens and train_mean_nll"),
        ),
        (
            {"_step": 0, "progress/batch": 0},
            Claim(Certainty.NO, "no JSON lines with progress/batch or train_mean_nll"),
        ),
        ({"step": 0, "loss": 1}, Claim(Certainty.NO, "no JSON lines with progress/batch or train_mean_nll")),
    ],
)
def test_what_is_said_of_a_file(record: dict[str, Any], expected: Claim, tmp_path: Path) -> None:
    """The same metrics in a file of Weights & Biases are not tinker's log."""
    assert TinkerAdapter().handles(json.dumps(record).encode(), tmp_path / "metrics.jsonl") == expected


def test_whatever_is_damaged_nothing_else_is_raised(tmp_path: Path) -> None:
    """Events or an `RLDKError`, in less than a second."""
    survives(TinkerAdapter(), tmp_path / "metrics.jsonl", LOG.encode())


@needs_shared
@pytest.mark.parametrize("number", range(5))
def test_a_real_log_has_all_its_points(number: int) -> None:
    """Each number beside the step is a metric of its line's events."""
    path = sorted((REAL / "tinker").rglob("*.jsonl"))[number]
    records = [json.loads(line) for line in path.read_bytes().splitlines()]

    assert TinkerAdapter().handles(read_head(path), path).certainty == Certainty.SURE
    items = list(TinkerAdapter().read(path).items)

    found = [(event.step, sorted(event.metrics.values())) for event in events(items) if event.phase == "train"]
    assert found == [
        (record["step"], sorted(v for k, v in record.items() if k != "step" and not k.startswith("test/")))
        for record in records
    ]
    evaluated = [(event.step, sorted(event.metrics.values())) for event in events(items) if event.phase == "eval"]
    assert evaluated == [
        (record["step"], values)
        for record in records
        if (values := sorted(v for k, v in record.items() if k.startswith("test/")))
    ]
    assert lines(items) == len(records)
