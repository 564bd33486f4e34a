"""Whole trainings with rollouts, by `train_ppo_ray`."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from rldk.io.reader import read_events
from rldk.io.segments import find_logs
from tests.openrlhf import trainings
from tests.openrlhf.checks import DERIVED, curve, differences, events, files, manifest, tensorboard
from tests.openrlhf.machine import ended

if TYPE_CHECKING:
    from tests.openrlhf.machine import Machine, Tiny

pytestmark = pytest.mark.slow

GRPO = ("--algo.advantage.estimator", "group_norm")
ASYNC = ("--train.async_enable", "--algo.advantage.estimator", "gae", "--algo.advantage.is_correction_level", "token")
FOUR = [(step, None) for step in range(1, 5)]


@pytest.mark.parametrize("flags", [GRPO, ASYNC], ids=["sync_grpo", "async_gae"])
def test_a_training_is_recorded(flags: tuple[str, ...], ray_machine: Machine, tiny: Tiny) -> None:
    """Every step and every evaluation is there, with the values of OpenRLHF's own TensorBoard file.

    In async training the evaluation of step 2 may come after step 3, and that is no mistake.
    """
    folder = ray_machine.folder
    done = ray_machine.run(*trainings.LAUNCHER, *trainings.ppo(tiny, folder, *flags, *trainings.tracked(folder)))

    assert done.code == 0
    found = events(ray_machine.logs)
    assert curve(found, "train") == FOUR
    evaluated = [(step, eval_set) for step in (2, 4) for eval_set in ("toy", None)]
    # Async training is over before its last evaluation is asked for.
    assert curve(found, "eval") == (evaluated if flags is GRPO else evaluated[:2])
    assert files(ray_machine.logs) == DERIVED
    about = manifest(ray_machine.logs)
    assert about.attempts[0].outcome == "completed"
    assert about.algorithm == ("grpo" if flags is GRPO else "ppo")
    first = found[0]
    assert {"reward_mean", "kl_mean", "entropy_mean", "lr", "kl_coef", "letter_share", "one"} <= first.metrics.keys()
    assert [note.partition(":")[0] for note in first.notes] == ["sample"]
    written = tensorboard(ray_machine.folder / "tensorboard")
    assert {step for tag, step in written if tag.startswith("train/")} == {2, 4}
    assert differences(found, about.metrics, written) == []


def test_a_training_is_killed_and_resumed(ray_machine: Machine, tiny: Tiny) -> None:
    """SIGKILL of the trainer's actor loses no step, and the resumed training is attempt 2, after its checkpoint."""
    more = (*GRPO, "--train.num_episodes", 3)
    process = ray_machine.start(*trainings.LAUNCHER, *trainings.ppo(tiny, ray_machine.folder, *more))
    at = random.randint(3, 6)  # noqa: S311 - any step will do
    _wait_for_step(ray_machine, at)
    os.kill(manifest(ray_machine.logs).attempts[0].process["pid"], signal.SIGKILL)
    killed = ended(process)
    before = events(ray_machine.logs)
    resumed = ray_machine.run(
        *trainings.LAUNCHER, *trainings.ppo(tiny, ray_machine.folder, *more, "--ckpt.load_enable")
    )

    assert killed.code != 0
    assert [step for step, _ in curve(before, "train")] == list(range(1, len(curve(before, "train")) + 1))
    assert len(curve(before, "train")) >= at
    assert resumed.code == 0
    after = events(ray_machine.logs)
    assert after[: len(before)] == before
    attempts = manifest(ray_machine.logs).attempts
    (log,) = find_logs(ray_machine.logs)
    assert [each.attempt for each in attempts] == [1, 2]
    assert attempts[1].resumed_from in {2, 4, 6}
    assert {event.resumed_from for event in after[len(before) :]} == {attempts[1].resumed_from}
    assert [event.step for event in read_events(log.path) if event.phase == "train"] == list(range(1, 13))
    report = json.loads((ray_machine.logs / f"{log.run_id}_final_report.json").read_text())
    assert (report["outcome"], len(report["seams"])) == ("completed", 1)


def _wait_for_step(machine: Machine, step: int) -> None:
    for _ in range(4000):
        for log in find_logs(machine.logs) if machine.logs.is_dir() else []:
            if log.path.exists() and f'{{"step":{step},' in log.path.read_text():
                return
        time.sleep(0.1)
    raise AssertionError("the step was not recorded")
