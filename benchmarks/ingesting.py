"""Strict ingest into a DataFrame against the readers of polars and pandas, which check nothing."""

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.events import NAMES, large_log

SIZE = 200_000_000
ROUNDS = 5
THREADS = "2"


def measure(folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """Alternate them over one log that was just written, by the clock on the wall."""
    # It counts when polars is imported; RLDK starts as many processes as there are processors.
    os.environ["POLARS_MAX_THREADS"] = THREADS
    try:
        import pandas as pd
        import polars as pl  # noqa: PLC0415 - as late as that
    except ImportError:
        yield "ingest", "needs rldk[bench]", "", ">= 1.0 x"
        return
    from rldk.ingest import ingest_runs  # noqa: PLC0415 - it needs pandas

    path, count = large_log(folder, SIZE)

    def ours() -> Any:
        return ingest_runs(path)

    def polars() -> Any:
        return pl.read_ndjson(path)

    def pandas() -> Any:
        return pd.read_json(path, lines=True)

    pairs = [(_seconds(ours, count), _seconds(polars, count)) for _ in range(ROUNDS)]
    seconds = statistics.median(mine for mine, _ in pairs)
    to_polars = statistics.median(other / mine for mine, other in pairs)
    to_pandas = _seconds(pandas, count) / seconds
    what = f"strict ingest of {SIZE / 1e6:.0f} MB, {count:,} events of {len(NAMES)} metrics, {seconds:.2f} s,"
    yield f"{what} to polars.read_ndjson", f"{to_polars:.2f} x", ">= 0.7 x", ">= 1.0 x"
    yield "the same to pandas.read_json", f"{to_pandas:.1f} x", ">= 5 x", ""
    path.unlink()


def _seconds(read: Callable[[], Any], count: int) -> float:
    gc.collect()
    began = time.perf_counter()
    table = read()
    seconds = time.perf_counter() - began
    assert len(table) == count
    return seconds
