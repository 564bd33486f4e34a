"""The ways into the worker of Ray in which OpenRLHF's trainer lives, beside a cluster that knows nothing of them."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from rldk.io.segments import find_logs
from tests.openrlhf.checks import DERIVED, curve, events, files, manifest
from tests.openrlhf.machine import PROGRAMS, Ended, ended

if TYPE_CHECKING:
    from tests.openrlhf.machine import Machine

LAUNCHER = ("-m", "rldk.integrations.openrlhf")
JOB = PROGRAMS / "job.py"
TEXT = {"worker_process_setup_hook": "rldk.integrations.openrlhf.worker_setup"}
HOOK = "rldk.integrations.openrlhf.ray_runtime_env_hook"


def recorded_by_the_actor(machine: Machine, done: Ended) -> bool:
    """Whether the steps are in one log, which the process of the actor wrote, and not that of the script."""
    assert done.code == 0
    found = re.search(r"trained in (\d+) from (\d+)", done.output)
    assert found, done.output
    assert curve(events(machine.logs), "train") == [(1, None), (2, None), (3, None)]
    assert files(machine.logs) == DERIVED
    (attempt,) = manifest(machine.logs).attempts
    assert attempt.outcome == "completed"
    return str(attempt.process["pid"]) == found[1] != found[2]


def test_the_launcher(ray_machine: Machine) -> None:
    """The command before the script is all it takes."""
    done = ray_machine.run(*LAUNCHER, JOB, "tensorboard", 3)

    assert recorded_by_the_actor(ray_machine, done)
    assert "RLDK: recording the run grpo-" in done.output


def test_the_hook_of_ray_init(ray_machine: Machine) -> None:
    """A variable in the environment of the script is all it takes."""
    done = ray_machine.run(JOB, "tensorboard", 3, RAY_RUNTIME_ENV_HOOK=HOOK)

    assert recorded_by_the_actor(ray_machine, done)


def test_a_submitted_job(ray_machine: Machine) -> None:
    """The text form in the job's own runtime environment; its script is untouched, and has an environment too."""
    runtime_env = {**TEXT, "env_vars": {"RLDK_OUTPUT_DIR": str(ray_machine.logs)}}
    done = ray_machine.submit(runtime_env, sys.executable, JOB, ray_machine.folder / "tensorboard", 3)

    assert recorded_by_the_actor(ray_machine, done)


@pytest.mark.parametrize("more", [{}, TEXT], ids=["alone", "with_the_text_form"])
def test_the_launcher_in_a_submitted_job(ray_machine: Machine, more: dict[str, str]) -> None:
    """The launcher adds nothing that the job's environment has already, for Ray would refuse it."""
    runtime_env = {**more, "env_vars": {"RLDK_OUTPUT_DIR": str(ray_machine.logs)}}
    done = ray_machine.submit(runtime_env, sys.executable, *LAUNCHER, JOB, ray_machine.folder / "tensorboard", 3)

    assert recorded_by_the_actor(ray_machine, done)


def test_a_job_with_a_hook_of_its_own(ray_machine: Machine) -> None:
    """Ray allows one hook in a job's environment: the training goes on, and the launcher says what is missing."""
    runtime_env = {"worker_process_setup_hook": "gc.collect", "env_vars": {"RLDK_OUTPUT_DIR": str(ray_machine.logs)}}
    done = ray_machine.submit(runtime_env, sys.executable, *LAUNCHER, JOB, ray_machine.folder / "tensorboard", 3)

    assert done.code == 0
    assert "RLDK: the job has a worker_process_setup_hook of its own, gc.collect" in done.output
    assert not ray_machine.logs.exists()


def test_workers_without_rldk(ray_machine: Machine) -> None:
    """Where RLDK cannot be imported a worker says so and does its work."""
    broken = ray_machine.folder / "broken"
    (broken / "rldk").mkdir(parents=True)
    (broken / "rldk/__init__.py").write_text("raise ImportError('no RLDK on this node')")
    script = ray_machine.folder / "job.py"
    variables = f"{{'env_vars': {{'PYTHONPATH': {str(broken)!r} + ':' + __import__('os').environ['PYTHONPATH'],"
    script.write_text(JOB.read_text().replace("{'env_vars': {".replace("'", '"'), variables.replace("'", '"')))
    done = ray_machine.run(*LAUNCHER, script, "tensorboard", 3)

    assert done.code == 0
    assert "no RLDK on this node; training goes on, nothing is recorded by this process" in done.output
    assert not ray_machine.logs.exists()


def test_a_folder_that_cannot_be_made(ray_machine: Machine) -> None:
    """The training goes on, and one message says that nothing is recorded, and why."""
    (ray_machine.folder / "file").write_text("")
    done = ray_machine.run(*LAUNCHER, JOB, "tensorboard", 3, RLDK_OUTPUT_DIR=str(ray_machine.folder / "file/logs"))

    assert done.code == 0
    assert done.output.count("training goes on, nothing is recorded") == 1


def test_the_actor_is_killed(ray_machine: Machine) -> None:
    """SIGKILL at any moment: every step that OpenRLHF had logged is there, and the report can be built."""
    process = ray_machine.start(*LAUNCHER, JOB, "tensorboard", 1000, 0.01)
    seen = _wait_for_lines(ray_machine, 50)
    os.kill(manifest(ray_machine.logs).attempts[0].process["pid"], signal.SIGKILL)
    done = ended(process)
    found = events(ray_machine.logs)

    assert done.code != 0
    assert "ActorDiedError" in done.output
    assert [event.step for event in found] == list(range(1, len(found) + 1))
    assert len(found) >= seen


def _wait_for_lines(machine: Machine, count: int) -> int:
    """Wait until a log has so many lines; how many it had when that was seen."""
    for _ in range(6000):
        for log in find_logs(machine.logs) if machine.logs.is_dir() else []:
            if log.path.exists() and (lines := log.path.read_bytes().count(b"\n")) >= count:
                return lines
        time.sleep(0.02)
    raise AssertionError("nothing was recorded")
