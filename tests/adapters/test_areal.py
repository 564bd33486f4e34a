"""Reading the tables that AReaL prints."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import pytest

from rldk.adapters.areal import AReaLAdapter
from rldk.adapters.base import Certainty, Claim
from rldk.adapters.lines import read_head
from rldk.errors import UnknownFormatError
from tests.adapters.items import asides, bads, events, lines, survives
from tests.shared import REAL, needs_shared

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.adapters.base import Item

TABLE = """\
╒═════════════════════╤══════════════╤═══════╤══════════════╤══════════════════════════════╤════════════╕
│ ppo_actor/update/lr │   1.7000e-05 │ x/max │ inf          │ eval-rollout/task_reward/avg │ 3.0000e+00 │
├─────────────────────┼──────────────┼───────┼──────────────┼──────────────────────────────┼────────────┤
│ a/b/avg             │ nan          │ y     │              │                              │            │
╘═════════════════════╧══════════════╧═══════╧══════════════╧══════════════════════════════╧════════════╛
"""
"""As `tabulate` prints it, with a None and with cells that are left over."""


def announced(step: int, title: str = "Stats (1/1):") -> str:
    """What stands above the table of a step."""
    prefix = "2025-11-21T23:38:43.391859039Z \x1b[37m20251121-23:38:43.391 StatsLogger INFO: "
    return f"{prefix}Epoch 1/5 Step {step}/100 Train step {step}/500 done.\x1b[0m\n{prefix}{title}\x1b[0m\n{prefix}\n"


def small(value: str) -> str:
    """A table with one number."""
    return f"╒═══╤═══╕\n│ a │ {value} │\n╘═══╧═══╛\n"


def read(tmp_path: Path, content: str) -> list[Item]:
    """The items of a console with this content."""
    path = tmp_path / "run.log"
    path.write_text(content)
    return list(AReaLAdapter().read(path).items)


def claim(tmp_path: Path, content: str) -> Claim:
    """What is said of a file with this content."""
    path = tmp_path / "run.log"
    path.write_text(content)
    return AReaLAdapter().handles(read_head(path), path)


def short(items: list[Item]) -> list[tuple[int, str, dict[str, Any]]]:
    """Step, phase and metrics of each event."""
    return [(event.step, event.phase, event.metrics) for event in events(items)]


def test_a_table_is_an_event_for_each_phase(tmp_path: Path) -> None:
    """It belongs to the step above, and all of its lines count with the first event."""
    items = read(tmp_path, announced(3) + TABLE + "bye\n")

    train, evaluation = short(items)
    assert math.isnan(train[2].pop("a/b/avg"))
    assert train == (3, "train", {"lr": 1.7e-05, "x/max": math.inf, "y": None})
    assert evaluation == (3, "eval", {"reward_mean": 3.0})
    assert [item.lines for item in items] == [1, 1, 1, 5, 0, 1]


def test_each_minibatch_is_a_step_of_its_own(tmp_path: Path) -> None:
    """Where AReaL prints several tables for a train step, steps count tables; others stand beside them."""
    console = "".join(
        f"Epoch 1/1 Step {step}/9 Train step {step}/9 done.\nDetailed time stats: \n{small('9')}"
        + "".join(f"GRPO training stats ({part}/2):\n{small(str(part))}" for part in (1, 2))
        + f"Other stats:\n{small('8')}"
        for step in (1, 2)
    )

    found = [(step, metrics["a"]) for step, _, metrics in short(read(tmp_path, console))]

    assert found == [(1, 9), (1, 1), (2, 2), (2, 8), (3, 9), (3, 1), (4, 2), (4, 8)]


def test_realhf_names_the_step_before_it_works_on_it(tmp_path: Path) -> None:
    """The versions before AReaL's own trainers print what each function returns."""
    step = "20250401-00:00:00.000 master worker INFO: The next step is epoch 1/5 step 2/100 (global step 2). \n"

    assert short(read(tmp_path, f"{step}RPC name actor_train returns\n{small('0.5')}")) == [(2, "train", {"a": 0.5})]


def test_tables_of_other_things_are_set_aside(tmp_path: Path) -> None:
    """A table without a title of statistics is none of them."""
    items = read(tmp_path, f"Train step 1/2 done\n{small('1')}")

    assert asides(items) == [("console output", 1)] + [("table of something else", 1)] * 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            announced(1) + small("1")[:19] + "\n",
            "<line>:4:294: expected the last line of the table, ╘, found the end of the file [torn_tail]",
        ),
        (
            announced(1) + small("1")[:19] + "\nStats (1/1):\n" + small("2"),
            "<line>:4:294: expected the last line of the table, ╘, found another table [bad_value]",
        ),
        (
            announced(1) + small("1")[:-2],
            "<line>:4:294: expected the last line of the table, ╘, found the end of the file [torn_tail]",
        ),
        (
            announced(1) + small("x"),
            "<line>:5:322: expected a name and a number in turns, found 'a │ x' [bad_value]",
        ),
        (
            announced(1) + small("1 │ a │ 2"),
            "<line>:5:322: expected each name once, found 'a' again [duplicate_key]",
        ),
        (
            f"Stats (1/1):\n{small('1')}",
            (
                "<line>:2:13: $.step: expected a line `Epoch 1/5 Step 3/100 Train step 3/500 done.` before the table, "
                "found none [missing_field]"
            ),
        ),
        (
            f"{announced(1, 'Stats (1/2):')}{small('1')}Stats (2/3):\n{small('1')}",
            "<line>:8:379: expected 2 tables for each step, as before, found 3 tables [bad_value]",
        ),
    ],
)
def test_a_damaged_table_is_bad(content: str, message: str, tmp_path: Path) -> None:
    """It is said what is wrong, and where; every line is accounted for."""
    items = read(tmp_path, content)

    assert bads(items) == [message]
    assert lines(items) == len(content.splitlines())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            announced(1) + TABLE,
            Claim(Certainty.SURE, "tables of statistics below lines that name a train step"),
        ),
        (TABLE, Claim(Certainty.NO, "tables, but no line `Epoch 1/5 Step 3/100 Train step 3/500 done.`")),
        ("text\n", Claim(Certainty.NO, "no table below a line `Epoch 1/5 Step 3/100 Train step 3/500 done.`")),
        ("", Claim(Certainty.NO, "no text")),
    ],
)
def test_what_is_said_of_a_file(content: str, expected: Claim, tmp_path: Path) -> None:
    """Both a step and a table are needed."""
    assert claim(tmp_path, content) == expected


def test_a_launch_that_failed_is_refused_with_its_exception(tmp_path: Path) -> None:
    """Reading it all the same raises what the claim says."""
    content = "import areal\nTraceback (most recent call last):\n  File x\nValueError: no data\n"
    why = (
        "a console of AReaL without a line `Epoch 1/5 Step 3/100 Train step 3/500 done.`: "
        "it failed with 'ValueError: no data' (line 4)"
    )

    assert claim(tmp_path, content) == Claim(Certainty.NO, why)
    with pytest.raises(UnknownFormatError, match=re.escape(f"run.log: expected a log of AReaL, found {why}")):
        read(tmp_path, content)


def test_whatever_is_damaged_nothing_else_is_raised(tmp_path: Path) -> None:
    """Events or an `RLDKError`, in less than a second."""
    survives(AReaLAdapter(), tmp_path / "run.log", (announced(1) + TABLE + announced(2) + TABLE).encode())


@needs_shared
@pytest.mark.parametrize("name", ["loggs.txt", "logs_5090_3hour_failure.txt"])
def test_real_launches_that_failed_are_refused(name: str) -> None:
    """The exception that ended them is named."""
    path = REAL / "areal/inclusionAI__AReaL/examples/cloud_gsm8k/train_logs" / name

    found = AReaLAdapter().handles(read_head(path), path)

    assert not found
    assert "it failed with 'areal.utils.launcher.JobException: Job gsm8k-grpo" in found.why
