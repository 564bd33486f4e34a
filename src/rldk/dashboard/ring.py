"""What was read last of one log, as far as there is room for it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from rldk.io.log_tail import Chunk
    from rldk.io.position import Position

__all__ = ["Batch", "Ring", "place"]

_SIZE: Final = 4 * 2**20
"""Bytes that the ring of a log holds: at 1,000 events a second some four seconds."""


class Batch(NamedTuple):
    """Some lines, ready to be sent."""

    start: Position
    end: Position
    text: str
    before: int
    """How many events came before these."""
    events: int
    lost: bool
    """Whether they are the first of another log than before."""


class Ring:
    """The last batches of one log, and always the latest.

    Args:
        position: where in the log it begins.
    """

    def __init__(self, position: Position) -> None:
        self.end = position
        self.batches: deque[Batch] = deque()
        self.first = 0
        """The number of the first batch; they are counted from the moment the ring was made."""
        self.events = 0
        """How many events have come since then."""
        self._size = 0

    @property
    def next(self) -> int:
        """The number that the next batch will have."""
        return self.first + len(self.batches)

    def add(self, chunk: Chunk, text: str, events: int, *, lost: bool) -> None:
        """Take in what came, and forget what is too old."""
        self.batches.append(Batch(chunk.start, chunk.end, text, self.events, events, lost))
        self.end = chunk.end
        self.events += events
        self._size += len(text)
        while self._size > _SIZE and len(self.batches) > 1:
            self._size -= len(self.batches.popleft().text)
            self.first += 1

    def before(self, number: int) -> int:
        """How many events came before the batch with a number, which is there or is the next."""
        at = number - self.first
        return self.batches[at].before if at < len(self.batches) else self.events

    def bound(self, start: Position) -> tuple[int, Position]:
        """Up to where the log itself has to be read from a position on, and the number of the batch that is there."""
        for number, batch in enumerate(self.batches, self.first):
            if place(batch.start) >= place(start):
                return number, batch.start
        return self.next, self.end


def place(position: Position) -> tuple[int, int]:
    """What tells which of two positions in a log is further on."""
    return position.number, position.byte
