"""Read one log from a position on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rldk.io.codec import encode
from rldk.io.log_tail import Chunk, LogTail, near_end
from rldk.io.segments import run_log
from rldk.io.writer import open_writer
from tests.runs import make_event, write_attempt

if TYPE_CHECKING:
    from pathlib import Path


def first_chunk(tail: LogTail) -> Chunk | None:
    """What is read first."""
    try:
        return tail.read()
    finally:
        tail.close()


def test_links_can_be_refused(tmp_path: Path) -> None:
    """Where links are refused, a segment or a live file that is one is as if it were not there."""
    outside = tmp_path / "outside"
    outside.mkdir()
    secret = outside / "secret.jsonl"
    secret.write_bytes(encode(make_event(7)))
    folder = tmp_path / "runs"
    write_attempt(folder, map(make_event, range(2)))
    (folder / "r_events.000001.jsonl").symlink_to(secret)
    log = run_log(folder / "r_events.jsonl")

    chunk = first_chunk(LogTail(log, links=False))
    (folder / "r_events.jsonl").unlink()
    (folder / "r_events.jsonl").symlink_to(secret)

    assert chunk is not None
    assert chunk.text.count(b"\n") == 2
    assert first_chunk(LogTail(log, links=False)) is None
    assert first_chunk(LogTail(log)) is not None


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Where links are refused, a pipe under the name of a log is as if it were not there."""
    os.mkfifo(tmp_path / "r_events.jsonl")

    assert LogTail(run_log(tmp_path / "r_events.jsonl"), links=False).read() is None


def test_to_the_end(tmp_path: Path) -> None:
    """One who begins at the end is given what comes, in a live file and after one that was sealed."""
    writer = open_writer(tmp_path, run_id="r", rotation="1 KB")
    for step in range(20):
        writer.write(make_event(step))
    tail = LogTail(run_log(tmp_path / "r_events.jsonl"))
    tail.to_end()
    before = tail.read()
    writer.write(make_event(20))
    writer.close()
    chunks = []
    while chunk := tail.read():
        chunks.append(chunk)
    tail.close()

    assert before is None
    assert b"".join(chunk.text for chunk in chunks).count(b'"step":20,') == 1
    assert sum(chunk.text.count(b"\n") for chunk in chunks) == 1


def test_near_the_end(tmp_path: Path) -> None:
    """A position about so many bytes before the end begins with a whole line; a short log has none."""
    path = write_attempt(tmp_path, map(make_event, range(100)))
    log = run_log(path)
    place = near_end(log, 1000)
    assert place is not None
    chunk = first_chunk(LogTail(log, place))

    assert chunk is not None
    assert chunk.text.startswith(b'{"step":')
    assert chunk.text.endswith(path.read_bytes()[-50:])
    assert len(chunk.text) <= 1000
    assert near_end(log, 10**6) is None
