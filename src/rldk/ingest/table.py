"""The table of what was ingested, for pandas, Arrow and Parquet: the only module that imports these."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from rldk.errors import MissingExtraError
from rldk.ingest.gathering import gather
from rldk.ingest.parts import Counts, Part, RegularPart, RowsPart
from rldk.ingest.rows import COUNTS, LEADING, TEXTS, column_name
from rldk.io.replace import replacing
from rldk.metrics import METRICS

try:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise MissingExtraError("pandas with pyarrow", "table") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from rldk.ingest.account import IngestReport
    from rldk.ingest.rows import Run

__all__ = ["Table"]


class Table:
    """Rows of runs, to be made a table of.

    Args:
        report: the account of all runs.
        rewound: whether there is a column that says which rows a later attempt replaced.
    """

    def __init__(self, report: IngestReport, *, rewound: bool) -> None:
        self._report = report
        self._rewound = rewound
        self._rounded: set[str] = set()
        self._parts: list[Part] = []
        self._runs: dict[str, dict[str, Any]] = {}

    def add(self, run: Run) -> None:
        """Take in a run, reading it to its end.

        Raises:
            IngestError: a line of it cannot be read.
        """
        part = _regular(run) or _rows(run)
        self._parts.append(part)
        reading = run.reading
        sources: dict[str, Any] = {}
        names = set(part.names())
        for source in reading.sources.values():
            # Of two keys that mean the same, one kept its name, and is another metric.
            if source.native == source.canonical or source.native not in names:
                sources.setdefault(source.canonical, msgspec.to_builtins(source))
        known = {"source": run.report.source, "adapter": run.report.adapter, "axis": reading.axis}
        facts = {key: value for key, value in reading.facts.items() if _is_plain(value)}
        self._runs.setdefault(run.report.run_id, {**known, "facts": facts, "metrics": sources})

    def frame(self) -> pd.DataFrame:
        """The table for pandas; see `rldk.ingest.ingest_runs`."""
        columns: dict[str, Any] = {}
        for name in LEADING:
            if name in TEXTS:
                columns[name] = pd.array(self._text(name), dtype="string[pyarrow]")
            elif name in COUNTS:
                columns[name] = pd.arrays.IntegerArray(*self._count(name))
            else:
                columns[name] = self._joined(lambda part: part.wall_time(), np.float64)
        if self._rewound:
            columns["rewound"] = self._joined(lambda part: part.rewound(), np.bool_)
        frame = pd.concat([pd.DataFrame(columns, copy=False), self._metrics_frame()], axis=1)
        frame.attrs["rldk"] = self._attributes(frame.columns)
        return frame

    def _metrics_frame(self) -> pd.DataFrame:
        """The metrics as one block of memory, but for those that are exact integers."""
        exact = {name: column for name in self._names if (column := self._exact(name)) is not None}
        floats = [name for name in self._names if name not in exact]
        matrix: Any = np.full((len(self), len(floats)), np.nan)
        for start, part in self._placed():
            part.fill(matrix[start : start + len(part)], {name: at for at, name in enumerate(floats)})
        frame = pd.DataFrame(matrix, columns=list(map(column_name, floats)), copy=False)
        for at, name in enumerate(self._names):
            if name in exact:
                values, present = exact[name]
                frame.insert(at, column_name(name), pd.arrays.IntegerArray(values, ~present))
        return frame

    def arrow(self) -> pa.Table:
        """The table for Arrow, in which null is what was absent or None, and NaN is NaN."""
        columns: dict[str, Any] = {}
        for name in LEADING:
            if name in TEXTS:
                columns[name] = self._text(name)
            elif name in COUNTS:
                values, absent = self._count(name)
                columns[name] = pa.array(values, mask=absent)
            else:
                values = self._joined(lambda part: part.wall_time(), np.float64)
                columns[name] = pa.array(values, mask=np.isnan(values))
        if self._rewound:
            columns["rewound"] = pa.array(self._joined(lambda part: part.rewound(), np.bool_))
        for name in self._names:
            values, present = self._exact(name) or self._spread(name, np.float64)
            columns[column_name(name)] = pa.array(values, mask=~present)
        table = pa.table(columns)
        return table.replace_schema_metadata({b"rldk": msgspec.json.encode(self._attributes(table.column_names))})

    def write_parquet(self, path: Path) -> None:
        """Write the table for Arrow to a Parquet file, put into place whole."""
        with replacing(path) as file:
            pq.write_table(self.arrow(), file, compression="zstd")

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    @property
    def _names(self) -> list[str]:
        return list(dict.fromkeys(chain.from_iterable(part.names() for part in self._parts)))

    def _placed(self) -> Iterator[tuple[int, Part]]:
        """Each part, and the row it begins at."""
        start = 0
        for part in self._parts:
            yield start, part
            start += len(part)

    def _joined(self, take: Callable[[Part], Any], kind: Any) -> Any:
        return np.concatenate([np.empty(0, kind), *map(take, self._parts)])

    def _text(self, name: str) -> pa.Array:
        return pa.concat_arrays([pa.array([], pa.string()), *(part.text(name) for part in self._parts)])

    def _count(self, name: str) -> Counts:
        """The values of a column of integers, and where there is none."""
        values = self._joined(lambda part: part.count(name).integers, np.int64)
        return Counts(values, self._joined(lambda part: part.count(name).absent, np.bool_))

    def _exact(self, name: str) -> tuple[Any, Any] | None:
        """A metric as integers, when it has some that no double may hold, and nothing else; and where it is."""
        if not any(isinstance(part, RowsPart) for part in self._parts):
            return None
        forms = {part.form(name) for part in self._parts if name in set(part.names())}
        if forms.isdisjoint({"large", "rounded"}):
            return None
        if forms.isdisjoint({"fraction", "rounded"}):
            return self._spread(name, np.int64)
        self._rounded.add(column_name(name))
        return None

    def _spread(self, name: str, kind: Any) -> tuple[Any, Any]:
        """The values of a metric over all rows, and where there is one."""
        values: Any = np.zeros(len(self), kind)
        present: Any = np.zeros(len(self), np.bool_)
        for start, part in self._placed():
            if name in set(part.names()):
                own, rows = part.numbers(name)
                values[start + rows] = own
                present[start + rows] = True
        return values, present

    def _attributes(self, columns: Iterable[str]) -> dict[str, Any]:
        """What cannot stand in the columns, as plain values that pandas can write to Parquet as well."""
        metrics = {name: METRICS[name] for name in columns if name in METRICS}
        return {
            "metrics": {name: {"meaning": each.meaning, "unit": each.unit} for name, each in metrics.items()},
            "rounded": sorted(self._rounded),
            "runs": self._runs,
            "report": msgspec.to_builtins(self._report),
        }


def _regular(run: Run) -> Part | None:
    """The rows of a run that RLDK recorded and nothing happened to, read in several processes when it is large."""
    columns = gather(run.log) if run.log else None
    run_ids = {kind.run_id for part in columns.parts for kind in part.kinds} if columns else set()
    if columns is None or len(run_ids) != 1:
        return None
    part = RegularPart(columns, run.named(*run_ids))
    part.note(run.report)
    return part


def _rows(run: Run) -> Part:
    """The rows of any run, event by event."""
    part = RowsPart()
    run.gather(part.add, part.clear)
    return part


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, (str, int, float, bool, list, dict))
