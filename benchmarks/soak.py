"""Write ten million events with rotation, compression and retention, and see that nothing grows that should not."""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from rldk import Event, open_writer
from rldk.io.clock import timestamp
from rldk.io.sealing import tend
from rldk.io.segments import run_log, sealed_segments
from rldk.io.verify import verify
from rldk.io.writer import policy

EVENTS = 10_000_000
RESTARTS = 10
PACE = 0.1
"""Seconds from one event to the next, by the clock of the run."""
ROTATION = "1 h"
COMPRESSION = "zst"
KEEP = "50 segments"
GROWTH = 8 * 2**20
"""Bytes of memory that may come and go."""


class Clock:
    """The clock of the run, which goes on only when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        """Seconds since the soak began."""
        return self.seconds

    def time(self) -> float:
        """The same, as a time of day."""
        return 1_790_000_000 + self.seconds


class Reading(NamedTuple):
    """What the process and the folder hold at one moment."""

    events: int
    memory: int
    files: int
    threads: int
    segments: int
    disk: int


def main() -> None:
    """Soak in a throw-away folder; `python -m benchmarks.soak FOLDER EVENTS` does it elsewhere, or for less long."""
    place = sys.argv[1] if len(sys.argv) > 1 else None
    total = int(sys.argv[2]) if len(sys.argv) > 2 else EVENTS  # noqa: PLR2004 - the second argument
    with tempfile.TemporaryDirectory(dir=place) as folder:
        sys.exit(soak(Path(folder), total, Console(highlight=False)))


def soak(folder: Path, total: int, console: Console) -> int:
    """Write so many events, restarting ten times, and give back how many things were not as they should be."""
    clock = Clock()
    table = Table(title=f"{total:,} events, rotation {ROTATION}, {COMPRESSION}, keep {KEEP}", title_justify="left")
    for column in ("events", "a second", "memory", "open files", "threads", "segments", "on disk"):
        table.add_column(column, justify="right", no_wrap=True)
    readings = []
    for restart in range(RESTARTS):
        began = time.perf_counter()
        _write(folder, restart * total // RESTARTS, (restart + 1) * total // RESTARTS, clock)
        readings.append(_read(folder, (restart + 1) * total // RESTARTS))
        rate = total / RESTARTS / (time.perf_counter() - began)
        table.add_row(*_row(readings[-1], rate))
        console.print(f"{readings[-1].events:,} events")
    log = run_log(folder)
    failures = [str(error) for error in tend(log, policy(COMPRESSION, KEEP), clock=clock)]
    failures += _failures(readings, len(sealed_segments(log)))
    began = time.perf_counter()
    verified = verify(folder)
    failures += [] if verified else ["rldk verify is not clean"]
    events = sum(file.events or 0 for file in verified.logs[0].files)
    console.print(table)
    console.print(f"{events:,} events of {len(verified.logs[0].files)} files verified", end=" ")
    console.print(f"in {time.perf_counter() - began:.0f} s, {verified.logs[0].removed_events:,} removed as asked")
    if events + verified.logs[0].removed_events != total:
        failures.append("events are missing")
    for failure in failures:
        console.print(failure, style="red")
    return len(failures)


def _write(folder: Path, first: int, end: int, clock: Clock) -> None:
    """One attempt of the run: open, write, close."""
    writer = open_writer(
        folder,
        run_id="soak",
        resumed_from=first - 1 if first else None,
        rotation=ROTATION,
        compression=COMPRESSION,
        keep=KEEP,
        clock=clock,
    )
    model_info = {"run_id": "soak", "phase": "train", "model_name": "tiny"}
    for step in range(first, end):
        clock.seconds += PACE
        metrics = {"loss": 1 / clock.seconds, "reward_mean": clock.seconds % 7, "kl_mean": 0.01, "lr": 1e-6}
        writer.write(
            Event(
                step=step,
                wall_time=clock.seconds,
                timestamp=timestamp(clock.time()),
                metrics=metrics,
                rng={},
                data_slice={},
                model_info=model_info,
                notes=[],
            )
        )
    writer.close()
    assert writer.counters.written == end - first, writer.counters


def _read(folder: Path, events: int) -> Reading:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    sizes = [path.stat().st_size for path in folder.iterdir()]
    return Reading(
        events=events,
        memory=pages * os.sysconf("SC_PAGE_SIZE"),
        files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        threads=threading.active_count(),
        segments=len(sealed_segments(run_log(folder))),
        disk=sum(sizes),
    )


def _row(reading: Reading, rate: float) -> list[str]:
    events, memory, files, threads, segments, disk = reading
    megabytes = [f"{size / 1e6:.1f} MB" for size in (memory, disk)]
    return [f"{events:,}", f"{rate:,.0f}", megabytes[0], str(files), str(threads), str(segments), megabytes[1]]


def _failures(readings: list[Reading], segments: int) -> list[str]:
    """What was not as it should be. The first attempt is given, it loads what the others have."""
    before, *_, last = readings[1:]
    kept = int(KEEP.partition(" ")[0])
    said = {
        f"memory grew by {(last.memory - before.memory) / 1e6:.1f} MB": last.memory - before.memory > GROWTH,
        f"{last.files} files are open, not {before.files}": last.files > before.files,
        f"{last.threads} threads run, not {before.threads}": last.threads > before.threads,
        f"{segments} segments are kept, not {kept}": segments > kept,
    }
    return [text for text, failed in said.items() if failed]


if __name__ == "__main__":
    main()
