"""A real training is watched."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.runs import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.dashboard.served import Served


@pytest.mark.trl
def test_a_training(page: Page, folder: Path, server: Served) -> None:
    """A training with TRL shows itself while it trains, is killed and resumed, and finished when it has ended."""
    page.goto(server.link)
    page.get_by_role("heading", name="No runs here yet").wait_for()
    # So many that it can be seen while it trains: the list of runs is looked at every second or two.
    steps = ("--steps", "120", "--crash-at", "80")
    command = [sys.executable, "-m", "rldk", "demo", "--out", str(folder / "demo"), *steps]
    with subprocess.Popen(command, env=clean_environment(), stdout=subprocess.DEVNULL) as training:
        page.locator("li.run[data-state=training]").wait_for(timeout=120_000)
        page.locator(".card[data-metric=reward_mean][data-drawn]").wait_for(timeout=120_000)
        assert training.wait(240) == 0

    page.locator("li.run[data-state=finished]").wait_for()
    page.locator(".card[data-metric=reward_mean][data-drawn='120'][data-seams='1']").wait_for()
    assert "trainer\ntrl" in page.locator(".facts").first.inner_text().lower()
