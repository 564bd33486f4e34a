"""Every test of the dashboard has a cache of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test keeps what was computed."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RLDK_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for runs."""
    path = tmp_path / "runs"
    path.mkdir()
    return path
