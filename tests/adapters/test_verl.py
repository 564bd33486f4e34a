"""Reading verl's file logger and its console."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import pytest

from rldk.adapters.base import Certainty, Claim
from rldk.adapters.lines import read_head
from rldk.adapters.verl import VerlAdapter
from rldk.errors import UnknownFormatError
from tests.adapters.items import asides, bads, events, lines, survives
from tests.shared import REAL, needs_shared

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.adapters.base import Item

FILE = b"""\
{"step":0,"data":{"val-core/openai/gsm8k/reward/mean@1":0.5,"val-aux/openai/gsm8k/score/std@1":0.1}}
{"step":1,"data":{"actor/pg_loss":null,"actor/grad_norm":null,"critic/score/mean":0.25,"val/test_score/a":1}}
"""
CONSOLE = (
    "+ python3 -m verl.trainer.main_ppo data.train_batch_size=8\n"
    "\x1b[36m(TaskRunner pid=7)\x1b[0m step:0 - val/test_score/openai/gsm8k:0.508\n"
    "\x1b[36m(main_task pid=7, ip=10.0.0.1)\x1b[0m step:1 - global_seqlen/min:4127.000 - critic/score/mean:-0.500\n"
    "(TaskRunner pid=7) step:2 - actor/pg_loss:np.float64(1e-05) - perf/mfu/actor:nan - actor/lr:inf - x/epoch:0\n"
)


def read(tmp_path: Path, content: str | bytes) -> list[Item]:
    """The items of a log with this content."""
    path = tmp_path / "run.log"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(VerlAdapter().read(path).items)


def claim(tmp_path: Path, content: str | bytes) -> Claim:
    """What is said of a file with this content."""
    path = tmp_path / "run.log"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return VerlAdapter().handles(read_head(path), path)


def short(items: list[Item]) -> list[tuple[int, str, dict[str, Any]]]:
    """Step, phase and metrics of each event."""
    return [(event.step, event.phase, event.metrics) for event in events(items)]


def test_a_line_of_the_file_logger_is_an_event_for_each_phase(tmp_path: Path) -> None:
    """Training and validation of a step are told apart, and the line counts once."""
    items = read(tmp_path, FILE)

    assert short(items) == [
        (0, "eval", {"val-core/openai/gsm8k/reward/mean@1": 0.5, "val-aux/openai/gsm8k/score/std@1": 0.1}),
        (1, "train", {"policy_loss": None, "grad_norm": None, "reward_mean": 0.25}),
        (1, "eval", {"test_score/a": 1}),
    ]
    assert lines(items) == 2


def test_a_null_of_the_file_logger_is_told_as_a_lost_nan(tmp_path: Path) -> None:
    """The metric stays None, and a note names it as verl calls it."""
    notes = [event.notes for event in events(read(tmp_path, FILE))]

    assert notes == [[], ["nan_lost: actor/pg_loss, actor/grad_norm (verl writes NaN and infinity as null)"], []]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"step":1}\n', "<line>:1:0: $.data: expected the metrics, an object, found nothing [wrong_type]"),
        (b'{"step":null,"data":{"a/b":1}}\n', "<line>:1:0: $.step: expected a step, found nothing [missing_field]"),
        (
            b'{"step":1,"data":3}\n',
            "<line>:1:0: $.data: expected the metrics, an object, found something else [wrong_type]",
        ),
        (
            b'{"step":1,"da',
            (
                "<line>:1:0: expected a newline at the end of the last line, found 13 bytes without one: "
                "the file was cut short, or is still being written [torn_tail]"
            ),
        ),
    ],
)
def test_a_damaged_line_of_the_file_logger_is_bad(line: bytes, message: str, tmp_path: Path) -> None:
    """It is said what is wrong, and where."""
    assert bads(read(tmp_path, line)) == [message]


def test_a_step_without_metrics_is_set_aside(tmp_path: Path) -> None:
    """There is nothing to make an event of."""
    assert asides(read(tmp_path, b'{"step":1,"data":{}}\n')) == [("a step without metrics", 1)]


def test_the_console_is_read_whatever_ray_puts_before_a_line(tmp_path: Path) -> None:
    """Old versions print three decimals, newer ones what Python shows of the number."""
    items = read(tmp_path, CONSOLE)

    first, second, third = short(items)
    assert first == (0, "eval", {"test_score/openai/gsm8k": 0.508})
    assert second == (1, "train", {"global_seqlen/min": 4127.0, "reward_mean": -0.5})
    assert math.isnan(third[2].pop("perf/mfu/actor"))
    assert third == (2, "train", {"policy_loss": 1e-05, "lr": math.inf, "x/epoch": 0})
    assert asides(items) == [("console output", 1)]


def test_keys_may_hold_spaces_colons_and_dashes(tmp_path: Path) -> None:
    """A key ends at the last colon before a number."""
    line = "step:3 - actor/entropy:0.5 - val/test_score/my set - hard: v2:0.25 - x/y:tensor(0.5, device='cuda:0')\n"

    assert short(read(tmp_path, line)) == [
        (3, "train", {"entropy_mean": 0.5, "x/y": 0.5}),
        (3, "eval", {"test_score/my set - hard: v2": 0.25}),
    ]


def test_progress_bars_before_a_step_are_passed_over(tmp_path: Path) -> None:
    """With or without the carriage return that should have ended them."""
    bar = "Training Progress:   2%|2   | 1/58 [00:16<10:00, 1.1s/it]"

    items = read(tmp_path, f"{bar}step:1 - a/b:1.0 - c/d:2.0\n{bar}\rstep:2 - a/b:1.0 - c/d:2.0\r{bar}\n")

    assert [event.step for event in events(items)] == [1, 2]
    assert lines(items) == 2


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("step:2 - a/b:1.0 - c/d:2.0(TaskRunner pid=1) more", "'c/d:2.0(TaskRunner pid=1) more'"),
        ("step:2 - a/b:1.0 - c/", "'c/'"),
        ("step:2 - actor/entr", "'actor/entr'"),
    ],
)
def test_a_step_broken_by_other_output_is_bad(line: str, found: str, tmp_path: Path) -> None:
    """It begins as a step, so it is not passed over as prose."""
    items = read(tmp_path, f"step:1 - a/b:1.0\n{line}\n")

    message = f"<line>:2:17: expected key:number, as everywhere between ` - `, found {found} [bad_value]"
    assert bads(items) == [message]


def test_a_key_that_is_there_twice_is_bad(tmp_path: Path) -> None:
    """Nobody can know which of the values is meant."""
    items = read(tmp_path, "step:1 - a/b:1.0 - a/b:2.0\n")

    assert bads(items) == ["<line>:1:0: expected each key once, found 'a/b' again [duplicate_key]"]


@pytest.mark.parametrize(
    ("line", "steps"),
    [
        ("step:2 - a/b:1.000 - c/d:-0.125", [1, 2]),
        ("step:2 - a/b:1.0 - c/d:np.float64(0.125)", [1, 2]),
        ("step:2 - a/b:1.0 - c/d:0.125", [1]),
        ("step:2 - a/b:1.000 - c/d:-0.12", [1]),
    ],
)
def test_a_last_line_without_newline_is_taken_when_its_last_number_is_surely_whole(
    line: str, steps: list[int], tmp_path: Path
) -> None:
    """Three decimals throughout, or a parenthesis, show that nothing was cut from it."""
    items = read(tmp_path, f"step:1 - a/b:1.000\n{line}")

    assert [event.step for event in events(items)] == steps
    assert len(bads(items)) == 2 - len(steps)


@pytest.mark.parametrize(
    "line", ["step: 3 loss 0.5", "let us go step:1 - first a/b:2", "step:1 - loss:0.5", "step:1 - use 1/2 of it: yes"]
)
def test_other_lines_with_the_word_step_are_none_of_verls(line: str, tmp_path: Path) -> None:
    """Prose of a model, or another trainer's line, is neither claimed nor bad."""
    assert claim(tmp_path, line + "\n") == Claim(Certainty.NO, "no line `step:N - key:value`")
    assert asides(read(tmp_path, f"step:1 - a/b:1.0\n{line}\n")) == [("console output", 1)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (FILE, Claim(Certainty.SURE, "JSON lines of verl's file logger, {step, data}")),
        (b'{"step":0,"data":{"x":1}}\n', Claim(Certainty.TYPICAL, "JSON lines of verl's file logger, {step, data}")),
        (b'{"step":0,"loss":1}\n', Claim(Certainty.NO, "JSON lines, but not verl's {step, data}")),
        (b'{"a":\n', Claim(Certainty.NO, "neither verl's JSON lines, {step, data}, nor a console")),
        (b"", Claim(Certainty.NO, "neither verl's JSON lines, {step, data}, nor a console")),
        (
            CONSOLE,
            Claim(Certainty.SURE, "a line step:N - key:value, 'step:0 - val/test_score/openai/gsm8k:0.508'"),
        ),
        ("step:1 - my/x:1\n", Claim(Certainty.TYPICAL, "a line step:N - key:value, 'step:1 - my/x:1'")),
    ],
)
def test_what_is_said_of_a_file(content: bytes | str, expected: Claim, tmp_path: Path) -> None:
    """The names of the first metrics decide how sure it is."""
    assert claim(tmp_path, content) == expected


def test_a_step_is_found_far_into_a_console(tmp_path: Path) -> None:
    """What a launcher prints before it may be longer than the head."""
    assert claim(tmp_path, "loading\n" * 20_000 + "step:1 - actor/lr:1.0\n").certainty == Certainty.SURE


def test_a_launch_that_failed_is_refused_with_its_exception(tmp_path: Path) -> None:
    """By whoever asks whose it is, and by reading it all the same."""
    content = "(pid=1) {'actor_rollout_ref': {}}\nTraceback (most recent call last):\n  File x\nValueError: no data\n"
    why = "a console of verl without a line `step:N - key:value`: it failed with 'ValueError: no data' (line 4)"

    assert claim(tmp_path, content) == Claim(Certainty.NO, why)
    with pytest.raises(UnknownFormatError, match=re.escape(f"run.log: expected a log of verl, found {why}")):
        read(tmp_path, content)


@pytest.mark.parametrize("content", [FILE, CONSOLE.encode()], ids=["file", "console"])
def test_whatever_is_damaged_nothing_else_is_raised(content: bytes, tmp_path: Path) -> None:
    """Events or an `RLDKError`, in less than a second."""
    survives(VerlAdapter(), tmp_path / "run.log", content)


@needs_shared
def test_a_real_console_has_all_its_steps() -> None:
    """Each `key:value` of each step is a metric, between fifty thousand lines of samples."""
    (path,) = REAL.glob("wandb/zhiyuanhubj__logic-rl-formula/wandb/*/files/output.log")
    printed = re.findall(r"^step:(\d+) - (.*)$", path.read_text(), re.MULTILINE)

    items = list(VerlAdapter().read(path).items)

    assert [str(event.step) for event in events(items)] == [step for step, _ in printed]
    for event, (_, text) in zip(events(items), printed, strict=True):
        assert list(event.metrics.values()) == [float(pair.rpartition(":")[2]) for pair in text.split(" - ")]
    assert lines(items) == path.read_bytes().count(b"\n")


@needs_shared
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("Chrisytz__verl/verl_demo.log", "training did not get to its first step"),
        ("KotoHanon__VERL-Maze/verl_demo.log", "it failed with 'NotImplementedError' (line 292)"),
        ("volcengine__verl/examples/sglang_multiturn/nohup.out", 'it failed with "hydra.errors.MissingConfigException'),
        (
            "zhiyuanhubj__logic-rl-formula/grpo.log",
            "it failed with 'AssertionError: failed to get register_center_actor",
        ),
        (
            "volcengine__verl/examples/benchmarks/fsdp_vs_deepspeed_ppo/results/metrics_summary.json",
            "neither verl's JSON lines, {step, data}, nor a console",
        ),
    ],
)
def test_real_files_without_steps_are_refused(path: str, why: str) -> None:
    """Launches that failed, and a summary that is no log."""
    found = VerlAdapter().handles(read_head(REAL / "verl" / path), REAL / "verl" / path)

    assert not found
    assert why in found.why
