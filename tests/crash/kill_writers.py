"""Start writers and kill them: for each request on stdin, one writer that lives as long as was asked for.

A request is a line of JSON: the folder, the options of the writer, the seconds of its life and from one event to the
next, whether its life begins with the first event it acknowledges, whether some events are of 2 MB, and whether the
worker that it has forked is killed with it. The answer is how many events the writer had acknowledged, each after
`write` returned True and through a pipe, before SIGKILL hit it. A worker that is not killed lives on until the next
request.
"""

import fcntl
import json
import os
import select
import signal
import sys
import time
from contextlib import suppress

from rldk.io.event_schema import Event
from rldk.io.writer import open_writer


def write_for_ever(request: dict, acknowledged: int, alive: int) -> None:
    """Write events whose step is their seq, and acknowledge each."""
    writer = open_writer(request["folder"], run_id="r", **request["options"])
    if not os.fork():
        # A worker, as of a data loader: it inherits the writer, and does not die by itself.
        os.close(acknowledged)
        os.read(alive, 1)
        os._exit(0)
    notes = [["big: " + "x" * 2_000_000], []] if request["big"] else [[]]
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
        if request["pace"]:
            time.sleep(request["pace"])


def kill_one(request: dict) -> tuple[int, int]:
    """Fork a writer and kill it; how many events it acknowledged, and what keeps its worker alive."""
    reading, writing = os.pipe()
    alive, living = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 2**20)
    pid = os.fork()
    if not pid:
        try:
            os.setpgid(0, 0)
            os.close(living)
            write_for_ever(request, writing, alive)
        finally:
            os._exit(1)
    os.close(writing)
    os.close(alive)
    with suppress(PermissionError, ProcessLookupError):
        # Whoever comes first; the child must be the head of a group when it is killed.
        os.setpgid(pid, pid)
    if request["begun"]:
        select.select([reading], [], [], 60)
    time.sleep(request["seconds"])
    if request["tree"]:
        os.killpg(pid, signal.SIGKILL)
    else:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with os.fdopen(reading, "rb") as acknowledged:
        return len(acknowledged.read()), living


living = None
for line in sys.stdin:
    if living is not None:
        os.close(living)
    count, living = kill_one(json.loads(line))
    sys.stdout.write(f"{count}\n")
    sys.stdout.flush()
