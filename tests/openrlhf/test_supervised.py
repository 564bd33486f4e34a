"""Whole trainings without rollouts, by OpenRLHF's own commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.openrlhf import trainings
from tests.openrlhf.checks import DERIVED, curve, differences, events, files, manifest, tensorboard
from tests.openrlhf.machine import one_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.openrlhf.machine import Machine, Tiny


@pytest.mark.parametrize("command", [trainings.sft, trainings.rm, trainings.dpo])
def test_a_training_is_recorded(command: Callable[..., list[object]], machine: Machine, tiny: Tiny) -> None:
    """Every update and every evaluation is there, with the values of OpenRLHF's own TensorBoard file."""
    done = machine.run(
        *trainings.LAUNCHER, *command(tiny, machine.folder, *trainings.tracked(machine.folder)), **one_process()
    )

    assert done.code == 0
    found = events(machine.logs)
    assert curve(found, "train") == [(step, None) for step in range(1, 9)]
    assert curve(found, "eval") == [(4, None), (8, None)]
    assert files(machine.logs) == DERIVED
    about = manifest(machine.logs)
    assert (about.algorithm, about.attempts[0].outcome) == (command.__name__, "completed")
    assert {"loss", "lr", "grad_norm"} <= found[0].metrics.keys()
    assert found[0].model_info["optimizer"] == "adam"
    written = tensorboard(machine.folder / "tensorboard")
    assert {step for tag, step in written if tag.startswith("train/")} == {2, 4, 6, 8}
    assert differences(found, about.metrics, written) == []


def test_without_a_tracker(machine: Machine, tiny: Tiny) -> None:
    """Evaluations are recorded also when OpenRLHF itself would write them nowhere."""
    done = machine.run(*trainings.LAUNCHER, *trainings.sft(tiny, machine.folder), **one_process())

    assert done.code == 0
    found = events(machine.logs)
    assert curve(found, "eval") == [(4, None), (8, None)]
    assert "loss" in found[4].metrics


def test_with_wandb(machine: Machine, tiny: Tiny) -> None:
    """Evaluations come by wandb then, and its key is in none of the files."""
    key = "0123456789abcdef" * 2 + "01234567"
    done = machine.run(
        *trainings.LAUNCHER, *trainings.sft(tiny, machine.folder, "--logger.wandb.key", key), **one_process()
    )

    assert done.code == 0
    assert curve(events(machine.logs), "eval") == [(4, None), (8, None)]
    assert manifest(machine.logs).attempts[0].trainer["logger"]["wandb"]["key"] == "<redacted>"
    assert [path.name for path in machine.logs.iterdir() if key.encode() in path.read_bytes()] == []


@pytest.mark.slow
def test_a_training_is_resumed(machine: Machine, tiny: Tiny) -> None:
    """It goes on as attempt 2 of the same run, after the step of the checkpoint, and nothing is overwritten."""
    first = machine.run(
        *trainings.LAUNCHER, *trainings.sft(tiny, machine.folder, "--ckpt.save_steps", 3), **one_process()
    )
    before = events(machine.logs)
    second = machine.run(
        *trainings.LAUNCHER,
        *trainings.sft(tiny, machine.folder, "--ckpt.save_steps", 3, "--ckpt.load_enable"),
        **one_process(),
    )
    after = events(machine.logs)

    assert (first.code, second.code) == (0, 0), second.output
    assert after[: len(before)] == before
    assert [(event.step, event.attempt, event.resumed_from) for event in after[len(before) :]] == [
        (7, 2, 6),
        (8, 2, 6),
        (8, 2, 6),
    ]


@pytest.mark.slow
def test_two_ranks_under_the_launcher_of_deepspeed(machine: Machine, tiny: Tiny) -> None:
    """`deepspeed --module rldk.integrations.openrlhf` trains in two processes, and the first of them records."""
    done = machine.run(
        *("-m", "deepspeed.launcher.runner", "--num_gpus", 2, "--module", trainings.LAUNCHER[1]),
        *trainings.sft(tiny, machine.folder, "--train.micro_batch_size", 2),
    )

    assert done.code == 0
    found = events(machine.logs)
    assert curve(found, "train") == [(step, None) for step in range(1, 9)]
    assert found[0].model_info["world_size"] == 2
