"""Ask what was ingested in SQL, by DuckDB over a cached Parquet file; never over logs that were not checked."""

from __future__ import annotations

import hashlib
import logging
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rldk.adapters.trl_algorithm import BESIDE
from rldk.adapters.trl_state import STATE
from rldk.errors import MissingExtraError, RLDKError
from rldk.ingest.account import IngestReport
from rldk.ingest.cache import cached, trim
from rldk.ingest.ingest import runs_of, table_of
from rldk.ingest.options import Options
from rldk.ingest.sources import find_units, local, unit_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rldk.ingest.options import OnError
    from rldk.ingest.sources import Source, Unit
    from rldk.io.reader import History

__all__ = ["QueryError", "query_runs"]

_log: Final = logging.getLogger("rldk.ingest")

_CHUNK: Final = 2**20

_BESIDE: Final = (STATE, f"checkpoint-*/{STATE}", *BESIDE)
"""What the adapter `trl` looks at beside a log, or in the folder above."""


class QueryError(RLDKError, ValueError):
    """DuckDB cannot answer a query; the message is its own."""


def query_runs(
    sql: str,
    source: Source,
    *,
    adapter_hint: str | None = None,
    field_map: Mapping[str, str] | None = None,
    on_error: OnError = "abort",
    history: History = "effective",
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The answer to a query over all runs in a source, whose table is called `runs`.

    Args:
        sql: the query, as DuckDB understands it.
        source: see `rldk.ingest.ingest_runs`, for this and all others.
        adapter_hint: the adapter to read with.
        field_map: for each of RLDK's names the field of the log that holds it.
        on_error: what to do about a line that cannot be read.
        history: `effective`, or `all`.

    Returns:
        the names of the columns, and the rows.

    Raises:
        QueryError: the query is wrong.
        IngestError, UnknownFormatError, MissingExtraError, OSError, ValueError: see `rldk.ingest.ingest_runs`.
    """
    try:
        duckdb = import_module("duckdb")
    except ImportError as error:
        raise MissingExtraError("DuckDB", "table") from error
    asked = Options(adapter_hint=adapter_hint, field_map=field_map, on_error=on_error, history=history)
    with local(source) as places:
        units, _ = find_units(places, asked)
        path = cached(f"{_key(units, asked)}.parquet")
        with duckdb.connect() as database:
            try:
                if not (path.exists() and _viewed(database, path)):
                    report = IngestReport()
                    table_of(runs_of(units, asked, report), asked, report).write_parquet(path)
                    trim(path)
                    _view(database, path)
                database.execute(sql)
                if database.description is None:
                    raise QueryError(f"expected a query, found none in {sql!r}")
                return [column[0] for column in database.description], database.fetchall()
            except duckdb.Error as error:
                raise QueryError(f"the query cannot be answered: {error}") from error


def _viewed(database: Any, path: Path) -> bool:
    """Whether a table of the cache can be asked as `runs`; one that is damaged, or was just removed, can not."""
    try:
        _view(database, path)
    except import_module("duckdb").Error as error:
        _log.info("%s: built anew: %s", path, error)
        return False
    return True


def _view(database: Any, path: Path) -> None:
    """Let a table of the cache be asked as `runs`."""
    table = database.read_parquet(str(path))
    columns = "SELECT name FROM parquet_schema(?) WHERE num_children IS NULL"
    names = [name for (name,) in database.execute(columns, [str(path)]).fetchall()]
    table.create_view("runs")
    for name, called in zip(names, table.columns, strict=True):
        if name != called:
            # SQL takes no notice of capitals: whoever asks for `loss` would get `Loss`, and never know.
            _log.warning("the column %r is called %r in SQL, which does not tell it from another", name, called)


def _key(units: list[Unit], options: Options) -> str:
    """What the table depends on: how it is made, and every byte that it is made of."""
    digest = hashlib.sha256(msgspec.json.encode([version("rldk"), *options.key]))
    for unit in units:
        # What a run is called may hang on the names of the folders above it.
        place = unit.shown if "://" in unit.shown else str(unit.path.absolute())
        for path in [*unit_files(unit), *_beside(unit)]:
            head = f"\n{unit.adapter.name} {unit.shown} {place} {path.name} {path.stat().st_size}\n"
            digest.update(head.encode(errors="surrogateescape"))
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
    return digest.hexdigest()[:32]


def _beside(unit: Unit) -> list[Path]:
    """The files that are no logs, and that a run's step or metrics may be told by all the same."""
    folder = unit.path if unit.path.is_dir() else unit.path.parent
    folders = (folder, folder.parent) if unit.adapter.name == "trl" else ()
    found = (path for each in folders for name in _BESIDE for path in sorted(each.glob(name)))
    return [path for path in found if path.is_file()]
