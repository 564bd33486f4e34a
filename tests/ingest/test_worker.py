"""A worker says of a piece that all is right, and where it begins and ends; or only that not all is."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from rldk.ingest.executors import shares, stored
from rldk.ingest.worker import Checked, Checking, Gathered, Gathering, Irregular, Message, Piece, Progress, results
from rldk.io.codec import encode
from rldk.io.compression import compress
from rldk.io.order import Curve, Ends, Stream
from tests.samples import an_event, write_log

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.ingest.worker import Result

LINES = [encode(an_event(step)) for step in range(10)]


def _piece(path: Path, start: int = 0, end: int | None = None) -> Piece:
    status = path.stat()
    plain_end = status.st_size if end is None and path.suffix == ".jsonl" else end
    return Piece(str(path), status.st_dev, status.st_ino, start, plain_end)


def _check(*pieces: Piece, strict: bool = True) -> list[Result]:
    task = Checking(list(pieces), strict=strict, check_consistency=False, require=[])
    return list(results(task, lambda _: None))


def test_a_valid_piece_is_told_with_its_ends(tmp_path: Path) -> None:
    """Of each stream and each curve the first and the last place; the first event may have any seq."""
    eval_event = an_event(6, seq=8, wall_time=9.0, info={"phase": "eval"})
    path = tmp_path / "r1_events.jsonl"
    path.write_bytes(b"".join([*LINES[:8], encode(eval_event)]))
    start = len(b"".join(LINES[:3]))
    (found,) = _check(_piece(path, start))

    assert found == Checked(
        lines=6,
        size=path.stat().st_size - start,
        ends=Ends(
            "r1",
            "r1",
            [Stream(0, 1, seq=8, wall_time=9.0, begun=True, first_seq=3, first_wall_time=3.5)],
            [Curve(0, 1, "train", None, step=7, first_step=3), Curve(0, 1, "eval", None, step=6, first_step=6)],
        ),
    )
    assert msgspec.json.decode(msgspec.json.encode(found), type=Checked) == found


@pytest.mark.parametrize(
    "text",
    [
        LINES[0] + b"{}\n" + LINES[1],
        LINES[1] + LINES[0],
        LINES[0] + LINES[2],
        LINES[0] + LINES[1][:-1],
        LINES[0] + b"\n",
        LINES[0] + encode(an_event(1, info={"run_id": "r2"})),
        b"{",
    ],
)
def test_anything_wrong_makes_a_piece_irregular(tmp_path: Path, text: bytes) -> None:
    """A bad line, an event out of order, a torn tail; the next piece is looked at all the same."""
    path, good = tmp_path / "r1_events.jsonl", write_log(tmp_path / "r2_events.jsonl", [an_event()])
    path.write_bytes(text)

    assert [type(result) for result in _check(_piece(path), _piece(good))] == [Irregular, Checked]


def test_a_file_that_is_another_or_gone_is_irregular(tmp_path: Path) -> None:
    """A writer may rotate it, compress it and remove it at any moment."""
    path, other = (write_log(tmp_path / name, [an_event()]) for name in ("r1_events.jsonl", "r2_events.jsonl"))
    piece, of_another = _piece(path), _piece(other)
    path.rename(tmp_path / "r1_events.000001.jsonl")
    gone = _check(piece)
    other.rename(path)

    assert gone == _check(piece) == [Irregular()]
    assert _check(of_another) == [Irregular()]


@pytest.mark.parametrize("how", ["gz", "zst"])
def test_a_compressed_file_is_one_piece(tmp_path: Path, how: str) -> None:
    """Its lines and bytes are those of what is in it."""
    path = compress(write_log(tmp_path / "r1_events.000002.jsonl", map(an_event, range(9))), how)  # type: ignore[arg-type]
    assert path
    (found,) = _check(_piece(path))

    assert isinstance(found, Checked)
    assert (found.lines, found.size) == (9, sum(map(len, LINES[:9])))
    path.write_bytes(path.read_bytes()[:-9])
    assert _check(_piece(path)) == [Irregular()]


def test_lines_of_others_are_checked_too(tmp_path: Path) -> None:
    """Without `strict`, as `rldk validate` does: their order is not looked at, and the last needs no newline."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step":2}\n{"step":1}')

    assert _check(_piece(path), strict=False) == [Checked(2, 21, Ends(None, None, [], []))]
    assert _check(_piece(path)) == [Irregular()]


def test_rows_are_gathered_into_a_file(tmp_path: Path) -> None:
    """A piece that is not regular leaves none."""
    path = write_log(tmp_path / "r1_events.jsonl", [an_event(0), an_event(1), an_event(1, seq=2)])
    outputs = [tmp_path / "one", tmp_path / "two"]
    task = Gathering([_piece(path, 0, len(LINES[0])), _piece(path)], list(map(str, outputs)))
    one, two = results(task, lambda _: None)

    assert isinstance(one, Gathered)
    assert list(one.layout.part(memoryview(outputs[0].read_bytes())).step) == [0]
    assert (two, outputs[1].exists()) == (Irregular(), False)


def test_a_worker_answers_in_lines(tmp_path: Path) -> None:
    """Progress and results; all of it is on standard output, and nothing on the other."""
    path = write_log(tmp_path / "r1_events.jsonl", map(an_event, range(8000)))
    ((piece,),) = shares(stored([path]), 1)
    task = Checking([piece], strict=True, check_consistency=False, require=[])
    command = [sys.executable, "-P", "-m", "rldk.ingest.worker"]
    done = subprocess.run(command, input=msgspec.json.encode(task), capture_output=True, check=True)
    messages = [msgspec.json.decode(line, type=Message) for line in done.stdout.splitlines()]

    told = [message.size for message in messages if isinstance(message, Progress)]
    assert sum(told) == path.stat().st_size
    assert len(told) >= 2
    assert [message.lines for message in messages if isinstance(message, Checked)] == [8000]
    assert done.stderr == b""
