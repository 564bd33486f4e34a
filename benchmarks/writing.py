"""`write` against the least that could be done: encode the same event, and write it."""

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from benchmarks.events import events, stamped
from rldk import open_writer

BLOCKS = 9
EVENTS = 3000
MANY = 100_000


def measure(folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """Alternate blocks of both, and compare block by block."""
    given = events(EVENTS)
    complete = [stamped(event, seq) for seq, event in enumerate(given)]
    encode = msgspec.json.Encoder().encode
    fd = os.open(folder / "least.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    writer = open_writer(folder, run_id="bench")

    def least() -> None:
        for event in complete:
            os.write(fd, encode(event) + b"\n")

    def ours() -> None:
        for event in given:
            writer.write(event)

    pairs = [(_seconds(ours), _seconds(least)) for _ in range(BLOCKS + 1)][1:]
    writer.close()
    os.close(fd)
    assert writer.counters.written == (BLOCKS + 1) * EVENTS
    closed = _seconds_to_close(folder)
    ratio = statistics.median(mine / other for mine, other in pairs)
    cost = statistics.median(mine for mine, _ in pairs) / EVENTS * 1e6
    yield (
        f"write, {cost:.1f} us, to msgspec encode + os.write of the same event",
        f"{ratio:.2f} x",
        "<= 1.5 x",
        "<= 1.5 x",
    )
    yield (f"close after {MANY:,} events, default sync and rotation", f"{closed * 1e3:.0f} ms", "<= 200 ms", "")


def _seconds_to_close(folder: Path) -> float:
    """How long closing takes right after many events: by the clock on the wall, because that is what one waits for."""
    given = events(EVENTS)
    writer = open_writer(folder, run_id="closed")
    for event in itertools.islice(itertools.cycle(given), MANY):
        writer.write(event)
    began = time.perf_counter()
    writer.close()
    return time.perf_counter() - began


def _seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
