"""Write what was ingested to a file, in the form that its name says."""

from __future__ import annotations

import csv
import errno
import io
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from rldk.ingest.ingest import ingest_rows, ingest_table
from rldk.ingest.options import Options
from rldk.ingest.rows import LEADING, column_name
from rldk.io.replace import replacing
from rldk.io.values import spelled

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.ingest.account import IngestReport
    from rldk.ingest.rows import Row
    from rldk.ingest.sources import Source

__all__ = ["check_output", "write_output"]

_FORMS: Final = (".parquet", ".csv", ".jsonl")


def check_output(path: Path) -> None:
    """Do nothing when a file of this name can be written.

    Raises:
        ValueError: its ending says no form that is known.
        FileNotFoundError: there is no folder for it.
    """
    if path.suffix not in _FORMS:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(_FORMS)}, found {path.suffix or 'none'!r}")
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "No such folder", str(path.parent))


def write_output(path: Path | None, source: Source, report: IngestReport, **options: Any) -> None:
    """Ingest a source, and write the rows to a file, put into place whole; nowhere when there is no path.

    A file of the source is never written over.

    Args:
        path: the file. In CSV, NaN and infinities are spelled out and what is absent is empty. In JSON lines,
            what is absent is left out, and `nonfinite` says what a null was that is no null of the source.
        source: see `rldk.ingest.ingest_runs`.
        report: is filled with the account of every line.
        options: those of `rldk.ingest.ingest_runs`.
    """
    asked = Options(**options, output=path)
    if path is None:
        for _ in ingest_rows(source, asked, report):
            pass
    elif path.suffix == ".jsonl":
        with replacing(path) as file:
            for row in ingest_rows(source, asked, report):
                file.write(msgspec.json.encode(_flat(row, marked=asked.history == "all")) + b"\n")
    else:
        table = ingest_table(source, asked, report)
        if path.suffix == ".parquet":
            table.write_parquet(path)
        else:
            with replacing(path) as file:
                _write_csv(file, table.arrow())


def _flat(row: Row, *, marked: bool) -> dict[str, Any]:
    """A row as an object: the leading columns that it has, then its metrics."""
    event = row.event
    leading = {name: getattr(event, name) for name in LEADING if name != "seed"}
    found = {**leading, "seed": event.rng.get("seed"), "rewound": row.rewound if marked else None}
    metrics = {column_name(name): value for name, value in event.metrics.items()}
    lost = {name: spelled(value) for name, value in metrics.items() if value is not None and value - value != 0}
    present = {name: value for name, value in found.items() if value is not None}
    return {**present, **metrics, **({"nonfinite": lost} if lost else {})}


def _write_csv(file: IO[bytes], table: Any) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(table.column_names)
    for batch in table.to_batches(10_000):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            rows.writerow([spelled(value) if isinstance(value, float) else value for value in row])
    text.detach()
