"""Write events and be interrupted by Ctrl-C, hundreds of times at random moments; say what was acknowledged."""

import json
import random
import signal
import sys

from rldk.io.event_schema import Event
from rldk.io.writer import open_writer

INTERRUPTS = 600


def event(phase: str, value: float) -> Event:
    """An event whose metrics tell its phase."""
    return Event(
        step=0,
        wall_time=1.0,
        timestamp="2026-01-31T23:59:59.000000Z",
        metrics={f"{phase}_{index}": value for index in range(20)},
        rng={"seed": 1},
        data_slice={"slice": phase},
        model_info={"run_id": "r", "phase": phase},
        notes=[f"{phase}: note"],
    )


writer = open_writer(sys.argv[1], run_id="r")
events = [event("train", 0.5), event("train", 0.25), event("eval", 0.125), event("final", float("nan"))]
moments = random.Random(7)  # noqa: S311 - moments, no secrets
signal.signal(signal.SIGALRM, signal.default_int_handler)
acknowledged = refused = interrupts = turn = 0
while interrupts < INTERRUPTS:
    try:
        signal.setitimer(signal.ITIMER_REAL, moments.uniform(2e-5, 1e-3))
        while True:
            turn += 1
            if writer.write(events[turn % len(events)]):
                acknowledged += 1
            else:
                refused += 1
    except KeyboardInterrupt:
        interrupts += 1
writer.close()
found = {"acknowledged": acknowledged, "refused": refused, "written": writer.counters.written}
sys.stdout.write(json.dumps(found))
