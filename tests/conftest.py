"""What every test can rely on: the surroundings are the same on every machine."""

from __future__ import annotations

import os

import pytest

from rldk.adapters import registry


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the environment variables that would change where and whether RLDK writes."""
    for name in os.environ:
        if name.startswith("RLDK_"):
            monkeypatch.delenv(name)


@pytest.fixture
def two_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let RLDK know its own logs and JSON lines only, for tests that are not about the other formats."""
    known = {name: registry.NAMES[name] for name in ("rldk_events", "custom_jsonl")}
    monkeypatch.setattr(registry, "NAMES", known)
