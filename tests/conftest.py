"""What every test can rely on: the surroundings are the same on every machine."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the environment variables that would change where and whether RLDK writes."""
    for name in os.environ:
        if name.startswith("RLDK_"):
            monkeypatch.delenv(name)
