"""Which run this is, and where it comes from."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("trl")

import torch

from rldk.errors import RunIdError
from rldk.integrations.trl import RLDKCallback
from rldk.integrations.trl.demo import tiny_model, tiny_tokenizer
from rldk.metrics import Source
from tests.integrations.trl.trainings import said

if TYPE_CHECKING:
    from tests.integrations.trl.trainings import Lab

pytestmark = pytest.mark.trl


def test_a_new_run_is_named_by_algorithm_and_time(lab: Lab) -> None:
    """Without a name a run is named after its algorithm, the UTC second it began in, and four random digits."""
    callback = lab.callback(run_id=None)
    before = (callback.run_id, callback.path)
    lab.sft(callback, max_steps=1).train()

    assert before == (None, None)
    assert re.fullmatch(r"sft-\d{8}T\d{6}-[0-9a-f]{4}", str(callback.run_id))
    assert callback.path == lab.logs / f"{callback.run_id}_events.jsonl"
    assert {event.run_id for event in lab.events(str(callback.run_id))} == {callback.run_id}


def test_the_environment_wins(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """`RLDK_OUTPUT_DIR` and `RLDK_RUN_ID` win over the arguments."""
    monkeypatch.setenv("RLDK_OUTPUT_DIR", str(lab.folder / "theirs"))
    monkeypatch.setenv("RLDK_RUN_ID", "their-run")
    callback = lab.callback(run_id="mine")
    lab.sft(callback, max_steps=1).train()

    assert callback.path == lab.folder / "theirs" / "their-run_events.jsonl"
    assert callback.path.exists()
    assert not lab.logs.exists()


@pytest.mark.parametrize("value", ["1", "true", "YES", "on"])
def test_switched_off_by_the_environment(lab: Lab, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """`RLDK_DISABLE_JSONL` writes nothing at all, not even a folder."""
    monkeypatch.setenv("RLDK_DISABLE_JSONL", value)
    trainer = lab.sft(lab.callback(), max_steps=1)
    trainer.train()
    trainer.evaluate()

    assert [path.name for path in lab.folder.rglob("*")] == ["trainer"]


def test_switched_off_by_the_argument(lab: Lab) -> None:
    """`enable_jsonl_logging=False` writes nothing at all, not even a folder."""
    callback = RLDKCallback(lab.logs, enable_jsonl_logging=False)
    lab.sft(callback, max_steps=1).train()

    assert [path.name for path in lab.folder.rglob("*")] == ["trainer"]
    assert (callback.run_id, callback.path, callback.errors) == (None, None, 0)


def test_not_switched_off(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """`RLDK_DISABLE_JSONL=0` leaves it on."""
    monkeypatch.setenv("RLDK_DISABLE_JSONL", "0")
    lab.sft(lab.callback(), max_steps=1).train()

    assert len(lab.events()) == 2


def test_nothing_is_opened_before_training(lab: Lab) -> None:
    """Building callback and trainer leaves no trace."""
    lab.sft(lab.callback())

    assert [path.name for path in lab.folder.rglob("*")] == ["trainer"]


def test_the_default_folder(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument the logs go to `rldk_logs` in the working folder at the time training begins."""
    callback = RLDKCallback()
    monkeypatch.chdir(lab.folder)
    lab.sft(callback, max_steps=1).train()

    assert callback.path == lab.folder / "rldk_logs" / f"{callback.run_id}_events.jsonl"


def test_arguments_that_make_no_sense() -> None:
    """A run id that could be no file name, and an unknown on_error, are told at once, not in the middle of training."""
    with pytest.raises(RunIdError, match=r"\Arun_id '\.\./x': expected 1 to 128 characters"):
        RLDKCallback(run_id="../x")
    with pytest.raises(ValueError, match=r"\Aon_error: expected warn, raise or a function, found 'ignore'\Z"):
        RLDKCallback(on_error="ignore")  # type: ignore[arg-type]


def test_the_batch_over_accumulation(lab: Lab) -> None:
    """`batch_size` counts the samples of an update: those of a device times the steps accumulated."""
    lab.sft(lab.callback(), max_steps=1, per_device_train_batch_size=2, gradient_accumulation_steps=3).train()

    assert lab.events()[0].data_slice == {"batch_size": 6, "sequence_length": 16, "window": 1}


def test_generation_has_no_one_sequence_length(lab: Lab) -> None:
    """GRPO has no `max_length`, so its events do not claim a sequence length."""
    lab.grpo(lab.callback(), max_steps=1).train()

    assert lab.events()[0].data_slice == {"batch_size": 4, "window": 1}


def test_another_optimizer_and_scheduler(lab: Lab) -> None:
    """Optimizer and scheduler are those that train."""
    lab.sft(lab.callback(), max_steps=1, optim="sgd", lr_scheduler_type="cosine").train()
    info = lab.events()[0].model_info

    assert (info["optimizer"], info["scheduler"]) == ("SGD", "cosine")


class Bare(torch.nn.Module):
    """A model that says neither its name nor its size."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """A loss that a gradient can be had of."""
        return {"loss": self.weight * (input_ids - labels + 1).float().mean()}


def test_what_is_not_known_is_left_out(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model without name and size, trained outside any git repository, has neither name, nor size, nor commit."""
    monkeypatch.chdir(lab.folder)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(lab.folder.parent))
    lab.plain(lab.callback(), model=Bare(), max_steps=1).train()

    assert lab.events()[0].model_info == {
        "run_id": "run",
        "optimizer": "AdamW",
        "scheduler": "linear",
        "algorithm": "train",
        "framework": "transformers",
        "framework_version": version("transformers"),
        "phase": "train",
        "schema": 1,
        "rank": 0,
        "world_size": 1,
        "attempt": 1,
    }
    assert lab.derived("manifest")["attempts"][0].get("git", {}) == {}


def test_a_model_that_was_never_saved(lab: Lab) -> None:
    """A model that was not loaded from anywhere has a size but no name."""
    lab.plain(lab.callback(), model=tiny_model(tiny_tokenizer()), max_steps=1).train()
    info = lab.events()[0].model_info

    assert ("model_name" in info, info["model_size"]) == (False, 28960)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_that_is_trained_from(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit of the working folder is in every event, and in the manifest whether there were changes beside it."""
    repository = lab.folder / "code"
    repository.mkdir()
    monkeypatch.chdir(repository)
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    (repository / "train.py").write_text("print()\n")
    for command in (["init", "-q"], ["add", "train.py"], [*identity, "commit", "-q", "-m", "First"]):
        subprocess.run(["git", *command], check=True)  # noqa: S607 - the user's own git
    sha = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()  # noqa: S607
    lab.sft(lab.callback(run_id="clean"), max_steps=1).train()
    (repository / "train.py").write_text("print(1)\n")
    lab.sft(lab.callback(run_id="changed"), max_steps=1).train()

    assert [event.model_info["git_sha"] for event in lab.events("clean")] == [sha] * 2
    assert [lab.derived("manifest", run)["attempts"][0]["git"] for run in ("clean", "changed")] == [
        {"sha": sha, "dirty": False},
        {"sha": sha, "dirty": True},
    ]


@pytest.mark.parametrize(
    ("value", "recorded"), [("0", 0), ("123", 123), ("random", "random"), ("", None), (None, None)]
)
def test_the_hash_seed(lab: Lab, monkeypatch: pytest.MonkeyPatch, value: str | None, recorded: object) -> None:
    """`python_hash_seed` is PYTHONHASHSEED as it was found.

    Seen to fail when a seed that nobody measured is given as 42.
    """
    if value is None:
        monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    else:
        monkeypatch.setenv("PYTHONHASHSEED", value)
    lab.sft(lab.callback(), max_steps=1, seed=5).train()

    assert lab.events()[0].rng == {
        "seed": 5,
        "python_hash_seed": recorded,
        "torch_seed": 5,
        "numpy_seed": None,
        "random_seed": None,
    }


def test_the_manifest_tells_where_the_run_comes_from(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Process, versions, seeds and the trainer's own arguments are in the manifest."""
    monkeypatch.chdir(lab.folder)
    monkeypatch.setattr(sys, "argv", ["train.py", "--lr", "0.002"])
    lab.sft(lab.callback(), max_steps=1, learning_rate=0.002).train()
    manifest = lab.derived("manifest")
    (attempt,) = manifest["attempts"]

    assert (manifest["run_id"], manifest["schema"], manifest["rank"]) == ("run", 1, 0)
    assert (manifest["framework"], manifest["algorithm"]) == ("trl", "sft")
    assert manifest["trainer_output_dir"] == str(lab.folder / "trainer")
    assert attempt["process"] == {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "cwd": str(lab.folder),
        "argv": ["train.py", "--lr", "0.002"],
    }
    assert {name: attempt["versions"][name] for name in ("python", "torch", "trl", "rldk")} == {
        "python": sys.version.split()[0],
        "torch": version("torch"),
        "trl": version("trl"),
        "rldk": version("rldk"),
    }
    assert attempt["seeds"] == lab.events()[0].rng
    assert {name: attempt["trainer"][name] for name in ("learning_rate", "max_steps", "optim", "output_dir")} == {
        "learning_rate": 0.002,
        "max_steps": 1,
        "optim": "adamw_torch_fused",
        "output_dir": str(lab.folder / "trainer"),
    }
    assert {name: count for name, count in attempt["counters"].items() if count} == {"written": 2}
    assert attempt["started"] < attempt["ended"]


def test_secrets_are_left_out(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a hub token among the arguments nor one on the command line is in any file."""
    monkeypatch.setattr(sys, "argv", ["train.py", "--hub-token", "hf_first", "--api_key=hf_second", "--steps", "1"])
    secrets = {"hub_token": "hf_third", "model_init_kwargs": {"token": "hf_fourth", "dtype": "auto"}}
    lab.sft(lab.callback(), max_steps=1, **secrets).train()
    (attempt,) = lab.derived("manifest")["attempts"]

    assert attempt["process"]["argv"] == [
        "train.py",
        "--hub-token",
        "<redacted>",
        "--api_key=<redacted>",
        "--steps",
        "1",
    ]
    assert {name: attempt["trainer"][name] for name in secrets} == {
        "hub_token": "<redacted>",
        "model_init_kwargs": {"token": "<redacted>", "dtype": "auto"},
    }
    assert [path.name for path in lab.logs.iterdir() if b"hf_" in path.read_bytes()] == []


def test_the_meaning_of_each_name_is_written_down(lab: Lab) -> None:
    """The manifest says what a renamed key measures, so that it can be undone: the KL of GRPO is k3, RLOO's k1."""
    lab.grpo(lab.callback(run_id="grpo"), max_steps=1, beta=0.1).train()
    lab.trainer("rloo", lab.callback(run_id="rloo"), max_steps=1).train()
    grpo, rloo = (lab.derived("manifest", run)["metrics"] for run in ("grpo", "rloo"))

    assert grpo["kl"] == {
        "native": "kl",
        "canonical": "kl_mean",
        "framework": "trl",
        "algorithms": ["grpo"],
        "estimator": "k3",
        "versus": "reference policy",
        "reduction": "mean over tokens",
        "sign": ">= 0",
        "caveat": "measured at the loss; logged only when beta is not 0",
        "reference": "trl/trainer/grpo_trainer.py",
    }
    assert (rloo["kl"]["estimator"], rloo["kl"]["sign"]) == ("k1", "may be negative")
    assert grpo["rewards/letters/mean"]["canonical"] == "reward_component/letters"
    assert all(Source(**source).native == native for native, source in grpo.items())


def test_settings_that_decide_how_metrics_are_read(lab: Lab) -> None:
    """What the numbers of GRPO depend on is in the manifest's facts."""
    lab.grpo(lab.callback(), max_steps=1, beta=0.1, epsilon=0.3).train()

    assert lab.derived("manifest")["attempts"][0]["facts"] == {
        "logging_nan_inf_filter": True,
        "logging_steps": 1,
        "logging_first_step": False,
        "num_generations": 4,
        "num_iterations": 1,
        "steps_per_generation": 1,
        "beta": 0.1,
        "epsilon": 0.3,
        "epsilon_high": None,
        "loss_type": "dapo",
        "scale_rewards": "group",
        "temperature": 1.0,
        "max_completion_length": 4,
    }


@pytest.mark.parametrize(
    ("loss_type", "native"),
    [("dapo", "clip_ratio/region_mean"), ("cispo", "cispo_clip_ratio"), ("sapo", None)],
)
def test_the_clip_fraction_of_each_loss(lab: Lab, loss_type: str, native: str | None) -> None:
    """`clip_frac` comes from whichever key the loss type logs, and is absent where it logs none."""
    trainer = lab.grpo(lab.callback(), max_steps=1, loss_type=loss_type)
    trainer.train()
    event, row = lab.events()[0], trainer.state.log_history[0]
    named = {source["canonical"]: name for name, source in lab.derived("manifest")["metrics"].items()}

    assert named.get("clip_frac") == native
    assert event.metrics.get("clip_frac") == (row[native] if native else None)
    assert ("clip_frac" in event.metrics) == (native is not None)


def test_truncation_is_no_clipping(lab: Lab) -> None:
    """`completions/clipped_ratio` is how many completions were cut off: a truncation rate, here of all of them."""
    lab.grpo(lab.callback(), max_steps=1).train()
    metrics = lab.events()[0].metrics

    assert (metrics["truncation_rate"], metrics["clip_frac"]) == (1.0, 0.0)


def test_a_log_metric_of_a_reward_function(lab: Lab) -> None:
    """What a reward function logs of its own keeps its name."""
    lab.grpo(lab.callback(), reward=_talkative, max_steps=1).train()

    assert lab.events()[0].metrics["words"] == 3.0


def _talkative(completions: list[str], log_metric: Any, **_: Any) -> list[float]:
    log_metric("words", 3.0)
    return [float(len(text)) for text in completions]


def test_a_folder_given_as_text(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """The folder may be text, and is made with its parents."""
    folder = lab.folder / "a" / "b"
    callback = RLDKCallback(str(folder), run_id="run")
    lab.sft(callback, max_steps=1).train()

    assert callback.path == Path(folder, "run_events.jsonl")
    assert said(caplog) == []
