"""The page is light or dark, as the system or its reader wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.driving import healthy, pixels, wait_drawn
from tests.runs import make_event, write_attempt

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.dashboard.served import Served

_GROUND = "getComputedStyle(document.body).backgroundColor"
_LIGHT, _DARK = "rgb(238, 241, 244)", "rgb(14, 19, 24)"


def look(page: Page) -> tuple[str, bool]:
    """The ground of the page, and whether a chart on it is drawn in the colour that the theme has for it."""
    page.wait_for_timeout(300)
    return page.evaluate(_GROUND), pixels(page, "reward_std", "run-1") > 100


def test_page_and_charts_follow_the_theme(page: Page, server: Served, folder: Path) -> None:
    """By itself that of the system, also when that changes; and the one chosen, whatever the system has."""
    write_attempt(folder, [make_event(step, metrics=healthy(step)) for step in range(1, 201)])
    page.goto(server.link)
    page.get_by_text("could not judge").wait_for()
    wait_drawn(page, "reward_std", 200)
    seen = [look(page)]
    page.emulate_media(color_scheme="dark")
    seen.append(look(page))
    page.keyboard.press("t")
    seen.append(look(page))
    page.emulate_media(color_scheme="light")
    page.keyboard.press("t")
    seen.append(look(page))

    assert seen == [(_LIGHT, True), (_DARK, True), (_LIGHT, True), (_DARK, True)]


def test_paper_is_light(page: Page, server: Served, folder: Path) -> None:
    """What is printed is light in a dark theme, too, and has no list of runs and no controls."""
    write_attempt(folder, [make_event(step, metrics=healthy(step)) for step in range(1, 201)])
    page.emulate_media(color_scheme="dark")
    page.goto(server.link)
    page.get_by_text("could not judge").wait_for()
    wait_drawn(page, "reward_std", 200)
    page.emulate_media(color_scheme="dark", media="print")

    assert look(page) == (_LIGHT, True)
    assert not page.locator(".side").is_visible()
    assert not page.get_by_label("Search metrics").is_visible()
