"""`rldk adapters`: which formats there are, and what each needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

import pytest
from click.testing import CliRunner

from rldk.adapters import registry
from rldk.adapters.custom_jsonl import CustomJSONLAdapter
from rldk.adapters.registry import NAMES, load
from rldk.cli import rldk
from tests.adapters.test_registry import install
from tests.cli.test_ingest import on_terminal

if TYPE_CHECKING:
    from pathlib import Path


def invoke(*arguments: str) -> list[str]:
    """What is printed, without the blanks at the ends of lines."""
    done = CliRunner().invoke(rldk, ["adapters", *arguments])
    assert done.exit_code == 0
    return [line.rstrip() for line in done.output.splitlines()]


def test_every_adapter_is_listed_with_what_it_reads() -> None:
    """One on each line, in the order in which they are known."""
    head, *lines = invoke()

    assert head.split() == ["adapter", "reads"]
    assert [tuple(line.split(maxsplit=1)) for line in lines] == [(name, load(name).reads) for name in NAMES]  # type: ignore[attr-defined]


def test_the_list_can_be_had_as_json() -> None:
    """An object for each."""
    assert [json.loads(line) for line in invoke("--json")] == [
        {"name": name, "reads": load(name).reads, "needs": load(name).needs}  # type: ignore[attr-defined]
        for name in NAMES
    ]


@pytest.mark.usefixtures("two_formats")
def test_those_of_other_packages_are_listed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though they need not say what they read."""
    install(tmp_path, monkeypatch, tabs="foreign_format:Adapter")

    assert invoke()[-1] == "tabs"
    assert json.loads(invoke("--json")[-1]) == {"name": "tabs", "reads": "", "needs": ""}


def test_what_an_adapter_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra, as pip is told it, where any adapter needs one."""

    class Demanding(CustomJSONLAdapter):
        """Needs something."""

        needs: ClassVar[str] = "zstd"

    monkeypatch.setattr("rldk.adapters.custom_jsonl.CustomJSONLAdapter", Demanding)
    monkeypatch.setattr(registry, "NAMES", {"custom_jsonl": "CustomJSONLAdapter"})
    head, line = invoke()

    assert head.split() == ["adapter", "reads", "needs"]
    assert line.endswith("  rldk[zstd]")


@pytest.mark.parametrize("columns", [80, 120])
def test_it_fits_a_terminal(tmp_path: Path, columns: int) -> None:
    """What an adapter reads goes on below itself."""
    assert max(map(len, on_terminal(tmp_path, columns, "adapters").splitlines())) <= columns
