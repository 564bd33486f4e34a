"""Start writers and kill them: for each request on stdin, one writer that lives as long as was asked for.

A request is a line of JSON: the folder, the seconds of life, and whether some events are of 2 MB. The answer is how
many events the writer had acknowledged, each after `write` returned True and through a pipe, before SIGKILL hit it.
"""

import fcntl
import json
import os
import signal
import sys
import time

from rldk.io.event_schema import Event
from rldk.io.writer import open_writer


def write_for_ever(folder: str, acknowledged: int, *, big: bool) -> None:
    """Write events whose step is their seq, and acknowledge each."""
    writer = open_writer(folder, run_id="r")
    notes = [["big: " + "x" * 2_000_000], []] if big else [[]]
    seq = 0
    while True:
        event = Event(
            step=seq,
            wall_time=float(seq),
            timestamp="2026-01-31T23:59:59.000000Z",
            metrics={f"metric_{index}": seq + index / 7 for index in range(20)},
            rng={"seed": 1},
            data_slice={},
            model_info={"run_id": "r", "phase": "train"},
            notes=notes[0 if seq % 5 == 3 else -1],
        )
        if writer.write(event):
            os.write(acknowledged, b"+")
        seq += 1


def kill_one(folder: str, seconds: float, *, big: bool) -> int:
    """Fork a writer and kill it; how many events it acknowledged."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 2**20)
    pid = os.fork()
    if not pid:
        try:
            write_for_ever(folder, writing, big=big)
        finally:
            os._exit(1)
    os.close(writing)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with os.fdopen(reading, "rb") as acknowledged:
        return len(acknowledged.read())


for line in sys.stdin:
    request = json.loads(line)
    sys.stdout.write(f"{kill_one(request['folder'], request['seconds'], big=request['big'])}\n")
    sys.stdout.flush()
