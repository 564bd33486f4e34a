"""Fork while a writer is open. What each process finds is a line of JSON on stdout.

The arguments are the folder, the options of the writer as JSON, and what to do:
outlived: a child outlives its parent, which writes an event every millisecond until it is killed.
threads: children are forked while threads write.
held: a child is forked while events wait in the buffer, or for the disk.
"""

import json
import os
import resource
import sys
import threading
import time

from rldk.io.event_schema import Event
from rldk.io.writer import open_writer


def event(step: int) -> Event:
    """An event."""
    return Event(
        step=step,
        wall_time=1.0,
        timestamp="2026-01-31T23:59:59.000000Z",
        metrics={"loss": 0.5},
        rng={},
        data_slice={},
        model_info={"run_id": "r", "phase": "train"},
        notes=[],
    )


def tell(**facts: object) -> None:
    """Write a line at once, with one system call, because other processes write to the same pipe."""
    os.write(1, json.dumps(facts).encode() + b"\n")


def outlived() -> None:
    """Fork a child that tries to write, closes its writer and lives on until stdin ends."""
    writer.write(event(0))
    if not os.fork():
        taken = [writer.write(event(1)), writer.write(event(2))]
        writer.flush()
        writer.close()
        tell(child=os.getpid(), taken=taken, dropped=writer.counters.dropped)
        sys.stdin.read()
        os._exit(0)
    while True:
        if writer.write(event(3)):
            time.sleep(0.001)


def threads() -> None:
    """Fork children while threads write; each child must come out of its own write."""
    stop = threading.Event()

    def keep_writing() -> None:
        while not stop.is_set():
            writer.write(event(1))

    writing = [threading.Thread(target=keep_writing) for _ in range(4)]
    for thread in writing:
        thread.start()
    children = []
    for _ in range(40):
        pid = os.fork()
        if not pid:
            taken = writer.write(event(2))
            writer.close()
            os._exit(0 if taken is False else 1)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    stop.set()
    for thread in writing:
        thread.join()
    writer.close()
    tell(codes=codes, written=writer.counters.written)


def held() -> None:
    """Fork a child that could write what its parent holds, and must not."""
    writer.write(event(0))
    size = writer.path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size or 1, resource.RLIM_INFINITY))
    taken = [writer.write(event(step)) for step in range(1, 6)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if not os.fork():
        writer.flush()
        taken = writer.write(event(6))
        writer.flush()
        writer.close()
        os._exit(0 if taken is False and writer.path.stat().st_size == size else 1)
    code = os.waitstatus_to_exitcode(os.wait()[1])
    writer.close()
    tell(code=code, taken=taken, written=writer.counters.written)


writer = open_writer(sys.argv[1], run_id="r", **json.loads(sys.argv[2]))
{"outlived": outlived, "threads": threads, "held": held}[sys.argv[3]]()
