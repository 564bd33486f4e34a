"""Any CSV file with a column for the step, with a field map where names need explaining."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from rldk.adapters.base import Certainty, Claim, FormatAdapter, Reading, no
from rldk.adapters.csv_rows import columns, csv_rows, first_rows
from rldk.adapters.custom_jsonl import COUNTS, STEP_NAMES, plain_event
from rldk.adapters.lines import read_head
from rldk.adapters.logged_rows import Logged, items, logged
from rldk.adapters.records import EventBuilder, number, run_name, whole_step
from rldk.errors import UnknownFormatError
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rldk.adapters.base import Item

__all__ = ["CustomCSVAdapter"]

_AXES: Final = {**dict.fromkeys(STEP_NAMES, "step"), **COUNTS}
"""What a column of steps may be called, in small letters, the first that there is; and what it counts."""

_WALL_TIME: Final = "Wall time"
"""The column that TensorBoard's pages give an export of one tag, beside `Step` and `Value`: seconds since 1970."""
_SHOWN: Final = 20


class CustomCSVAdapter(FormatAdapter):
    """Reads CSV files that no other adapter knows: those of Lightning and Keras, exports, loggers of one's own."""

    name: ClassVar[str] = "custom_csv"
    reads: ClassVar[str] = "any CSV with a column for the step; field map for other names"

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether there is a header with a step, and a whole number below it."""
        names = columns(head)
        if not names:
            return no("the first line is no header of a CSV file")
        step = _step_name(names, self.field_map)
        if not step:
            return no(_no_step(names, self.field_map))
        rows = first_rows(head)
        cells = (row[step] for row in rows if step in row)
        if (cell := next(cells, None)) is not None and isinstance(whole_step(number(cell)), Problem):
            return no(f"the column {step!r} holds no whole numbers, but {cell[:_SHOWN]!r}")
        others = [number(row.get(name, "")) for row in rows for name in names if name != step]
        # A blank cell may be that of a metric that comes later.
        if rows and "step" not in self.field_map and all(isinstance(each, str) and each for each in others):
            return no(f"CSV with a step, {step!r}, and no number beside it")
        return Claim(Certainty.GENERIC, f"CSV with a step, {step!r}")

    def read(self, path: Path) -> Reading:
        """The run that the file is of."""
        names = columns(read_head(path))
        step = _step_name(names, self.field_map)
        if not step:
            found = _no_step(names, self.field_map) if names else "a first line that is no header"
            raise UnknownFormatError(path, f"expected CSV with a column for the step, found {found}")
        known = {"timestamp": _WALL_TIME} if _WALL_TIME in names else {}
        builder = EventBuilder(run_name(path), field_map={**known, **self.field_map, "step": step})
        axis = "step" if "step" in self.field_map else _AXES[step.lower()]
        return Reading(_items(path, builder), axis, builder.sources)


def _step_name(names: Sequence[str], field_map: Mapping[str, str]) -> str:
    """The column that holds the step; empty when there is none."""
    if "step" in field_map:
        return field_map["step"] if field_map["step"] in names else ""
    found = {name.lower(): name for name in reversed(names)}
    return next((found[name] for name in _AXES if name in found), "")


def _no_step(names: Sequence[str], field_map: Mapping[str, str]) -> str:
    missing = repr(field_map["step"]) if "step" in field_map else "for the step"
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"CSV without a column {missing}; there are {shown}; name one with --field-map step=COLUMN"


def _items(path: Path, builder: EventBuilder) -> Iterator[Item]:
    step = builder.field_map["step"]
    for each in logged(csv_rows(path)):
        if isinstance(each, Logged):
            yield from items(each, path, [plain_event(each.values, builder)] if each.values.keys() - {step} else [])
        else:
            yield each
