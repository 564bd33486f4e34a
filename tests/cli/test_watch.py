"""`rldk watch`, in a real terminal."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from rldk.io.manifest import Attempt, Manifest
from rldk.io.segments import run_log
from rldk.io.writer import open_writer
from tests.cli.terminals import terminal
from tests.runs import eval_event, make_event, run_python, write_attempt, write_manifest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for runs, beside a cache."""
    path = tmp_path / "runs"
    path.mkdir()
    return path


def plan(folder: Path, steps: int) -> None:
    """Let the manifest say how many steps the trainer plans."""
    log = run_log(folder / "r_events.jsonl")
    attempt = Attempt(attempt=1, started="2026-01-31T23:59:59.000000Z", trainer={"max_steps": steps})
    write_manifest(log, Manifest(run_id="r", framework="trl", algorithm="grpo", attempts=[attempt]))


def test_a_run_that_trains(folder: Path, tmp_path: Path) -> None:
    """Steps, pace, what is left, last values and sparklines are there, change, and fit into 80 columns and 24 lines."""
    writer = open_writer(folder, run_id="r")
    for step in range(50):
        writer.write(make_event(step, metrics={"loss": 1.0 - step / 100, "reward_mean": step / 10, "own_metric": 7.0}))
    plan(folder, 250)
    with terminal("watch", str(folder), RLDK_CACHE_DIR=str(tmp_path / "cache")) as found:
        first = found.wait_for(lambda lines: "step 49 of 250" in lines[1])
        for step in range(50, 60):
            writer.write(make_event(step, metrics={"loss": 0.125, "reward_mean": 9.0, "own_metric": 7.0}))
        second = found.wait_for(lambda lines: "step 59 of 250" in lines[1])
        code = found.interrupt()
    writer.close()

    assert first[0].startswith("r  training")
    assert first[1] == "step 49 of 250, 50 events, 1 steps/s, 3 min 21 s left"
    assert second[1] == "step 59 of 250, 60 events, 1 steps/s, 3 min 11 s left"
    (loss,) = [line.split() for line in second if line.startswith("loss")]
    assert loss[:4] == ["loss", "0.125", "0.125", "1"]
    assert set(loss[4]) <= set("▁▂▃▄▅▆▇█")
    assert any(line.startswith("own_metric") for line in second)
    assert code == 0
    assert b"\x1b[?1049h" in found.sent


def test_no_colour(folder: Path, tmp_path: Path) -> None:
    """With NO_COLOR no colour is sent, and the screen says the same."""
    writer = open_writer(folder, run_id="r")
    writer.write(make_event(0, metrics={"loss": float("nan")}))
    with terminal("watch", str(folder), NO_COLOR="1", RLDK_CACHE_DIR=str(tmp_path / "cache")) as found:
        lines = found.wait_for(lambda lines: any("NaN" in line for line in lines))
        found.interrupt()
    writer.close()

    assert lines[0].startswith("r  training")
    assert b"\x1b[3" not in found.sent.replace(b"\x1b[3J", b"")
    assert b"\x1b[1;3" not in found.sent


def test_a_nan_and_an_alert(folder: Path, tmp_path: Path) -> None:
    """The last value is called NaN when it was, and what the rules say of it stands above."""
    values = [*(1.0 for _ in range(50)), *(float("nan") for _ in range(5))]
    write_attempt(folder, [make_event(step, metrics={"loss": value}) for step, value in enumerate(values)])
    with terminal("watch", str(folder), RLDK_CACHE_DIR=str(tmp_path / "cache")) as found:
        lines = found.wait_for(lambda lines: any(line.startswith("critical") for line in lines))
        found.interrupt()

    (loss,) = [line.split() for line in lines if line.startswith("loss")]
    assert loss[1] == "NaN"
    assert max(map(len, lines)) <= 80


def test_several_runs(folder: Path, tmp_path: Path) -> None:
    """The one that was written last is shown, and the others in a line each."""
    for name in ("old", "new"):
        writer = open_writer(folder, run_id=name)
        writer.write(make_event(0, model_info={"run_id": name}))
        writer.close()
    found = run_python("-m", "rldk", "watch", folder, env={"RLDK_CACHE_DIR": str(tmp_path / "cache")})

    assert found.returncode == 0
    assert found.stdout.startswith("new  unknown")
    assert found.stdout.splitlines()[-1] == "unknown  old, step 0"


def test_in_a_pipe(folder: Path, tmp_path: Path) -> None:
    """In a pipe it prints what there is, once, without a code for the terminal."""
    write_attempt(folder, [make_event(step) for step in range(5)] + [eval_event(4, "math", metrics={"accuracy": 0.5})])
    found = run_python(
        "-m", "rldk", "watch", folder / "r_events.jsonl", env={"RLDK_CACHE_DIR": str(tmp_path / "cache")}
    )

    assert (found.returncode, found.stderr) == (0, "")
    assert "\x1b" not in found.stdout
    assert [line.split()[:4] for line in found.stdout.splitlines()[3:]] == [
        ["loss", "0.5", "0.5", "0.5"],
        ["math:", "accuracy", "0.5", "0.5"],
    ]


def test_nothing_yet(folder: Path, tmp_path: Path) -> None:
    """An empty folder is no error: a run appears as soon as it begins."""
    with terminal("watch", str(folder), RLDK_CACHE_DIR=str(tmp_path / "cache")) as found:
        found.wait_for(lambda lines: lines[0] == "no run yet; they appear here as they begin")
        write_attempt(folder, [make_event(0)])
        found.wait_for(lambda lines: lines[0].startswith("r  "))

        assert found.interrupt() == 0


def test_a_terminal_that_cannot_be_drawn_over(folder: Path, tmp_path: Path) -> None:
    """On a dumb terminal it prints once and ends, rather than show nothing at all."""
    write_attempt(folder, [make_event(0)])
    with terminal("watch", str(folder), TERM="dumb", RLDK_CACHE_DIR=str(tmp_path / "cache")) as found:
        lines = found.wait_for(lambda lines: any(line.startswith("loss") for line in lines))
        found.child.wait()
        code = found.child.exitstatus

    assert lines[0] == "r  unknown  nothing says how it ended"
    assert b"\x1b" not in found.sent
    assert code == 0


def test_it_is_told_to_end(folder: Path, tmp_path: Path) -> None:
    """Ended by `timeout` or `kill`, it gives the terminal back as it was."""
    with terminal("watch", str(folder), RLDK_CACHE_DIR=str(tmp_path / "cache")) as found:
        found.wait_for(lambda lines: lines[0] == "no run yet; they appear here as they begin")
        found.child.kill(signal.SIGTERM)
        found.read(1)
        found.child.wait()

    assert b"\x1b[?1049l" in found.sent
    assert b"\x1b[?25h" in found.sent
    assert found.child.exitstatus == 143


def test_a_pipe_has_no_width(folder: Path, tmp_path: Path) -> None:
    """In a pipe nothing is cut off at the width of a terminal."""
    name = "a_run_" + "with_a_name_of_many_words_" * 4
    writer = open_writer(folder, run_id=name)
    writer.write(make_event(0, model_info={"run_id": name}))
    writer.close()
    found = run_python("-m", "rldk", "watch", folder, "--once", env={"RLDK_CACHE_DIR": str(tmp_path / "cache")})

    assert found.stdout.startswith(f"{name}  unknown  nothing says how it ended\n")
