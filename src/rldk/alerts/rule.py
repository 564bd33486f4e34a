"""A rule: what it looks for, why, what to do, where that is written, and the detector that looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from rldk.alerts.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rldk.alerts.record import Record

__all__ = ["Detector", "Finding", "Group", "Rule", "stateless"]

Group = Literal[
    "integrity",
    "seams",
    "ranks",
    "optimiser",
    "divergence",
    "reward",
    "exploration",
    "critic",
    "mismatch",
    "preference",
    "throughput",
    "user",
]
"""What a rule is about. Integrity comes first: what rests on broken data is not judged."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a detector has found at this moment."""

    severity: Severity
    message: str
    first_step: int
    last_step: int | None = None
    """The step of the last event where None."""
    metric: str | None = None
    value: float | None = None
    baseline: float | None = None
    evidence: dict[str, int | float | str] = {}
    confidence: float = 0.9
    phase: str = "train"
    eval_set: str | None = None


class Detector(Protocol):
    """Looks at a run again and again, and says what it finds.

    What it remembers itself must not grow with the run, and has to be forgotten as far as `record.cut_to` says.
    """

    def __call__(self, record: Record) -> Iterable[Finding]:
        """All that is found now, at most one finding for each metric; what is no longer found is resolved."""
        ...


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Something that goes wrong in training, and how it shows in the numbers."""

    name: str
    """Lower case with underscores; it is what a user names it by."""
    group: Group
    severity: Severity
    """The worst that it reports."""
    summary: str
    """What it finds, in one sentence."""
    why: str
    """What that means and what it comes from."""
    advice: str
    """What people do about it."""
    references: tuple[str, ...]
    """Where that, and the threshold, is written."""
    traps: tuple[str, ...]
    """When it would be wrong, and what is done about it."""
    make: Callable[[], Detector]
    """A detector for a new run."""
    needs: tuple[str, ...] = ()
    """The metrics without which it cannot judge."""
    one_of: tuple[str, ...] = ()
    """Of these it needs any one."""
    least: int = 1
    """How many points of each it needs before it judges."""
    algorithms: tuple[str, ...] = ()
    """The algorithms to which it applies; empty for all."""
    eager: bool = False
    """Whether it looks at every event; otherwise whenever the run has grown by a few percent."""
    action: str = ""
    """What a user wants done when it fires; empty for what is done about its severity."""

    def applies(self, algorithm: str) -> bool:
        """Whether it has anything to say about a run of this algorithm; one that is not known may be any."""
        return not (self.algorithms and algorithm) or not {*self.algorithms}.isdisjoint(algorithm.split(" or "))


def stateless(detector: Detector) -> Callable[[], Detector]:
    """What makes a detector that is a function of the record alone."""
    return lambda: detector
