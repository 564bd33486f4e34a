"""Turn whatever training runs left behind into events, or one table: `from rldk.ingest import ingest_runs`."""

from __future__ import annotations

from rldk.ingest.account import IngestReport, RunReport
from rldk.ingest.convert import convert
from rldk.ingest.diagnosis import diagnose
from rldk.ingest.ingest import ingest_events, ingest_runs, to_arrow, to_parquet

__all__ = ["IngestReport", "RunReport", "convert", "diagnose", "ingest_events", "ingest_runs", "to_arrow", "to_parquet"]
