"""What a crash left without a newline is moved out of the log, byte for byte."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rldk.io.torn import move_torn_tail
from tests.io.faults import failing
from tests.runs import files

if TYPE_CHECKING:
    from collections.abc import Callable

LINES = b'{"step":0}\n{"step":1}\n'


def move(path: Path, attempt: int = 2) -> tuple[int, Path]:
    """Open a log as the writer does, and move its torn tail."""
    fd = os.open(path, os.O_RDWR | os.O_APPEND)
    try:
        return move_torn_tail(fd, path, attempt)
    finally:
        os.close(fd)


@pytest.mark.parametrize("content", [b"", LINES], ids=["empty", "whole"])
def test_whole_lines_stay_as_they_are(tmp_path: Path, content: bytes) -> None:
    """A log that ends with a newline, or is empty, is not touched, and no file is made beside it."""
    path = tmp_path / "r_events.jsonl"
    path.write_bytes(content)
    moved = move(path)

    assert moved == (0, tmp_path / "r_events.jsonl.2.torn")
    assert files(tmp_path) == {"r_events.jsonl": content}


@pytest.mark.parametrize(
    "tail",
    [b'{"st', b'{"step":2}', b"\0" * 4096, b"\xff\xfe", b" "],
    ids=["cut", "cut before its newline", "NUL bytes of a power cut", "no UTF-8", "a space"],
)
def test_a_torn_tail_is_moved_whatever_it_holds(tmp_path: Path, tail: bytes) -> None:
    """Bytes after the last newline go to the side file; that they parse does not make them a line."""
    path = tmp_path / "r_events.jsonl"
    path.write_bytes(LINES + tail)
    moved = move(path)

    assert moved == (len(tail), tmp_path / "r_events.jsonl.2.torn")
    assert files(tmp_path) == {"r_events.jsonl": LINES, "r_events.jsonl.2.torn": tail}


def test_no_byte_is_lost_wherever_the_log_was_cut(tmp_path: Path) -> None:
    """For a log cut at every byte: whole lines and side file together are what was there, in order."""
    path, torn = tmp_path / "r_events.jsonl", tmp_path / "r_events.jsonl.2.torn"
    for cut in range(len(LINES) + 1):
        path.write_bytes(LINES[:cut])
        torn.unlink(missing_ok=True)
        move(path)
        kept = path.read_bytes()
        tail = torn.read_bytes() if torn.exists() else b""

        assert kept + tail == LINES[:cut]
        assert kept == b"".join(line for line in LINES[:cut].splitlines(keepends=True) if line.endswith(b"\n"))


@pytest.mark.parametrize("head", [b"", b"{}\n"], ids=["nothing else", "after a line"])
def test_a_tail_longer_than_what_is_read_at_once_is_moved_whole(tmp_path: Path, head: bytes) -> None:
    """A torn line of 2 MB reaches the side file complete."""
    path = tmp_path / "r_events.jsonl"
    tail = os.urandom(2_000_000).replace(b"\n", b" ")
    path.write_bytes(head + tail)
    move(path)

    assert files(tmp_path) == {"r_events.jsonl": head, "r_events.jsonl.2.torn": tail}


def test_an_earlier_torn_tail_is_added_to_not_replaced(tmp_path: Path) -> None:
    """Two crashes before the first event of an attempt leave both tails."""
    path = tmp_path / "r_events.jsonl"
    for tail in (b"one", b"two"):
        with path.open("ab") as file:
            file.write(tail)
        move(path)

    assert files(tmp_path) == {"r_events.jsonl": b"", "r_events.jsonl.2.torn": b"onetwo"}


def test_the_log_is_cut_only_when_the_tail_is_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the side file cannot be made durable, the log keeps its torn tail."""

    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = tmp_path / "r_events.jsonl"
    path.write_bytes(LINES + b"torn")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        move(path)

    assert path.read_bytes() == LINES + b"torn"


def test_the_tail_is_on_the_disk_before_the_log_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The side file, its name, then the cut, and that on the disk as well: no power cut takes a byte."""
    path = tmp_path / "r_events.jsonl"
    path.write_bytes(LINES + b"torn")
    calls: list[tuple[str, str]] = []

    def noted(name: str, real: Callable[..., None]) -> Callable[..., None]:
        def call(fd: int, *arguments: int) -> None:
            calls.append((name, Path(f"/dev/fd/{fd}").readlink().name))
            real(fd, *arguments)

        return call

    for name in ("fsync", "ftruncate"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    move(path)

    assert calls == [
        ("fsync", "r_events.jsonl.2.torn"),
        ("fsync", tmp_path.name),
        ("ftruncate", "r_events.jsonl"),
        ("fsync", "r_events.jsonl"),
    ]


def test_a_tail_that_was_saved_but_not_cut_is_saved_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash in between leaves the tail twice in the side file: nothing is lost, and the log is whole."""
    path = tmp_path / "r_events.jsonl"
    path.write_bytes(LINES + b"torn")
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", failing(errno.EIO))
        with pytest.raises(OSError, match="Input/output error"):
            move(path)
    move(path)

    assert files(tmp_path) == {"r_events.jsonl": LINES, "r_events.jsonl.2.torn": b"torntorn"}


def test_a_sealed_segment_has_a_side_file_of_its_own(tmp_path: Path) -> None:
    """It is named after the file the bytes were in."""
    path = tmp_path / "r_events.000003.jsonl"
    path.write_bytes(LINES + b"torn")
    move(path, attempt=7)

    assert files(tmp_path) == {"r_events.000003.jsonl": LINES, "r_events.000003.jsonl.7.torn": b"torn"}
