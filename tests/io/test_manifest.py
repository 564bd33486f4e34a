"""What is kept of a run beside its events."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from rldk.io import lock as module
from rldk.io.manifest import Attempt, Manifest, Removed, Segment, find_resumed, read_manifest, update_manifest
from rldk.io.segments import Log, log_path
from rldk.metrics import Translator
from tests.io.faults import failing
from tests.runs import clean_environment, files

if TYPE_CHECKING:
    from pathlib import Path


def _a_log(folder: Path, run_id: str = "r1", rank: int = 0) -> Log:
    path = log_path(folder, run_id, rank)
    path.touch()
    return Log(path, run_id, rank)


def _a_manifest() -> Manifest:
    translator = Translator("trl", "grpo")
    translator.translate({"kl": 0.1, "rewards/f/mean": 1.0})
    return Manifest(
        run_id="r1",
        rank=2,
        framework="trl",
        algorithm="grpo",
        trainer_output_dir="/runs/out",
        attempts=[
            Attempt(1, "2026-01-31T23:59:59.000000Z", outcome="crashed", outcome_detail="ValueError: é"),
            Attempt(2, "2026-02-01T00:00:00.000000Z", resumed_from=40, seeds={"seed": 42}, counters={"written": 7}),
        ],
        metrics=translator.applied,
        segments=[
            Segment(
                file="r1_events.rank2.000003.jsonl.gz",
                sealed=True,
                events=7,
                bytes=900,
                sha256="ab",
                first_step=1,
                last_step=7,
                stored_bytes=90,
                stored_sha256="cd",
            )
        ],
        removed=Removed(
            segments=2,
            events=14,
            bytes=1800,
            last_number=2,
            last_attempt=1,
            last_seq=13,
            last_step=None,
            at="2026-02-01T00:00:00.000000Z",
            policy="1 segments",
        ),
    )


def _write(log: Log, manifest: Manifest) -> None:
    """Have a manifest say what another says."""

    def change(each: Manifest) -> None:
        for name in manifest.__struct_fields__:
            setattr(each, name, getattr(manifest, name))

    update_manifest(log, change)


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Attempts, the metrics that were renamed and the segments survive the file."""
    log = _a_log(tmp_path, rank=2)
    _write(log, _a_manifest())

    assert read_manifest(log) == _a_manifest()
    assert (tmp_path / "r1_manifest.rank2.json").is_file()


def test_a_manifest_is_readable_by_people(tmp_path: Path) -> None:
    """It is indented JSON that ends in a newline and says which schema it has."""
    log = _a_log(tmp_path)
    _write(log, _a_manifest())
    text = (tmp_path / "r1_manifest.json").read_text(encoding="utf-8")

    assert text.startswith('{\n  "run_id": "r1",\n  "schema": 1,\n')
    assert text.endswith("}\n")
    assert json.loads(text)["metrics"]["kl"]["estimator"] == "k3"


def test_an_absent_manifest_is_an_empty_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A killed run may have none; that is no reason to complain."""
    assert read_manifest(_a_log(tmp_path, rank=3)) == Manifest(run_id="r1", rank=3)
    assert caplog.messages == []


DAMAGED = pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "Input data was truncated"),
        (b'{"run_id":', "Input data was truncated"),
        (b'{"run_id":7}', "Expected `str`, got `int` - at `$.run_id`"),
        (b"{}", "Object missing required field `run_id`"),
        (b'{"run_id":"\xff"}', "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
    ids=["empty", "cut", "wrong type", "incomplete", "no UTF-8"],
)


@DAMAGED
def test_a_damaged_manifest_is_read_as_an_empty_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: bytes, why: str
) -> None:
    """It is derived but for provenance, so a run goes on without it; who asks for it is told what is wrong."""
    log = _a_log(tmp_path)
    path = tmp_path / "r1_manifest.json"
    path.write_bytes(text)

    assert read_manifest(log) == Manifest(run_id="r1")
    assert caplog.messages == []
    assert read_manifest(log, warn=True) == Manifest(run_id="r1")
    assert caplog.messages == [f"{path}: the manifest cannot be read: {why}"]
    assert path.read_bytes() == text


@DAMAGED
def test_a_damaged_manifest_is_begun_anew_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: bytes, why: str
) -> None:
    """What a person may still read in it is beside the new one."""
    log = _a_log(tmp_path)
    path = tmp_path / "r1_manifest.json"
    path.write_bytes(text)
    found = update_manifest(log, lambda manifest: setattr(manifest, "framework", "trl"))

    assert found == read_manifest(log) == Manifest(run_id="r1", framework="trl")
    assert (tmp_path / "r1_manifest.json.damaged").read_bytes() == text
    assert caplog.messages == [f"{path}.damaged: the manifest cannot be read and is begun anew: {why}"]


def test_a_manifest_that_the_disk_does_not_give_is_not_begun_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is there may be whole: reading goes on without it, changing it is refused."""
    log = _a_log(tmp_path)
    (tmp_path / "r1_manifest.json").mkdir()
    found = read_manifest(log, warn=True)
    with pytest.raises(IsADirectoryError):
        update_manifest(log, lambda _: None)

    assert found == Manifest(run_id="r1")
    assert len(caplog.messages) == 1
    assert (tmp_path / "r1_manifest.json").is_dir()


def test_a_manifest_is_changed_not_replaced(tmp_path: Path) -> None:
    """What the change does not touch stays; what was written is given."""
    log = _a_log(tmp_path, rank=2)
    _write(log, _a_manifest())
    found = update_manifest(log, lambda manifest: setattr(manifest, "algorithm", "ppo"))

    assert found == read_manifest(log) == msgspec.structs.replace(_a_manifest(), algorithm="ppo")


def test_a_change_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an error in the change nor one of the disk harms what was there, and the next change is not kept out."""
    log = _a_log(tmp_path, rank=2)
    _write(log, _a_manifest())
    before = files(tmp_path)

    def wrong(manifest: Manifest) -> None:
        manifest.attempts.clear()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        update_manifest(log, wrong)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.ENOSPC))
        with pytest.raises(OSError, match="No space left on device"):
            update_manifest(log, lambda manifest: manifest.attempts.clear())
    after = files(tmp_path)
    began = time.monotonic()
    update_manifest(log, lambda _: None)

    assert after == before
    assert time.monotonic() - began < module._PATIENCE


UPDATING = """
import sys
from pathlib import Path
from rldk.io.manifest import Attempt, update_manifest
from rldk.io.segments import Log, log_path

folder, first = Path(sys.argv[1]), int(sys.argv[2])
log = Log(log_path(folder, "r1"), "r1", 0)
print("ready", flush=True)
sys.stdin.readline()
for number in range(first, first + 25):
    update_manifest(log, lambda manifest: manifest.attempts.append(Attempt(number, "")))
"""


def test_four_processes_that_change_it_at_once_lose_nothing(tmp_path: Path) -> None:
    """Each of a hundred changes is in it: nobody overwrites what another has just written."""
    log = _a_log(tmp_path)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", UPDATING, str(tmp_path), str(25 * index)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(),
        )
        for index in range(4)
    ]
    for process in processes:
        assert process.stdout
        process.stdout.readline()
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    codes = [process.wait(50) for process in processes]
    for process in processes:
        process.communicate()

    assert codes == [0] * 4
    assert sorted(each.attempt for each in read_manifest(log).attempts) == list(range(100))


def test_a_lock_that_is_never_let_go_of_does_not_hang_it(tmp_path: Path) -> None:
    """After a moment it goes on without: a stopped process in the same folder must not stop a training."""
    log = _a_log(tmp_path)
    fd = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    began = time.monotonic()
    update_manifest(log, lambda manifest: setattr(manifest, "framework", "trl"))
    took = time.monotonic() - began
    os.close(fd)

    assert module._PATIENCE <= took < 10
    assert read_manifest(log).framework == "trl"


def test_a_folder_without_locks_has_manifests_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where flock is not to be had nobody waits for it."""
    log = _a_log(tmp_path)
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOTSUP))
    began = time.monotonic()
    update_manifest(log, lambda manifest: setattr(manifest, "framework", "trl"))

    assert time.monotonic() - began < module._PATIENCE
    assert read_manifest(log).framework == "trl"


def test_a_manifest_of_a_later_version_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    """Fields that this version does not know are passed over."""
    log = _a_log(tmp_path)
    (tmp_path / "r1_manifest.json").write_bytes(b'{"run_id":"r1","schema":9,"weather":"fine"}')

    assert read_manifest(log) == Manifest(run_id="r1", schema=9)


def test_two_manifests_share_nothing() -> None:
    """What is added to one is not in the next."""
    Manifest(run_id="r1").attempts.append(Attempt(1, "2026-01-31T23:59:59.000000Z"))

    assert Manifest(run_id="r2").attempts == []


def test_the_run_that_a_trainer_resumes_is_the_newest_in_its_place(tmp_path: Path) -> None:
    """Of the runs whose trainer kept its checkpoints there, the one whose manifest was written last."""
    for age, (run_id, place) in enumerate([("c", "/out"), ("a", "/out"), ("b", "/elsewhere"), ("d", "/out")]):
        log = _a_log(tmp_path, run_id)
        _write(log, Manifest(run_id=run_id, trainer_output_dir=place))
        os.utime(tmp_path / f"{run_id}_manifest.json", (1000 - age, 1000 - age))

    assert find_resumed(tmp_path, "/out") == "c"
    assert find_resumed(tmp_path, "/elsewhere") == "b"
    assert find_resumed(tmp_path, "/nowhere") is None


def test_a_run_without_manifest_is_not_resumed(tmp_path: Path) -> None:
    """Whose it is cannot be known; neither can that of a folder that is not there."""
    _a_log(tmp_path)

    assert find_resumed(tmp_path, "/out") is None
    assert find_resumed(tmp_path, "") is None
    assert find_resumed(tmp_path / "absent", "/out") is None
