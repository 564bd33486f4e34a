"""What the trainings of these tests share: a tiny model, made once, and a folder for each test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.integrations.trl.trainings import Lab, Tiny

for _name in ("HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
    os.environ[_name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
_ROOT = Path(__file__).parents[3]


class Ending(NamedTuple):
    """A training process that has ended."""

    code: int
    folder: Path


def run_module(module: str, *arguments: object) -> str:
    """Run a module of these tests as a program; what it prints."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RLDK_")}
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    return done.stdout


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RLDK_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The tiny model and its tokenizer, saved as a model from the hub would lie there."""
    import torch

    from tests.integrations.trl.trainings import save_tiny

    torch.set_num_threads(1)
    return save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def lab(tiny: Tiny, tmp_path: Path) -> Lab:
    """A folder to train in."""
    from tests.integrations.trl.trainings import Lab

    return Lab(tiny, tmp_path)


@pytest.fixture(scope="session")
def endings(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ending]:
    """Processes that have ended in every way, by the name of the ending; see `endings.py`."""
    folder = tmp_path_factory.mktemp("endings")
    done = run_module("tests.integrations.trl.endings", folder, tiny.path)
    return {name: Ending(code, folder / name) for name, code in json.loads(done).items()}
