"""Ask what was ingested in SQL, by DuckDB over a cached Parquet file; never over logs that were not checked."""

from __future__ import annotations

import hashlib
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rldk.errors import MissingExtraError, RLDKError
from rldk.ingest.account import IngestReport
from rldk.ingest.cache import cached, trim
from rldk.ingest.ingest import runs_of, table_of
from rldk.ingest.options import Options
from rldk.ingest.sources import find_units, local, unit_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rldk.ingest.options import OnError
    from rldk.ingest.sources import Source, Unit
    from rldk.io.reader import History

__all__ = ["QueryError", "query_runs"]

_CHUNK: Final = 2**20


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
        if not path.exists():
            report = IngestReport()
            table_of(runs_of(units, asked, report), asked, report).write_parquet(path)
            trim(path)
    with duckdb.connect() as database:
        try:
            database.read_parquet(str(path)).create_view("runs")
            found = database.execute(sql)
            return [column[0] for column in found.description or ()], found.fetchall()
        except duckdb.Error as error:
            raise QueryError(f"the query cannot be answered: {error}") from error


def _key(units: list[Unit], options: Options) -> str:
    """What the table depends on: how it is made, and every byte that it is made of."""
    digest = hashlib.sha256(msgspec.json.encode([version("rldk"), *options.key]))
    for unit in units:
        for path in unit_files(unit):
            digest.update(
                f"\n{unit.adapter.name} {unit.shown} {path.name} {path.stat().st_size}\n".encode(errors="replace")
            )
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
    return digest.hexdigest()[:32]
