"""The callback, called by hand from a loop."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from rldk.errors import RunIdError
from rldk.integrations.openrlhf import OpenRLHFCallback
from rldk.io.manifest import read_manifest
from rldk.io.reader import read_events
from rldk.io.segments import find_logs
from rldk.io.validator import validate_jsonl_file
from tests.runs import run_python

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rldk.io.event_schema import Event


@pytest.fixture
def callback(tmp_path: Path) -> Iterator[OpenRLHFCallback]:
    """A callback that raises what goes wrong, closed after the test."""
    made = OpenRLHFCallback(tmp_path, run_id="r", model_name="m", dataset_name="d", algorithm="grpo", on_error="raise")
    yield made
    made.close()


def recorded(folder: Path) -> list[Event]:
    """The events of the run in a folder, whose log must be valid by every rule."""
    (log,) = find_logs(folder)
    assert validate_jsonl_file(log.path, strict=True)
    return list(read_events(log.path, history="all"))


def test_a_loop_of_ones_own(callback: OpenRLHFCallback, tmp_path: Path) -> None:
    """Steps, evaluations and the end become a run with all of its files."""
    callback.on_step_end(1, {"reward": 0.5, "custom": 2}, tokens_in=4096, kind="math")
    callback.on_eval_end(1, {"eval_toy_pass1": 0.25, "eval_num_samples": 8.0}, temperature=0.6)
    callback.on_train_end()
    first, toy, all_sets = recorded(tmp_path)

    assert (first.metrics, first.data_slice) == (
        {"custom": 2, "reward_mean": 0.5},
        {"dataset_name": "d", "tokens_in": 4096, "kind": "math"},
    )
    assert first.model_info["model_name"] == "m"
    assert (toy.metrics, toy.data_slice) == ({"pass1": 0.25}, {"eval_set": "toy", "temperature": 0.6})
    assert (all_sets.metrics, all_sets.data_slice) == ({"num_samples": 8.0}, {"temperature": 0.6})
    assert sorted(path.name.removeprefix("r_") for path in tmp_path.iterdir() if path.name.startswith("r_")) == [
        "alerts.json",
        "events.jsonl",
        "final_report.json",
        "manifest.json",
        "metrics.csv",
        "metrics.json",
    ]
    assert json.loads((tmp_path / "r_final_report.json").read_text())["outcome"] == "completed"


def test_nothing_is_opened_before_something_is_logged(tmp_path: Path) -> None:
    """Making a callback costs nothing."""
    callback = OpenRLHFCallback(tmp_path / "logs")

    assert (callback.path, callback.run_id, callback.errors) == (None, None, 0)
    assert not (tmp_path / "logs").exists()


def test_it_needs_nothing_of_openrlhf() -> None:
    """Neither OpenRLHF nor Ray nor torch is loaded."""
    code = "import sys; from rldk.integrations.openrlhf import OpenRLHFCallback; print(*sys.modules)"
    loaded = set(run_python("-c", code).stdout.split())

    assert loaded & {"openrlhf", "ray", "torch", "transformers", "numpy", "pandas"} == set()


def test_a_worker_that_trains_nothing_loads_next_to_nothing() -> None:
    """What every worker of Ray runs first does not load what writes a log."""
    code = "import sys; from rldk.integrations.openrlhf import worker_setup; worker_setup(); print(*sys.modules)"
    loaded = set(run_python("-c", code).stdout.split())

    assert {name for name in loaded if name.startswith(("rldk", "msgspec"))} == {
        "rldk",
        "rldk.integrations",
        "rldk.integrations.openrlhf",
        "rldk.integrations.openrlhf.install",
        "rldk.integrations.openrlhf.ray_env",
    }


def test_it_has_the_shape_of_a_logger_of_openrlhf(callback: OpenRLHFCallback, tmp_path: Path) -> None:
    """`log_train`, `log_eval` and `close` record as well, and closing ends the run."""
    callback.log_train(1, {"reward": 0.5})
    callback.log_eval(global_step=1, logs_dict={"eval_toy_pass1": 0.25})
    callback.close()

    assert [event.phase for event in recorded(tmp_path)] == ["train", "eval"]
    (log,) = find_logs(tmp_path)
    assert read_manifest(log).attempts[0].outcome == "completed"
    assert (callback.path, callback.run_id) == (None, "r")


def test_an_evaluation_after_the_end(callback: OpenRLHFCallback, tmp_path: Path) -> None:
    """It belongs to the same attempt."""
    callback.on_step_end(1, {"reward": 0.5})
    callback.on_train_end()
    callback.on_eval_end(1, {"eval_toy_pass1": 0.25})

    assert [(event.phase, event.attempt) for event in recorded(tmp_path)] == [("train", 1), ("eval", 1)]


@pytest.mark.parametrize("status", ["interrupted", "crashed"])
def test_how_training_ended(status: Any, callback: OpenRLHFCallback, tmp_path: Path) -> None:
    """It is written down, and closing the log does not change it."""
    callback.on_step_end(1, {"reward": 0.5})
    callback.on_train_end(status, "out of memory")
    callback.close()

    (log,) = find_logs(tmp_path)
    (attempt,) = read_manifest(log).attempts
    assert (attempt.outcome, attempt.outcome_detail) == (status, "out of memory")


def test_another_end_is_refused(callback: OpenRLHFCallback) -> None:
    """The message says what it may be."""
    with pytest.raises(ValueError, match=r"\Astatus: expected completed, .* or crashed, found 'done'\Z"):
        callback.on_train_end("done")  # type: ignore[arg-type]


def test_a_loop_that_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    """It says where, and its steps replace those after."""
    for resumed_from, steps in ((None, (1, 2, 3)), (2, (3, 4))):
        callback = OpenRLHFCallback(tmp_path, run_id="r", on_error="raise")
        callback.on_train_begin(resumed_from)
        for step in steps:
            callback.on_step_end(step, {"reward": resumed_from or 0.5})
        callback.close()

    assert [(event.step, event.attempt) for event in recorded(tmp_path)] == [(1, 1), (2, 1), (3, 1), (3, 2), (4, 2)]
    (log,) = find_logs(tmp_path)
    assert [(event.step, event.metrics["reward_mean"]) for event in read_events(log.path)] == [
        (1, 0.5),
        (2, 0.5),
        (3, 2),
        (4, 2),
    ]


def test_beginning_once_more_is_a_new_attempt(callback: OpenRLHFCallback, tmp_path: Path) -> None:
    """The same callback, the same run."""
    callback.on_step_end(1, {"reward": 0.5})
    callback.on_train_begin()
    callback.on_step_end(1, {"reward": 0.75})

    assert [(event.step, event.attempt) for event in recorded(tmp_path)] == [(1, 1), (1, 2)]


@pytest.mark.parametrize(
    ("sample", "note"),
    [
        (["a text", 0.5], "sample: reward 0.5, a text"),
        (["two\nlines", math.nan], "sample: reward nan, two\nlines"),
        (["x" * 21, 1], "sample: reward 1, xxxxxxxxxxxxxxxxxxxx... (21 characters)"),
        (["half \ud83d", 0.0], "sample: reward 0, half \\ud83d"),
        ("a text", "sample: a text"),
    ],
    ids=["plain", "newline_nan", "long", "surrogate", "no_reward"],
)
def test_a_sample_is_a_note(sample: Any, note: str, tmp_path: Path) -> None:
    """It is cut to a length, and never a metric."""
    callback = OpenRLHFCallback(tmp_path, sample_chars=20, on_error="raise")
    callback.on_step_end(1, {"reward": 0.5, "generated_samples": sample})
    callback.close()
    (event,) = recorded(tmp_path)

    assert (event.notes, list(event.metrics)) == ([note], ["reward_mean"])


def test_no_samples(tmp_path: Path) -> None:
    """With 0 characters there is no note, so that filters may thin the log."""
    callback = OpenRLHFCallback(tmp_path, sample_chars=0, on_error="raise")
    callback.on_step_end(1, {"reward": 0.5, "generated_samples": ["a text", 0.5]})
    callback.close()

    assert recorded(tmp_path)[0].notes == []


def test_what_is_no_metric_and_no_context_is_refused_by_name(callback: OpenRLHFCallback, tmp_path: Path) -> None:
    """The rest of the event is written, with a note for each kind."""
    callback.on_step_end(1, {"reward": 0.5, "text": "no number"}, batch=[1, 2], rank=0)
    (event,) = recorded(tmp_path)

    assert event.metrics == {"reward_mean": 0.5}
    assert event.data_slice == {"dataset_name": "d", "rank": 0}
    assert event.notes == ["refused: batch (list)", "refused: text (str)"]


def test_jsonl_off_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the argument, and by the variable, which wins."""
    off = OpenRLHFCallback(tmp_path / "logs", enable_jsonl_logging=False, on_error="raise")
    monkeypatch.setenv("RLDK_DISABLE_JSONL", "1")
    for callback in (off, OpenRLHFCallback(tmp_path / "logs", on_error="raise")):
        callback.on_train_begin()
        callback.on_step_end(1, {"reward": 0.5})
        callback.on_eval_end(1, {"eval_toy_pass1": 0.5})
        callback.on_train_end()
        callback.close()

    assert not (tmp_path / "logs").exists()


def test_the_environment_names_run_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It wins over the arguments."""
    monkeypatch.setenv("RLDK_OUTPUT_DIR", str(tmp_path / "there"))
    monkeypatch.setenv("RLDK_RUN_ID", "named")
    callback = OpenRLHFCallback(tmp_path / "here", run_id="r", on_error="raise")
    callback.on_step_end(1, {"reward": 0.5})

    assert callback.path == tmp_path / "there/named_events.jsonl"
    callback.close()


def test_other_processes_of_a_loop_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a launcher of distributed training only the first process records."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    callback = OpenRLHFCallback(tmp_path / "logs", on_error="raise")
    callback.on_step_end(1, {"reward": 0.5})

    assert not (tmp_path / "logs").exists()


def test_a_new_run_is_named_after_its_algorithm(tmp_path: Path) -> None:
    """And after the framework where nothing tells the algorithm."""
    names = []
    for algorithm in ("dpo", ""):
        callback = OpenRLHFCallback(tmp_path, algorithm=algorithm, on_error="raise")
        callback.on_step_end(1, {"loss": 0.5})
        names.append((callback.run_id or "").partition("-")[0])
        callback.close()

    assert names == ["dpo", "openrlhf"]


def test_what_goes_wrong_is_kept_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The loop goes on, one message tells of it, and all of it is counted."""
    callback = OpenRLHFCallback(tmp_path)
    callback.on_step_end("one", {"reward": 0.5})  # type: ignore[arg-type]
    callback.on_step_end(1, None)  # type: ignore[arg-type]
    callback.on_step_end(2, {"reward": 0.5})
    callback.close()

    assert callback.errors == 2
    assert len([record for record in caplog.records if "training goes on" in record.getMessage()]) == 1
    assert [event.step for event in recorded(tmp_path)] == [2]


def test_a_folder_that_cannot_be_made_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is not tried again with each step."""
    (tmp_path / "file").write_text("")
    callback = OpenRLHFCallback(tmp_path / "file/logs")
    for step in (1, 2, 3):
        callback.on_step_end(step, {"reward": 0.5})

    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["on_step_end"]
    assert callback.errors == 1


def test_arguments_are_checked_when_it_is_made(tmp_path: Path) -> None:
    """Not when training begins."""
    with pytest.raises(RunIdError):
        OpenRLHFCallback(tmp_path, run_id="a/b")
    with pytest.raises(ValueError, match="rotation"):
        OpenRLHFCallback(tmp_path, rotation="much")


def test_a_process_that_ends_without_a_word(tmp_path: Path) -> None:
    """The log is closed when the interpreter exits, and the run was interrupted."""
    code = (
        "from rldk.integrations.openrlhf import OpenRLHFCallback\n"
        f"OpenRLHFCallback({str(tmp_path)!r}, run_id='r').on_step_end(1, {{'reward': 0.5}})"
    )
    done = run_python("-c", code)

    assert (done.returncode, done.stderr) == (0, "")
    (log,) = find_logs(tmp_path)
    assert read_manifest(log).attempts[0].outcome == "interrupted"
