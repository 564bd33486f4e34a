"""Follow the logs of other tools, which cannot be read from the middle: what has grown is read again."""

from __future__ import annotations

import json
import os
import zlib
from typing import TYPE_CHECKING

import pytest

from rldk.dashboard.catalogue import Catalogue
from rldk.dashboard.foreign import ForeignTail
from rldk.io.codec import encode
from rldk.io.log_tail import Chunk
from rldk.io.position import START, Position
from rldk.io.problems import Problem
from tests.runs import make_event

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.ingest.sources import Unit


def line(step: int, loss: float = 1.0) -> str:
    """A line as another tool writes it."""
    return json.dumps({"step": step, "loss": loss}) + "\n"


def event(step: int, loss: float = 1.0) -> bytes:
    """The same as a line of RLDK's own."""
    info = {"run_id": "runs", "phase": "train", "attempt": 1}
    return encode(make_event(step, metrics={"loss": loss}, wall_time=None, timestamp=None, model_info=info))


def grow(path: Path, text: str) -> None:
    """Append to a log, a second after it was last written."""
    before = path.stat().st_mtime_ns
    with path.open("a") as file:
        file.write(text)
    os.utime(path, ns=(before + 10**9, before + 10**9))


@pytest.fixture
def log(folder: Path) -> Path:
    """A log with three events."""
    path = folder / "log.jsonl"
    path.write_text("".join(map(line, range(3))))
    return path


@pytest.fixture
def unit(log: Path) -> Unit:
    """The log as it is found."""
    catalogue = Catalogue(log.parent)
    catalogue.look()
    (found,) = catalogue.runs.values()
    return found.unit


def tail_of(unit: Unit, position: Position = START) -> ForeignTail:
    """A tail for which reading takes no time."""
    return ForeignTail(unit, position, clock=lambda: 0.0)


def steps(chunk: Chunk | None) -> list[int] | None:
    """The steps of the events in a chunk."""
    return None if chunk is None else [json.loads(each)["step"] for each in chunk.text.splitlines()]


def test_events_come_as_lines_of_rldk(log: Path, unit: Unit) -> None:
    """A chunk has all that is there, and in its positions bytes are what was given."""
    tail = tail_of(unit)
    chunk = tail.read()

    end = Position(0, 3, 3, zlib.crc32(event(0)))
    assert chunk == Chunk(log, START, end, event(0) + event(1) + event(2))
    assert (tail.read(), tail.position, tail.lost) == (None, end, False)


def test_what_has_grown(log: Path, unit: Unit) -> None:
    """Only what is new is given; a line that is not finished is held back until it is."""
    tail = tail_of(unit)
    found = [steps(tail.read())]
    for text in (line(3) + '{"step": 4, "lo', 'ss": 2.0}\n'):
        found.append(steps(tail.read()))
        grow(log, text)
        found.append(steps(tail.read()))

    assert found == [[0, 1, 2], None, [3], None, [4]]
    assert tail.position.byte == 5


def test_from_a_position(log: Path, unit: Unit) -> None:
    """Another tail goes on where one stood; `to_end` goes behind all that is there, and a closed one goes on."""
    first = tail_of(unit)
    first.read()
    grow(log, line(3))
    second, third = tail_of(unit, first.position), tail_of(unit)
    third.to_end()
    found = [steps(second.read()), steps(third.read())]
    third.close()
    grow(log, line(4))

    assert found == [[3], None]
    assert steps(third.read()) == [4]


@pytest.mark.parametrize("text", [line(0), line(0, 9.0) + line(1) + line(2) + line(3)], ids=["shorter", "other head"])
def test_another_log_than_before(log: Path, unit: Unit, text: str) -> None:
    """A log that is shorter, or has another first event, is lost and given from its first event on."""
    tail = tail_of(unit)
    tail.read()
    log.write_text("")
    grow(log, text)

    found = tail.read()

    assert tail.lost
    assert found is not None
    assert (found.start, steps(found)) == (START, [json.loads(each)["step"] for each in text.splitlines()])


def test_a_line_that_is_no_event(log: Path, unit: Unit) -> None:
    """What is wrong is given between the events around it, and counts in the positions."""
    grow(log, "{]\n" + line(3))
    tail = tail_of(unit)
    found = [chunk for chunk in (tail.read() for _ in range(4)) if chunk]

    assert [(chunk.start.byte, chunk.end.byte, steps(chunk)) for chunk in found] == [
        (0, 3, [0, 1, 2]),
        (3, 4, []),
        (4, 5, [3]),
    ]
    assert [chunk.problem for chunk in found] == [
        None,
        Problem("bad_json", expected="a string", found="]", line=4, byte=len("".join(map(line, range(3)))) + 1),
        None,
    ]


def test_long_logs_come_in_parts(log: Path, unit: Unit) -> None:
    """No chunk has more than 256 events, and the parts are the whole."""
    grow(log, "".join(map(line, range(3, 600))))
    tail = tail_of(unit)
    found = [steps(tail.read()) or [] for _ in range(4)]

    assert [len(each) for each in found] == [256, 256, 88, 0]
    assert [step for each in found for step in each] == list(range(600))


def test_a_part_of_a_chunk(unit: Unit) -> None:
    """What is before a position is cut out of a chunk."""
    tail = tail_of(unit)
    chunk = tail.read()
    assert chunk
    end = chunk.end._replace(byte=2, line=2)

    assert tail.cut(chunk, end) == chunk._replace(text=event(0) + event(1), end=end)


def test_reading_again_has_its_time(log: Path, unit: Unit) -> None:
    """A log that took a second to read is not read again before ten seconds have passed."""
    looks = iter([0.0, 0.0, 1.0, 1.0, 10.9, 11.0, 11.0, 11.0, 11.0])
    tail = ForeignTail(unit, clock=looks.__next__)
    tail.read()
    grow(log, line(3))

    assert [steps(tail.read()), steps(tail.read())] == [None, [3]]
