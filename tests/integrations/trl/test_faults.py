"""Whatever goes wrong in the recorder: training finishes, and the user hears of it once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("trl")

from transformers import TrainerCallback
from trl import SFTConfig

from rldk.errors import RunLockedError, WriteFailedError
from rldk.io import live_file
from rldk.io.validator import validate_jsonl_file
from rldk.io.writer import open_writer
from tests.integrations.trl.trainings import BeforeStep, Lab, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import TrainerControl, TrainerState, TrainingArguments

    from tests.integrations.trl.trainings import Tiny

pytestmark = pytest.mark.trl


def _finished(trainer: Any) -> bool:
    """Whether training came to its own end, with everything in the trainer's history."""
    rows = trainer.state.log_history
    return [row["step"] for row in rows] == [1, 2, 3, 4, 4] and "train_loss" in rows[-1]


class ExplodingConfig(SFTConfig):
    """Arguments that cannot be looked at."""

    def to_dict(self) -> dict[str, Any]:
        """Explode."""
        raise RuntimeError("the arguments exploded")


class Bomb:
    """A value that explodes when it is looked at."""

    @property
    def ndim(self) -> int:
        """Explode."""
        raise RuntimeError("the value exploded")


def test_on_train_begin_fails(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """When the arguments explode nothing is recorded; training finishes, and one warning says so."""
    callback = lab.callback()
    trainer = lab.sft(callback, config=ExplodingConfig)
    trainer.train()
    trainer.evaluate()

    assert trainer.state.global_step == 4
    assert said(caplog) == [
        "on_train_begin: RuntimeError: the arguments exploded; training goes on, nothing is recorded"
    ]
    assert (callback.errors, callback.path) == (1, None)


def test_on_train_begin_raises_when_asked(lab: Lab) -> None:
    """With `on_error="raise"` the error of on_train_begin ends the training."""
    trainer = lab.sft(lab.callback(on_error="raise"), config=ExplodingConfig)

    with pytest.raises(RuntimeError, match=r"\Athe arguments exploded\Z"):
        trainer.train()


def test_on_log_fails(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """A log that explodes, three times, is missing; every other is there, and one warning tells of the first.

    Seen to fail when the guard lets an error through.
    """
    callback = lab.callback()
    bombs = [BeforeStep(step, lambda: trainer.log({"bomb": Bomb()})) for step in (1, 2, 3)]
    trainer = lab.sft(*bombs, callback)
    trainer.train()

    assert said(caplog) == [
        "on_log: RuntimeError: the value exploded; training goes on, this may be missing from the log"
    ]
    assert callback.errors == 3
    assert [(event.phase, event.step) for event in lab.events()] == [
        ("train", 1),
        ("train", 2),
        ("train", 3),
        ("train", 4),
        ("final", 4),
    ]
    assert validate_jsonl_file(lab.logs / "run_events.jsonl", strict=True).problems == []


def test_on_log_raises_when_asked(lab: Lab) -> None:
    """With `on_error="raise"` the error of on_log ends the training."""
    bomb = BeforeStep(1, lambda: trainer.log({"bomb": Bomb()}))
    trainer = lab.sft(bomb, lab.callback(on_error="raise"))

    with pytest.raises(RuntimeError, match=r"\Athe value exploded\Z"):
        trainer.train()


def test_on_train_end_fails(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """When a derived file cannot be put in its place the log is whole, and one warning says how to build the files."""
    (lab.logs / "run_metrics.csv").mkdir(parents=True)
    trainer = lab.sft(lab.callback())
    trainer.train()
    (message,) = said(caplog)

    assert _finished(trainer)
    assert message.startswith("[Errno 21] Is a directory: ")
    assert message.endswith(f"; build the derived files later with: rldk report {lab.logs}/run_events.jsonl")
    assert len(lab.events()) == 5
    assert lab.derived("manifest")["attempts"][0]["outcome"] == "completed"


def test_on_train_end_raises_when_asked(lab: Lab) -> None:
    """With `on_error="raise"` a derived file that cannot be put in its place is an error of the training."""
    (lab.logs / "run_metrics.csv").mkdir(parents=True)
    trainer = lab.sft(lab.callback(on_error="raise"))

    with pytest.raises(IsADirectoryError):
        trainer.train()


def test_too_little_time_for_the_derived_files(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """When the derived files take longer than they may, they are left, and one warning says how to build them."""
    trainer = lab.sft(lab.callback(report_budget=0.0))
    trainer.train()
    log = lab.logs / "run_events.jsonl"

    assert _finished(trainer)
    assert said(caplog) == [
        f"{log}: building the derived files took too long; build the derived files later with: rldk report {log}"
    ]
    assert sorted(path.name for path in lab.logs.iterdir()) == ["run.lock", "run_events.jsonl", "run_manifest.json"]


def test_closing_fails(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """An error at the very end, when the callback is let go, is a warning and no traceback."""
    callback = lab.callback()
    trainer = lab.sft(callback)
    trainer.train()
    trainer.evaluate()
    (lab.logs / "run_events.jsonl").rename(lab.logs / "moved_events.jsonl")
    trainer.remove_callback(callback)
    del callback
    (message,) = said(caplog)

    assert message.startswith("[Errno 2] No such file or directory: ")
    assert not (lab.logs / "run.lock").exists()


def test_a_file_in_place_of_the_folder(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """A file where the folder should be: training finishes, one warning, and the file is as it was."""
    lab.logs.write_text("mine\n")
    trainer = lab.sft(lab.callback())
    trainer.train()
    trainer.evaluate()
    (message,) = said(caplog)

    assert trainer.state.global_step == 4
    assert message == (
        f"on_train_begin: FileExistsError: [Errno 17] File exists: '{lab.logs}'; training goes on, nothing is recorded"
    )
    assert lab.logs.read_text() == "mine\n"


@pytest.fixture
def public_lab(tiny: Tiny) -> Iterator[Lab]:
    """A folder that any user may enter, and logs in it that only root could write to."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "logs").mkdir(mode=0o555)
        yield Lab(tiny, folder)


def test_a_folder_that_may_not_be_written_to(public_lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """An ordinary user without the right to write there: training finishes, one warning names the file."""
    trainer = public_lab.sft(public_lab.callback())
    with _ordinary_user():
        trainer.train()

    assert _finished(trainer)
    assert said(caplog) == [
        (
            f"on_train_begin: PermissionError: [Errno 13] Permission denied: '{public_lab.logs}/run.lock'; "
            "training goes on, nothing is recorded"
        )
    ]


@contextmanager
def _ordinary_user() -> Iterator[None]:
    """Be nobody in particular, when the tests are run by root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_run_somebody_else_writes(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """A run whose log another writer holds is left alone; training finishes, one warning says who holds it."""
    other = open_writer(lab.logs, run_id="run")
    trainer = lab.sft(lab.callback())
    trainer.train()
    other.close()
    (message,) = said(caplog)

    assert _finished(trainer)
    assert message.startswith(
        f"on_train_begin: RunLockedError: {lab.logs}/run.lock: the run is being written by process {os.getpid()} on "
    )
    assert (lab.logs / "run_events.jsonl").read_bytes() == b""


def test_a_run_somebody_else_writes_raises_when_asked(lab: Lab) -> None:
    """With `on_error="raise"` it ends the training before the first step."""
    other = open_writer(lab.logs, run_id="run")
    trainer = lab.sft(lab.callback(on_error="raise"))

    with pytest.raises(RunLockedError):
        trainer.train()
    assert trainer.state.global_step == 0
    other.close()


def test_a_run_id_that_cannot_be(lab: Lab, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad name in `RLDK_RUN_ID` does not stop the training either."""
    monkeypatch.setenv("RLDK_RUN_ID", "../x")
    trainer = lab.sft(lab.callback())
    trainer.train()
    (message,) = said(caplog)

    assert _finished(trainer)
    assert message.startswith("on_train_begin: RunIdError: run_id '../x': expected 1 to 128 characters ")


class FullDisk:
    """Takes the place of `os` in the writer and fails to write a log from one event on, until there is room again."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.full = True

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, fd: int, data: bytes) -> int:
        """Write, while there is room."""
        self.left -= 1
        if self.left < 0 and self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(fd, data)


def test_a_disk_that_is_full_for_a_while(
    lab: Lab, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that could not be written are held, and written late; the next says so; one warning."""
    disk = FullDisk(after=1)
    monkeypatch.setattr(live_file, "os", disk)
    trainer = lab.sft(BeforeStep(3, lambda: setattr(disk, "full", False)), lab.callback())
    trainer.train()
    events = lab.events()

    assert _finished(trainer)
    assert said(caplog) == [
        (
            f"{lab.logs}/run_events.jsonl: the event was not written: No space left on device; "
            "training goes on, up to 4 MiB of events are held and written when that works again, "
            "further ones are only counted"
        )
    ]
    assert [(event.step, event.seq, event.notes) for event in events] == [
        (1, 0, []),
        (2, 1, []),
        (3, 2, []),
        (4, 3, ["events_held: 2, seq 1-2, were written late"]),
        (4, 4, []),
    ]
    assert lab.derived("final_report")["counters"] == {"events": 5, "dropped": 0, "replaced": 0}
    assert validate_jsonl_file(lab.logs / "run_events.jsonl", strict=True).problems == []


def test_a_disk_that_is_full_raises_when_asked(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `on_error="raise"` the first event that cannot be written ends the training."""
    monkeypatch.setattr(live_file, "os", FullDisk(after=1))
    trainer = lab.sft(lab.callback(on_error="raise"))

    with pytest.raises(WriteFailedError, match=r"the event was not written: No space left on device\Z"):
        trainer.train()
    assert trainer.state.global_step == 2


@pytest.fixture
def small_disk(lab: Lab) -> Iterator[Path]:
    """A file system of 64 KiB; only root can make one."""
    lab.logs.mkdir()
    options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", str(lab.logs)]
    if sys.platform != "linux" or subprocess.run(["mount", *options], check=False, capture_output=True).returncode:  # noqa: S607
        pytest.skip("a file system can only be mounted by root")
    yield lab.logs
    subprocess.run(["umount", "--lazy", str(lab.logs)], check=True)  # noqa: S607


class Filler(TrainerCallback):
    """Fills a disk to its last byte at the beginning of step 3."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Fill it, when two steps have been logged."""
        if state.global_step == 2:
            with (self._folder / "filler").open("wb", buffering=0) as file:
                for size in (4096, 1):
                    while _writes(file, size):
                        pass


def _writes(file: Any, size: int) -> bool:
    try:
        return file.write(b"x" * size) == size
    except OSError:
        return False


def test_a_disk_that_becomes_full(small_disk: Path, lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """Training finishes, the log is whole lines, one warning covers log and derived files, and the end is told of."""
    callback = lab.callback()
    trainer = lab.sft(Filler(small_disk), callback, max_steps=60)
    trainer.train()
    trainer.remove_callback(callback)
    del callback
    events = lab.events()
    report = validate_jsonl_file(small_disk / "run_events.jsonl", strict=True)

    assert trainer.state.global_step == 60
    assert 2 <= len(events) < 60
    assert report.problems == []
    assert said(caplog) == [
        (
            f"{small_disk}/run_events.jsonl: the event was not written: No space left on device; "
            "training goes on, up to 4 MiB of events are held and written when that works again, "
            "further ones are only counted"
        ),
        (f"{small_disk}/run_events.jsonl: {61 - len(events)} events that were held could not be written to the end"),
    ]
