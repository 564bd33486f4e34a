"""The rows of one run, column by column, as arrays: of events taken one by one, or of a regular log as a whole."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from array import array
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from rldk.errors import MissingExtraError
from rldk.ingest.account import is_metric
from rldk.ingest.columns import STAMP
from rldk.ingest.rows import COUNTS, TEXTS

try:
    import numpy as np
    import pyarrow as pa
except ImportError as error:
    raise MissingExtraError("pandas with pyarrow", "table") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rldk.ingest.account import RunReport
    from rldk.ingest.columns import Block, Columns, Kind
    from rldk.ingest.columns import Part as Buffers
    from rldk.ingest.rows import Row

__all__ = ["Counts", "Form", "Part", "RegularPart", "RowsPart"]

_EXACT: Final = 2**53
"""Up to this size every integer is a double."""


Form = Literal["whole", "large", "fraction", "rounded"]
"""What the values of a metric are: integers; integers some of which no double may hold; or numbers of any kind,
with such integers among them in the last case."""


class Counts(NamedTuple):
    """A column of integers."""

    integers: Any
    """int64, 0 where there is none."""
    absent: Any
    """bool."""


class Part(ABC):
    """The rows of one run, in the order in which their events were written."""

    @abstractmethod
    def __len__(self) -> int:
        """How many rows there are."""

    @abstractmethod
    def text(self, name: str) -> pa.Array:
        """One of the columns of text, null where there is none."""

    @abstractmethod
    def count(self, name: str) -> Counts:
        """One of the columns of integers."""

    @abstractmethod
    def wall_time(self) -> Any:
        """float64, NaN where it is not known."""

    @abstractmethod
    def rewound(self) -> Any:
        """bool: whether a later attempt has replaced a row."""

    @abstractmethod
    def names(self) -> Iterable[str]:
        """The metrics, in the order in which they first appeared."""

    @abstractmethod
    def numbers(self, name: str) -> tuple[Any, Any]:
        """The values of a metric and the rows they are in; int64 when they are integers and no double holds them."""

    def fill(self, matrix: Any, columns: Mapping[str, int]) -> None:
        """Put the values of metrics into a float64 matrix with a row for each row.

        Args:
            matrix: what to fill; where there is no value, nothing is done.
            columns: the metrics that are wanted, and the column of each.
        """
        for name in self.names():
            if name in columns:
                values, rows = self.numbers(name)
                matrix[rows, columns[name]] = values

    @abstractmethod
    def form(self, name: str) -> Form:
        """What the values of a metric are."""


class _Column:
    """The values of one metric, and the rows they are in."""

    __slots__ = ("large", "rows", "values", "whole")

    def __init__(self) -> None:
        self.rows = array("q")
        self.values = array("d")
        self.whole = True
        """Whether all values are integers."""
        self.large: dict[int, int] = {}
        """The integers that no double may hold, by their place among the values."""

    def add(self, row: int, value: float) -> None:
        """Add the value that a row has."""
        self.rows.append(row)
        self.values.append(value)
        if type(value) is float:
            self.whole = False
        elif not -_EXACT <= value <= _EXACT:
            self.large[len(self.values) - 1] = int(value)

    def numbers(self) -> Any:
        """The values, int64 when they are integers and no double holds them."""
        if not (self.large and self.whole):
            return np.frombuffer(self.values, np.float64)
        return np.array([self.large.get(at, value) for at, value in enumerate(self.values)], object).astype(np.int64)


class RowsPart(Part):
    """Rows that are added one by one."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all rows."""
        self._places = array("q")
        self._texts: dict[str, list[str | None]] = {name: [] for name in TEXTS}
        self._counts: dict[str, list[int | None]] = {name: [] for name in COUNTS}
        self._wall_time = array("d")
        self._rewound = bytearray()
        self._metrics: dict[str, _Column] = {}

    def __len__(self) -> int:
        return len(self._places)

    def add(self, row: Row) -> None:
        """Add a row; to be called before any column is asked for."""
        event, number = row.event, len(self._places)
        self._places.append(row.place)
        for name in TEXTS:
            self._texts[name].append(getattr(event, name))
        seed = event.rng.get("seed")
        self._counts["step"].append(event.step)
        self._counts["attempt"].append(row.attempt)
        self._counts["rank"].append(event.rank)
        self._counts["seed"].append(seed if type(seed) is int else None)
        self._wall_time.append(math.nan if event.wall_time is None else event.wall_time)
        self._rewound.append(row.rewound)
        for name, value in event.metrics.items():
            if name not in self._metrics:
                self._metrics[name] = _Column()
            if value is not None:
                self._metrics[name].add(number, value)

    @cached_property
    def _order(self) -> Any:
        return np.argsort(np.frombuffer(self._places, np.int64), kind="stable")

    @cached_property
    def _positions(self) -> Any:
        """Where each row comes to stand in that order."""
        positions: Any = np.empty(len(self), np.int64)
        positions[self._order] = np.arange(len(self))
        return positions

    def text(self, name: str) -> pa.Array:
        return pa.array(np.array(self._texts[name], object)[self._order], pa.string(), from_pandas=True)

    def count(self, name: str) -> Counts:
        found = self._counts[name]
        values = np.array([value or 0 for value in found], np.int64)[self._order]
        return Counts(values, np.array([value is None for value in found], np.bool_)[self._order])

    def wall_time(self) -> Any:
        return np.frombuffer(self._wall_time, np.float64)[self._order]

    def rewound(self) -> Any:
        return np.frombuffer(self._rewound, np.bool_)[self._order]

    def names(self) -> Iterable[str]:
        return self._metrics

    def numbers(self, name: str) -> tuple[Any, Any]:
        column = self._metrics[name]
        return column.numbers(), self._positions[np.frombuffer(column.rows, np.int64)]

    def form(self, name: str) -> Form:
        column = self._metrics[name]
        if column.large:
            return "large" if column.whole else "rounded"
        return "whole" if column.whole else "fraction"


class _Values(NamedTuple):
    """The values of a block, and where they belong."""

    names: tuple[str, ...]
    rows: Any
    matrix: Any
    """A row for each of `rows`, a column for each of `names`."""
    nulls: Any
    """The places in the flat matrix where None was logged."""


class RegularPart(Part):
    """The rows of a regular log.

    Args:
        columns: the log.
        run_id: the run that the rows are given as.
    """

    def __init__(self, columns: Columns, run_id: str) -> None:
        self._parts = columns.parts
        self._run_id = run_id
        self._blocks: list[_Values] = []
        start = 0
        for part in self._parts:
            self._blocks += [_values(block, start) for block in part.blocks]
            start += len(part.step)
        self._size = start

    def __len__(self) -> int:
        return self._size

    def text(self, name: str) -> pa.Array:
        if name == "run_id":
            return pa.repeat(pa.scalar(self._run_id), len(self))
        if name == "timestamp":
            return pa.concat_arrays(list(map(_stamps, self._parts)) or [pa.array([], pa.string())])
        return self._by_kind(lambda kind: getattr(kind, name), pa.string())

    def count(self, name: str) -> Counts:
        if name == "step":
            values = self._joined(lambda part: part.step, np.int64)
            return Counts(values, np.zeros(len(self), np.bool_))
        found = self._by_kind(lambda kind: getattr(kind, name), pa.int64())
        if name == "attempt":
            found = found.fill_null(1)
        return Counts(found.fill_null(0).to_numpy(zero_copy_only=False), found.is_null().to_numpy(zero_copy_only=False))

    def wall_time(self) -> Any:
        return self._joined(lambda part: part.wall_time, np.float64)

    def rewound(self) -> Any:
        return np.zeros(len(self), np.bool_)

    def names(self) -> Iterable[str]:
        return dict.fromkeys(name for block in self._blocks for name in block.names)

    def numbers(self, name: str) -> tuple[Any, Any]:
        values: list[Any] = [np.empty(0)]
        rows: list[Any] = [np.empty(0, np.int64)]
        for block in self._blocks:
            if name in block.names:
                at = block.names.index(name)
                there: Any = np.ones(len(block.rows), np.bool_)
                there[block.nulls[block.nulls % len(block.names) == at] // len(block.names)] = False
                values.append(block.matrix[there, at])
                rows.append(block.rows[there])
        return np.concatenate(values), np.concatenate(rows)

    def form(self, name: str) -> Form:
        values, _ = self.numbers(name)
        return "whole" if np.array_equal(values, np.floor(values)) else "fraction"

    def fill(self, matrix: Any, columns: Mapping[str, int]) -> None:
        for block in self._blocks:
            wanted = [columns.get(name, -1) for name in block.names]
            first, last = block.rows[0], block.rows[-1] + 1
            if wanted == list(range(matrix.shape[1])) and last - first == len(block.rows):
                matrix[first:last] = block.matrix
            else:
                taken = [at for at, column in enumerate(wanted) if column >= 0]
                matrix[block.rows[:, None], [wanted[at] for at in taken]] = block.matrix[:, taken]

    def note(self, report: RunReport) -> None:
        """Enter all rows in the account of their run."""
        report.lines = report.parsed = report.events = len(self)
        for block in self._blocks:
            _note_values(report, block)
        for part in self._parts:
            counts = np.bincount(np.frombuffer(part.kind, np.int32), minlength=len(part.kinds))
            for kind, count in zip(part.kinds, counts.tolist(), strict=True):
                for name in kind.texts:
                    report.texts[name] = report.texts.get(name, 0) + count
                report.left_out += count * kind.left_out

    def _joined(self, take: Callable[[Buffers], memoryview], kind: Any) -> Any:
        return np.concatenate([np.empty(0, kind), *(np.frombuffer(take(part), kind) for part in self._parts)])

    def _by_kind(self, value: Callable[[Kind], Any], form: pa.DataType) -> pa.Array:
        """A column whose values hang on the kinds of the rows."""
        parts = [
            pa.array(map(value, part.kinds), form).take(np.frombuffer(part.kind, np.int32)) for part in self._parts
        ]
        return pa.concat_arrays(parts or [pa.array([], form)])


def _values(block: Block, start: int) -> _Values:
    """The values of a block of a part that begins with this row."""
    rows: Any = np.frombuffer(block.rows, np.int64) + start
    matrix = np.frombuffer(block.values, np.float64).reshape(len(rows), len(block.names))
    return _Values(block.names, rows, matrix, np.frombuffer(block.nulls, np.int64))


def _stamps(part: Buffers) -> pa.Array:
    if not len(part.timestamps):
        return pa.nulls(len(part.step), pa.string())
    offsets: Any = np.arange(0, len(part.timestamps) + 1, STAMP, dtype=np.int32)
    return pa.StringArray.from_buffers(len(part.step), pa.py_buffer(offsets), pa.py_buffer(part.timestamps))


def _note_values(report: RunReport, block: _Values) -> None:
    nulls = np.bincount(block.nulls % len(block.names), minlength=len(block.names)) if block.names else []
    lost = len(block.rows) - np.isfinite(block.matrix).sum(axis=0)
    for name, null, nonfinite in zip(block.names, nulls, lost - nulls, strict=True):
        for counts, count in ((report.null, int(null)), (report.nonfinite, int(nonfinite))):
            if count:
                counts[name] = counts.get(name, 0) + count
        if not is_metric(name):
            report.unknown[name] = report.unknown.get(name, 0) + len(block.rows)
