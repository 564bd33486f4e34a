"""Runs that tests of rules start from."""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING, Any

from rldk.alerts import Engine
from rldk.io.event_schema import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rldk.alerts import Alert, Verdict

__all__ = ["always", "events", "fired", "judged", "noisy", "point", "ramp", "verdict"]


def point(step: int, metrics: dict[str, Any], *, phase: str = "train", **info: Any) -> Event:
    """An event of a foreign log: no seq, no wall_time."""
    model_info = {"run_id": "r1", "phase": phase, **info}
    return Event(step=step, wall_time=None, metrics=metrics, rng={}, data_slice={}, model_info=model_info, notes=[])


def always(value: float | None) -> Callable[[int], float | None]:
    """The same in every step."""
    return lambda _: value


def noisy(level: float, spread: float, seed: int = 0) -> Callable[[int], float]:
    """A level with noise."""
    return lambda step: level + spread * Random(f"{seed} {step}").gauss(0, 1)  # noqa: S311 - figures, not secrets


def ramp(before: float, after: float, first: int, last: int, spread: float = 0.02) -> Callable[[int], float]:
    """A level that goes over to another between two steps, with noise in proportion."""

    def at(step: int) -> float:
        share = min(max((step - first) / max(last - first, 1), 0.0), 1.0)
        level = before + (after - before) * share
        return level * math.exp(spread * Random(f"ramp {step}").gauss(0, 1))  # noqa: S311 - as above

    return at


def events(count: int, **metrics: Callable[[int], float | None]) -> Iterator[Event]:
    """Events of successive steps, each metric a function of the step; `a__b` stands for `a/b`."""
    for step in range(count):
        yield point(step, {name.replace("__", "/"): make(step) for name, make in metrics.items()})


def judged(run: Iterable[Event], algorithm: str = "", **options: Any) -> tuple[list[Alert], Verdict]:
    """Every change of state, and the verdict."""
    engine = Engine(algorithm=algorithm, **options)
    changes = [alert for event in run for alert in engine.add(event)]
    return changes, engine.finish()


def verdict(run: Iterable[Event], algorithm: str = "", **options: Any) -> Verdict:
    """The verdict on a run."""
    return judged(run, algorithm, **options)[1]


def fired(run: Iterable[Event], algorithm: str = "", **options: Any) -> dict[str, str]:
    """The rules whose alerts fire at the end, with the worst severity of each."""
    found: dict[str, str] = {}
    for alert in verdict(run, algorithm, **options).alerts:
        if alert.state == "firing":
            found.setdefault(alert.rule, alert.severity)
    return found
