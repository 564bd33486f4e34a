"""Reading any CSV with a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rldk.adapters.base import Certainty
from rldk.adapters.custom_csv import CustomCSVAdapter
from rldk.adapters.lines import read_head
from rldk.adapters.registry import detect
from rldk.errors import UnknownFormatError
from tests.adapters.items import asides, bads, events, lines, survives
from tests.shared import REAL, needs_shared

if TYPE_CHECKING:
    from pathlib import Path

LIGHTNING = "epoch,step,train_loss,val_loss\n0,9,0.5,\n0,9,,0.75\n1,19,0.25,\n"
KERAS = "epoch,accuracy,loss\n0,0.5,1.25\n"
TENSORBOARD = "Wall time,Step,Value\n1614619328.5,7,0.125\n"
TIMED = "timesteps,wall_time,phase,note,mine\n32768.0,11.5,eval,good,inf\n"


def write(tmp_path: Path, content: str) -> Path:
    """A file with this content."""
    path = tmp_path / "mine.csv"
    path.write_text(content)
    return path


def test_rows_are_events(tmp_path: Path) -> None:
    """Lightning's CSVLogger leaves blank what was not logged; the epoch is a metric beside the step."""
    path = write(tmp_path, LIGHTNING)
    items = list(CustomCSVAdapter().read(path).items)

    assert [(event.step, event.metrics) for event in events(items)] == [
        (9, {"epoch": 0, "train_loss": 0.5}),
        (9, {"epoch": 0, "val_loss": 0.75}),
        (19, {"epoch": 1, "train_loss": 0.25}),
    ]
    assert (asides(items), lines(items)) == ([("header", 1)], 4)


@pytest.mark.parametrize(
    ("content", "axis"),
    [(LIGHTNING, "step"), (KERAS, "epoch"), (TENSORBOARD, "step"), (TIMED, "environment step")],
)
def test_the_axis_is_what_the_column_counts(content: str, axis: str, tmp_path: Path) -> None:
    """A step, an epoch, or steps of the environment."""
    path = write(tmp_path, content)

    found = detect(path)
    assert (found.adapter.name, found.claim.certainty) == ("custom_csv", Certainty.GENERIC)
    assert CustomCSVAdapter().read(path).axis == axis


def test_time_and_phase_are_taken_where_they_are_sure(tmp_path: Path) -> None:
    """Other texts are kept, and a step may be written as a float."""
    (event,) = events(list(CustomCSVAdapter().read(write(tmp_path, TIMED)).items))

    assert (event.step, event.wall_time, event.phase) == (32768, 11.5, "eval")
    assert (event.metrics, event.data_slice) == ({"mine": float("inf")}, {"note": "good"})


def test_an_export_of_tensorboard_has_its_time(tmp_path: Path) -> None:
    """Its page downloads a tag as `Wall time,Step,Value`."""
    (event,) = events(list(CustomCSVAdapter().read(write(tmp_path, TENSORBOARD)).items))

    assert (event.step, event.timestamp, event.metrics) == (7, "2021-03-01T17:22:08.500000Z", {"Value": 0.125})


def test_a_field_map_names_step_and_metrics(tmp_path: Path) -> None:
    """For names that tell nobody anything."""
    path = write(tmp_path, "n,r\n3,0.5\n")
    field_map = {"step": "n", "reward_mean": "r"}

    (event,) = events(list(CustomCSVAdapter(field_map).read(path).items))
    assert (event.step, event.metrics) == (3, {"reward_mean": 0.5})
    assert detect(path, field_map).adapter.name == "custom_csv"


def test_without_a_step_the_columns_are_named(tmp_path: Path) -> None:
    """So that one can say which of them it is."""
    path = write(tmp_path, "n,r\n3,0.5\n")
    why = "CSV without a column for the step; there are n, r; name one with --field-map step=COLUMN"

    assert CustomCSVAdapter().handles(read_head(path), path).why == why
    with pytest.raises(UnknownFormatError) as caught:
        CustomCSVAdapter().read(path)
    assert str(caught.value) == f"{path}: expected CSV with a column for the step, found {why}"
    assert "without a column 'x'" in CustomCSVAdapter({"step": "x"}).handles(read_head(path), path).why


def test_a_column_of_texts_counts_no_steps(tmp_path: Path) -> None:
    """Whatever it is called."""
    path = write(tmp_path, "step,what\nfirst,mix\n")

    claim = CustomCSVAdapter().handles(read_head(path), path)
    assert (bool(claim), claim.why) == (False, "the column 'step' holds no whole numbers, but 'first'")


@pytest.mark.parametrize(("rows", "is_log"), [("1,mix\n", False), ("1,\n", True), ("1,nan\n", True), ("", True)])
def test_a_table_of_texts_is_no_log(rows: str, is_log: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter
    """Samples that were drawn at a step; where a cell is blank or there is no row, numbers may follow."""
    path = write(tmp_path, f"step,what\n{rows}")

    claim = CustomCSVAdapter().handles(read_head(path), path)
    assert bool(claim) == is_log
    assert is_log or claim.why == "CSV with a step, 'step', and no number beside it"


def test_a_row_without_a_step_is_bad(tmp_path: Path) -> None:
    """And one with nothing else is set aside."""
    items = list(CustomCSVAdapter().read(write(tmp_path, "step,mine\n,1\n2,\n")).items)

    assert bads(items) == ["<line>:2:10: $.step: expected a step, found nothing [missing_field]"]
    assert asides(items)[1:] == [("a step without metrics", 1)]


@needs_shared
def test_a_real_log_is_read_whole() -> None:
    """Every row of somebody else's run."""
    path = next((REAL / "custom-csv").rglob("log.csv"))
    items = list(CustomCSVAdapter().read(path).items)

    assert (len(events(items)), bads(items), lines(items)) == (763, [], 764)
    assert events(items)[-1].step == 25001984


@pytest.mark.parametrize("content", [LIGHTNING, TENSORBOARD, TIMED])
def test_damage_is_never_more_than_an_error(content: str, tmp_path: Path) -> None:
    """Whatever becomes of a file, it is read or refused."""
    survives(CustomCSVAdapter(), tmp_path / "mine.csv", content.encode(), 500)
