"""The stand-ins that the default tests run against have the shape of the real trainers."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from tests.integrations.openrlhf.conftest import STAND_INS
from tests.openrlhf.machine import PROGRAMS, environment

if TYPE_CHECKING:
    from tests.openrlhf.machine import Machine


def test_the_methods_of_today_have_the_parameters_of_the_stand_ins(machine: Machine) -> None:
    """By name, in order, and with their defaults."""
    program = PROGRAMS / "signatures.py"
    real = machine.run(program)
    stand_in = machine.run(program, PYTHONPATH=os.pathsep.join([str(STAND_INS / "new"), environment()["PYTHONPATH"]]))

    assert (real.code, stand_in.code) == (0, 0)
    assert _last_line(stand_in.output) == _last_line(real.output)


def _last_line(output: str) -> object:
    return json.loads(output.strip().splitlines()[-1])
