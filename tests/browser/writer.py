"""Writes a run as a trainer would: each line of its input is a step, and it answers when that was written."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

from rldk.io.event_schema import Event
from rldk.io.writer import open_writer

_NONFINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def main(folder: str, run_id: str, resumed_from: str = "") -> None:
    """Write until the input ends."""
    began = time.monotonic()
    writer = open_writer(Path(folder), run_id=run_id, resumed_from=int(resumed_from) if resumed_from else None)
    for line in sys.stdin:
        asked = json.loads(line)
        event = Event(
            step=asked["step"],
            wall_time=asked.get("wall_time", time.monotonic() - began),
            metrics={name: _NONFINITE.get(value, value) for name, value in asked["metrics"].items()},
            rng={},
            data_slice={} if asked.get("eval_set") is None else {"eval_set": asked["eval_set"]},
            model_info={"run_id": run_id, "phase": asked.get("phase", "train"), "algorithm": "grpo"},
            notes=[],
        )
        assert writer.write(event)
        print(time.time(), flush=True)  # noqa: T201 - it is the answer
    writer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
