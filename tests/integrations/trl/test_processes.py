"""Training in several processes: ranks that torchrun starts, and workers that load data."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("trl")

import torch

from rldk.io.reader import read_events
from rldk.io.validator import validate_jsonl_file
from tests.integrations.trl.conftest import run_module
from tests.integrations.trl.trainings import Lab, said

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.integrations.trl import RLDKCallback
    from rldk.io.event_schema import Event
    from tests.integrations.trl.trainings import Tiny

pytestmark = pytest.mark.trl

DERIVED = ["alerts.json", "final_report.json", "manifest.json", "metrics.csv", "metrics.json"]


@pytest.fixture(scope="module")
def ranks(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left behind; see `ranks.py`."""
    folder = tmp_path_factory.mktemp("ranks")
    torchrun = ["--standalone", "--nproc_per_node", "2", "-m", "tests.integrations.trl.ranks"]
    run_module("torch.distributed.run", *torchrun, folder, tiny.path)
    return folder


def _how(folder: Path) -> list[dict[str, Any]]:
    """How it went in each process."""
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def _ids(event: Event) -> tuple[Any, ...]:
    info = event.model_info
    return info["rank"], info["world_size"], event.attempt, event.seq, event.phase, event.step


def test_the_main_process_records_alone(ranks: Path, tiny: Tiny) -> None:
    """Every rank calls every hook, and yet there is one file, with each step once."""
    lab = Lab(tiny, ranks / "main_only")

    assert [(how["step"], how["errors"], how["run_id"]) for how in _how(lab.folder)] == [(3, 0, "run"), (3, 0, "run")]
    assert sorted(path.name for path in lab.logs.iterdir()) == sorted(
        f"run_{name}" for name in [*DERIVED, "events.jsonl"]
    )
    assert [_ids(event) for event in lab.events()] == [
        (0, 2, 1, 0, "train", 1),
        (0, 2, 1, 1, "train", 2),
        (0, 2, 1, 2, "eval", 2),
        (0, 2, 1, 3, "train", 3),
        (0, 2, 1, 4, "eval", 3),
        (0, 2, 1, 5, "final", 3),
    ]


def test_the_batch_over_all_ranks(ranks: Path, tiny: Tiny) -> None:
    """`batch_size` counts the samples of both processes."""
    event = Lab(tiny, ranks / "main_only").events()[0]

    assert event.data_slice == {"batch_size": 8, "sequence_length": 16, "window": 1}


def test_every_rank_records_its_own_file(ranks: Path) -> None:
    """With `all_ranks` each process has its own file; all belong to one run, whose name the main process chose."""
    logs = ranks / "every_rank" / "logs"
    hows = _how(logs.parent)
    run_id = hows[0]["run_id"]
    files = [f"{run_id}_events.jsonl", f"{run_id}_events.rank1.jsonl"]
    expected = [(1, "train", 1), (1, "train", 2), (1, "final", 2), (2, "train", 3), (2, "final", 3)]

    assert [(how["step"], how["errors"], how["run_id"]) for how in hows] == [(3, 0, run_id)] * 2
    assert sorted(path.name for path in logs.iterdir()) == sorted(
        [*files, f"{run_id}_manifest.rank1.json", *(f"{run_id}_{name}" for name in DERIVED)]
    )
    for rank, file in enumerate(files):
        events = list(read_events(logs / file, history="all"))
        assert [(event.attempt, event.phase, event.step) for event in events] == expected
        assert [_ids(event)[:2] for event in events] == [(rank, 2)] * 5
        assert [(event.run_id, event.seq) for event in events] == [(run_id, seq) for seq in (0, 1, 2, 0, 1)]
        assert [event.resumed_from for event in events] == [None, None, None, 2, 2]
        assert validate_jsonl_file(logs / file, strict=True).problems == []


def test_ranks_log_the_same_values(ranks: Path) -> None:
    """The trainer averages over ranks before it logs: the two files differ in clocks only."""
    logs = ranks / "every_rank" / "logs"
    run_id = _how(logs.parent)[0]["run_id"]
    clocks = {"step_time", "train_runtime", "train_samples_per_second", "train_steps_per_second"}
    values = [
        [
            {name: value for name, value in event.metrics.items() if name not in clocks}
            for event in read_events(logs / f"{run_id}_events{rank}.jsonl", history="all")
        ]
        for rank in ("", ".rank1")
    ]

    assert values[0] == values[1]


def test_the_manifest_of_each_rank(ranks: Path) -> None:
    """Each rank keeps a manifest of its own attempts."""
    logs = ranks / "every_rank" / "logs"
    run_id = _how(logs.parent)[0]["run_id"]
    manifests = [json.loads((logs / f"{run_id}_manifest{rank}.json").read_text()) for rank in ("", ".rank1")]

    assert [manifest["rank"] for manifest in manifests] == [0, 1]
    assert [
        [(each["attempt"], each["outcome"], each["counters"]["written"]) for each in manifest["attempts"]]
        for manifest in manifests
    ] == [[(1, "completed", 3), (2, "completed", 2)]] * 2


def test_an_error_of_the_main_process_leaves_no_rank_waiting(ranks: Path) -> None:
    """When the main process cannot choose the run, every rank hears of it, and all of them train to the end."""
    folder = ranks / "no_run_to_find"

    assert _how(folder) == [{"step": 2, "errors": 1, "run_id": None}] * 2
    assert not (folder / "logs").exists()


class Talkative(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Tries to log from wherever it is read."""

    def __init__(self) -> None:
        self.trainer: Any = None
        self.callback: RLDKCallback | None = None

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        if self.callback and torch.utils.data.get_worker_info():
            trainer = self.trainer
            self.callback.on_log(trainer.args, trainer.state, trainer.control, logs={"from_a_worker": float(index)})
        ids = torch.tensor([5, 6, 7, 8])
        return {"input_ids": ids, "labels": ids}


# From Python 3.12 on, a fork in a process with threads is warned of; torch has some.
_forks = pytest.mark.filterwarnings("ignore:.*is multi-threaded, use of fork:DeprecationWarning")


@_forks
def test_workers_that_load_data(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """A forked worker has the callback too; what it logs does not get into the log, which stays whole."""
    callback, dataset = lab.callback(), Talkative()
    trainer = lab.plain(callback, dataset=dataset, max_steps=3, dataloader_num_workers=1)
    dataset.trainer, dataset.callback = trainer, callback
    trainer.train()

    assert [(event.phase, event.step, event.seq) for event in lab.events()] == [
        ("train", 1, 0),
        ("train", 2, 1),
        ("train", 3, 2),
        ("final", 3, 3),
    ]
    assert [event.notes for event in lab.events()] == [[]] * 4
    assert (callback.errors, said(caplog)) == (0, [])
    assert validate_jsonl_file(lab.logs / "run_events.jsonl", strict=True).problems == []


@_forks
def test_a_forked_process_writes_no_file(lab: Lab) -> None:
    """Whatever hooks are called in a forked process, it neither writes the log nor any file derived from it."""
    callback = lab.callback()
    trainer = lab.sft(callback)
    trainer.evaluate()
    before = _files(lab.logs)
    pid = os.fork()
    if pid == 0:
        callback.on_log(trainer.args, trainer.state, trainer.control, logs={"grad_norm": 1.0, "learning_rate": 0.1})
        callback.on_train_end(trainer.args, trainer.state, trainer.control)
        os._exit(callback.errors)
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert _files(lab.logs) == before


def _files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_ino, path.read_bytes()) for path in folder.iterdir()}
