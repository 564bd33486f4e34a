"""Write events and be interrupted by Ctrl-C, hundreds of times at random moments; say what was acknowledged.

The arguments are the folder, and the options of the writer as JSON.
"""

import json
import random
import signal
import sys

from rldk.io.event_schema import Event
from rldk.io.writer import open_writer

INTERRUPTS = 600


def event(phase: str, step: int) -> Event:
    """An event whose metrics tell its phase."""
    return Event(
        step=step,
        wall_time=1.0,
        timestamp="2026-01-31T23:59:59.000000Z",
        metrics={f"{phase}_{index}": float("nan") if phase == "final" else step / 8 for index in range(20)},
        rng={"seed": 1},
        data_slice={"slice": phase},
        model_info={"run_id": "r", "phase": phase},
        notes=[f"{phase}: note"],
    )


writer = open_writer(sys.argv[1], run_id="r", **json.loads(sys.argv[2]))
phases = ["train", "train", "eval", "final"]
moments = random.Random(7)  # noqa: S311 - moments, no secrets
signal.signal(signal.SIGALRM, signal.default_int_handler)
acknowledged, refused, interrupts, step = [], 0, 0, 0
while interrupts < INTERRUPTS:
    try:
        signal.setitimer(signal.ITIMER_REAL, moments.uniform(2e-5, 1e-3))
        while True:
            step += 1
            if writer.write(event(phases[step % 4], step)):
                acknowledged.append(step)
            else:
                refused += 1
    except KeyboardInterrupt:
        interrupts += 1
writer.close()
found = {"acknowledged": acknowledged, "refused": refused, "written": writer.counters.written}
sys.stdout.write(json.dumps(found))
