"""A run is watched while it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.driving import card, healthy, pixels, wait_drawn, writing
from tests.dashboard.served import served

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.dashboard.served import Served


def test_points_appear_within_a_second(page: Page, folder: Path, server: Served) -> None:
    """What is written is drawn within a second."""
    with writing(folder, "r") as run:
        for step in range(1, 4):
            run.write(step, healthy(step))
        page.goto(server.link)
        wait_drawn(page, "loss", 3)

        took = []
        for step in range(4, 12):
            written = run.write(step, healthy(step))
            took.append(wait_drawn(page, "loss", step) - written)

    print("from write to drawn:", " ".join(f"{seconds * 1000:.0f}" for seconds in took), "ms")  # noqa: T201 - a figure
    assert max(took) < 1.0


def test_the_focus_stays(page: Page, folder: Path, server: Served) -> None:
    """What has the focus keeps it while points and entries come."""
    with writing(folder, "r") as run:
        run.write(1, healthy(1))
        page.goto(server.link)
        wait_drawn(page, "loss", 1)
        card(page, "reward_std").focus()
        for step in range(2, 5):
            run.write(step, healthy(step))
            wait_drawn(page, "loss", step)
            page.wait_for_timeout(700)

        assert page.evaluate("() => document.activeElement.dataset.metric") == "reward_std"


def test_a_run_appears(page: Page, folder: Path, server: Served) -> None:
    """An empty folder says what to do; a run shows itself as soon as there is one, and its metrics as they come."""
    page.goto(server.link)
    page.get_by_role("heading", name="No runs here yet").wait_for()

    with writing(folder, "first") as run:
        run.write(1, {"loss": 0.5})
        wait_drawn(page, "loss", 1)
        run.write(2, {"loss": 0.4, "reward_mean": 0.1})
        wait_drawn(page, "reward_mean", 1)

        assert page.get_by_role("heading", level=1).all_inner_texts() == ["first"]
        assert page.get_by_role("heading", level=2).all_inner_texts() == ["Reward", "Optimiser"]


def test_an_alert_fires(page: Page, folder: Path, server: Served) -> None:
    """An alert is listed and drawn on its curve as soon as it fires, and a NaN is a mark."""
    with writing(folder, "r") as run:
        for step in range(1, 31):
            run.write(step, healthy(step))
        page.goto(server.link)
        wait_drawn(page, "loss", 30)
        assert (pixels(page, "loss", "critical"), pixels(page, "loss", "nonfinite")) == (0, 0)

        run.write(31, healthy(31) | {"loss": "NaN"})
        page.locator('.alert[data-rule="non_finite"]').wait_for()
        page.locator("[data-metric=loss][data-alerts='1']").wait_for()

    assert card(page, "loss").get_attribute("data-nonfinite") == "1"
    assert card(page, "loss").locator(".tag.nonfinite").inner_text() == "1 NaN, first at step 31"
    assert pixels(page, "loss", "critical") > 20
    assert pixels(page, "loss", "nonfinite") > 10
    assert card(page, "loss").get_attribute("aria-label") == "loss: 30 points drawn, 1 alert, 1 not finite"


def test_kill_and_resume(page: Page, folder: Path, server: Served) -> None:
    """When a run that was killed goes on, the seam is drawn, and the branch that it left stays, pale."""
    with writing(folder, "r") as run:
        for step in range(1, 31):
            run.write(step, healthy(step))
        page.goto(server.link)
        wait_drawn(page, "loss", 30)
        assert page.locator("li.run").get_attribute("data-state") == "training"
        run.kill()
    page.locator("li.run:not([data-state=training])").wait_for()

    with writing(folder, "r", resumed_from=20) as run:
        for step in range(21, 26):
            run.write(step, healthy(step), wall_time=100.0 + step)
        wait_drawn(page, "loss", 25)
        page.locator("[data-metric=loss][data-seams='1']").wait_for()
        assert card(page, "loss").get_attribute("data-rewound") == "1"
        assert page.locator(".facts").inner_text().split("\n")[-4:-2] == ["attempts", "2"]

        run.write(26, healthy(26), wall_time=200.0)
        wait_drawn(page, "loss", 26)


def test_the_server_restarts(page: Page, folder: Path, tmp_path: Path) -> None:
    """While the server is away the page says so and keeps what it has; then it goes on, and nothing is missing."""
    token = ("--token-file", str(tmp_path / "token"))
    with writing(folder, "r") as run:
        run.write(1, healthy(1))
        with served(folder, tmp_path / "cache", *token) as server:
            page.goto(server.link)
            wait_drawn(page, "loss", 1)
        page.get_by_text("Disconnected.").wait_for()
        run.write(2, healthy(2))
        assert card(page, "loss").is_visible()

        with served(folder, tmp_path / "cache", *token, "--port", str(server.port)):
            wait_drawn(page, "loss", 2)
            run.write(3, healthy(3))
            wait_drawn(page, "loss", 3)
            page.locator(".strip").wait_for(state="hidden")

        with served(folder, tmp_path / "cache", "--port", str(server.port)):
            page.get_by_role("heading", name="This link is no longer good").wait_for()


def test_an_outlived_link(page: Page, server: Served) -> None:
    """Without a good token there is no page at all."""
    answer = page.goto(server.link[:-1])

    assert answer
    assert answer.status == 401


def test_a_run_is_deleted(page: Page, folder: Path, tmp_path: Path) -> None:
    """A run that is gone when the server comes back gives way to another one, and is asked for no more."""
    token = ("--token-file", str(tmp_path / "token"))
    with writing(folder, "kept") as run:
        run.write(1, healthy(1))
    with writing(folder, "gone") as run:
        run.write(1, healthy(1))
    with served(folder, tmp_path / "cache", *token) as server:
        page.goto(server.link)
        page.locator('li.run[data-run="gone"] .run-name').click()
        page.get_by_role("heading", level=1, name="gone").wait_for()
        wait_drawn(page, "loss", 1)
        gone = page.url.partition("run=")[2]
    for path in folder.glob("gone*"):
        path.unlink()
    with served(folder, tmp_path / "cache", *token, "--port", str(server.port)):
        page.get_by_role("heading", level=1, name="kept").wait_for()
        page.wait_for_timeout(1000)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.wait_for_timeout(3000)

    assert [url for url in asked if gone in url] == []


@pytest.mark.parametrize("width", [1280, 390])
def test_a_long_name(page: Page, folder: Path, server: Served, width: int) -> None:
    """A metric whose name is longer than a line makes the page no wider, nor does an alert on it."""
    page.set_viewport_size({"width": width, "height": 900})
    metric = "a_metric_with_an_endless_name_" * 8
    with writing(folder, "r") as run:
        run.write(1, {metric: 1.0})
        run.write(2, {metric: "NaN"})
    page.goto(server.link)
    alert = page.locator('.alert[data-rule="non_finite"]')
    alert.locator("summary").click()
    alert.get_by_role("button", name="show it on").wait_for()

    assert page.evaluate("document.documentElement.scrollWidth") == width
