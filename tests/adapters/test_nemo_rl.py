"""Reading the metrics.json of NeMo-RL."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from rldk.adapters.base import Certainty, Claim, no
from rldk.adapters.lines import read_head
from rldk.adapters.nemo_rl import NeMoRLAdapter
from tests.adapters.items import asides, bads, events, lines, survives
from tests.shared import REAL, needs_shared

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.adapters.base import Item

DOCUMENT = """\
{"ray/node.0.mem_gb": {"0": 10.5, "10": 13.5}, "timing/setup/total": {"0": 3.0},
 "train/loss": {"2": NaN, "1": 0.5}, "train/mine": {"1": null}, "unknown": {"1": 7}, "elsewhere": {"173": 1.0},
 "validation/accuracy": {"0": 0.25}, "validation-math/accuracy": {"0": 0.75}}
"""


def read(tmp_path: Path, content: str) -> list[Item]:
    """The items of a document."""
    path = tmp_path / "metrics.json"
    path.write_text(content)
    return list(NeMoRLAdapter().read(path).items)


def short(items: list[Item]) -> list[tuple[int, str, str | None, dict[str, Any]]]:
    """Step, phase, evaluation set and metrics of each event."""
    return [(event.step, event.phase, event.eval_set, event.metrics) for event in events(items)]


def test_series_by_training_step_become_the_events_of_their_steps(tmp_path: Path) -> None:
    """In the order of steps, training before validation, each validation set by itself."""
    *found, last = short(read(tmp_path, DOCUMENT))

    assert found == [
        (0, "train", None, {"timing/setup/total": 3.0}),
        (0, "eval", None, {"accuracy": 0.25}),
        (0, "eval", "math", {"accuracy": 0.75}),
        (1, "train", None, {"loss": 0.5, "train/mine": None, "unknown": 7}),
    ]
    assert last[:3] == (2, "train", None)
    assert math.isnan(last[3]["loss"])


def test_series_with_another_axis_are_set_aside(tmp_path: Path) -> None:
    """Their x are no training steps; every point is accounted for."""
    items = read(tmp_path, DOCUMENT)

    assert asides(items) == [
        ("series ray/...: by seconds since the run began, not by training step", 2),
        ("series with points where there was no training step", 1),
    ]
    assert lines(items) == 10


@pytest.mark.parametrize(
    ("content", "messages"),
    [
        (
            '{"train/loss": {"1": 0.5,\n "x": 1, "02": 1}}',
            ["<line>:2:32: expected a step from 0 to 9223372036854775807, found 'x' [bad_value]"],
        ),
        ('{"train/loss": {"1": "a"}}', ["<line>:1:21: expected a number, found something else [wrong_type]"]),
        ('{"train/loss": 1}', ["<line>:1:15: expected a series, {step: value}, found something else [wrong_type]"]),
        ("[1]", ["<line>:1:0: expected an object, {metric: {step: value}}, found something else [not_an_object]"]),
        ('{"train/loss": {"1": 0.5,', ["<line>:1:25: expected a string, found the end of the line [torn_tail]"]),
    ],
)
def test_what_is_damaged_is_bad(content: str, messages: list[str], tmp_path: Path) -> None:
    """It is said what is wrong, and where; a series is told once."""
    assert bads(read(tmp_path, content)) == messages


def test_many_damaged_series_are_told_in_short(tmp_path: Path) -> None:
    """Five one by one, the last of which stands for all others."""
    items = read(tmp_path, json.dumps({f"train/{number}": {"x": 1, "y": 2} for number in range(1000)}))

    assert Counter(item.lines for item in items) == {2: 4, 1992: 1}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (DOCUMENT, Claim(Certainty.TYPICAL, "a JSON document {metric: {step: value}} with series of NeMo-RL")),
        (
            '{"loss": {"0": 1.0}}',
            Claim(
                Certainty.NO,
                "{name: {number: value}}, as of any table, without a series train/..., validation/... or ray/...",
            ),
        ),
        ('{"a": {"log_path": "x"}}', Claim(Certainty.NO, "no JSON document {metric: {step: value}}")),
        ("", Claim(Certainty.NO, "no JSON document {metric: {step: value}}")),
    ],
)
def test_what_is_said_of_a_file(content: str, expected: Claim, tmp_path: Path) -> None:
    """The form alone is that of any table."""
    assert NeMoRLAdapter().handles(content.encode(), tmp_path / "metrics.json") == expected


def test_a_console_is_refused_with_what_to_read_instead(tmp_path: Path) -> None:
    """Its numbers are rounded, and its steps begin again with each epoch."""
    path = tmp_path / "console.log"
    path.write_text("=== Step 1/9 ===\n(main pid=7) 📊 Training Results:\n(main pid=7)   • Loss: 0.5000\n")

    assert NeMoRLAdapter().handles(read_head(path), path) == no(
        "a console of NeMo-RL, which shows few metrics, with four decimals, by the step of an epoch; "
        "its TensorBoard folder has all of them by train step"
    )


def test_whatever_is_damaged_nothing_else_is_raised(tmp_path: Path) -> None:
    """Events or an `RLDKError`, in less than a second."""
    survives(NeMoRLAdapter(), tmp_path / "metrics.json", DOCUMENT.encode())


@needs_shared
@pytest.mark.parametrize(
    "name", ["dpo-nanov3-30B3AB-2n8g-fsdp2-cpuoffload", "grpo-qwen2.5-7b-2n8g-megatron-sglang-noncolo-nccl"]
)
def test_a_real_document_has_all_its_points(name: str) -> None:
    """Each point of a series by training step is a metric of its step's event."""
    path = REAL / "nemo-rl/NVIDIA-NeMo__RL/tests/test_suites/llm" / name / "metrics.json"
    series = json.loads(path.read_bytes())
    points = {(int(step), value) for full, each in series.items() if full[:4] != "ray/" for step, value in each.items()}

    assert NeMoRLAdapter().handles(read_head(path), path)
    items = list(NeMoRLAdapter().read(path).items)

    assert {(event.step, value) for event in events(items) for value in event.metrics.values()} == points
    assert sum(len(event.metrics) for event in events(items)) + sum(count for _, count in asides(items)) == lines(items)
    assert lines(items) == sum(map(len, series.values()))
