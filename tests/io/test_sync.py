"""What was written is forced to the disk in the background, the older file before the newer."""

from __future__ import annotations

import errno
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from rldk.io.sync import Syncer, sync_folder
from rldk.io.writer import open_writer
from tests.io.faults import Recorded, disk_error, failing
from tests.runs import make_event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Files:
    """Files that a syncer is given, and what it said of them; it is asked to sync by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.errors: list[OSError] = []
        self.syncer = Syncer(folder, 3600, self.errors.append)

    def follow(self, name: str) -> int:
        """Have a file of this name, with one byte in it, synced from now on."""
        fd = os.open(self.folder / name, os.O_RDWR | os.O_CREAT)
        os.write(fd, b"x")
        self.syncer.follow(fd)
        return fd

    def sync(self) -> None:
        """Do what the thread does every so often."""
        self.syncer._sync()

    @property
    def followed(self) -> int:
        """How many files are still to be synced."""
        return len(self.syncer._files)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    """A syncer and no file yet."""
    files = Files(tmp_path)
    yield files
    files.syncer.close()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """The files that are synced, by name; folders as well."""
    calls = Recorded(monkeypatch, "fdatasync")
    folders = Recorded(monkeypatch, "fsync")
    folders.names = calls.names
    return calls


def test_a_file_is_synced_when_it_has_grown(files: Files, calls: Recorded) -> None:
    """Its name with it the first time; one that did not grow is left alone."""
    fd = files.follow("a")
    files.sync()
    files.sync()
    os.write(fd, b"x")
    files.sync()
    os.close(fd)

    assert calls.names == ["a", files.folder.name, "a"]
    assert files.errors == []


def test_the_file_before_is_synced_first_and_for_the_last_time(files: Files, calls: Recorded) -> None:
    """Old before new, and then the old one is let go of."""
    for name in ("a", "b", "c"):
        os.close(files.follow(name))
    files.sync()
    followed = files.followed
    files.sync()

    assert [name for name in calls.names if name in {"a", "b", "c"}] == ["a", "b", "c"]
    assert followed == 1


def test_a_file_that_its_writer_has_closed_is_synced_all_the_same(files: Files, calls: Recorded) -> None:
    """The syncer has a descriptor of its own."""
    os.close(files.follow("a"))
    files.sync()

    assert calls.names[0] == "a"


def test_a_file_that_the_disk_did_not_take_is_given_up(files: Files, calls: Recorded) -> None:
    """It is told of once; tried again the sync would succeed though the data is lost. The next file is synced."""
    os.close(files.follow("a"))
    os.close(files.follow("b"))
    calls.error = errno.EIO
    files.sync()
    calls.error = None
    files.sync()

    assert [error.errno for error in files.errors] == [errno.EIO]
    assert [name for name in calls.names if name in {"a", "b"}] == ["a", "b"]


def test_a_folder_that_is_gone_is_not_the_syncers_business(files: Files, calls: Recorded) -> None:
    """The file is synced; that its folder is gone is for the writer to notice."""
    files.syncer._folder = files.folder / "gone"
    os.close(files.follow("a"))
    files.sync()

    assert files.errors == []
    assert calls.names == ["a"]


def test_a_folder_that_cannot_be_synced_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk fails, the names in it may be gone."""
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        sync_folder(tmp_path)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBADF])
def test_a_file_system_that_cannot_sync_folders_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As some on a network: that is no reason to give up one file after the other."""
    monkeypatch.setattr(os, "fsync", failing(number))
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208 - a count
    sync_folder(tmp_path)

    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208 - a count


def test_closing_a_file_may_fail(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it could complain of, the sync has told; the thread goes on."""
    os.close(files.follow("a"))
    os.close(files.follow("b"))
    real = os.close

    def close(fd: int) -> None:
        real(fd)
        raise disk_error(errno.EIO)

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", close)
        files.syncer._let_go(1)

    assert files.followed == 1


def test_the_thread_syncs_every_so_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being asked."""
    synced = Recorded(monkeypatch, "fdatasync")
    writer = open_writer(tmp_path, run_id="r", sync="1 ms")
    writer.write(make_event(0))
    called = synced.called.wait(20)
    writer.close()

    assert called
    assert set(synced.names) == {"r_events.jsonl"}


def test_closing_syncs_a_last_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the period is; then no file is open and no thread is left."""
    synced = Recorded(monkeypatch, "fdatasync")
    writer = open_writer(tmp_path, run_id="r", sync="1 h")
    writer.write(make_event(0))
    before = list(synced.names)
    syncer = writer._segments._live._syncer
    assert syncer
    writer.close()
    syncer._thread.join(20)

    assert (before, synced.names) == ([], ["r_events.jsonl"])
    assert syncer._files == []


def test_rotation_hands_the_new_file_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sealed file is synced for the last time before the live one."""
    monkeypatch.setattr("rldk.io.sealing.Sealer.wake", lambda _: None)
    synced = Recorded(monkeypatch, "fdatasync")
    writer = open_writer(tmp_path, run_id="r", sync="1 h", rotation="400 B")
    for step in range(3):
        writer.write(make_event(step))
    writer.close()

    assert synced.names == ["r_events.000001.jsonl", "r_events.jsonl"]


def test_closing_does_not_wait_for_a_disk_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last sync goes on by itself; the lock is free meanwhile, and the log can be opened again."""
    answer, real = threading.Event(), os.fdatasync

    def hang(fd: int) -> None:
        answer.wait(20)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", hang)
    writer = open_writer(tmp_path, run_id="r", sync="1 h")
    writer.write(make_event(0))
    syncer: Any = writer._segments._live._syncer
    began = time.monotonic()
    writer.close()
    took = time.monotonic() - began
    locked = (tmp_path / "r.lock").exists()
    answer.set()
    syncer._thread.join(20)

    assert took < 5
    assert not locked
    assert syncer._files == []


def test_a_write_does_not_wait_for_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk takes its time, events are written and acknowledged."""
    hanging, answer, real = threading.Event(), threading.Event(), os.fdatasync

    def hang(fd: int) -> None:
        hanging.set()
        answer.wait(20)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", hang)
    writer = open_writer(tmp_path, run_id="r", sync="1 ms", rotation="400 B")
    writer.write(make_event(0))
    assert hanging.wait(20)
    taken = [writer.write(make_event(step)) for step in range(1, 5)]
    answer.set()
    writer.close()

    assert taken == [True] * 4


def test_a_forked_child_lets_go_of_the_files(files: Files) -> None:
    """There is no thread in it that would."""
    os.close(files.follow("a"))
    os.close(files.follow("b"))
    files.syncer.leave_to_parent()

    assert files.followed == 0
