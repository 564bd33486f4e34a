"""A machine to train on: a small model and its data, a cluster of Ray, and processes that train."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

STUBS: Final = Path(__file__).parent / "stubs"
PROGRAMS: Final = Path(__file__).parent / "programs"
_PATIENCE: Final = 300
"""Seconds that a training may take."""


class Tiny(NamedTuple):
    """What is trained, and on what."""

    model: Path
    instructions: Path
    pairs: Path
    prompts: Path


def make_tiny(folder: Path) -> Tiny:
    """The tiny model and its data, in files."""
    subprocess.run([sys.executable, PROGRAMS / "make_tiny.py", folder], env=environment(), check=True)
    return Tiny(*(folder / name for name in ("model", "instructions.jsonl", "pairs.jsonl", "prompts.jsonl")))


class Ended(NamedTuple):
    """A process that has ended."""

    code: int
    output: str


class Machine:
    """Runs programs beside a cluster of Ray, in a folder.

    Args:
        folder: the working folder.
        address: the cluster; none is used when it is empty.
        dashboard: where jobs are submitted.
    """

    def __init__(self, folder: Path, address: str = "", dashboard: str = "") -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self._address = address
        self._dashboard = dashboard

    def start(self, *command: object, **variables: str) -> subprocess.Popen[str]:
        """Start Python, with the recorder's folder in its environment."""
        settings = {"RLDK_OUTPUT_DIR": str(self.logs), "RAY_ADDRESS": self._address} | variables
        return subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=self.folder,
            env=environment() | {name: value for name, value in settings.items() if value},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def run(self, *command: object, **variables: str) -> Ended:
        """Run Python to its end."""
        return ended(self.start(*command, **variables))

    def submit(self, runtime_env: dict[str, Any], *entrypoint: object) -> Ended:
        """Submit a job, and wait for its end."""
        return self.run(
            *("-m", "ray.scripts.scripts", "job", "submit", "--address", self._dashboard),
            *("--runtime-env-json", json.dumps(runtime_env), "--", *entrypoint),
            RAY_ADDRESS="",
        )


def ended(process: subprocess.Popen[str]) -> Ended:
    """Wait for the end of a process, but not for ever."""
    try:
        output, _ = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        output += f"\nkilled after {_PATIENCE} s"
    # Shown when the test fails.
    sys.stdout.write(output)
    return Ended(process.returncode, output)


def environment() -> dict[str, str]:
    """The environment of every process: no GPU, no network, no say from outside."""
    foreign = ("RLDK_", "RAY_", "MASTER_", "RANK", "WORLD_SIZE", "LOCAL_RANK", "WANDB_", "COV")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(STUBS), os.environ.get("PYTHONPATH")))),
        "DS_ACCELERATOR": "cpu",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "WANDB_MODE": "offline",
    }


def one_process() -> dict[str, str]:
    """What a launcher of distributed training tells a process that is alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}


@contextlib.contextmanager
def cluster() -> Iterator[tuple[str, str]]:
    """A cluster of Ray that believes to have four GPUs: its address, and that of its dashboard."""
    # The paths of its sockets must be short.
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    port, dashboard = _free_ports(2)
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"),
        *(f"--port={port}", f"--dashboard-port={dashboard}", f"--temp-dir={folder}"),
        *("--num-cpus=12", "--num-gpus=4", "--object-store-memory=200000000"),
    ]
    with (folder / "start.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait_for(dashboard, process)
        yield f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}"
    finally:
        # It takes its processes with it.
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, "ray start has failed"
        time.sleep(0.2)
    raise AssertionError("the dashboard of Ray does not answer")
