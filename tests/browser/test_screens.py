"""Pictures of the page, written into `tests/browser/screens` to be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import SCREENS
from tests.browser.driving import healthy, writing
from tests.dashboard.served import served
from tests.runs import eval_event, make_event, write_attempt

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.dashboard.served import Served

WIDTHS = {1280: 900, 390: 844}


def troubled(step: int) -> dict[str, float]:
    """A run whose policy runs away from its reference."""
    away = max(0, step - 220) / 100
    return healthy(step) | {"kl_mean": healthy(step)["kl_mean"] + 2 * away**2, "grad_norm": 0.5 + away}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):  # noqa: ANN201 - a generator of a server
    """A server of a run that trains, in trouble, and of one that has finished."""
    folder = tmp_path_factory.mktemp("runs")
    done, going = folder / "done", folder / "going"
    done.mkdir()
    going.mkdir()
    events = [make_event(step, metrics=healthy(step), wall_time=12.5 * step) for step in range(1, 301)]
    write_attempt(done, [*events, eval_event(300, "math", metrics={"reward_mean": 0.9}, wall_time=3800.0)])
    with writing(going, "grpo-no-kl-7b") as run:
        for step in range(1, 181):
            run.write(step, troubled(step), wall_time=12.5 * step)
        run.kill()
    with writing(going, "grpo-no-kl-7b", resumed_from=150) as run:
        for step in range(151, 331):
            more = {"loss": "NaN"} if step == 320 else {}
            run.write(step, troubled(step + 7) | more, wall_time=600 + 12.5 * step)
            if step % 50 == 0:
                run.write(step, {"reward_mean": 0.6}, wall_time=601 + 12.5 * step, phase="eval", eval_set="math")
        with served(folder, tmp_path_factory.mktemp("cache")) as server:
            yield server


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_pictures(chromium: Browser, server: Served, width: int, theme: str) -> None:
    """The page at the width of a desk and of a phone, light and dark."""
    SCREENS.mkdir(exist_ok=True)
    context = chromium.new_context(viewport={"width": width, "height": WIDTHS[width]}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(server.link)
    page.locator(".card[data-drawn]").first.wait_for()
    page.locator('.alert[data-rule="kl_runaway"]').wait_for()
    page.wait_for_timeout(1000)
    pictures: list[Path] = []

    for name, do in {
        "top": lambda: None,
        "charts": lambda: page.locator('[data-metric="kl_mean"]').scroll_into_view_if_needed(),
    }.items():
        do()
        page.wait_for_timeout(800)
        pictures.append(SCREENS / f"{name}-{width}-{theme}.png")
        page.screenshot(path=pictures[-1])

    context.close()
    assert all(path.stat().st_size > 10_000 for path in pictures)
