"""What a log is owed: events that could not be written yet, and notes about those that never will be."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from rldk.io.codec import decode, encode

if TYPE_CHECKING:
    from rldk.io.live_log import LiveLog

__all__ = ["Backlog"]


class Backlog:
    """Holds lines until they can be written, up to a limit, and counts what did not fit.

    Every event keeps the seq it was given. Once one was dropped all later ones are, until writing works again: the
    dropped ones are then a single range, and the event after it says so.

    What is in the file is the truth: a line that was written just before an interruption is not written again.

    Args:
        limit: how many bytes of lines are held.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._late: tuple[int, int] | None = None
        self._dropped: tuple[int, int] | None = None
        self._notes: list[str] = []
        self._ahead = 0
        self._carrier: int | None = None
        self._carried = 0
        self.dropped = 0
        """How many events were dropped so far."""

    def __bool__(self) -> bool:
        """Whether the log is owed anything."""
        return bool(self._held or self._late or self._dropped or self._notes)

    def __len__(self) -> int:
        """How many events are held."""
        return len(self._held)

    def next_seq(self, after_file: int) -> int:
        """The seq of the next event, when that after the last line in the file is known."""
        return max(after_file, self._ahead)

    def hold(self, seq: int, line: bytes) -> bool:
        """Hold a line; False when it did not fit and was dropped."""
        if self._dropped or self._bytes + len(line) > self._limit:
            self.drop(seq)
            return False
        self._held.append((seq, line))
        self._bytes += len(line)
        # A line that is held carries no notes.
        self._carrier = None
        self._late = (self._late[0] if self._late else seq, seq)
        self._ahead = seq + 1
        return True

    def drop(self, seq: int) -> None:
        """Count an event that will not be written."""
        self._dropped = (self._dropped[0] if self._dropped else seq, seq)
        self._ahead = seq + 1
        self.dropped += 1

    def drop_held(self) -> int:
        """Count all that is held as dropped, because nothing will be written any more."""
        count = len(self._held)
        self.dropped += count
        self._held.clear()
        return count

    def note(self, text: str) -> None:
        """Have the next event carry a note."""
        self._notes.append(text)

    def settle(self, after_file: int) -> None:
        """Forget what has got into the file, now that the seq after its last line is known."""
        while self._held and self._held[0][0] < after_file:
            self._bytes -= len(self._held.popleft()[1])
        if self._carrier is not None and after_file > self._carrier:
            self._late = self._dropped = self._carrier = None
            del self._notes[: self._carried]

    def write(self, live: LiveLog) -> None:
        """Write what is held.

        Raises:
            OSError: it could not be written to the end; the rest is still held.
        """
        if self._held and self._notes:
            # What they tell of is missing before it.
            self._add_notes(0, self._notes)
            self._notes.clear()
        while self._held:
            seq, line = self._held[0]
            live.append(line, seq + 1)
            self.settle(live.file.at[1])

    def note_on_last(self) -> None:
        """Have the last line that is held say what was dropped after it, because no event will come to say so."""
        if self._held and self._dropped:
            self._add_notes(-1, [f"events_dropped: {_range(*self._dropped)}"])

    def _add_notes(self, index: int, notes: list[str]) -> None:
        """Have a line that is held carry notes."""
        seq, line = self._held[index]
        event = decode(line)
        longer = encode(msgspec.structs.replace(event, notes=[*event.notes, *notes]))
        self._held[index] = (seq, longer)
        self._bytes += len(longer) - len(line)

    def carry(self, seq: int) -> list[str]:
        """The notes that the event with this seq is to carry."""
        self._carrier, self._carried = seq, len(self._notes)
        late = [f"events_held: {_range(*self._late)}, were written late"] if self._late else []
        dropped = [f"events_dropped: {_range(*self._dropped)}"] if self._dropped else []
        return [*self._notes, *late, *dropped]


def _range(first: int, last: int) -> str:
    return f"{last - first + 1}, seq {first}-{last}"
