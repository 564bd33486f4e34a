"""Rules on ranks that ought to agree."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, TypeVar

from rldk.alerts.rule import Finding, Rule
from rldk.alerts.rules.wording import number, steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldk.alerts.record import Record
    from rldk.io.event_schema import Event

__all__ = ["RULES"]

_NOTHING: Final[tuple[Finding, ...]] = ()
_EQUAL: Final = {"grad_norm": 1e-2, "lr": 1e-6}
"""What every rank has to log alike, and how nearly: the gradient is that of all ranks together."""

_Key = TypeVar("_Key")

_KEPT: Final = 64
_RANKS: Final = 4096


class _Disagreement:
    """Compares what other ranks log with what the lowest one does."""

    def __init__(self) -> None:
        self._own: OrderedDict[int, dict[str, float]] = OrderedDict()
        self._others: OrderedDict[tuple[int, int], dict[str, float]] = OrderedDict()
        self._count: dict[tuple[int, str], int] = {}
        self._found: dict[str, Finding] = {}

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The metrics in which a rank disagrees."""
        if not record.other_ranks:
            return _NOTHING
        other = record.other
        if record.cut_to is not None:
            self._own.clear()
            self._others.clear()
        if other is not None:
            self._keep(self._others, (other.step, other.rank), other)
            self._compare(other.step, other.rank, record)
        elif record.event is not None and record.phase == "train":
            self._keep(self._own, record.step, record.event)
            for step, rank in [key for key in self._others if key[0] == record.step]:
                self._compare(step, rank, record)
        return list(self._found.values())

    def _keep(self, kept: OrderedDict[_Key, dict[str, float]], key: _Key, event: Event) -> None:
        kept[key] = {name: value for name in _EQUAL if (value := event.metrics.get(name)) is not None}
        if len(kept) > _KEPT:
            kept.popitem(last=False)

    def _compare(self, step: int, rank: int, record: Record) -> None:
        own, other = self._own.get(step), self._others.get((step, rank))
        if own is None or other is None:
            return
        for name in own.keys() & other.keys():
            one, two = own[name], other[name]
            broken = two - two != 0 and one - one == 0
            # That both are broken is the finding of another rule, and NaN is never equal to NaN.
            both = two - two != 0 and one - one != 0
            near = both or one == two or abs(one - two) <= _EQUAL[name] * max(abs(one), abs(two))
            key = (rank, name)
            self._count[key] = 0 if near and not broken else self._count.get(key, 0) + 1
            # Twice may be a rank that logs a step later than another.
            if self._count[key] > 2 and len(self._count) < _RANKS:  # noqa: PLR2004 - see above
                self._found[name] = Finding(
                    severity="critical" if broken else "warning",
                    message=f"Rank {rank} has {name} {two:.6g} at step {step}, where the lowest rank has {one:.6g}: "
                    "the ranks no longer train the same model.",
                    first_step=step if name not in self._found else self._found[name].first_step,
                    last_step=step,
                    metric=name,
                    value=two if two - two == 0 else None,
                    baseline=one,
                    evidence={"rank": rank, "points in a row": self._count[key], "difference": number(abs(one - two))},
                    confidence=0.85,
                )


class _Behind:
    """Finds ranks that have fallen silent."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The rank that is furthest behind."""
        if not record.other_ranks:
            return _NOTHING
        if record.other is not None and len(self._last) < _RANKS:
            self._last[record.other.rank] = record.other.step
        if not self._last or record.last_step is None or record.stride is None:
            return _NOTHING
        rank = min(self._last, key=lambda each: self._last[each])
        behind = record.last_step - self._last[rank]
        if behind <= 20 * record.stride:
            return _NOTHING
        return [
            Finding(
                severity="warning",
                message=f"Rank {rank} has logged nothing for {steps(behind)}, since step {self._last[rank]}.",
                first_step=self._last[rank],
                evidence={"rank": rank, "ranks": len(self._last) + 1},
                confidence=0.8,
            )
        ]


_MEASURED: Final = "A threshold of RLDK's own, measured: docs/explanation/diagnosis.md"

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="rank_disagreement",
        group="ranks",
        severity="critical",
        summary="Ranks differ in what they must have in common.",
        why="The gradient is averaged over all ranks and the schedule is the same: where they differ, the ranks no "
        "longer train the same model.",
        advice="Restart from the last checkpoint at which they agreed; look at the hardware of the rank.",
        references=("PyTorch, DistributedDataParallel: gradients are averaged over processes",),
        traps=("A rank may log a step later than another: it takes three points in a row.",),
        make=_Disagreement,
        eager=True,
    ),
    Rule(
        name="rank_silent",
        group="ranks",
        severity="warning",
        summary="A rank has fallen silent.",
        why="Its process died or hangs, or its log cannot be written.",
        advice="Look at the end of its console and of its log.",
        references=(_MEASURED,),
        traps=("Logs of ranks are put together in the order of their steps; one that is read later is behind.",),
        make=_Behind,
        eager=True,
    ),
)
"""The rules of this group."""
