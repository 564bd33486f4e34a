"""What was read last of one log, as far as there is room for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldk.dashboard import ring as ring_module
from rldk.dashboard.ring import Batch, Ring, place
from rldk.io.log_tail import Chunk
from rldk.io.position import Position


def at(line: int, segment: int = 1) -> Position:
    """The position behind so many lines of ten bytes."""
    return Position(segment, 10 * line, line, 7)


def filled(texts: list[str]) -> Ring:
    """A ring that begins at the second line of a log, with a line for each text."""
    ring = Ring(at(1))
    for line, text in enumerate(texts, 1):
        ring.add(Chunk(Path("log"), at(line), at(line + 1), b""), text, 1, lost=False)
    return ring


def test_the_oldest_are_dropped_when_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many batches are kept as there are bytes for, the latest ones; numbers and events are counted on."""
    monkeypatch.setattr(ring_module, "_SIZE", 10)

    ring = filled(["aaaa", "bbbb", "cccc", "dd"])

    assert list(ring.batches) == [
        Batch(at(2), at(3), "bbbb", 1, 1, lost=False),
        Batch(at(3), at(4), "cccc", 2, 1, lost=False),
        Batch(at(4), at(5), "dd", 3, 1, lost=False),
    ]
    assert (ring.first, ring.next, ring.events, ring.end) == (1, 4, 4, at(5))


def test_the_latest_is_kept_however_long_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch for which there is no room drops all others, and stays until the next one."""
    monkeypatch.setattr(ring_module, "_SIZE", 10)

    ring = filled(["aaaa", "b" * 100])
    first = [batch.text for batch in ring.batches]
    ring.add(Chunk(Path("log"), at(3), at(4), b""), "cccc", 1, lost=False)

    assert first == ["b" * 100]
    assert [batch.text for batch in ring.batches] == ["cccc"]


def test_events_before_a_batch() -> None:
    """Of every batch that is there, and of the next, it is known how many events came before."""
    ring = Ring(at(0))
    for line, events in enumerate([3, 0, 2]):
        ring.add(Chunk(Path("log"), at(line), at(line + 1), b""), "", events, lost=False)

    assert [ring.before(number) for number in range(4)] == [0, 3, 3, 5]


@pytest.mark.parametrize(
    ("start", "number", "bound"),
    [
        (at(0), 0, at(1)),
        (at(1), 0, at(1)),
        (at(2), 1, at(2)),
        (Position(1, 15, 1, 7), 1, at(2)),
        (at(3), 2, at(3)),
        (at(0, segment=2), 2, at(3)),
    ],
)
def test_up_to_where_the_log_is_read(start: Position, number: int, bound: Position) -> None:
    """From before the ring up to its first batch, from within it up to the next batch, from behind it no further."""
    assert filled(["a", "b"]).bound(start) == (number, bound)


def test_an_empty_ring_has_its_bound_where_it_begins() -> None:
    """As long as nothing has come, the log is read up to where the ring begins."""
    assert Ring(at(4)).bound(at(0)) == (0, at(4))


def test_places_are_compared_by_segment_and_byte() -> None:
    """A checksum that is not known yet makes no difference."""
    assert place(Position(1, 20, 2, 0)) == place(at(2))
    assert place(at(9)) < place(at(0, segment=2))
