"""SQL over a cached table of logs that were checked."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rldk.adapters import registry
from rldk.errors import IngestError, MissingExtraError, RLDKError
from rldk.ingest import query
from rldk.ingest.query import QueryError, query_runs
from rldk.io.segments import run_log, sealed_path
from tests.samples import an_event, write_log

pytest.importorskip("duckdb")

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ingest.conftest import WriteLog

STEPS = "SELECT step FROM runs ORDER BY step"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, empty."""
    monkeypatch.setenv("RLDK_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tables"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows each time a table is built."""
    found: list[int] = []
    build = query.table_of

    def counted(*arguments: Any) -> Any:
        found.append(1)
        return build(*arguments)

    monkeypatch.setattr(query, "table_of", counted)
    return found


def steps(source: Any, **options: Any) -> list[int]:
    """The steps in a source, asked for in SQL."""
    _, rows = query_runs(STEPS, source, **options)
    return [step for (step,) in rows]


def test_a_query_has_names_and_rows(write: WriteLog) -> None:
    """All runs are one table; NaN and null are two things, and a name with a slash is quoted."""
    one = write("one.jsonl", {"step": 1, "a/b": float("nan")}, {"step": 2, "a/b": None})
    two = write("two.jsonl", {"step": 3, "a/b": 0.1, "n": 2**62})
    sql = 'SELECT run_id, step, "a/b" AS x, n FROM runs ORDER BY step'
    names, rows = query_runs(sql, [one, two])

    assert names == ["run_id", "step", "x", "n"]
    assert str(rows) == f"[('one', 1, nan, None), ('one', 2, None, None), ('two', 3, 0.1, {2**62})]"


def test_the_cache_is_used_until_a_byte_changes(write: WriteLog, cache: Path, built: list[int]) -> None:
    """Whatever the time of the file says."""
    log = write("mine.jsonl", {"step": 1}, {"step": 2})
    before = log.stat()

    assert [steps(log), steps(str(log)), built] == [[1, 2], [1, 2], [1]]
    log.write_bytes(log.read_bytes().replace(b"2", b"3"))
    os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [steps(log), steps(log), built] == [[1, 3], [1, 3], [1, 1]]
    assert len(list(cache.iterdir())) == 2


def test_other_options_make_another_table(write: WriteLog, built: list[int]) -> None:
    """They are part of what a cached table is found by."""
    log = write("mine.jsonl", {"step": 1, "i": 5}, {"step": 2, "i": 6}, {"step": 1, "i": 7})

    assert steps(log) == [1]
    assert steps(log, history="all") == [1, 1, 2]
    assert steps(log, field_map={"step": "i"}) == [5, 6, 7]
    assert steps(log, on_error="salvage") == [1]
    assert steps(log, adapter_hint="custom_jsonl") == [1]
    assert len(built) == 5


def test_all_segments_of_a_log_count(tmp_path: Path, built: list[int]) -> None:
    """A byte in a sealed segment, a new segment, or a line that was appended."""
    log = run_log(write_log(tmp_path / "r1_events.jsonl", [an_event(2)]))
    write_log(sealed_path(log, 1), [an_event(1)])

    assert steps(log.path) == steps(log.path) == [1, 2]
    write_log(sealed_path(log, 1), [an_event(0)])
    assert steps(log.path) == [0, 2]
    log.path.rename(sealed_path(log, 2))
    assert steps(log.path) == [0, 2]
    write_log(log.path, [an_event(3)])
    assert steps(tmp_path) == [0, 2, 3]
    assert len(built) == 4


def test_logs_are_checked_before_they_are_asked(write: WriteLog, cache: Path) -> None:
    """What cannot be read is an error as ever, and leaves no table behind."""
    log = write("mine.jsonl", {"step": 1}, b"oops\n")

    for on_error in ("abort", "collect"):
        with pytest.raises(IngestError):
            steps(log, on_error=on_error)
    assert list(cache.iterdir()) == []
    assert steps(log, on_error="salvage") == [1]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT nope FROM runs", 'Referenced column "nope" not found'),
        ("SELEC step FROM runs", "syntax error"),
        ("SELECT * FROM nowhere", "Table with name nowhere does not exist"),
        ("SELECT 1/'x'", "Could not convert"),
    ],
)
def test_wrong_sql_is_an_error_of_rldk(write: WriteLog, sql: str, message: str) -> None:
    """With DuckDB's own explanation."""
    with pytest.raises(QueryError, match=message) as caught:
        query_runs(sql, write("mine.jsonl", {"step": 1}))

    assert isinstance(caught.value, RLDKError)
    assert str(caught.value).startswith("the query cannot be answered: ")


def test_variables_of_the_program_are_no_tables(write: WriteLog) -> None:
    """DuckDB would look for them by itself."""
    pandas = pytest.importorskip("pandas")
    rows = pandas.DataFrame({"x": [1]})

    with pytest.raises(QueryError, match="Table with name rows does not exist"):
        query_runs("SELECT * FROM rows", write("mine.jsonl", {"step": 1}))
    assert len(rows) == 1


def test_a_statement_without_rows_is_answered(write: WriteLog) -> None:
    """By none, or by what DuckDB says of it."""
    _, rows = query_runs("CREATE TABLE t AS SELECT * FROM runs", write("mine.jsonl", {"step": 1}))

    assert rows in ([], [(1,)])


def test_what_is_elsewhere_is_asked_too(cache: Path) -> None:
    """It is fetched each time, and its table is found by what is in it."""
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe("/query/run-7/metrics.jsonl", b'{"step": 1}\n{"step": 2}\n')

    for _ in range(2):
        _, rows = query_runs("SELECT DISTINCT run_id FROM runs", "memory://query/run-7")
        assert rows == [("run-7",)]
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(("module", "what"), [("duckdb", "DuckDB"), ("pandas", "pandas with pyarrow")])
def test_without_what_it_needs_the_extra_is_named(
    write: WriteLog, monkeypatch: pytest.MonkeyPatch, module: str, what: str
) -> None:
    """And how to install it."""
    monkeypatch.delitem(sys.modules, "rldk.ingest.table", raising=False)
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(MissingExtraError) as caught:
        steps(write("mine.jsonl", {"step": 1}))

    assert str(caught.value) == f"{what} is not installed; install it with: pip install 'rldk[table]'"


@pytest.mark.parametrize("sql", ["", " ; ", "-- SELECT 1"])
def test_what_asks_nothing_is_said(write: WriteLog, sql: str) -> None:
    """DuckDB itself takes it, and answers nothing."""
    with pytest.raises(QueryError) as caught:
        query_runs(sql, write("mine.jsonl", {"step": 1}))

    assert str(caught.value) == f"expected a query, found none in {sql!r}"


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"PAR1" + bytes(100)])
def test_a_damaged_table_is_built_anew(write: WriteLog, cache: Path, damage: bytes) -> None:
    """As after a disk was full; nobody has to find out where the cache is."""
    log = write("mine.jsonl", {"step": 1}, {"step": 2})
    steps(log)
    (table,) = cache.iterdir()
    whole = table.read_bytes()

    for damaged in (damage, whole[: len(whole) // 2]):
        table.write_bytes(damaged)
        assert steps(log) == [1, 2]
    assert table.read_bytes() == whole


def test_a_table_belongs_to_its_place(tmp_path: Path, write: WriteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is called after its folder is so in another folder too, where all else is the same."""
    found = []
    for folder in ("one", "two"):
        write(f"{folder}/metrics.jsonl", {"step": 1})
        monkeypatch.chdir(tmp_path / folder)
        found += query_runs("SELECT run_id FROM runs", "metrics.jsonl")[1]

    assert found == [("one",), ("two",)]


def test_columns_that_sql_does_not_tell_apart_are_told(write: WriteLog, caplog: pytest.LogCaptureFixture) -> None:
    """Each time, since whoever asks for one of them gets the other."""
    log = write("mine.jsonl", {"step": 1, "Loss": 0.5, "loss": 0.25})
    caplog.set_level("WARNING", "rldk.ingest")
    found = [query_runs("SELECT Loss, loss_1 FROM runs", log)[1] for _ in range(2)]

    assert found == [[(0.5, 0.25)]] * 2
    assert caplog.messages == ["the column 'loss' is called 'loss_1' in SQL, which does not tell it from another"] * 2


@pytest.mark.parametrize("name", ["trainer_state.json", "checkpoint-7/trainer_state.json"])
def test_what_lies_beside_a_log_counts(write: WriteLog, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The results of a Trainer have their step from its state."""
    monkeypatch.setitem(registry.NAMES, "trl", "TRLAdapter")
    results = write("train_results.json", {"train_runtime": 1.0, "train_samples_per_second": 2.0})

    for step in (7, 9):
        write(name, {"global_step": step, "epoch": 1.0, "log_history": [{"step": step, "loss": 0.5}]})
        assert steps(results) == [step]


def test_the_cache_may_lie_anywhere(tmp_path: Path, write: WriteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be a pattern is a name."""
    monkeypatch.setenv("RLDK_CACHE_DIR", str(tmp_path / "it's [1] *?"))
    log = write("mine.jsonl", {"step": 1})

    assert [steps(log), steps(log)] == [[1], [1]]
