"""Judge the same runs with `rldoctor`: run by the Python that has it, which has none of ours.

    python theirs.py FOLDER [SEEDS]
    python theirs.py --files FILE...

With SEEDS it first writes its own scenarios to the folder. With --files it judges any logs, each at its end. Else it
reads each `*.jsonl` in the folder, and prints for each a line of JSON: its name, and of each detector that warned the
step at which it first did. A run is judged at each tenth of it and at its end, as its live monitor does at intervals
of the user's choice.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PARTS = 10


def warned(records: list[dict[str, Any]]) -> set[str]:
    """The detectors that warn of a run."""
    from rl_doctor.detectors.base import Severity  # noqa: PLC0415 - only the Python that has it runs this
    from rl_doctor.diagnosis import diagnose  # noqa: PLC0415
    from rl_doctor.ingest.base import run_from_records  # noqa: PLC0415

    found = diagnose(run_from_records(records, name="run", source="benchmark"))
    return {each.detector for each in found.problems if each.severity >= Severity.WARNING}


def judge(path: Path) -> dict[str, int]:
    """Of each detector that warned, the step at which it first did."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    alarms: dict[str, int] = {}
    for part in range(1, PARTS + 1):
        seen = records[: max(round(len(records) * part / PARTS), 1)]
        # Its live monitor says nothing before 60 points.
        if len(seen) < min(60, len(records)):
            continue
        for name in warned(seen):
            alarms.setdefault(name, seen[-1]["step"])
    return alarms


def simulate(folder: Path, seeds: int) -> None:
    """Write its own scenarios to a folder, with what it expects to be found in them."""
    from rl_doctor.simulate import EXPECTED_DETECTIONS, simulate  # noqa: PLC0415 - as above

    for scenario, expected in EXPECTED_DETECTIONS.items():
        for steps in (200, 400, 800):
            for seed in range(seeds):
                records, _ = simulate(scenario, n_steps=steps, seed=seed)
                path = folder / f"{scenario}-{steps}-{seed}.jsonl"
                path.write_text("\n".join(map(json.dumps, records)) + "\n", encoding="utf-8")
                path.with_suffix(".expected").write_text(json.dumps(expected), encoding="utf-8")


def judge_log(path: str) -> list[str] | None:
    """The detectors that warn of a log of any format; None when it cannot be read."""
    from rl_doctor.detectors.base import Severity  # noqa: PLC0415 - as above
    from rl_doctor.diagnosis import diagnose  # noqa: PLC0415
    from rl_doctor.ingest import load_run  # noqa: PLC0415

    try:
        found = diagnose(load_run(path))
    except Exception:  # noqa: BLE001 - whatever it is, there is no diagnosis
        return None
    return [each.detector for each in found.problems if each.severity >= Severity.WARNING]


def main() -> None:
    """Do what is asked for."""
    if sys.argv[1] == "--files":
        for name in sys.argv[2:]:
            print(json.dumps([name, judge_log(name)]), flush=True)
        return
    folder = Path(sys.argv[1])
    if len(sys.argv) > 2:  # noqa: PLR2004 - FOLDER and how many
        simulate(folder, int(sys.argv[2]))
    for each in sorted(folder.glob("*.jsonl")):
        print(json.dumps([each.stem, judge(each)]), flush=True)


if __name__ == "__main__":
    main()
