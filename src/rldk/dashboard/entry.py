"""What the list of runs says of a run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from rldk.errors import RLDKError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rldk.alerts import Verdict
    from rldk.dashboard.catalogue import Found
    from rldk.dashboard.columns import Columns
    from rldk.dashboard.watched import Watched
    from rldk.io.manifest import Manifest, Outcome

__all__ = ["Entry", "State", "entry_of"]

State = Literal["training", "stalled", "finished", "interrupted", "crashed", "unknown"]

_ENDED: Final[dict[Outcome, State]] = {
    "completed": "finished",
    "interrupted": "interrupted",
    "stopped_by_rule": "interrupted",
    "crashed": "crashed",
}
_STALLED: Final = 120.0
"""Seconds without an event, or ten times as long as between two events, after which a run is called stalled."""


class Entry(msgspec.Struct, kw_only=True):
    """What the list of runs says of a run."""

    id: str
    name: str
    path: str
    adapter: str
    framework: str | None
    algorithm: str | None
    axis: str
    state: State
    state_detail: str
    steps: tuple[int, int] | None
    total_steps: int | None
    events: int
    attempts: int
    ranks: list[int]
    updated: float
    health: str | None
    verdict: str | None
    alerts: dict[str, int]
    progress: float
    problems: int
    error: str | None


def entry_of(run: Watched, now: Callable[[], float] = time.time) -> Entry:
    """What the list of runs says of a run.

    Args:
        run: the run.
        now: the clock that the files' times are of.
    """
    found, columns, verdict = run.found, run.columns, run.verdict
    updated = _updated(found)
    manifest = found.manifest
    state, detail = _state(found, manifest, columns, now() - updated)
    info = columns.facts
    attempts = manifest.attempts if manifest else []
    return Entry(
        id=found.id,
        name=found.name,
        path=found.path,
        adapter=found.unit.adapter.name,
        framework=(manifest.framework if manifest else None) or _text(info.get("framework")),
        algorithm=(manifest.algorithm if manifest else None) or _text(info.get("algorithm")),
        axis=run.axis,
        state=state,
        state_detail=detail,
        steps=_steps(run.newest or columns, columns),
        total_steps=_total_steps(manifest),
        events=columns.events,
        attempts=max(len(columns.resumed_from), len(attempts)),
        ranks=found.ranks,
        updated=updated,
        health=verdict.health if verdict else None,
        verdict=verdict.sentence if verdict else None,
        alerts=_alerts(verdict),
        progress=round(run.progress, 3),
        problems=columns.problems,
        error=run.error,
    )


def _updated(found: Found) -> float:
    try:
        return found.updated()
    except (OSError, RLDKError):
        return 0.0


def _state(found: Found, manifest: Manifest | None, columns: Columns, quiet: float) -> tuple[State, str]:
    """In what state a run is that has been quiet for so many seconds, and why."""
    last = manifest.attempts[-1] if manifest and manifest.attempts else None
    if found.is_held:
        if quiet > max(_STALLED, 10 * _pace(columns)):
            return "stalled", "a process holds the log and writes nothing"
        return "training", "a process is writing the log"
    if last and last.outcome:
        return _ENDED[last.outcome], last.outcome_detail
    if last:
        return "crashed", "its process ended without a word"
    if not found.logs and quiet < _STALLED:
        return "training", "the log has grown a moment ago"
    return "unknown", "nothing says how it ended"


def _pace(columns: Columns) -> float:
    """Seconds between two events of training, as far as the log says."""
    for view in columns.view([]):
        if view.phase == "train" and view.rows > 1:
            pieces = list(view.pieces())
            span = pieces[-1].walls[-1] - pieces[0].walls[0]
            return span / view.rows if span == span else 0.0  # noqa: PLR0124 - it may be NaN
    return 0.0


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _steps(newest: Columns, columns: Columns) -> tuple[int, int] | None:
    ends: list[int] = []
    for each in (columns, newest):
        for view in each.view([]):
            if view.phase == "train" and view.rows:
                pieces = list(view.pieces())
                ends += [pieces[0].steps[0], pieces[-1].steps[-1]]
    return (ends[0], ends[-1]) if ends else None


def _total_steps(manifest: Manifest | None) -> int | None:
    """How many steps the trainer plans, when it says so."""
    for attempt in reversed(manifest.attempts if manifest else []):
        for place in (attempt.facts, attempt.trainer):
            for name in ("total_steps", "max_steps"):
                value = place.get(name)
                if type(value) is int and value > 0:
                    return value
    return None


def _alerts(verdict: Verdict | None) -> dict[str, int]:
    """How many alerts are firing, by their severity."""
    counts = {"critical": 0, "warning": 0, "info": 0}
    for alert in verdict.alerts if verdict else ():
        counts[alert.severity] += alert.state == "firing"
    return counts
