"""The benchmark beside other loggers: its experiments tell a logger that keeps what it is given from others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import pytest
from benchmarks.peers.__main__ import _install, _numbers, main
from benchmarks.peers.catalogue import PEERS, RLDK, Peer
from benchmarks.peers.experiments import (
    FAST,
    cells,
    cost,
    full_disk,
    kill,
    lost,
    nonfinite,
    restart,
    rewind_at_restart,
    rewind_in_process,
    writers,
)
from benchmarks.peers.interface import Row, rows
from benchmarks.peers.processes import FailedError, Installed, install
from benchmarks.peers.table import BEGIN, COST, END, TRUST, Result, markdown, terminal, write_page
from benchmarks.peers.values import values, writer_of
from click.testing import CliRunner
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.peers.experiments import Cells

OURS: Final = {peer.name: peer._replace(packages=()) for peer in PEERS if peer.ours}


def here(name: str) -> Installed:
    """A logger that needs nothing but this Python."""
    return install({"rldk": RLDK, **OURS}[name], Path())


@pytest.mark.parametrize(
    ("name", "experiment", "expected"),
    [
        ("rldk", restart, {"restart": "150 of 150"}),
        ("append_json", restart, {"restart": "150 of 150"}),
        ("verl_file", restart, {"restart": "0 of 150"}),
        ("sb3_json", restart, {"restart": "0 of 150"}),
        ("sb3_csv", restart, {"restart": "0 of 150"}),
        ("held_csv", restart, {"restart": "0 of 150"}),
        ("rldk", nonfinite, {"nonfinite": "kept"}),
        ("verl_file", nonfinite, {"nonfinite": "nan is null; inf is null; -inf is null"}),
        ("sb3_json", nonfinite, {"nonfinite": "kept; no valid JSON"}),
        ("sb3_csv", nonfinite, {"nonfinite": "kept"}),
        ("rldk", rewind_in_process, {"rewind": "5 + 5 of 5 + 5, marked"}),
        ("append_json", rewind_in_process, {"rewind": "5 + 5 of 5 + 5, mixed"}),
        ("rldk", rewind_at_restart, {"rewind_restart": "5 + 5 of 5 + 5, marked"}),
        ("sb3_json", rewind_at_restart, {"rewind_restart": "0 + 5 of 5 + 5"}),
    ],
)
def test_an_experiment_says_what_a_logger_keeps(
    name: str, experiment: Callable[[Installed, Path], Cells], expected: Cells, tmp_path: Path
) -> None:
    """RLDK keeps all and says what counts; the others lose or blur what they are known to."""
    assert experiment(here(name), tmp_path) == expected


@pytest.mark.parametrize(("name", "expected"), [("rldk", "80 of 80, told apart"), ("append_json", "80 of 80, mixed")])
def test_four_writers(name: str, expected: str, tmp_path: Path) -> None:
    """What four processes log is whole, and in RLDK's logs known by rank."""
    assert writers(here(name), tmp_path, steps=20) == {"writers": expected}


def test_four_writers_of_a_file_that_each_empties(tmp_path: Path) -> None:
    """They write over each other."""
    kept, _, _ = writers(here("verl_file"), tmp_path, steps=20)["writers"].partition(" of 80")

    assert 0 < int(kept) < 80


def test_a_killed_logger(tmp_path: Path) -> None:
    """RLDK has what it acknowledged; rows that are held die with the process."""
    for name in ("rldk", "held_csv"):
        installed = here(name)
        killed = kill(installed, tmp_path / name, 0, pace=FAST)
        count = len(killed.acknowledged)
        loss = 0 if name == "rldk" else count % 100

        assert count > 10
        assert lost(installed, [killed]).startswith(f"{loss} of {count} in 1 kills")


def test_the_cost(tmp_path: Path) -> None:
    """Every column is filled, and all steps are read back."""
    found = cost(here("rldk"), tmp_path, steps=50, rounds=2)

    assert list(found) == list(COST)
    assert found["readable"] == "50 of 50"


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """RLDK goes on, says so, and has what it acknowledged."""
    try:
        found = full_disk(here("rldk"), tmp_path, steps=1500, freed_at=1400)
    except FailedError as error:
        if not str(error).startswith(("needs root", "mount:")):
            raise
        pytest.skip(str(error))
    kept = found["full_kept"].split(",")[0].split(" of ")

    assert found["full"] == "goes on, with a warning"
    assert kept[0] == kept[1]
    assert found["full_gap"] == "no gap" or found["full_gap"].startswith("yes")


def test_an_experiment_that_fails_is_a_cell() -> None:
    """Whatever is raised stands in the table, and ends nothing."""

    def broken() -> Cells:
        raise OSError("no such device")

    assert cells(broken, ["full", "full_gap"]) == {"full": "failed: OSError: no such device", "full_gap": "-"}


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    """The last line that it printed is the reason."""
    absent = Installed(Peer("no_such_logger", "x"), here("rldk").python)

    assert cells(restart, ["restart"], absent, tmp_path) == {
        "restart": "failed: ModuleNotFoundError: No module named 'benchmarks.peers.no_such_logger'"
    }


def test_a_logger_that_cannot_be_installed_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row has pip's reason, in both tables."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    absent = Peer("absent", "Absent", ("rldk-no-such-logger",))
    installed, missing = _install([absent], tmp_path, Console(quiet=True))
    page = markdown([Result("Absent", {}, missing["absent"])], [])

    assert installed == []
    assert missing == {"absent": "ERROR: No matching distribution found for rldk-no-such-logger"}
    assert page.count("| Absent | missing: ERROR: No matching distribution found for rldk-no-such-logger | |") == 2


def test_the_page(tmp_path: Path) -> None:
    """The tables stand between the markers, and what is around them stays."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}old\n{END}\nafter\n")
    results = [Result("RLDK 1", {"p50": "7.5", "restart": "150 | 150"})]
    write_page(page, markdown(results, ["Date: today"]))
    text = page.read_text()

    assert text.startswith(f"before\n{BEGIN}\n- Date: today\n\n### Cost\n\n| logger | log() p50, us | ")
    assert "\n| RLDK 1 | 7.5 | | | | | | | |\n" in text
    assert "\n| RLDK 1 | | | 150 \\| 150 | | | | | | | |\n" in text
    assert text.endswith(f"|\n\n{END}\nafter\n")


def test_a_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    """Nobody's page is written over."""
    page = tmp_path / "page.md"
    page.write_text("mine\n")

    with pytest.raises(ValueError, match="expected the markers"):
        write_page(page, "tables")
    assert page.read_text() == "mine\n"


def test_the_terminal() -> None:
    """Both tables are drawn, with each logger in both."""
    console = Console(width=240, record=True, quiet=True)
    with console.capture() as captured:
        console.quiet = False
        console.print(terminal([Result("RLDK 1", {"p50": "7.5"}), Result("Absent", {}, "no wheel")], ["Date: today"]))

    assert captured.get().count("RLDK 1") == 2
    assert captured.get().count("missing: no wheel") == 2
    assert "Date: today" in captured.get()


def test_the_whole_benchmark(tmp_path: Path) -> None:
    """One command measures a logger and writes the page."""
    page = tmp_path / "page.md"
    arguments = ["--only", "append_json", "--kills", "0", "--steps", "10", "--markdown", str(page)]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    text = page.read_text()

    assert done.exit_code == 0
    assert "| append + flush (ours) | no kill | no kill | 150 of 150 | kept; no valid JSON | 1000 of 1000" in text
    assert "10 of 10" in text
    assert text.count("\n| logger |") == 2


def test_how_many_are_killed() -> None:
    """A number is for all but RLDK, a name for one."""
    numbers = _numbers(PEERS, ["5", "aim=7"])

    assert numbers == {peer.name: 5 for peer in PEERS} | {"rldk": 100, "aim": 7}
    with pytest.raises(click.BadParameter, match="expected N or NAME=N, found 'nobody=3'"):
        _numbers(PEERS, ["nobody=3"])


def test_rows_are_known_by_their_values() -> None:
    """Values are the writer's and the step's, whole, and the same at single precision."""
    metrics = values(17, writer=3)

    assert writer_of(17, metrics) == 3
    assert writer_of(18, metrics) is None
    assert writer_of(17, metrics | {"loss": 7.0}) is None
    assert writer_of(17, {name: value for name, value in metrics.items() if name != "loss"}) is None
    assert writer_of(17, metrics | {"loss": metrics["loss"] * (1 + 1e-8)}) == 3


def test_points_become_rows() -> None:
    """The second value of a metric at a step belongs to the second row of the step."""
    points = [("a", 1, "x", 1.0), ("a", 1, "y", 2.0), ("a", 1, "x", 3.0), ("b", 1, "x", 4.0), ("a", 1, "y", 5.0)]

    assert rows(points) == [
        Row(1, {"x": 1.0, "y": 2.0}, "a"),
        Row(1, {"x": 3.0, "y": 5.0}, "a"),
        Row(1, {"x": 4.0}, "b"),
    ]


def test_each_column_is_filled_by_an_experiment() -> None:
    """No title stands over nothing."""
    from benchmarks.peers.experiments import EXPERIMENTS

    filled = {"kill", "kill_slow", *(column for _, columns in EXPERIMENTS for column in columns)}

    assert filled == set(TRUST)
