"""`import rldk` is quick, loads nothing heavy, and offers what it says it offers."""

from __future__ import annotations

import ast
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import rldk
from tests.runs import clean_environment, run_python

HEAVY = {"datasets", "msgspec", "numpy", "pandas", "rich", "torch", "transformers", "trl"}


def cost(code: str) -> float:
    """Seconds of processor time, of user and system, that Python takes for some code."""
    process = subprocess.Popen([sys.executable, "-c", code], env=clean_environment())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def test_importing_costs_less_than_60_ms() -> None:
    """Above bare Python; the median of 15 alternating pairs of processes, in processor time."""
    cost("import rldk")
    pairs = [(cost("import rldk"), cost("pass")) for _ in range(15)]

    assert statistics.median(with_rldk - without for with_rldk, without in pairs) < 0.060


def modules_after(code: str) -> set[str]:
    """The top-level modules that are loaded once some code has run in a process of its own."""
    done = run_python("-c", f"{code}\nimport json, sys; print(json.dumps([m for m in sys.modules if '.' not in m]))")
    assert done.stderr == ""
    return set(json.loads(done.stdout))


def test_importing_loads_nothing_heavy() -> None:
    """No trainer, no table, not even msgspec."""
    assert modules_after("import rldk") & HEAVY == set()


def test_all_names_together_load_no_trainer_and_no_table() -> None:
    """What reads, writes and checks logs needs msgspec and nothing else of these."""
    loaded = modules_after("from rldk import *")

    assert loaded & HEAVY == {"msgspec"}


@pytest.mark.parametrize("name", ["rldk.ingest", "rldk.ingest.query", "rldk.cli.ingest", "rldk.cli.query"])
def test_reading_other_logs_loads_no_table_until_one_is_made(name: str) -> None:
    """Events need neither pandas nor pyarrow nor DuckDB, and the commands say their help without them."""
    assert modules_after(f"import {name}") & {*HEAVY, "pyarrow", "duckdb", "fsspec", "zstandard"} <= {"msgspec", "rich"}


@pytest.mark.parametrize("name", ["rldk.integrations.attempt", "rldk.report.files", "rldk.io.writer"])
def test_recording_loads_no_table(name: str) -> None:
    """What runs inside a training loads neither pandas nor numpy, nor a trainer by itself."""
    assert modules_after(f"import {name}") & HEAVY == {"msgspec"}


def test_all_is_sorted_and_real() -> None:
    """Each public name can be loaded, is listed once, and is shown by dir."""
    assert rldk.__all__ == sorted(rldk.__all__)
    assert set(rldk.__all__) == rldk._HOMES.keys()
    for name in rldk.__all__:
        assert getattr(rldk, name).__name__ == name
        assert name in dir(rldk)


def test_type_checkers_are_told_the_same_names() -> None:
    """The imports for type checkers, which never run, agree with the table from which names are loaded."""
    tree = ast.parse(Path(rldk.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    told = {name.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names}

    assert told == rldk._HOMES


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name that does not exist is refused as any module refuses it, and does not look as if it existed."""
    with pytest.raises(AttributeError, match=r"^module 'rldk' has no attribute 'nonsense'$"):
        rldk.nonsense  # noqa: B018 - looking is the test

    assert not hasattr(rldk, "nonsense")


def test_the_version_is_that_of_the_installed_package() -> None:
    """Three numbers, from the package's own metadata."""
    assert [part.isdecimal() for part in rldk.__version__.split(".")] == [True] * 3


def test_the_types_are_published() -> None:
    """The marker for type checkers lies in the package."""
    assert (Path(rldk.__file__).parent / "py.typed").is_file()
