"""Tables: columns, exact types, and nothing changed on the way into pandas, Arrow and Parquet."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from rldk.ingest import ingest_runs, to_arrow, to_parquet
from rldk.ingest.rows import LEADING
from rldk.io.manifest import Manifest
from rldk.io.segments import run_log
from rldk.metrics import METRICS, Source
from tests.runs import write_manifest
from tests.samples import an_event, write_log

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ingest.conftest import WriteLog

DTYPES = ["string"] * 3 + ["Int64", "float64", "string"] + ["Int64"] * 3


def column(source: Any, name: str, **options: Any) -> tuple[str, list[Any]]:
    """The type of a column, and its values with NA as None."""
    values = ingest_runs(source, **options)[name]
    return str(values.dtype), [None if value is pd.NA else value for value in values.tolist()]


def test_the_first_columns_are_always_there_with_exact_types(write: WriteLog, tmp_path: Path) -> None:
    """Also when there is no row, and when all of a column is absent."""
    foreign = ingest_runs(write("mine.jsonl", {"step": 1}))
    empty = ingest_runs(write("mine.jsonl", {"step": 1, "loss": 1}), filters=[lambda _: None])
    own = ingest_runs(write_log(tmp_path / "r1_events.jsonl", [an_event(3)]))

    for frame in (foreign, empty, own):
        assert tuple(frame.columns[:9]) == LEADING
        assert [str(kind) for kind in frame.dtypes[:9]] == DTYPES
    assert len(empty) == 0
    assert foreign.iloc[0].isna().tolist() == [False, False, True, False, True, True, False, False, True]
    assert own.iloc[0, 3:9].tolist() == [3, 3.5, "2026-01-31T23:59:03.250000Z", 1, 0, 42]


def test_a_metric_that_appears_late_has_a_column(write: WriteLog) -> None:
    """Over runs and rows, in the order in which metrics appear; NaN where it is absent."""
    one = write("one.jsonl", {"step": 1, "a": 1}, {"step": 2, "b": 2})
    two = write("two.jsonl", {"step": 1, "c": 3})
    frame = ingest_runs([one, two])

    assert list(frame.columns[9:]) == ["a", "b", "c"]
    assert str(frame[["a", "b", "c"]].values.tolist()) == "[[1.0, nan, nan], [nan, 2.0, nan], [nan, nan, 3.0]]"


def test_rows_stand_in_the_order_they_were_written(write: WriteLog) -> None:
    """Whatever curve they are of."""
    records = [
        {"step": 1, "loss": 1},
        {"step": 1, "loss": 2, "phase": "eval"},
        {"step": 2, "loss": 3},
        {"step": 3, "loss": 4},
        {"step": 3, "loss": 5, "phase": "eval"},
        {"step": 3, "more": 6},
    ]
    log = write("mine.jsonl", *records)

    assert column(log, "loss") == ("float64", [1.0, 2.0, 3.0, 4.0, 5.0])
    assert column(log, "more")[1][3] == 6.0


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, 2], "float64", [1.0, 2.0]),
        ([2**53, -(2**53)], "float64", [2.0**53, -(2.0**53)]),
        ([2**53 + 1, 7, None], "Int64", [2**53 + 1, 7, None]),
        ([2**63 - 1, -(2**63), 0], "Int64", [2**63 - 1, -(2**63), 0]),
        ([0.1, 1e-323, 1.7976931348623157e308], "float64", [0.1, 1e-323, 1.7976931348623157e308]),
        ([None, None], "float64", ["nan", "nan"]),
    ],
)
def test_numbers_are_exact(write: WriteLog, values: list[Any], kind: str, expected: list[Any]) -> None:
    """Doubles bit by bit; integers that no double holds make an Int64 column, Arrow and Parquet the same."""
    log = write("mine.jsonl", *({"step": step, "n": value} for step, value in enumerate(values)))
    found_kind, found = column(log, "n")
    arrow = to_arrow(log)["n"]

    assert found_kind == kind
    assert [str(value) for value in found] == [str(value) for value in expected]
    assert arrow.to_pylist() == values
    assert str(arrow.type) == {"Int64": "int64", "float64": "double"}[kind]


def test_large_integers_beside_fractions_are_rounded_and_said_so(write: WriteLog) -> None:
    """A column has one type; which were rounded is in the attributes."""
    records = [{"step": 1, "n": 2**53 + 1, "m": 2**53 + 1}, {"step": 2, "n": 0.5, "m": 1}]
    frame = ingest_runs(write("mine.jsonl", *records))

    assert frame["n"].tolist() == [2.0**53, 0.5]
    assert frame["m"].tolist() == [2**53 + 1, 1]
    assert frame.attrs["rldk"]["rounded"] == ["n"]


def test_nan_null_and_absent_are_told_apart_in_arrow(write: WriteLog, tmp_path: Path) -> None:
    """In pandas all are NaN; in Arrow and Parquet NaN is a value, and what is null or absent is null."""
    values = [{"x": math.nan}, {"x": None}, {}, {"x": math.inf}, {"x": -math.inf}, {"x": -0.0}]
    log = write("mine.jsonl", *({"step": step, **each} for step, each in enumerate(values)))
    to_parquet(log, tmp_path / "x.parquet")

    assert str(column(log, "x")) == "('float64', [nan, nan, nan, inf, -inf, -0.0])"
    for table in (to_arrow(log), pq.read_table(tmp_path / "x.parquet")):
        assert str(table["x"].to_pylist()) == "[nan, None, None, inf, -inf, -0.0]"
        assert table["wall_time"].null_count == 6


def test_a_metric_that_is_called_as_a_first_column_keeps_its_values(write: WriteLog) -> None:
    """Its column has a prefix."""
    log = write("mine.jsonl", {"iteration": 1, "step": 7, "rank": 0.5, "rewound": 2, "seed": 3})
    frame = ingest_runs(log, field_map={"step": "iteration"})

    assert list(frame.columns[9:]) == ["metrics.step", "metrics.rank", "metrics.rewound", "metrics.seed"]
    assert frame.iloc[0, 9:].tolist() == [7.0, 0.5, 2.0, 3.0]
    assert (frame["step"][0], frame["rank"][0]) == (1, 0)


def test_all_history_has_a_mark_for_what_was_replaced(write: WriteLog) -> None:
    """A column of truth values, after the first ones; without all history there is none."""
    log = write("mine.jsonl", *({"step": step, "loss": 1} for step in (1, 2, 3, 2)))
    frame = ingest_runs(log, history="all")

    assert list(frame.columns[9:]) == ["rewound", "loss"]
    assert (str(frame["rewound"].dtype), frame["rewound"].tolist()) == ("bool", [False, True, True, False])
    assert frame["attempt"].tolist() == [1, 1, 1, 2]
    assert str(to_arrow(log, history="all")["rewound"].type) == "bool"
    assert list(ingest_runs(log).columns[9:]) == ["loss"]


def test_every_rank_is_there_with_all_history(tmp_path: Path) -> None:
    """The lowest stands for the run otherwise."""
    for rank in (0, 1):
        name = f"r1_events{f'.rank{rank}' * (rank > 0)}.jsonl"
        write_log(tmp_path / name, [an_event(step, info={"rank": rank}) for step in (1, 2)])

    assert ingest_runs(tmp_path)["rank"].tolist() == [0, 0]
    assert ingest_runs(tmp_path, history="all")[["run_id", "rank", "step"]].values.tolist() == [
        *(["r1", 0, 1], ["r1", 0, 2], ["r1", 1, 1], ["r1", 1, 2])
    ]


def test_only_a_whole_number_is_a_seed(write: WriteLog) -> None:
    """Another is not in the table."""
    log = write("mine.jsonl", *({"step": step, "s": seed} for step, seed in enumerate([7, "x", 1.5, None, 0])))

    assert column(log, "seed", field_map={"seed": "s"}) == ("Int64", [7, None, None, None, 0])


class TestAttributes:
    """What is known beside the numbers."""

    @pytest.fixture
    def log(self, tmp_path: Path) -> Path:
        """A log whose manifest says what a metric means."""
        log = write_log(tmp_path / "r1_events.jsonl", [an_event(1, metrics={"kl_mean": 0.5, "mine": 1})])
        source = Source("kl", "kl_mean", "trl", estimator="k3")
        write_manifest(run_log(log), Manifest("r1", framework="trl", metrics={"kl": source}))
        return log

    def test_units_meanings_and_runs_are_attached(self, log: Path) -> None:
        """For the metrics that have a meaning, and for each run what its log says."""
        found = ingest_runs(log).attrs["rldk"]

        assert found["metrics"] == {"kl_mean": {"meaning": METRICS["kl_mean"].meaning, "unit": "nats per token"}}
        assert found["runs"] == {
            "r1": {
                "source": str(log),
                "adapter": "rldk_events",
                "axis": "step of the trainer",
                "facts": {"framework": "trl"},
                "metrics": {"kl_mean": {"native": "kl", "canonical": "kl_mean", "framework": "trl", "estimator": "k3"}},
            }
        }
        assert found["report"]["runs"][0]["unknown"] == {"mine": 1}
        assert found["rounded"] == []

    def test_they_survive_a_parquet_file_of_pandas(self, log: Path, tmp_path: Path) -> None:
        """`to_parquet` and back, by pandas alone; and they come along when rows are chosen."""
        frame = ingest_runs(log)
        frame.to_parquet(tmp_path / "x.parquet")
        again = pd.read_parquet(tmp_path / "x.parquet")

        assert again.attrs == frame.attrs == frame[frame["step"] > 0].attrs
        assert again["kl_mean"].tolist() == [0.5]

    def test_they_are_in_the_metadata_of_arrow_and_parquet(self, log: Path, tmp_path: Path) -> None:
        """As JSON."""
        to_parquet(log, tmp_path / "x.parquet")
        expected = ingest_runs(log).attrs["rldk"]

        for schema in (to_arrow(log).schema, pq.read_schema(tmp_path / "x.parquet")):
            assert json.loads(schema.metadata[b"rldk"]) == expected


def test_a_parquet_file_is_put_into_place_whole(write: WriteLog, tmp_path: Path) -> None:
    """In the place of an older one, and nothing else is left."""
    target = tmp_path / "out" / "x.parquet"
    target.parent.mkdir()
    target.write_bytes(b"old")
    to_parquet(write("mine.jsonl", {"step": 1}), target)

    assert pq.read_table(target).num_rows == 1
    assert [path.name for path in target.parent.iterdir()] == ["x.parquet"]
