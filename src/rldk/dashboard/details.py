"""What is told of a run alone: its curves, what its metrics mean, its seams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rldk.metrics import METRICS

if TYPE_CHECKING:
    from rldk.dashboard.curves import View
    from rldk.dashboard.watched import Watched

__all__ = ["details_of"]


def details_of(run: Watched) -> dict[str, Any]:
    """What is told of a run alone."""
    sources = {source.canonical: source for source in run.found.sources.values()}
    return {
        "curves": [_curve(view) for view in run.columns.view([])],
        "metrics": {name: _meaning(name, sources) for name in run.metrics},
        "seams": run.seams,
        "problems": run.problems,
    }


def _curve(view: View) -> dict[str, Any]:
    steps = [step for piece in view.pieces() for step in (piece.steps[0], piece.steps[-1])]
    return {
        "phase": view.phase,
        "eval_set": view.eval_set,
        "points": view.rows,
        "steps": [steps[0], steps[-1]] if steps else None,
        "metrics": view.metrics,
    }


def _meaning(name: str, sources: dict[str, Any]) -> dict[str, Any]:
    stem = f"{name.partition('/')[0]}/<f>" if name.startswith("reward_component") else name
    metric = METRICS.get(stem)
    return {
        "unit": metric.unit if metric else None,
        "meaning": metric.meaning if metric else None,
        "source": sources.get(name),
    }
