"""All that the page shows of a run, at once: what a report in one file is made of."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, get_args

from rldk.dashboard.catalogue import Catalogue
from rldk.dashboard.charts import Axis, Query
from rldk.dashboard.details import details_of
from rldk.dashboard.entry import entry_of
from rldk.dashboard.frames import VERSION
from rldk.dashboard.watched import Watched
from rldk.errors import RunNotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.alerts import Verdict

__all__ = ["snapshot"]

_POINTS: Final = 1000
"""Buckets on either axis: a report can be zoomed into as far as that goes."""


def snapshot(path: Path, verdict: Verdict) -> dict[str, Any]:
    """What the page shows of the run at a path.

    Args:
        path: its log.
        verdict: what is said of it.

    Raises:
        RunNotFoundError: no run is there.
    """
    catalogue = Catalogue(path)
    catalogue.look()
    found = next(iter(catalogue.runs.values()), None)
    if found is None:
        raise RunNotFoundError(path, [])
    run = Watched(found, str(path.resolve().parent))
    try:
        while run.advance(math.inf):
            pass
        run.verdict = verdict
        entry = entry_of(run)
        series = {axis: _series(run, axis) for axis in get_args(Axis)}
        details = {"v": VERSION, "run": entry, "cursor": "", **details_of(run)}
    finally:
        run.close()
    alerts = {"v": VERSION, "id": entry.id, "progress": 1.0, "verdict": verdict}
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return {"v": VERSION, "made": made, "runs": [{"details": details, "alerts": alerts, "series": series}]}


def _series(run: Watched, axis: Axis) -> dict[str, Any]:
    query = Query(metrics=tuple(run.metrics), points=_POINTS, x=axis, rewound=True)
    return {
        "v": VERSION,
        "id": run.found.id,
        "x": axis,
        "progress": 1.0,
        "clock": run.clock(query),
        "series": run.series(query),
    }
