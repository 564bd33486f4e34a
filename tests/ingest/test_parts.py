"""Rows taken one by one, and those of a regular log as a whole, make the same table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from rldk import open_writer
from rldk.ingest import IngestReport, ingest_runs, table, to_arrow
from rldk.ingest.parts import RegularPart, RowsPart
from rldk.io.event_schema import Event

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rldk.ingest.rows import Run


def event(step: int, metrics: dict[str, Any], **more: Any) -> Event:
    """An event of the run `r`."""
    info = {"run_id": "r", "phase": more.pop("phase", "train")}
    given: dict[str, Any] = {"rng": {"seed": 7}, "data_slice": {}, "notes": [], "timestamp": None} | more
    return Event(step=step, wall_time=float(step), metrics=metrics, model_info=info, **given)


LOGS: dict[str, list[Event]] = {
    "alike": [event(step, {"loss": 1 / step, "kl": 0.5}) for step in range(1, 300)],
    "nulls and non-finite": [
        event(1, {"loss": None, "kl": math.nan, "b": math.inf}),
        event(2, {"loss": 0.5, "kl": None, "b": -math.inf}),
    ],
    "late metrics": [event(1, {"loss": 1.0}), event(2, {"loss": 0.5, "kl": 1}), event(3, {"kl": 2, "loss": 0.25})],
    "evaluations": [
        each
        for step in range(1, 60)
        for each in (
            event(step, {"loss": 0.5}, timestamp=f"2026-01-31T23:00:{step:02d}.000000Z"),
            event(
                step,
                {"accuracy": 1.0},
                phase="eval",
                data_slice={"eval_set": "math", "text": "x"},
                timestamp=f"2026-01-31T23:00:{step:02d}.500000Z",
            ),
        )
    ],
    "no metrics": [event(1, {}), event(2, {})],
    "notes": [event(1, {"step": 3.0}, notes=["left_out: a (2 items)"], rng={}), event(2, {"step": 4.0}, rng={})],
}


def write(folder: Path, events: Sequence[Event]) -> Path:
    """The log of a run."""
    writer = open_writer(folder, run_id="r")
    for each in events:
        assert writer.write(each)
    writer.close()
    return writer.path


def slowly(path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> pd.DataFrame:
    """The table of a log whose events are taken one by one."""
    with monkeypatch.context() as patch:
        patch.setattr(table, "_regular", lambda _: None)
        return ingest_runs(path, **options)


@pytest.mark.parametrize("name", LOGS)
def test_both_ways_make_the_same_table(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns, types, values, attributes and the account are the same."""
    path = write(tmp_path, LOGS[name])
    fast, slow = IngestReport(), IngestReport()
    taken: list[RegularPart | RowsPart] = []
    regular = table._regular

    def watched(run: Run) -> Any:
        taken.append(regular(run))
        return taken[-1]

    monkeypatch.setattr(table, "_regular", watched)

    found = ingest_runs(path, report=fast)
    expected = slowly(path, monkeypatch, report=slow)

    assert [type(part) for part in taken] == [RegularPart]
    pd.testing.assert_frame_equal(found, expected, check_column_type=True)
    assert fast == slow
    assert found.attrs == expected.attrs


@pytest.mark.parametrize("name", LOGS)
def test_arrow_is_the_same_too(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Null and NaN are told apart both ways."""
    path = write(tmp_path, LOGS[name])

    found = to_arrow(path)
    monkeypatch.setattr(table, "_regular", lambda _: None)
    expected = to_arrow(path)

    assert found.schema.equals(expected.schema, check_metadata=True)
    for column in found.column_names:
        one, other = (each[column].combine_chunks() for each in (found, expected))
        assert one.is_null().equals(other.is_null())
        np.testing.assert_array_equal(one.to_numpy(zero_copy_only=False), other.to_numpy(zero_copy_only=False))


def test_large_integers_are_read_one_by_one(tmp_path: Path) -> None:
    """A metric of integers that no double holds is exact, though the log is regular otherwise."""
    path = write(tmp_path, [event(1, {"count": 2**60 + 1}), event(2, {"count": 3})])

    frame = ingest_runs(path)

    assert frame["count"].dtype == "Int64"
    assert frame["count"].tolist() == [2**60 + 1, 3]
