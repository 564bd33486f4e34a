"""Reading what OpenAI baselines, Stable-Baselines 2 and Spinning Up log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rldk.adapters.base import Certainty
from rldk.adapters.baselines import BaselinesAdapter
from rldk.adapters.lines import read_head
from rldk.adapters.registry import detect
from tests.adapters.items import bads, events, lines, survives
from tests.shared import REAL, needs_shared

if TYPE_CHECKING:
    from pathlib import Path

PPO2 = "eprewmean,misc/nupdates,misc/time_elapsed,misc/total_timesteps\n20.5,1,2.5,2048\n,2,5.0,4096\n"
HER = "test/mean_Q,epoch,test/success_rate\n-1.5,0,0.25\n-2.5,1,0.5\n"
SPINUP = "Epoch\tAverageEpRet\tTotalEnvInteracts\tTime\n0\t-1.5\t4000\t3.25\n"
DQN = "% time spent exploring,episodes,mean 100 episode reward,steps\n98,100,10.5,1219\n97,200,11.0,2451\n"
SAC = "ep_rewmean,mean 100 episode reward,n_updates,total timesteps\n20.25,20.5,901,1000\n"
NO_STEP = "mean 100 episode reward,kl\n20.0,-1e-05\n21.0,0.5\n"
JSON = '{"EpRewMean": 1.5, "TimestepsSoFar": 1000, "TimeElapsed": 2.5}\n'
DASHES = "-" * 30 + "\n"
EXACT = "".join(f"{DASHES}| ep_reward_mean  | 9.5 |\n| total_timesteps | {step} |\n{DASHES}" for step in (128, 25600))
ROUNDED = "".join(
    f"{DASHES}| eprewmean            | 1.5 |\n| misc/total_timesteps | {step} |\n{DASHES}"
    for step in ("128", "2.05e+03")
)


@pytest.mark.parametrize(
    ("content", "axis", "steps", "metrics", "wall_time"),
    [
        (
            PPO2,
            "environment step",
            [2048, 4096],
            {"reward_mean": 20.5, "misc/nupdates": 1, "misc/time_elapsed": 2.5},
            2.5,
        ),
        (HER, "epoch", [0, 1], {"test/mean_Q": -1.5, "test/success_rate": 0.25}, None),
        (SPINUP, "environment step", [4000], {"Epoch": 0, "AverageEpRet": -1.5, "Time": 3.25}, 3.25),
        (
            DQN,
            "environment step",
            [1219, 2451],
            {"% time spent exploring": 98, "episodes": 100, "reward_mean": 10.5},
            None,
        ),
        (SAC, "environment step", [1000], {"ep_rewmean": 20.25, "reward_mean": 20.5, "n_updates": 901}, None),
        (NO_STEP, "row: one dump of the logger", [0, 1], {"reward_mean": 20.0, "kl": -1e-05}, None),
        (JSON, "environment step", [1000], {"reward_mean": 1.5, "TimeElapsed": 2.5}, 2.5),
        (EXACT, "environment step", [128, 25600], {"reward_mean": 9.5}, None),
        (ROUNDED, "row: one dump of the logger", [0, 1], {"reward_mean": 1.5, "misc/total_timesteps": 128}, None),
    ],
    ids=["ppo2", "her", "spinup", "dqn", "sac", "no step", "json", "exact table", "rounded table"],
)
def test_steps_are_what_surely_counts_them(  # noqa: PLR0917 - what a reading gives
    content: str, axis: str, steps: list[int], metrics: dict[str, float], wall_time: float | None, tmp_path: Path
) -> None:
    """The finest count that is logged, rows where there is none, and where a table has rounded it."""
    path = tmp_path / "any.txt"
    path.write_text(content)

    reading = detect(path).adapter.read(path)  # type: ignore[attr-defined]
    items = list(reading.items)
    assert reading.axis == axis
    assert [event.step for event in events(items)] == steps
    assert (events(items)[0].metrics, events(items)[0].wall_time) == (metrics, wall_time)
    assert lines(items) == content.count("\n")


def test_a_row_without_the_step_is_bad(tmp_path: Path) -> None:
    """Where a column counts steps, every row has to have it."""
    path = tmp_path / "progress.csv"
    path.write_text("eprewmean,nupdates\n1.5,\n")

    assert bads(list(BaselinesAdapter().read(path).items)) == [
        "<line>:2:19: $.nupdates: expected a step, found nothing [missing_field]"
    ]


def test_a_field_map_names_another_step(tmp_path: Path) -> None:
    """As the count that a table has rounded, for those who know that it was not."""
    path = tmp_path / "log.txt"
    path.write_text(ROUNDED)

    reading = BaselinesAdapter({"step": "misc/total_timesteps"}).read(path)
    assert [event.step for event in events(list(reading.items))] == [128, 2050]


@pytest.mark.parametrize(
    ("name", "content", "certainty"),
    [
        ("any.csv", PPO2, Certainty.TYPICAL),
        ("any.txt", ROUNDED, Certainty.TYPICAL),
        ("log.txt", f"{DASHES}| total timesteps | 2048 |\n{DASHES}", Certainty.TYPICAL),
        ("progress.csv", "mine,other\n1,2\n", Certainty.GENERIC),
        ("progress.csv", "step,other\n1,2\n", Certainty.NO),
        ("other.csv", "mine,other\n1,2\n", Certainty.NO),
        ("progress.csv", "mine,other\n1,text\n", Certainty.NO),
        ("log.txt", f"{DASHES}| mine | 1 |\n{DASHES}", Certainty.NO),
    ],
)
def test_a_log_is_known_by_its_names(name: str, content: str, certainty: Certainty, tmp_path: Path) -> None:
    """Names of columns tell; the name of the file only where nothing else is in it."""
    path = tmp_path / name
    path.write_text(content)

    assert BaselinesAdapter().handles(read_head(path), path).certainty == certainty


@pytest.mark.parametrize("step", ["Epoch", "Timesteps", "episode", "iteration"])
def test_a_progress_file_with_a_step_is_any_csv(step: str, tmp_path: Path) -> None:
    """As those of rlkit, rllab and others, where nothing but the name of the file is that of baselines."""
    path = tmp_path / "progress.csv"
    path.write_text(f"{step},mine\n10,0.5\n20,0.25\n")

    assert detect(path).adapter.name == "custom_csv"


def test_a_field_map_makes_a_progress_file_any_csv(tmp_path: Path) -> None:
    """It says which column is the step, so no rows are counted."""
    path = tmp_path / "progress.csv"
    path.write_text("frame,mine\n640,0.5\n")

    assert [detect(path, field_map).adapter.name for field_map in ({}, {"step": "frame"})] == [
        "baselines",
        "custom_csv",
    ]


@needs_shared
@pytest.mark.parametrize(
    ("name", "axis", "count"),
    [
        ("CS15B001__HER_Improvements/04_29_20_21_32/progress.csv", "epoch", 43),
        ("morikatron__GAIL_PPO/sample_result/ppo/progress.csv", "row: one dump of the logger", 100),
        ("morikatron__GAIL_PPO/logs/log.txt", "row: one dump of the logger", 30),
    ],
)
def test_real_logs_are_read_whole(name: str, axis: str, count: int) -> None:
    """Every row and every table of somebody else's runs."""
    path = REAL / "baselines" / name
    reading = detect(path).adapter.read(path)  # type: ignore[attr-defined]
    items = list(reading.items)

    assert (reading.axis, [event.step for event in events(items)], bads(items)) == (axis, list(range(count)), [])
    assert lines(items) == len(path.read_text().splitlines())


@pytest.mark.parametrize("content", [PPO2, SPINUP, ROUNDED, JSON])
def test_damage_is_never_more_than_an_error(content: str, tmp_path: Path) -> None:
    """Whatever becomes of a log, it is read or refused."""
    survives(BaselinesAdapter(), tmp_path / "progress.csv", content.encode(), 500)
