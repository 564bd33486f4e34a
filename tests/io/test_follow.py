"""Follow a log while it is written."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from rldk.errors import RunNotFoundError
from rldk.io import reader
from rldk.io.codec import encode
from rldk.io.event_schema import MAX_LINE, Event
from rldk.io.follow import Follower, follow
from rldk.io.position import BEGINNING
from rldk.io.problems import Problem
from rldk.io.repair import repair
from rldk.io.sealing import tend
from rldk.io.segments import run_log
from rldk.io.writer import open_writer, policy
from tests.runs import make_event, write_attempt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rldk.io.follow import Followed

_WRITER = """
import sys, time
from rldk.io.writer import open_writer
from tests.runs import make_event
writer = open_writer(sys.argv[1], run_id="r", rotation="64 KB", compression="gz")
began = time.perf_counter()
for step in range(int(sys.argv[2])):
    time.sleep(max(0.0, began + step / 1000 - time.perf_counter()))
    writer.write(make_event(step, metrics={"now": time.time()}))
writer.close()
"""


def all_of(path: Path, cursor: str = BEGINNING) -> list[Followed]:
    """What is there now behind a cursor."""
    return list(follow(path, cursor, until=lambda: True))


def steps(lines: list[Followed]) -> list[int]:
    """The steps of the events among lines."""
    return [line.item.step for line in lines if isinstance(line.item, Event)]


def problems(lines: list[Followed]) -> list[Problem]:
    """The problems among lines."""
    return [line.item for line in lines if isinstance(line.item, Problem)]


@contextmanager
def following(path: Path) -> Iterator[list[Followed]]:
    """What a follower in another thread has been given; to its end when the block ends."""
    found: list[Followed] = []
    ended = threading.Event()

    def run() -> None:
        found.extend(follow(path, until=ended.is_set))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join(30)


def wait_for(lines: list[Followed], count: int) -> None:
    """Wait until so many lines have come."""
    deadline = time.monotonic() + 20
    while len(lines) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_reader_offers_it() -> None:
    """`rldk.io.reader` offers `follow`, which is built on it."""
    assert reader.follow is follow
    with pytest.raises(AttributeError, match=r"\Amodule 'rldk.io.reader' has no attribute 'fallow'\Z"):
        _ = reader.fallow


def test_everything_once_across_rotation_compression_and_resume(tmp_path: Path) -> None:
    """Events are given once and in order while segments are sealed and compressed, and a resumed attempt after them."""
    writer = open_writer(tmp_path, run_id="r", rotation="1 KB", compression="gz")
    writer.write(make_event(0))
    with following(tmp_path) as lines:
        for step in range(1, 150):
            writer.write(make_event(step))
            time.sleep(0.001)
        writer.close()
        write_attempt(tmp_path, map(make_event, range(121, 140)), resumed_from=120)

    assert steps(lines) == [*range(150), *range(121, 140)]
    assert {line.item.attempt for line in lines[150:] if isinstance(line.item, Event)} == {2}
    assert problems(lines) == []


def test_every_cursor_goes_on_behind_its_line(tmp_path: Path) -> None:
    """From any cursor the rest is given, without gap or repeat, also when its file was sealed and compressed."""
    writer = open_writer(tmp_path, run_id="r", rotation="2 KB", compression="gz")
    writer.write(make_event(0))
    with following(tmp_path) as lines:
        for step in range(1, 60):
            writer.write(make_event(step))
            wait_for(lines, step + 1)
        writer.close()

    assert {line.path.name for line in lines} != {"r_events.jsonl"} or len(list(tmp_path.glob("*.gz"))) > 3
    for at, line in enumerate(lines):
        assert steps(all_of(tmp_path, line.cursor)) == list(range(at + 1, 60))


def test_no_seq_is_needed(tmp_path: Path) -> None:
    """A log without seq is resumed just so, and one whose name says nothing too."""
    path = tmp_path / "any.jsonl"
    path.write_bytes(b"".join(encode(make_event(step)) for step in range(5)))
    lines = all_of(path)
    with path.open("ab") as file:
        file.write(encode(make_event(5)))

    assert steps(all_of(path, lines[2].cursor)) == [3, 4, 5]


def test_an_unfinished_line_is_held_back(tmp_path: Path) -> None:
    """A line without its newline is not given, and is given whole when the rest has come."""
    path = tmp_path / "r_events.jsonl"
    first, second = encode(make_event(0)), encode(make_event(1))
    path.write_bytes(first + second[:40])
    with following(path) as lines:
        wait_for(lines, 1)
        time.sleep(0.05)
        held = steps(lines)
        with path.open("ab") as file:
            file.write(second[40:])

    assert held == [0]
    assert steps(lines) == [0, 1]
    assert problems(lines) == []


def test_a_torn_end_that_a_resume_cuts_off(tmp_path: Path) -> None:
    """What a crash tore off is never given; the attempt that cuts it off and goes on is."""
    write_attempt(tmp_path, map(make_event, range(3)))
    with (tmp_path / "r_events.jsonl").open("ab") as file:
        file.write(encode(make_event(3))[:-20])
    with following(tmp_path) as lines:
        wait_for(lines, 3)
        write_attempt(tmp_path, [make_event(3)], resumed_from=2)

    assert steps(lines) == [0, 1, 2, 3]
    assert problems(lines) == []


def test_ranks_side_by_side(tmp_path: Path) -> None:
    """Of a folder every rank is followed, one that begins late too, and the cursor knows where each stands."""
    first = open_writer(tmp_path, run_id="r", rank=0, world_size=2)
    first.write(make_event(0))
    with following(tmp_path) as lines:
        wait_for(lines, 1)
        second = open_writer(tmp_path, run_id="r", rank=1, world_size=2)
        second.write(make_event(0))
        first.write(make_event(1))
        wait_for(lines, 3)
        second.write(make_event(1))
        first.close()
        second.close()

    assert sorted((line.rank, line.item.step) for line in lines if isinstance(line.item, Event)) == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]
    for at, line in enumerate(lines):
        assert len(all_of(tmp_path, line.cursor)) == 3 - at


def test_a_damaged_line_is_told_where_it_stands(tmp_path: Path) -> None:
    """A bad line is given as a problem with its line and byte, and what comes after it is read."""
    path = tmp_path / "r_events.jsonl"
    good = encode(make_event(0))
    path.write_bytes(good + b"{\n" + encode(make_event(1)))

    lines = all_of(path)

    assert steps(lines) == [0, 1]
    assert [(each.kind, each.line, each.byte) for each in problems(lines)] == [("bad_json", 2, len(good) + 1)]


def test_a_line_that_is_too_long(tmp_path: Path) -> None:
    """A line beyond the longest is passed over in bounded memory, in a live file, and said to be too long."""
    path = tmp_path / "r_events.jsonl"
    with path.open("wb") as file:
        file.write(encode(make_event(0)))
        file.write(b"x" * (MAX_LINE + 100) + b"\n")
        file.write(encode(make_event(1)))

    lines = all_of(path)

    assert steps(lines) == [0, 1]
    assert [(each.kind, each.found) for each in problems(lines)] == [("line_too_long", f"{MAX_LINE + 101} bytes")]


def test_a_sealed_segment_with_a_torn_end(tmp_path: Path) -> None:
    """In a file to which nothing is added, a line without its newline is a problem."""
    path = tmp_path / "r_events.000001.jsonl"
    path.write_bytes(encode(make_event(0)) + b'{"step":1')

    assert [each.kind for each in problems(all_of(path))] == ["torn_tail"]


def test_a_compression_bomb(tmp_path: Path) -> None:
    """A compressed segment that grows to what no log of its size does is read no further."""
    path = tmp_path / "r_events.000001.jsonl.gz"
    with gzip.open(path, "wb") as file:
        file.write(encode(make_event(0)))
        for _ in range(128):
            file.write(b"\0" * 2**20)
    began = time.monotonic()

    lines = all_of(tmp_path)

    assert steps(lines) == [0]
    assert [(each.kind, each.expected) for each in problems(lines)][-1:] == [
        ("bad_compression", "at most 67108864 bytes in a file of this size")
    ]
    assert time.monotonic() - began < 10


def test_what_is_whole_before_damage_is_given(tmp_path: Path) -> None:
    """Of a compressed segment that is cut off, the same lines are given as by every reader, and from any cursor on."""
    path = tmp_path / "r_events.000001.jsonl.gz"
    whole = gzip.compress(b"".join(encode(make_event(step, metrics={"a": step**0.5})) for step in range(10_000)))
    path.write_bytes(whole[: len(whole) // 3])
    expected = [item for _, item in reader.read_items(run_log(path))]

    lines = all_of(path)

    assert [line.item for line in lines] == expected
    assert [each.kind for each in problems(lines)] == ["bad_compression"]
    assert steps(all_of(path, lines[-3].cursor)) == steps(lines[-2:])


def test_segments_that_retention_removed_are_passed_over(tmp_path: Path) -> None:
    """From a cursor in a segment that is gone, reading goes on behind it, and nothing is given twice."""
    writer = open_writer(tmp_path, run_id="r", rotation="1 KB")
    writer.write(make_event(0))
    cursor = all_of(tmp_path)[0].cursor
    for step in range(1, 60):
        writer.write(make_event(step))
    writer.close()
    tend(run_log(writer.path), policy(None, "2 segments"))
    there = steps(all_of(tmp_path))

    assert there[0] > 1
    assert steps(all_of(tmp_path, cursor)) == there


def test_another_log_under_the_same_name(tmp_path: Path) -> None:
    """When the log was removed and begun anew, it is read from its beginning, and `lost` says so."""
    path = write_attempt(tmp_path, map(make_event, range(5)))
    follower = Follower(path)
    first = steps(list(follower.poll()))
    path.unlink()
    path.write_bytes(b"".join(encode(make_event(step, wall_time=step + 0.5)) for step in range(2)))
    second: list[int] = []
    for _ in range(3):
        second += steps(list(follower.poll()))
    follower.close()

    assert (first, second) == ([0, 1, 2, 3, 4], [0, 1])
    assert follower.lost


def test_a_repaired_log_goes_on(tmp_path: Path) -> None:
    """`rldk repair` puts another file in the place of the log; what was given of it is not given again."""
    path = write_attempt(tmp_path, map(make_event, range(5)))
    with path.open("ab") as file:
        file.write(b'{"step":')
    follower = Follower(path)
    first = steps(list(follower.poll()))
    repair(path)
    write_attempt(tmp_path, [make_event(5)], resumed_from=4)
    second = [step for _ in range(3) for step in steps(list(follower.poll()))]
    follower.close()

    assert (first, second) == ([0, 1, 2, 3, 4], [5])
    assert not follower.lost


def test_a_folder_must_hold_one_run(tmp_path: Path) -> None:
    """A folder without a run, or with several, is refused as by every reader."""
    with pytest.raises(RunNotFoundError):
        next(follow(tmp_path))


def test_waiting_backs_off(tmp_path: Path) -> None:
    """A log that does not grow is looked at ever more seldom, up to ten times a second."""
    write_attempt(tmp_path, [make_event(0)])
    pauses: list[float] = []

    def ended() -> bool:
        return len(pauses) == 40

    list(follow(tmp_path, until=ended, sleep=pauses.append))

    assert pauses[0] == 0.005
    assert pauses == sorted(pauses)
    assert pauses[-1] == 0.1


def test_a_line_is_given_soon_after_it_was_written(tmp_path: Path) -> None:
    """At 1,000 events a second, rotated and compressed meanwhile, half of the lines are given within 50 ms.

    `make bench` measures it; here the machine may be busy with other tests.
    """
    late: list[float] = []
    process = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path), "1000"])
    while not list(tmp_path.glob("*.jsonl")):
        time.sleep(0.01)
    events: list[Any] = []
    for line in follow(tmp_path, until=lambda: process.poll() is not None):
        late.append(time.time() - line.item.metrics["now"])  # type: ignore[union-attr, operator]
        events.append(line.item)

    assert [event.step for event in events] == list(range(1000))
    assert sorted(late)[500] < 0.05
