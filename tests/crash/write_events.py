"""Write a number of events, whatever the disk does; say which were acknowledged.

The argument is JSON: the folder, the count, the options of the writer, the user to become, the size that a file
may have until five events have failed, and the steps from which on and up to which the folder may not be written to.
Each but the first two is None, or not there, when it is not asked for.
"""

import json
import os
import resource
import sys
from pathlib import Path

import msgspec

from rldk.io.event_schema import Event
from rldk.io.writer import open_writer

asked = json.loads(sys.argv[1])
limit, user = asked.get("limit"), asked.get("user")
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
if user:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
writer = open_writer(asked["folder"], run_id="r", **asked.get("options", {}))
acknowledged, failed = [], 0
closed_from, closed_to = asked.get("closed", [None, None])
for step in range(asked["count"]):
    if step in {closed_from, closed_to}:
        Path(asked["folder"]).chmod(0o555 if step == closed_from else 0o755)
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
sys.stdout.write(json.dumps({"acknowledged": acknowledged, "counters": msgspec.structs.asdict(writer.counters)}))
