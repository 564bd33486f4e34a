"""What a log must be whatever was done to its writer, and a clock to hurry one with."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from rldk.io.compression import open_segment
from rldk.io.reader import read_events, whole_size
from rldk.io.segments import Log, log_path, sealed_segments, segments
from rldk.io.validator import validate_jsonl_file
from tests.runs import make_event

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.io.event_schema import Event
    from rldk.io.writer import RunWriter

_RANGE = re.compile(r"\A(events_held|events_dropped): ([0-9]+), seq ([0-9]+)-([0-9]+)")


class SetClock:
    """A clock that is set by hand: both its times, each to anything."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.wall = 1_769_903_999.0

    def monotonic(self) -> float:
        """Seconds that never go back, unless a test makes them."""
        return self.seconds

    def time(self) -> float:
        """Seconds since 1970."""
        return self.wall


class Account(NamedTuple):
    """What a log says of its events."""

    events: list[Event]
    held: dict[int, set[int]]
    """The seqs that were written late, by attempt."""
    dropped: dict[int, set[int]]
    """The seqs that will never be written, by attempt."""

    @property
    def steps(self) -> list[int]:
        """The step of each event, in the order they were written."""
        return [event.step for event in self.events]

    @property
    def codes(self) -> list[str]:
        """The code of each note, in the order they were written."""
        return [note.partition(":")[0] for event in self.events for note in event.notes]


def log_of(folder: Path, rank: int = 0) -> Log:
    """The log of a rank of the run r."""
    return Log(log_path(folder, "r", rank), "r", rank)


def account(folder: Path, rank: int = 0, *, torn: bool = False) -> Account:
    """The account of a log that must be valid, file by file and as a whole.

    Args:
        folder: its folder.
        rank: its rank.
        torn: whether a file may end in an unfinished line.
    """
    log = log_of(folder, rank)
    forgiven = {"torn_tail", "empty_file"} if torn else {"empty_file"}
    for path in segments(log):
        report = validate_jsonl_file(path, strict=True)
        assert [each for each in report.problems if each.kind not in forgiven] == [], path
    events = list(read_events(log.path, mode="tolerate_torn_tail" if torn else "strict", history="all"))
    held: dict[int, set[int]] = defaultdict(set)
    dropped: dict[int, set[int]] = defaultdict(set)
    following: dict[int, int] = defaultdict(int)
    for event in events:
        attempt, seq = event.attempt, event.seq
        assert seq is not None
        for note in event.notes:
            if match := _RANGE.match(note):
                seqs = set(range(int(match[3]), int(match[4]) + 1))
                assert len(seqs) == int(match[2])
                (held if match[1] == "events_held" else dropped)[attempt] |= seqs
        assert seq >= following[attempt]
        assert set(range(following[attempt], seq)) <= dropped.get(attempt, set()), (attempt, seq, event.notes)
        following[attempt] = seq + 1
    assert [event.attempt for event in events] == sorted(event.attempt for event in events)
    return Account(events, dict(held), dict(dropped))


def check_copies(folder: Path, rank: int = 0) -> int:
    """There must be a good copy of each segment, in whole lines; how many segments there are."""
    log = log_of(folder, rank)
    numbers = [each.number for each in sealed_segments(log)]
    assert numbers == list(range(1, len(numbers) + 1))
    for number in numbers:
        paths = sorted(folder.glob(f"{log.path.stem}.{number:06d}.jsonl*"))
        contents = {_content(path) for path in paths if not path.name.endswith(".torn")}
        assert len(contents) == 1
        assert contents.pop().endswith(b"}\n")
    return len(numbers)


def _content(path: Path) -> bytes:
    with open_segment(path) as file:
        return b"".join(iter(lambda: file.read(2**20), b""))


def torn_tail(path: Path) -> bytes:
    """What stands behind the last whole line of a file."""
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(whole_size(file))
        return file.read()


def abandon(writer: RunWriter) -> None:
    """Have a writer end as if its process had been killed: files and lock are free, nothing more is written.

    Its threads must have nothing to do.
    """
    if writer._buffer:
        writer._buffer.leave_to_parent()
    writer._segments.leave_to_parent()


def many_metrics(step: int, count: int = 30) -> dict[str, Any]:
    """Metrics that tell the step they are of."""
    return {f"metric_{index}": step + index / 7 for index in range(count)}


def sized_event(step: int, size: int, **changes: Any) -> Event:
    """An event of about so many bytes."""
    return make_event(step, notes=["size: " + "x" * size], **changes)


def fill(folder: Path, leave: int = 0) -> Path:
    """Fill a small disk but for so many bytes; the file to delete to free it again."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            size = file.tell() - leave
        file.truncate(size)
    return ballast
