"""Which rank of how many a process is, by whoever says so first."""

from __future__ import annotations

import re
import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from rldk.io.ranks import found_rank
from rldk.io.writer import open_writer

if TYPE_CHECKING:
    from pathlib import Path

VARIABLES = ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the machine says."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)


def put_torch(monkeypatch: pytest.MonkeyPatch, *, available: bool = True, initialized: bool = True) -> None:
    """Put a torch in place whose process group says rank 3 of 8."""
    torch = ModuleType("torch")
    torch.distributed = SimpleNamespace(  # type: ignore[attr-defined]
        is_available=lambda: available,
        is_initialized=lambda: initialized,
        get_rank=lambda: 3,
        get_world_size=lambda: 8,
    )
    monkeypatch.setitem(sys.modules, "torch", torch)


def test_a_process_that_nobody_speaks_of_is_alone() -> None:
    """Rank 0 of 1; torch is not imported to find out."""
    found = found_rank()

    assert found == (0, 1)
    assert "torch" not in sys.modules


def test_the_process_group_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch.distributed says is what the training does, whatever the environment says."""
    put_torch(monkeypatch)
    monkeypatch.setenv("RANK", "5")

    assert found_rank() == (3, 8)


@pytest.mark.parametrize("how", [{"available": False}, {"initialized": False}])
def test_a_process_group_that_is_not_in_use_says_nothing(monkeypatch: pytest.MonkeyPatch, how: dict[str, bool]) -> None:
    """An imported torch that trains alone leaves it to the environment."""
    put_torch(monkeypatch, **how)
    monkeypatch.setenv("RANK", "5")

    assert found_rank() == (5, None)


def test_a_torch_that_is_being_imported_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its `distributed` may not be there yet."""
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))

    assert found_rank() == (0, 1)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"RANK": "2", "WORLD_SIZE": "4"}, (2, 4)),
        ({"RANK": " 2 ", "WORLD_SIZE": ""}, (2, None)),
        ({"SLURM_PROCID": "7", "SLURM_NTASKS": "16"}, (7, 16)),
        ({"SLURM_PROCID": "7"}, (7, None)),
        ({"RANK": "1", "SLURM_PROCID": "7", "SLURM_NTASKS": "16"}, (1, None)),
        ({"RANK": "", "SLURM_PROCID": "7"}, (7, None)),
        ({"WORLD_SIZE": "4", "SLURM_NTASKS": "16"}, (0, 1)),
    ],
)
def test_launchers_say_it_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: tuple[int, int | None]
) -> None:
    """RANK before SLURM_PROCID; the two are not mixed; how many there are may be unknown."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert found_rank() == expected


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [
        ("RANK", "-1", 0),
        ("RANK", "1.5", 0),
        ("RANK", "one", 0),
        ("RANK", "\N{SUPERSCRIPT TWO}", 0),
        ("RANK", "\N{ARABIC-INDIC DIGIT TWO}", 0),
        ("RANK", " ", 0),
        ("WORLD_SIZE", "0", 1),
        ("WORLD_SIZE", "many", 1),
    ],
)
def test_a_variable_that_is_no_number_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, least: int
) -> None:
    """Guessed wrong, two ranks would write one file; the message names the variable, and nothing is made."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv(name, value)
    message = f"{name}: expected an integer >= {least} in the environment, found {value.strip()!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        open_writer(tmp_path / "logs", run_id="r")

    assert not (tmp_path / "logs").exists()


def test_a_writer_takes_the_rank_that_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the file, and is not asked for what was given."""
    put_torch(monkeypatch)
    found = open_writer(tmp_path, run_id="r")
    given = open_writer(tmp_path, run_id="r", rank=1, world_size=2)
    found.close()
    given.close()

    assert (found.path.name, given.path.name) == ("r_events.rank3.jsonl", "r_events.rank1.jsonl")
