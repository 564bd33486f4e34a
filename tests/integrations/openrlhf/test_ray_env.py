"""What is given to Ray, so that its workers record; Ray itself is met in tests/openrlhf."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from rldk.integrations.openrlhf import ray_runtime_env_hook
from rldk.integrations.openrlhf.ray_env import SETUP, record_in_workers

if TYPE_CHECKING:
    from pathlib import Path

HOOK = "worker_process_setup_hook"
JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(JOB, raising=False)


def in_a_job(monkeypatch: pytest.MonkeyPatch, **runtime_env: Any) -> None:
    """Be the script of a submitted job."""
    monkeypatch.setenv(JOB, json.dumps({"runtime_env": runtime_env, "metadata": {}}))


def test_the_settings_travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker has another environment and another folder, so both go with it, the folder from the root."""
    alone = ray_runtime_env_hook(None)["env_vars"]
    monkeypatch.setenv("RLDK_OUTPUT_DIR", "there")
    monkeypatch.setenv("RLDK_RUN_ID", "r")
    monkeypatch.setenv("RLDK_DISABLE_JSONL", "1")
    told = ray_runtime_env_hook({})["env_vars"]

    assert alone == {"RLDK_OUTPUT_DIR": str(tmp_path / "rldk_logs")}
    assert told == {"RLDK_OUTPUT_DIR": str(tmp_path / "there"), "RLDK_RUN_ID": "r", "RLDK_DISABLE_JSONL": "1"}


def test_what_is_there_stays() -> None:
    """A package, a variable, a folder that was chosen already; and what was handed in is not changed."""
    given = {"pip": ["einops"], "env_vars": {"NCCL_DEBUG": "WARN", "RLDK_OUTPUT_DIR": "/shared"}}
    before = json.loads(json.dumps(given))
    made = ray_runtime_env_hook(given)

    assert given == before
    assert made["pip"] == ["einops"]
    assert made["env_vars"] == {"NCCL_DEBUG": "WARN", "RLDK_OUTPUT_DIR": "/shared"}


def test_a_hook_that_is_there_is_done_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function, or the name of one; first the recorder is installed, then it is done."""
    done: list[str] = []
    module = ModuleType("their_hooks")
    vars(module)["setup"] = lambda: done.append("by name")
    monkeypatch.setitem(sys.modules, "their_hooks", module)
    monkeypatch.setattr("rldk.integrations.openrlhf.install.install", lambda: done.append("installed"))
    for hook in (lambda: done.append("function"), "their_hooks.setup", None):
        ray_runtime_env_hook({HOOK: hook} if hook else {})[HOOK]()

    assert done == ["installed", "function", "installed", "by name", "installed"]


def test_a_worker_without_rldk_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """And goes on, with the hook that it had."""
    done: list[str] = []
    setup = ray_runtime_env_hook({HOOK: lambda: done.append("theirs")})[HOOK]
    monkeypatch.setitem(sys.modules, "rldk.integrations.openrlhf.install", None)
    setup()

    assert done == ["theirs"]
    said = capsys.readouterr().err
    assert said.startswith("RLDK: ModuleNotFoundError on ")
    assert said.endswith("; training goes on, nothing is recorded by this process\n")


def test_it_travels_whole() -> None:
    """It is no name that a worker would have to look up in a package that it may not have."""
    setup = ray_runtime_env_hook(None)[HOOK]

    assert "<locals>" in setup.__qualname__
    assert {name for name in setup.__code__.co_names if name in setup.__globals__} == {"importlib", "__name__"}


def test_a_job_that_has_the_variables_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray refuses a variable that both name, so the job's stays the only one."""
    monkeypatch.setenv("RLDK_OUTPUT_DIR", "/shared")
    monkeypatch.setenv("RLDK_RUN_ID", "r")
    in_a_job(monkeypatch, env_vars={"RLDK_OUTPUT_DIR": "/shared"})

    assert ray_runtime_env_hook(None)["env_vars"] == {"RLDK_RUN_ID": "r"}


def test_a_job_that_has_the_hook_already(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In its text form; then there is nothing to add."""
    in_a_job(monkeypatch, **{HOOK: SETUP, "env_vars": {"RLDK_OUTPUT_DIR": "/shared"}})
    monkeypatch.setenv("RLDK_OUTPUT_DIR", "/shared")

    assert HOOK not in ray_runtime_env_hook(None)
    assert capsys.readouterr().err == ""


def test_a_job_with_a_hook_of_its_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ray has room for one: it stays, and a message says what it has to call."""
    monkeypatch.setenv("RLDK_OUTPUT_DIR", "/shared")
    in_a_job(monkeypatch, **{HOOK: "their.setup"})

    assert HOOK not in ray_runtime_env_hook(None)
    assert capsys.readouterr().err == (
        "RLDK: the job has a worker_process_setup_hook of its own, their.setup, that has to call "
        "rldk.integrations.openrlhf.worker_setup; nothing is recorded unless it does\n"
    )


def test_a_job_without_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its working folder is a copy that Ray may remove: a message says where the log goes."""
    in_a_job(monkeypatch)
    ray_runtime_env_hook(None)

    assert capsys.readouterr().err == (
        "RLDK: RLDK_OUTPUT_DIR is not set, and the working folder of a job may not outlive it: "
        f"recording in {tmp_path / 'rldk_logs'}\n"
    )


@pytest.mark.parametrize("said", ["", "{", "[]", '{"runtime_env": null}', '{"runtime_env": "x"}'])
def test_a_job_that_says_nothing_of_use(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray itself will tell what is wrong with it."""
    monkeypatch.setenv("RLDK_OUTPUT_DIR", "/shared")
    monkeypatch.setenv(JOB, said)

    assert ray_runtime_env_hook(None)["env_vars"] == {"RLDK_OUTPUT_DIR": "/shared"}


def test_ray_init_is_given_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else it is called with."""
    given: list[tuple[Any, ...]] = []
    ray: Any = ModuleType("ray")
    ray.init = lambda *args, **kwargs: given.append((args, kwargs))
    monkeypatch.setitem(sys.modules, "ray", ray)
    record_in_workers()
    ray.init("auto", runtime_env={"env_vars": {"A": "1"}}, num_cpus=2)
    ray.init()
    (args, kwargs), (_, alone) = given

    assert (args, kwargs["num_cpus"]) == (("auto",), 2)
    assert kwargs["runtime_env"]["env_vars"].keys() == {"A", "RLDK_OUTPUT_DIR"}
    assert callable(alone["runtime_env"][HOOK])
