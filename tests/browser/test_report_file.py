"""The page of a run as one file."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tests.browser.driving import card, healthy, pixels, wait_drawn
from tests.runs import make_event, run_python, write_attempt

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

EVIL = "</script><img src=x onerror=alert(1)>"


def test_report(page: Page, tmp_path: Path) -> None:
    """The file shows curves, alerts, seams and marks, and asks for nothing."""
    events = [make_event(step, metrics=healthy(step) | {EVIL: 1.0}, wall_time=2.0 * step) for step in range(1, 101)]
    events[50].metrics["loss"] = math.nan
    write_attempt(tmp_path, events)
    more = [make_event(step, metrics=healthy(step) | {EVIL: 1.0}, wall_time=3.0 * step) for step in range(91, 121)]
    log = write_attempt(tmp_path, more, resumed_from=90)
    output = tmp_path / "run.html"
    assert run_python("-m", "rldk", "report", log, "--no-files", "-o", output).stderr == ""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.goto(output.as_uri())
    wait_drawn(page, "loss", 119)

    data = card(page, "loss").evaluate("card => ({ ...card.dataset })")
    assert data == {"metric": "loss", "drawn": "119", "alerts": "1", "seams": "1", "nonfinite": "1", "rewound": "1"}
    assert pixels(page, "loss", "nonfinite") > 10
    card(page, EVIL).scroll_into_view_if_needed()
    assert page.locator("img").count() == 0
    page.keyboard.press("x")
    wait_drawn(page, "loss", 119)
    assert asked == [output.as_uri()]
