"""Reading what DreamerV3 logs."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from rldk.adapters.base import Certainty, Claim
from rldk.adapters.dreamer import DreamerAdapter
from rldk.adapters.lines import read_head
from tests.adapters.items import bads, events, lines, survives
from tests.shared import REAL, needs_shared

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.adapters.base import Item

LOG = """\
{"step": 268, "episode/score": 3.25, "episode/length": 268.0}
{"step": 300, "train/loss/dyn": NaN, "train/opt/updates": 5.0, "replay/size": "Infinity", "task": "atari_pong"}
{"step": 300, "eval_return": 2.0, "eval_length": 7.0, "fps": 12.5}
"""


def read(tmp_path: Path, content: str) -> list[Item]:
    """The items of a log with this content."""
    path = tmp_path / "metrics.jsonl"
    path.write_text(content)
    return list(DreamerAdapter().read(path).items)


def test_a_line_is_an_event_for_each_phase(tmp_path: Path) -> None:
    """Keys keep what stands before them, but for `eval_`; NaN is read bare and in quotes, and texts are kept."""
    items = read(tmp_path, LOG)

    first, second, third, fourth = events(items)
    assert (first.step, first.phase, first.metrics) == (268, "train", {"reward_mean": 3.25, "episode_len_mean": 268.0})
    assert math.isnan(second.metrics["train/loss/dyn"] or 0)
    assert (second.metrics["replay/size"], second.data_slice) == (math.inf, {"task": "atari_pong"})
    assert (third.step, third.phase, third.metrics) == (300, "train", {"fps": 12.5})
    assert (fourth.step, fourth.phase, fourth.metrics) == (300, "eval", {"return": 2.0, "length": 7.0})
    assert lines(items) == 3


def test_a_line_without_a_step_is_bad(tmp_path: Path) -> None:
    """There is nowhere to put its metrics."""
    assert bads(read(tmp_path, '{"episode/score": 1}\n')) == [
        "<line>:1:0: $.step: expected a step, found nothing [missing_field]"
    ]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            {"step": 26, "dataset_size": 13.0, "train_return": 9.7},
            Claim(Certainty.SURE, "JSON lines with step, train_return, dataset_size"),
        ),
        (
            {"step": 1, "train/loss/dyn": 1.0, "train/opt/loss": 1.0},
            Claim(Certainty.SURE, "JSON lines with step, train/loss/, train/opt/"),
        ),
        ({"step": 268, "episode/score": 3.1}, Claim(Certainty.TYPICAL, "JSON lines with step, episode/score")),
        (
            {"_step": 3, "step": 268, "episode/score": 3.1},
            Claim(Certainty.NO, "no JSON lines with step and episode/score, train/loss/... or train_return"),
        ),
        (
            {"step": 1, "loss": 1},
            Claim(Certainty.NO, "no JSON lines with step and episode/score, train/loss/... or train_return"),
        ),
    ],
)
def test_what_is_said_of_a_file(record: dict[str, Any], expected: Claim, tmp_path: Path) -> None:
    """metrics.jsonl and scores.jsonl of the original, and those of dreamerv3-torch."""
    assert DreamerAdapter().handles(json.dumps(record).encode(), tmp_path / "metrics.jsonl") == expected


def test_whatever_is_damaged_nothing_else_is_raised(tmp_path: Path) -> None:
    """Events or an `RLDKError`, in less than a second."""
    survives(DreamerAdapter(), tmp_path / "metrics.jsonl", LOG.encode())


@needs_shared
@pytest.mark.parametrize("number", range(2))
def test_a_real_log_has_all_its_points(number: int) -> None:
    """Each number beside the step is a metric of its line's event."""
    path = sorted((REAL / "dreamer").rglob("*.jsonl"))[number]
    records = [json.loads(line) for line in path.read_bytes().splitlines()]

    assert DreamerAdapter().handles(read_head(path), path).certainty == Certainty.SURE
    items = list(DreamerAdapter().read(path).items)

    assert [(event.step, *event.metrics.values()) for event in events(items)] == [tuple(r.values()) for r in records]
    assert lines(items) == len(records)
