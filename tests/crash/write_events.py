"""Write a number of events, whatever the disk does; say which were acknowledged.

With a third argument, a file must not grow beyond so many bytes until five events have failed.
"""

import json
import resource
import sys

from rldk.io.event_schema import Event
from rldk.io.writer import open_writer

folder, count, *limit = sys.argv[1:]
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit[0]), resource.RLIM_INFINITY))
writer = open_writer(folder, run_id="r")
acknowledged, failed = [], 0
for step in range(int(count)):
    event = Event(
        step=step,
        wall_time=float(step),
        timestamp="2026-01-31T23:59:59.000000Z",
        metrics={f"metric_{index}": step + index / 7 for index in range(30)},
        rng={"seed": 1},
        data_slice={},
        model_info={"run_id": "r", "phase": "train"},
        notes=[],
    )
    if writer.write(event):
        acknowledged.append(step)
    else:
        failed += 1
        if limit and failed == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.close()
counters = writer.counters
sys.stdout.write(json.dumps({"acknowledged": acknowledged, "written": counters.written, "dropped": counters.dropped}))
