"""What these tests share, and where they are skipped: everywhere but in the environment of `make test-openrlhf`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.openrlhf.machine import Machine, Tiny, cluster, make_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator

_MISSING = importlib.util.find_spec("openrlhf") is None or importlib.util.find_spec("ray") is None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and skip them where OpenRLHF is not installed."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.openrlhf)
            item.add_marker(pytest.mark.timeout(900))
            if _MISSING:
                item.add_marker(pytest.mark.skip(reason="OpenRLHF is not installed: make test-openrlhf"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The tiny model and its data."""
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[tuple[str, str]]:
    """A cluster of Ray, started before any of the tests and knowing nothing of them."""
    with cluster() as addresses:
        yield addresses


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine without a cluster."""
    return Machine(tmp_path)


@pytest.fixture
def ray_machine(tmp_path: Path, ray_cluster: tuple[str, str]) -> Machine:
    """A machine with the cluster."""
    return Machine(tmp_path, *ray_cluster)
