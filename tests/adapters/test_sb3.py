"""Reading what Stable-Baselines3 and its Monitor log."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from rldk.adapters.base import Certainty
from rldk.adapters.lines import read_head
from rldk.adapters.registry import detect
from rldk.adapters.sb3 import SB3Adapter
from tests.adapters.items import asides, bads, events, lines, survives
from tests.shared import REAL, needs_shared

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.adapters.base import Item

PROGRESS = """\
rollout/ep_rew_mean,time/fps,time/iterations,time/time_elapsed,time/total_timesteps,train/loss,eval/mean_reward
9.5,1000,1,2,2048,,
,,,,4000,0.125,21.0
12.25,900,2,5,4096,nan,
"""
TABLE = """\
Using cpu device
----------------------------------
| rollout/           |           |
|    ep_rew_mean     | 9.5       |
| time/              |           |
|    time_elapsed    | 2         |
|    total_timesteps | 2048      |
| train/             |           |
|    approx_kl       | 0.0080463 |
|    a_very_long... | 1e-08     |
----------------------------------
"""
MONITOR = """\
#{"t_start": 1614619328.5, "env_id": "Acrobot-v1"}\r
r,l,t,is_success\r
-500.0,500,4.5,False\r
-186.0,187,9.25,True\r
"""


def read(path: Path, content: str) -> list[Item]:
    """The items of a log with this content."""
    path.write_bytes(content.encode())
    return list(SB3Adapter().read(path).items)


def test_rows_are_events_with_evaluations_apart(tmp_path: Path) -> None:
    """An evaluation is logged with whatever waits to be logged, and both have the step; blank cells are absent."""
    items = read(tmp_path / "progress.csv", PROGRESS)

    first, second, third, last = events(items)
    assert (first.step, first.phase, first.wall_time) == (2048, "train", 2.0)
    assert first.metrics == {
        "reward_mean": 9.5,
        "env_steps_per_second": 1000,
        "time/iterations": 1,
        "time/time_elapsed": 2,
    }
    assert (second.step, second.phase, second.metrics, second.wall_time) == (4000, "train", {"loss": 0.125}, None)
    assert (third.step, third.phase, third.metrics) == (4000, "eval", {"mean_reward": 21.0})
    assert last.step == 4096
    assert math.isnan(last.metrics["loss"] or 0)
    assert lines(items) == 4


def test_json_lines_give_the_same_events(tmp_path: Path) -> None:
    """progress.json and progress.csv of one run are read alike."""
    line = '{"rollout/ep_rew_mean": 9.5, "time/fps": 1000, "time/iterations": 1, "time/time_elapsed": 2, '
    items = read(tmp_path / "progress.json", line + '"time/total_timesteps": 2048}\n')

    assert events(items) == events(read(tmp_path / "progress.csv", PROGRESS))[:1]
    assert SB3Adapter().read(tmp_path / "progress.json").axis == "environment step"


def test_a_row_without_the_step_is_bad(tmp_path: Path) -> None:
    """It is named as the column that is missing."""
    assert bads(read(tmp_path / "progress.csv", "time/total_timesteps,time/fps\n,5\n")) == [
        "<line>:2:30: $.time/total_timesteps: expected a step, found nothing [missing_field]"
    ]


def test_a_run_that_goes_on_is_a_new_attempt(tmp_path: Path) -> None:
    """When the time starts again at 0, as in a second call of `learn`, the seconds go on from the last."""
    items = read(tmp_path / "progress.csv", "time/total_timesteps,time/time_elapsed\n1,10\n2,3\n")

    _, second = events(items)
    assert (second.attempt, second.wall_time) == (2, 13.0)
    assert second.notes == ["resumed: attempt 2 of this log; the time between attempts is not known"]


def test_printed_tables_are_read_as_they_are_shown(tmp_path: Path) -> None:
    """Sections come back into the keys; a key that was cut stays as it is."""
    items = read(tmp_path / "log.txt", TABLE)

    (event,) = events(items)
    assert (event.step, event.wall_time) == (2048, 2.0)
    assert event.metrics == {
        "reward_mean": 9.5,
        "time/time_elapsed": 2,
        "kl_old": 0.0080463,
        "train/a_very_long...": 1e-08,
    }
    assert asides(items) == [("a line of no table", 1)]
    assert lines(items) == TABLE.count("\n")
    assert "three significant digits" in SB3Adapter().read(tmp_path / "log.txt").facts["rounded"]


def test_a_monitor_counts_episodes(tmp_path: Path) -> None:
    """An episode has its number, its time since the Monitor was made, and its instant."""
    path = tmp_path / "0.monitor.csv"
    first, second = events(read(path, MONITOR))

    assert (first.step, first.wall_time, first.timestamp) == (0, 4.5, "2021-03-01T17:22:13.000000Z")
    assert (first.metrics, first.data_slice) == ({"r": -500.0, "l": 500, "t": 4.5}, {"is_success": "False"})
    assert (second.step, second.wall_time) == (1, 9.25)
    reading = SB3Adapter().read(path)
    list(reading.items)
    assert (reading.axis, reading.facts) == ("episode", {"t_start": 1614619328.5, "env_id": "Acrobot-v1"})


def test_monitors_that_were_joined_go_on_counting(tmp_path: Path) -> None:
    """Their times are brought together by when each was made."""
    later = MONITOR.replace("1614619328.5", "1614619428.5")
    items = read(tmp_path / "monitor.csv", MONITOR + later)

    assert [(event.step, event.wall_time) for event in events(items)] == [(0, 4.5), (1, 9.25), (2, 104.5), (3, 109.25)]
    assert lines(items) == 8


def test_a_monitor_that_appended_has_no_times(tmp_path: Path) -> None:
    """It writes no header, so that nobody knows since when it counts."""
    items = read(tmp_path / "monitor.csv", MONITOR + "-1.0,2,0.5,True\r\n-1.0,2,9.5,True\r\n")

    assert [(event.wall_time, event.timestamp) for event in events(items)[2:]] == [(None, None)] * 2


@pytest.mark.parametrize(
    ("name", "content", "certainty"),
    [
        ("any.csv", PROGRESS, Certainty.SURE),
        ("any.csv", "time/total_timesteps,mine\n1,2\n", Certainty.TYPICAL),
        ("any.json", '{"time/total_timesteps": 1, "time/fps": 2}\n', Certainty.SURE),
        ("any.txt", TABLE, Certainty.SURE),
        ("any.csv", MONITOR, Certainty.SURE),
        ("progress.csv", "r,l,t\n1,2,3\n", Certainty.NO),
        ("log.txt", "| a | b |\n", Certainty.NO),
    ],
)
def test_a_log_is_known_by_its_content(name: str, content: str, certainty: Certainty, tmp_path: Path) -> None:
    """Whatever it is called."""
    path = tmp_path / name
    path.write_bytes(content.encode())

    assert SB3Adapter().handles(read_head(path), path).certainty == certainty
    if certainty:
        assert detect(path).adapter.name == "sb3"


@needs_shared
def test_a_real_monitor_is_read_whole() -> None:
    """Every episode of somebody else's run."""
    path = REAL / "sb3/DLR-RM__rl-trained-agents/a2c/Acrobot-v1_1/0.monitor.csv"
    items = list(SB3Adapter().read(path).items)

    assert [event.step for event in events(items)] == list(range(345))
    lengths = [int(line.split(",")[1]) for line in path.read_text().splitlines()[2:]]
    assert [event.metrics["l"] for event in events(items)] == lengths
    assert lines(items) == 347


@pytest.mark.parametrize("content", [PROGRESS, TABLE, MONITOR])
def test_damage_is_never_more_than_an_error(content: str, tmp_path: Path) -> None:
    """Whatever becomes of a log, it is read or refused."""
    survives(SB3Adapter(), tmp_path / "progress.csv", content.encode(), 500)
