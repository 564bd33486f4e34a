"""What the module of each logger offers: `start(place)` gives a `Log`, `read(folder)` the rows it left.

These modules run in the Python of their logger, where RLDK is not installed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Place(NamedTuple):
    """Where a process logs, and as what.

    `resumed_from` is the last step that counts of those an earlier process logged, None when there was none.
    """

    folder: Path
    run: str = "run"
    rank: int = 0
    ranks: int = 1
    resumed_from: int | None = None

    @property
    def name(self) -> str:
        """A name of its own for each rank, for loggers that are told so."""
        return self.run if self.ranks == 1 else f"{self.run}-{self.rank}"


class Row(NamedTuple):
    """One step as it is read back.

    `source` is what the log itself says of the process that wrote it, such as the name of its file. `replaced`
    is whether the log says that a later pass counts instead. `missing` is how many steps it says were not written
    before this one.
    """

    step: int
    metrics: dict[str, Any]
    source: str = ""
    replaced: bool = False
    missing: int = 0


class Log(Protocol):
    """A logger at work; one that wants to be told when the training goes back also has `rewind(step)`."""

    def log(self, step: int, metrics: dict[str, float]) -> bool | None:
        """Log a step: False when it was not taken, anything else acknowledges it."""
        ...

    def finish(self) -> None:
        """Close it, as at the end of a training."""
        ...


def rows(points: Iterable[tuple[str, int, str, Any]]) -> list[Row]:
    """The rows of a log that keeps each metric apart, from its source, step, name and value.

    The second value of a metric at a step of a source is taken for the step's second row.
    """
    found: dict[tuple[str, int, int], dict[str, Any]] = {}
    seen: Counter[tuple[str, int, str]] = Counter()
    for source, step, name, value in points:
        found.setdefault((source, step, seen[source, step, name]), {})[name] = value
        seen[source, step, name] += 1
    return [Row(step, metrics, source) for (source, step, _), metrics in found.items()]
