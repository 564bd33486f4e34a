"""Scales fit what they show: their numbers differ, and those of a curve that changes become others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.driving import card, wait_drawn, writing
from tests.runs import make_event, write_attempt

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.dashboard.served import Served


@pytest.fixture
def opened(page: Page, server: Served, folder: Path) -> Page:
    """The page with a run."""
    write_attempt(folder, [make_event(step, metrics={"loss": 1.0 + step}) for step in range(3)])
    page.goto(server.link)
    wait_drawn(page, "loss", 3)
    return page


def call(page: Page, module: str, function: str, *calls: tuple[Any, ...]) -> list[Any]:
    """What a function of the page answers to each of these calls."""
    found: list[Any] = page.evaluate(
        """async ([module, name, calls]) => {
            const all = await import(new URL(`${module}.js`, document.baseURI));
            return calls.map((each) => all[name](...each));
        }""",
        [module, function, calls],
    )
    return found


def test_numbers_beside_an_axis(opened: Page) -> None:
    """They are short, and have the digits that tell them from the next one."""
    steps = [(10_000_995, 5), (10_001_000, 5), (12_500, 500), (1_000_000.1, 0.1), (0.25, 0.05), (1.2345e-5, 1e-9)]
    times = [(0.25, 0.05), (30, 10), (90, 30), (9000, 900), (9185, 5), (9185.25, 0.25), (259_200, 86_400), (3600, 600)]

    assert call(opened, "words", "tick", *steps) == [
        *("10.000995M", "10.001M", "12.5k", "1.0000001M", "0.25", "1.2345e−5"),  # noqa: RUF001 - a real minus
    ]
    assert call(opened, "words", "clockTick", *times) == [
        *("0.25s", "30s", "1:30", "2h30", "2:33:05", "2:33:05.25", "3d", "1h"),
    ]


def test_the_mean_behind_a_spike(opened: Page) -> None:
    """A running mean forgets a value that has left it, however great that was."""
    (found,) = call(opened, "curves", "smoothed", ([0, 1, 2, 3, 4, 5], [1, 1e20, 1, 1, 2, 3], 2))

    assert found[3:] == pytest.approx([4 / 3, 2, 2.5])


def test_a_range_of_seconds(page: Page, server: Served, folder: Path) -> None:
    """The ends of a range that is shown are told apart, also hours after the beginning."""
    write_attempt(folder, [make_event(step, metrics={"loss": 1.0}, wall_time=9180.0 + step) for step in range(41)])
    page.goto(server.link)
    wait_drawn(page, "loss", 41)
    page.keyboard.press("+")
    page.keyboard.press("x")

    page.get_by_text("2:33:10 to 2:33:30").wait_for()


def test_a_logarithmic_scale_of_what_falls_below_zero(page: Page, folder: Path, server: Served) -> None:
    """When values come that are not positive, they are drawn as they are when the page is opened then."""
    image = "card => card.querySelector('canvas').toDataURL()"
    with writing(folder, "r") as run:
        for step in range(1, 31):
            run.write(step, {"own": 1.0 + step / 10})
        page.goto(server.link)
        wait_drawn(page, "own", 30)
        page.keyboard.press("l")
        page.get_by_text("could not judge").wait_for()
        for step in range(31, 41):
            run.write(step, {"own": 30.5 - step})
        wait_drawn(page, "own", 40)
        page.wait_for_timeout(500)
        came = card(page, "own").evaluate(image)
        page.reload()
        wait_drawn(page, "own", 40)
        page.wait_for_timeout(500)

        assert card(page, "own").evaluate(image) == came
