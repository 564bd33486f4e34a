"""One writer for each log, and a lock that ends with its holder."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rldk.errors import RunLockedError
from rldk.io.lock import Lock, is_held
from rldk.io.writer import open_writer
from tests.io.faults import failing
from tests.runs import clean_environment, make_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOLDING = """
import sys, time
from rldk.io.writer import open_writer
writer = open_writer(sys.argv[1], run_id="r")
print(writer.attempt, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the log of the run r."""
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        yield process
        process.kill()


def test_a_second_writer_in_the_same_process_is_refused(tmp_path: Path) -> None:
    """The message names the lock, who holds it since when, and what to do; the first writer goes on."""
    writer = open_writer(tmp_path, run_id="r")
    with pytest.raises(RunLockedError) as caught:
        open_writer(tmp_path, run_id="r")
    went_on = writer.write(make_event())
    writer.close()

    since = caught.value.holder.rpartition(" ")[2]
    assert str(caught.value) == (
        f"{tmp_path}/r.lock: the run is being written by process {os.getpid()} on {socket.gethostname()} "
        f"since {since}; end that process, or choose another run_id or output_dir"
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", since)
    assert went_on


def test_a_second_process_is_refused(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    """The message names the process and the host of the holder."""
    with pytest.raises(RunLockedError) as caught:
        open_writer(tmp_path, run_id="r")

    assert caught.value.path == tmp_path / "r.lock"
    assert caught.value.holder.startswith(f"process {other.pid} on {socket.gethostname()} since ")


def test_being_refused_does_not_change_the_log_of_the_holder(tmp_path: Path) -> None:
    """What a refused writer has opened or read leaves no trace."""
    writer = open_writer(tmp_path, run_id="r")
    writer.write(make_event())
    before = writer.path.read_bytes()
    with pytest.raises(RunLockedError):
        open_writer(tmp_path, run_id="r")
    after = writer.path.read_bytes()
    writer.close()

    assert after == before
    assert [path.name for path in tmp_path.iterdir()] == ["r_events.jsonl"]


def test_other_runs_and_other_ranks_are_free(tmp_path: Path) -> None:
    """The lock is of one rank of one run."""
    writers = [
        open_writer(tmp_path, run_id="r"),
        open_writer(tmp_path, run_id="s"),
        open_writer(tmp_path, run_id="r", rank=1),
    ]
    locks = sorted(path.name for path in tmp_path.glob("*.lock"))
    for writer in writers:
        writer.close()

    assert locks == ["r.lock", "r.rank1.lock", "s.lock"]


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    """SIGKILL frees the lock at once; the stale lock file it leaves does not matter and goes with the next writer."""
    other.send_signal(signal.SIGKILL)
    other.wait()
    left = (tmp_path / "r.lock").exists()
    writer = open_writer(tmp_path, run_id="r")
    holder = (tmp_path / "r.lock").read_text()
    writer.close()

    assert left
    assert f'"pid":{os.getpid()},' in holder
    assert not (tmp_path / "r.lock").exists()


@pytest.mark.parametrize("stale", [b"", b"no JSON", b'{"pid":1,"host":"h","since":"s"}\n' * 9])
def test_a_stale_lock_file_is_taken_over_whatever_it_says(tmp_path: Path, stale: bytes) -> None:
    """The kernel's lock counts, not the file; its text is replaced whole."""
    path = tmp_path / "r.lock"
    path.write_bytes(stale)
    lock = Lock(path)
    text = path.read_text()
    lock.release()

    assert re.fullmatch(rf'\{{"pid":{os.getpid()},"host":"[^"]+","since":"[^"]+"\}}\n', text)
    assert not path.exists()


def test_an_unreadable_holder_is_another_process(tmp_path: Path) -> None:
    """A lock that somebody holds without saying who is respected too."""
    path = tmp_path / "r.lock"
    path.write_text("no JSON")
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RunLockedError) as caught:
            Lock(path)

    assert str(caught.value) == (
        f"{path}: the run is being written by another process; end that process, or choose another run_id or output_dir"
    )


def test_closing_frees_the_lock_and_removes_its_file(tmp_path: Path) -> None:
    """After close the log can be opened again at once; closing twice is closing once."""
    first = open_writer(tmp_path, run_id="r")
    first.close()
    removed = not (tmp_path / "r.lock").exists()
    second = open_writer(tmp_path, run_id="r")
    first.close()
    with pytest.raises(RunLockedError):
        open_writer(tmp_path, run_id="r")
    second.close()

    assert removed


def open_files() -> list[str]:
    """The numbers of the files this process has open."""
    return sorted(path.name for path in Path("/dev/fd").iterdir())


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["a folder", "a pipe"])
def test_a_writer_that_cannot_open_its_log_gives_the_lock_back(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """An opening that fails, at first or at second sight, leaves neither lock nor open file."""
    make(tmp_path / "r_events.jsonl")
    before = open_files()
    with pytest.raises(OSError, match=r"Is a directory|expected an ordinary file, found a pipe or a device"):
        open_writer(tmp_path, run_id="r")

    assert open_files() == before
    assert not (tmp_path / "r.lock").exists()


def test_is_held_tells_whether_a_writer_is_at_work(tmp_path: Path) -> None:
    """Held while a writer is open; not before, not after, and not because a file lies there."""
    path = tmp_path / "r.lock"
    before = is_held(path)
    writer = open_writer(tmp_path, run_id="r")
    during = is_held(path)
    writer.close()
    after = is_held(path)
    path.touch()
    stale = is_held(path)

    assert (before, during, after, stale) == (False, True, False, False)


def test_a_writer_waits_for_a_reader_that_tests_the_lock(tmp_path: Path) -> None:
    """The shared lock that a reader takes for a moment does not get a writer refused."""
    path = tmp_path / "r.lock"
    path.touch()
    fd = os.open(path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    reader = threading.Timer(0.1, os.close, [fd])
    reader.start()
    began = time.monotonic()
    Lock(path).release()
    waited = time.monotonic() - began
    reader.join()

    assert waited > 0.05


def test_many_tests_of_the_lock_never_get_a_writer_refused(tmp_path: Path) -> None:
    """A reader that asks all the time does not disturb writers that come and go, and sees some of them."""
    path, done, seen = tmp_path / "r.lock", threading.Event(), set()

    def ask() -> None:
        while not done.is_set():
            seen.add(is_held(path))

    reader = threading.Thread(target=ask)
    reader.start()
    try:
        for _ in range(100):
            lock = Lock(path)
            time.sleep(0.0005)
            lock.release()
    finally:
        done.set()
        reader.join()

    assert seen == {False, True}


def test_a_lock_file_that_was_removed_under_us_locks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the last holder removes the file between our opening and our locking it, we lock the next file instead."""
    path = tmp_path / "r.lock"
    real, calls = fcntl.flock, []

    def flock_a_moment_too_late(fd: int, operation: int) -> None:
        if not calls:
            path.unlink()
        calls.append(operation)
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock_a_moment_too_late)
    lock = Lock(path)
    with pytest.raises(RunLockedError):
        Lock(path)
    lock.release()

    assert not path.exists()


def test_a_symbolic_link_is_no_lock_file(tmp_path: Path) -> None:
    """A lock file that is a link is refused, and what it points to is left alone."""
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / "r.lock").symlink_to(target)
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        open_writer(tmp_path, run_id="r")

    assert target.read_text() == "precious"


def test_a_file_system_without_locks_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where flock is not to be had the run goes on, and a warning says that nothing guards it."""

    def no_locks(_fd: int, _operation: int) -> None:
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    writer = open_writer(tmp_path, run_id="r")
    written = writer.write(make_event())
    held = is_held(tmp_path / "r.lock")
    writer.close()

    assert (written, held) == (True, False)
    assert caplog.messages == [
        f"{tmp_path}/r.lock: this file system has no locks, so keep to one writer: [Errno 95] Operation not supported"
    ]


def test_is_in_place_tells_whether_others_are_kept_out(tmp_path: Path) -> None:
    """Not when the file was deleted, moved or replaced, nor when its folder is gone."""
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / "r.lock"
    lock = Lock(path)
    found = [lock.is_in_place()]
    path.rename(folder / "moved")
    found.append(lock.is_in_place())
    path.touch()
    found.append(lock.is_in_place())
    path.unlink()
    (folder / "moved").unlink()
    folder.rmdir()
    found.append(lock.is_in_place())
    lock.release()

    assert found == [True, False, False, False]


def test_where_there_are_no_locks_none_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that keeps nobody out need not be put back every second."""
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOTSUP))
    lock = Lock(tmp_path / "r.lock")
    lock.path.unlink()
    in_place = lock.is_in_place()
    lock.release()

    assert in_place


def test_a_lock_whose_file_was_deleted_can_be_renewed(tmp_path: Path) -> None:
    """Others are kept out again, by the same lock; the old file is closed."""
    path = tmp_path / "r.lock"
    lock = Lock(path)
    before = open_files()
    path.unlink()
    lock.renew()
    with pytest.raises(RunLockedError):
        Lock(path)
    found = (lock.is_in_place(), len(open_files()) - len(before))
    lock.release()

    assert found == (True, 0)
    assert not path.exists()


def test_a_lock_that_another_took_meanwhile_cannot_be_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be tried again; letting go of it does not remove the file of the other."""
    monkeypatch.setattr("rldk.io.lock._PATIENCE", 0.0)
    path = tmp_path / "r.lock"
    lock = Lock(path)
    path.unlink()
    other = Lock(path)
    for _ in range(2):
        with pytest.raises(RunLockedError):
            lock.renew()
    in_place = lock.is_in_place()
    lock.release()
    still_held = is_held(path)
    other.release()

    assert (in_place, still_held) == (False, True)


def test_a_lock_on_a_full_disk_holds_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only who holds it cannot be read."""
    monkeypatch.setattr(os, "pwrite", failing(errno.ENOSPC))
    lock = Lock(tmp_path / "r.lock")
    with pytest.raises(RunLockedError, match="being written by another process"):
        Lock(tmp_path / "r.lock")
    lock.release()


def test_a_lock_file_that_cannot_be_removed_stays_and_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Releasing raises nothing on a disk that became read-only."""
    lock = Lock(tmp_path / "r.lock")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", failing(errno.EROFS))
        lock.release()

    assert lock.path.exists()
    assert not is_held(lock.path)


def test_a_forgotten_lock_is_its_other_holders(tmp_path: Path) -> None:
    """A forked child closes its handle; the parent's goes on to hold."""
    lock = Lock(tmp_path / "r.lock")
    inherited = os.dup(lock._fd)
    lock.forget()
    held_by_parent = is_held(lock.path)
    os.close(inherited)

    assert held_by_parent
    assert not is_held(lock.path)
    assert lock.path.exists()
