"""The one rule that is about several runs: two that agree in every step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rldk.alerts.findings import Alert
from rldk.alerts.rule import Rule, stateless

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rldk.alerts.findings import Verdict

__all__ = ["CLONE_RUN", "clones"]

CLONE_RUN: Final = Rule(
    name="clone_run",
    group="integrity",
    severity="warning",
    summary="Two runs agree in every step.",
    why="The seed has no effect, or one log is a copy of the other, so that they are one run and not two.",
    advice="Check that the seed reaches model, data and sampling; count the runs as one.",
    references=("A threshold of RLDK's own, measured: docs/explanation/diagnosis.md",),
    traps=("A test of determinism is meant to give this.",),
    make=stateless(lambda record: ()),  # noqa: ARG005 - a single run cannot be judged by it
    least=10,
)
"""The rule, for its text; a single run cannot be judged by it."""


def clones(verdicts: Iterable[Verdict]) -> list[Alert]:
    """An alert for each run that agrees with an earlier one in every step.

    Args:
        verdicts: of runs that are meant to be different ones.
    """
    seen: dict[tuple[int, int, tuple[int, int] | None], str] = {}
    found = []
    for verdict in verdicts:
        if verdict.fingerprint is None:
            continue
        key = (verdict.fingerprint, verdict.points, verdict.steps)
        first = seen.setdefault(key, verdict.run_id)
        if first == verdict.run_id:
            continue
        begin, end = verdict.steps or (0, 0)
        found.append(
            Alert(
                rule=CLONE_RUN.name,
                severity=CLONE_RUN.severity,
                state="firing",
                first_step=begin,
                last_step=end,
                fired_step=end,
                evidence={"points": verdict.points, "same as": first},
                message=f"{verdict.run_id} agrees with {first} in all {verdict.points} points.",
                advice=CLONE_RUN.advice,
                references=CLONE_RUN.references,
                confidence=0.95,
            )
        )
    return found
