"""Sealed segments that were cut short or have a flipped bit: it is seen, and said where."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from rldk.errors import InvalidLineError
from rldk.io.reader import read_events
from rldk.io.sealing import Policy, tend
from rldk.io.segments import sealed_segments
from rldk.io.verify import verify
from rldk.io.writer import open_writer
from tests.crash.accounts import log_of, many_metrics
from tests.runs import make_event

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.io.event_schema import Event
    from rldk.io.segments import Compression


@pytest.fixture(params=[None, "gz", "zst"])
def segment(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The first of three sealed segments."""
    compression: Compression | None = request.param
    writer = open_writer(tmp_path, run_id="r", rotation="20 kB")
    for step in range(70):
        assert writer.write(make_event(step, metrics=many_metrics(step)))
    writer.close()
    log = log_of(tmp_path)
    assert tend(log, Policy(compression)) == []
    paths = [each.path for each in sealed_segments(log)]
    assert len(paths) == 3
    assert verify(tmp_path).valid
    return paths[0]


def read(path: Path) -> tuple[list[Event], InvalidLineError | None]:
    """The events of a run up to the first damage, and that."""
    events = []
    try:
        for event in read_events(path):
            events.append(event)  # noqa: PERF402 - those before the damage are wanted
    except InvalidLineError as error:
        return events, error
    return events, None


def test_a_segment_that_was_cut_short(segment: Path) -> None:
    """P7. Wherever it was cut, reading names the file and the line behind the last good event, and goes no further.

    Seen to fail when the end of a compressed file in the middle of its data is taken for its end.
    """
    content, whole = segment.read_bytes(), read(segment.parent)[0]
    in_first = len(read(segment)[0])
    for size in range(1, len(content), len(content) // 40):
        segment.write_bytes(content[:size])
        events, error = read(segment.parent)
        if error is None:
            # It was cut just behind a line: the manifest knows of the others, and the numbers show.
            assert content[size - 1 : size] == b"\n"
            assert segment.suffix == ".jsonl"
        else:
            assert error.path == segment
            assert events == whole[: len(events)]
            assert error.line == len(events) + 1
            assert len(events) < in_first
            assert f"{segment}:{error.line}:{error.byte}" in str(error)
        assert not verify(segment.parent).valid


def test_a_bit_that_was_flipped(segment: Path) -> None:
    """P11. None goes unseen by `verify`; and of a compressed segment not even a reader takes it for what was written.

    Seen to fail when checksums are not compared.
    """
    content, whole = segment.read_bytes(), read(segment.parent)[0]
    places = random.Random(3)  # noqa: S311 - places, no secrets
    for _ in range(30):
        byte, bit = places.randrange(len(content)), places.randrange(8)
        segment.write_bytes(content[:byte] + bytes([content[byte] ^ 1 << bit]) + content[byte + 1 :])
        events, error = read(segment.parent)
        assert not verify(segment.parent).valid, (byte, bit)
        if error:
            assert error.path == segment
        if segment.suffix != ".jsonl":
            assert error or events == whole
