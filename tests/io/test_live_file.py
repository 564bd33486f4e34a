"""A file that whole lines are added to, or nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rldk.io.live_file import LiveFile
from tests.io.faults import fail, failing, full, good, interrupt, interrupt_early, interrupt_midway, nothing, short
from tests.runs import make_event, write_attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ONE, TWO = b'{"step":1}\n', b'{"step":2}\n'


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LiveFile]:
    """A file with one line."""
    file = LiveFile(tmp_path / "log", 0)
    file.append(ONE, 1)
    yield file
    file.close()


def path_of(file: LiveFile) -> Path:
    """Where a file is."""
    return Path(f"/dev/fd/{file.fd}").readlink()


def content(file: LiveFile) -> bytes:
    """What is in a file."""
    return path_of(file).read_bytes()


def test_the_log_is_opened_to_append_and_never_truncated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """O_APPEND, O_CLOEXEC, O_NOFOLLOW; never O_TRUNC."""
    flags: dict[str, int] = {}
    real = os.open

    def note(path: Any, flag: int, *rest: Any, **options: Any) -> int:
        flags[Path(path).name] = flag
        return real(path, flag, *rest, **options)

    monkeypatch.setattr(os, "open", note)
    write_attempt(tmp_path, [make_event()])

    assert flags["r_events.jsonl"] == os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    assert not flags["r.lock"] & os.O_TRUNC


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    """What it points to is left alone."""
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / "log").symlink_to(target)
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        LiveFile(tmp_path / "log", 0)

    assert target.read_text() == "precious"


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """Only an ordinary file can be cut back; no descriptor stays open."""
    os.mkfifo(tmp_path / "log")
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(OSError, match=r"^\[Errno 22\] expected an ordinary file, found a pipe or a device: '.*/log'$"):
        LiveFile(tmp_path / "log", 0)

    assert len(list(Path("/dev/fd").iterdir())) == before


def test_what_was_there_is_gone_on_with(tmp_path: Path) -> None:
    """The size counts from the end of what the file holds."""
    (tmp_path / "log").write_bytes(ONE)
    file = LiveFile(tmp_path / "log", 5)
    file.append(TWO, 6)
    at, there = file.at, content(file)
    file.close()

    assert at == (len(ONE + TWO), 6)
    assert there == ONE + TWO


@pytest.mark.parametrize("faults", [[good], [short, good], [short, short, short]])
def test_a_line_is_whole_however_the_kernel_takes_it(
    file: LiveFile, monkeypatch: pytest.MonkeyPatch, faults: list[Callable[[int, bytes], int]]
) -> None:
    """At once or in parts."""
    fail(monkeypatch, path_of(file), *faults)
    file.append(TWO, 2)

    assert (file.at, file.pending) == ((len(ONE + TWO), 2), 0)
    assert content(file) == ONE + TWO


@pytest.mark.parametrize("faults", [[full], [short, full], [short, nothing], [interrupt_early], [interrupt_midway]])
def test_settling_undoes_a_line_that_is_not_whole(
    file: LiveFile, monkeypatch: pytest.MonkeyPatch, faults: list[Callable[[int, bytes], int]]
) -> None:
    """The file is as it was, and settling again does nothing."""
    fail(monkeypatch, path_of(file), *faults)
    with pytest.raises((OSError, KeyboardInterrupt)):
        file.append(TWO, 2)
    pending = file.pending
    file.settle()
    file.settle()

    assert pending == len(TWO)
    assert (file.at, file.pending) == ((len(ONE), 1), 0)
    assert content(file) == ONE


def test_settling_keeps_a_line_that_is_whole(file: LiveFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt that came when all was written takes nothing away: the line counts as written."""
    fail(monkeypatch, path_of(file), interrupt)
    with pytest.raises(KeyboardInterrupt):
        file.append(TWO, 2)
    file.settle()

    assert (file.at, file.pending) == ((len(ONE + TWO), 2), 0)
    assert content(file) == ONE + TWO


def test_settling_refuses_to_cut_what_somebody_else_wrote(file: LiveFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that grew by more than the line keeps all of it."""

    def stranger(fd: int, line: bytes) -> int:
        good(fd, b"x" * 100)
        return full(fd, line)

    fail(monkeypatch, path_of(file), stranger)
    with pytest.raises(OSError, match="No space left"):
        file.append(TWO, 2)
    with pytest.raises(OSError, match="another process wrote to the file"):
        file.settle()

    assert file.pending == len(TWO)
    assert content(file) == ONE + b"x" * 100


def test_settling_that_fails_can_be_tried_again(file: LiveFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is pending stays pending until the file has been cut."""
    fail(monkeypatch, path_of(file), interrupt_midway)
    with pytest.raises(KeyboardInterrupt):
        file.append(TWO, 2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", failing(errno.EIO))
        with pytest.raises(OSError, match="Input/output error"):
            file.settle()
    pending = file.pending
    file.settle()

    assert pending == len(TWO)
    assert content(file) == ONE


def test_settling_leaves_a_file_that_was_cut_to_others(file: LiveFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size goes on to say what should be there, so that the cut is noticed."""
    os.truncate(path_of(file), 3)
    fail(monkeypatch, path_of(file), full)
    with pytest.raises(OSError, match="No space left"):
        file.append(TWO, 2)
    file.settle()

    assert (file.at, file.pending) == ((len(ONE), 1), 0)
    assert content(file) == ONE[:3]


def test_is_at_tells_whether_the_path_still_leads_to_it(file: LiveFile, tmp_path: Path) -> None:
    """Not when it was moved, deleted or replaced, nor when its folder is gone or is no folder."""
    path = tmp_path / "log"
    at_first = file.is_at(path)
    path.rename(tmp_path / "moved")
    moved = (file.is_at(path), file.is_at(tmp_path / "moved"))
    path.touch()
    replaced = file.is_at(path)
    path.unlink()
    path.symlink_to(tmp_path / "moved")
    linked = file.is_at(path)

    assert at_first
    assert (moved, replaced, linked) == ((False, True), False, False)
    assert not file.is_at(tmp_path / "moved" / "log")
    assert not file.is_at(tmp_path / "absent" / "log")


def test_a_closed_file_forgets_its_number(file: LiveFile) -> None:
    """The number may be another file's by then; closing again does nothing."""
    file.close()
    file.close()

    assert (file.fd, file.pending) == (-1, 0)
