"""OpenRLHF's own trainer in one process, and the recorder attached to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.openrlhf.checks import DERIVED, curve, differences, events, files, manifest, tensorboard
from tests.openrlhf.machine import PROGRAMS

if TYPE_CHECKING:
    from tests.openrlhf.machine import Machine


def test_a_trainer_is_recorded(machine: Machine) -> None:
    """Every step is there although TensorBoard gets every second, with its evaluation, its sample and its end."""
    done = machine.run(PROGRAMS / "in_process.py", "tensorboard")
    assert done.code == 0
    found = events(machine.logs)

    assert curve(found, "train") == [(1, None), (2, None), (3, None)]
    assert curve(found, "eval") == [(2, "toy")]
    assert found[0].notes == ["sample: reward 0.5, a text"]
    assert [event.metrics["kl_coef"] for event in found[:3]] == [0.01] * 3
    assert files(machine.logs) == DERIVED
    assert manifest(machine.logs).attempts[0].outcome == "completed"
    written = tensorboard(machine.folder / "tensorboard")
    assert {step for tag, step in written if tag == "train/policy_loss"} == {2}
    assert differences(found, manifest(machine.logs).metrics, written) == []
