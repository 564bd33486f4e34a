"""Every trainer that is made in a process is recorded, whenever its module is loaded."""

from __future__ import annotations

import importlib
import inspect
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rldk.integrations.openrlhf import worker_setup
from rldk.integrations.openrlhf.install import TRAINERS, install
from rldk.io.reader import read_events
from rldk.io.segments import find_logs
from tests.integrations.openrlhf.conftest import STAND_INS, VERSIONS, Version, rollouts, settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integrations.openrlhf.conftest import Modules


@pytest.fixture(autouse=True)
def _recording_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLDK_OUTPUT_DIR", str(tmp_path / "logs"))


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_trainer_is_recorded(
    version: Version, when: str, modules: Callable[[str], Modules], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether the module was loaded before or is loaded afterwards; doing it twice does it once."""
    if when == "before":
        found = modules(version.shape)
        install()
    else:
        install()
        found = modules(version.shape)
    install()
    rollouts(found, settings(version, tmp_path, use_wandb="")).fit()
    (log,) = find_logs(tmp_path / "logs")

    assert [event.step for event in read_events(log.path) if event.phase == "train"] == [1, 2, 3, 4]
    assert capsys.readouterr().err == f"RLDK: recording the run {log.run_id} in {log.path}\n"


def test_an_actor_class_that_copied_what_it_inherits(modules: Callable[[str], Modules], tmp_path: Path) -> None:
    """Ray copies every method onto the class of an actor before it is sent away: the way in goes past that."""
    found = modules("new")
    methods = dict(inspect.getmembers(found.ppo.PPOTrainer, inspect.isfunction))
    actor = type("PPOTrainer", (found.ppo.PPOTrainer,), {**methods, "__init__": _constructor(found)})
    install()
    rollouts(found._replace(ppo=_with(actor)), settings(VERSIONS[4], tmp_path)).fit()
    (log,) = find_logs(tmp_path / "logs")

    assert [event.step for event in read_events(log.path) if event.phase == "train"] == [1, 2, 3, 4]


def _constructor(found: Modules) -> Callable[..., None]:
    """A constructor as PPOTrainer has it, which calls that of its base."""

    def construct(self: object, *args: object) -> None:
        found.ppo.BasePPOTrainer.__init__(self, *args)

    return construct


def _with(actor: type) -> ModuleType:
    module = ModuleType("openrlhf.trainer.ppo_trainer")
    vars(module).update(PPOTrainer=actor, BasePPOTrainer=actor)
    return module


def test_a_trainer_that_resumes_opens_nothing_before_its_first_log(
    modules: Callable[[str], Modules], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only then it is known where it goes on."""
    (tmp_path / "checkpoints/_actor").mkdir(parents=True)
    args = settings(VERSIONS[4], tmp_path, first_step=3)
    args.ckpt.load_enable = True
    install()
    trainer = rollouts(modules("new"), args)

    assert not (tmp_path / "logs").exists()
    assert capsys.readouterr().err == "RLDK: recording begins with the first step after the checkpoint\n"
    trainer.fit()
    (log,) = find_logs(tmp_path / "logs")
    assert {event.resumed_from for event in read_events(log.path)} == {2}


def test_the_modules_are_what_they_would_have_been(modules: Callable[[str], Modules]) -> None:
    """Their loader, and how they were found, do not show who looks after them."""
    plain = modules("new").ppo
    before = (type(plain.__loader__), plain.__spec__.origin, type(plain.__spec__.loader))
    install()
    looked_after = modules("new").ppo

    assert (type(looked_after.__loader__), looked_after.__spec__.origin, type(looked_after.__spec__.loader)) == before
    assert inspect.getsource(looked_after) == inspect.getsource(plain)


def test_the_signatures_are_what_they_were(modules: Callable[[str], Modules]) -> None:
    """Whoever asks a trainer for its parameters, as argument parsers do, is told the same."""
    before = inspect.signature(modules("new").ppo.BasePPOTrainer)
    install()

    assert inspect.signature(modules("new").ppo.BasePPOTrainer) == before


def test_a_class_that_is_gone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One message says that nothing is recorded, and why."""
    module = ModuleType("openrlhf.trainer.ppo_trainer")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    worker_setup()

    assert capsys.readouterr().err == (
        "RLDK: expected openrlhf.trainer.ppo_trainer to have a class BasePPOTrainer, found none; nothing is recorded\n"
    )


def test_a_class_without_a_constructor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One message says that nothing is recorded, and why."""
    module = ModuleType("openrlhf.trainer.ppo_trainer")
    vars(module)["BasePPOTrainer"] = type("BasePPOTrainer", (), {})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    worker_setup()

    assert capsys.readouterr().err == (
        "RLDK: expected openrlhf.trainer.ppo_trainer.BasePPOTrainer to have a constructor, found none; "
        "nothing is recorded\n"
    )


def test_a_trainer_that_cannot_be_attached_is_made_all_the_same(
    modules: Callable[[str], Modules], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its method has other parameters now."""
    found = modules("new")
    monkeypatch.setattr(found.ppo.BasePPOTrainer, "save_logs_and_checkpoints", _other_parameters)
    install()
    rollouts(found, settings(VERSIONS[4], tmp_path)).fit()

    (record,) = caplog.records
    assert record.getMessage().startswith("attach: UnknownTrainerError: PPOTrainer.save_logs_and_checkpoints: expected")
    assert not (tmp_path / "logs").exists()


def _other_parameters(self: object, step: int, logs: object, states: object = None) -> None:
    """Save logs, under other names."""


def test_settings_that_are_refused(
    modules: Callable[[str], Modules],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A run that cannot be named so: the trainer trains, and one message says what is wrong."""
    monkeypatch.setenv("RLDK_RUN_ID", "a/b")
    install()
    rollouts(modules("new"), settings(VERSIONS[4], tmp_path)).fit()

    (record,) = caplog.records
    assert record.getMessage().endswith("; training goes on, nothing is recorded")


def test_a_recorder_that_cannot_be_loaded(
    modules: Callable[[str], Modules],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A broken installation harms no training."""
    monkeypatch.setitem(sys.modules, "rldk.integrations.openrlhf.callbacks", None)
    install()
    rollouts(modules("new"), settings(VERSIONS[4], tmp_path)).fit()

    assert "training goes on, nothing is recorded" in capsys.readouterr().err


def test_a_module_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is the one that it would have been."""
    package = tmp_path / "openrlhf/trainer"
    package.mkdir(parents=True)
    (tmp_path / "openrlhf/__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "ppo_trainer.py").write_text("raise RuntimeError('no GPU')")
    monkeypatch.syspath_prepend(tmp_path)
    install()

    with pytest.raises(RuntimeError, match=r"\Ano GPU\Z"):
        importlib.import_module("openrlhf.trainer.ppo_trainer")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("openrlhf.trainer.kto_trainer")
    for name in [name for name in sys.modules if name.startswith("openrlhf")]:
        del sys.modules[name]


def test_the_stand_ins_have_all_trainers_of_today() -> None:
    """What is tested here is what is looked for."""
    modules = {f"openrlhf.trainer.{path.stem}" for path in (STAND_INS / "new/openrlhf/trainer").glob("*_trainer.py")}

    assert set(TRAINERS) - modules == {f"openrlhf.trainer.{name}_trainer" for name in ("kd", "kto", "prm")}
