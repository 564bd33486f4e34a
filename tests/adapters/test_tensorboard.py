"""Event files of real writers are read to the last value, and known by their content."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import pytest

from rldk.adapters.base import HEAD, Aside, Bad, Certainty, Claim, Item, Parsed
from rldk.adapters.tensorboard import TensorBoardAdapter
from rldk.adapters.trl import TRLAdapter
from rldk.errors import InvalidLineError
from tests.adapters.event_file import event_file, scalars
from tests.shared import REAL, needs_shared

GOLDEN = Path(__file__).parents[1] / "golden" / "tensorboard"
"""Written by torch 2.13, tensorboardX 2.6.5, TensorBoard 2.21 in the form of tf.summary, and TRL."""


def single(value: float) -> float:
    """A number in single precision, as TensorBoard stores it."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def points(items: list[Item]) -> list[tuple[str, int, dict[str, Any]]]:
    """Phase, step and metrics of each event."""
    return [(each.event.phase, each.event.step, dict(each.event.metrics)) for each in items if isinstance(each, Parsed)]


def claim(path: Path) -> Claim:
    """What the adapter says of a file."""
    with path.open("rb") as file:
        return TensorBoardAdapter().handles(file.read(HEAD), path)


def test_what_torch_writes() -> None:
    """Floats, tensors of floats and of doubles are metrics; text, histograms and pictures are set aside by name."""
    items = list(TensorBoardAdapter().read(GOLDEN / "torch_writer").items)
    found = points(items)

    assert found[:4] == [
        ("train", 0, {"loss": 1.0, "new": 0.0, "double": 0.0}),
        ("eval", 0, {"acc": 0.0}),
        ("train", 1, {"loss": 0.5, "new": single(0.1), "double": 0.1}),
        ("eval", 1, {"acc": single(0.1)}),
    ]
    assert math.isnan(found[8][2]["loss"])
    assert found[9:] == [("train", 5, {"loss": math.inf}), ("train", 6, {"loss": -math.inf})]
    assert {each for each in items if isinstance(each, Aside)} == {
        Aside("header, brain.Event:2"),
        Aside("text 'note/text_summary'"),
        Aside("histogram 'weights'"),
        Aside("image 'img'"),
    }
    assert sum(each.lines for each in items) == 26


def test_a_folder_inside_is_a_run_of_its_own() -> None:
    """`add_scalars` and `add_hparams` make folders, and TensorBoard takes them for runs."""
    assert points(list(TensorBoardAdapter().read(GOLDEN / "torch_writer" / "both_a").items)) == [
        ("train", 7, {"both": 1.0})
    ]
    assert points(list(TensorBoardAdapter().read(GOLDEN / "torch_writer" / "hp").items)) == [
        ("train", 0, {"hparam/acc": 0.5})
    ]


def test_what_tensorboard_x_writes() -> None:
    """CleanRL's writer, and its tags."""
    reading = TensorBoardAdapter().read(GOLDEN / "x_writer")

    assert points(list(reading.items))[1:] == [
        ("train", 10, {"env_steps_per_second": 101.0, "policy_loss": -0.5}),
        ("train", 20, {"env_steps_per_second": 102.0, "policy_loss": -1.0}),
    ]
    assert (reading.axis, reading.facts["framework"]) == ("environment step", "cleanrl")


def test_what_tf_summary_writes() -> None:
    """Every type of tensor is read exactly, and several values in one record."""
    items = list(TensorBoardAdapter().read(GOLDEN / "tf2_writer").items)

    assert points(items) == [
        ("train", 0, {"epoch_loss": 0.0}),
        ("train", 1, {"epoch_loss": 0.25}),
        ("train", 2, {"epoch_loss": 0.5}),
        ("train", 3, {"a": 1.0, "b": 2.0}),
        (
            "train",
            4,
            {
                "int32": -7,
                "int64": 2**40,
                "double": 0.1,
                "bool": 1,
                "uint32": 2**32 - 1,
                "uint64": 2**63 - 1,
                "int8": -1,
                "half": 0.3330078125,
                "bfloat16": 0.333984375,
                "content": 0.1,
            },
        ),
    ]


def test_a_trl_run_gives_the_events_of_its_trainer_state() -> None:
    """A GRPO run with two evaluation sets: phase, set, step, metrics and window are the same, in single precision."""
    (folder,) = (GOLDEN / "trl_grpo" / "runs").iterdir()
    reading = TensorBoardAdapter().read(folder)
    ours = [each.event for each in reading.items if isinstance(each, Parsed)]
    theirs = list(TRLAdapter().events(GOLDEN / "trl_grpo" / "trainer_state.json"))

    assert [(each.phase, each.eval_set, each.step, each.metrics, each.data_slice) for each in ours] == [
        (
            each.phase,
            each.eval_set,
            each.step,
            {name: single(value) for name, value in each.metrics.items() if value is not None},
            each.data_slice,
        )
        for each in theirs
    ]
    assert {each.model_info["algorithm"] for each in ours} == {"grpo or rloo"}
    assert reading.axis == "optimizer update"


def test_modes_are_those_of_every_adapter(tmp_path: Path) -> None:
    """A torn tail is refused when strict and left out when tolerated."""
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(event_file(*scalars((1, "a", 1.0), (2, "a", 2.0)))[:-1])

    with pytest.raises(InvalidLineError) as caught:
        list(TensorBoardAdapter().events(path))
    assert (caught.value.kind, caught.value.path, caught.value.line, caught.value.byte) == ("torn_tail", path, 3, 79)
    assert [each.step for each in TensorBoardAdapter().events(path, "tolerate_torn_tail")] == [1]
    assert [each.step for each in TensorBoardAdapter().events(path, "stop_at_first_bad")] == [1]


def test_an_event_file_is_known_by_its_content(tmp_path: Path) -> None:
    """Its name does not matter, and a name alone is nothing."""
    path = tmp_path / "anything"
    path.write_bytes(event_file())
    assert claim(path) == Claim(Certainty.TYPICAL, "TensorBoard events")

    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(b'{"step": 1}\n')
    assert claim(path) == Claim(Certainty.NO, "the first bytes are no record of an event file")
    assert TensorBoardAdapter().handles(b"", tmp_path).certainty == Certainty.NO


def test_a_folder_is_known_by_the_files_in_it() -> None:
    """The folder of a run is claimed, a folder of runs is not."""
    adapter = TensorBoardAdapter()

    assert adapter.handles(b"", GOLDEN / "x_writer") == Claim(
        Certainty.TYPICAL, "TensorBoard events, tags of cleanrl: charts/SPS"
    )
    assert adapter.handles(b"", GOLDEN) == Claim(Certainty.NO, "no event file is in it")


def test_the_unit_is_the_folder_of_the_run() -> None:
    """What lies beside an event file belongs to its run, unless the file itself was asked for."""
    path = GOLDEN / "x_writer" / "events.out.tfevents.1795637758.vm"

    assert TensorBoardAdapter().unit(path, GOLDEN) == path.parent
    assert TensorBoardAdapter().unit(path, path) == path


@needs_shared
@pytest.mark.parametrize(
    ("name", "framework", "events", "records", "metrics"),
    [
        ("trl/MAOJIASONG__TinyZero-TRL", "trl", 39, 393, 10),
        ("verl/volcengine__verl", "verl", 35, 2094, 153),
        ("sb3/DLR-RM__stable-baselines3", "sb3", 200, 1601, 8),
        ("openrlhf/ZetangForward__MyRLHF", "openrlhf", 101, 304, 3),
    ],
)
def test_real_event_files(name: str, framework: str, events: int, records: int, metrics: int) -> None:
    """Other people's files: every record is accounted for, every step an event, every tag a metric."""
    (path,) = (REAL / name).rglob("*tfevents*")
    reading = TensorBoardAdapter().read(path.parent)
    items = list(reading.items)
    found = [each.event for each in items if isinstance(each, Parsed)]

    assert not [each for each in items if isinstance(each, Bad)]
    assert sum(each.lines for each in items) == records
    assert len(found) == events
    assert len({(each.phase, metric) for each in found for metric in each.metrics}) == metrics
    assert reading.facts["framework"] == framework
