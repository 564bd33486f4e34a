"""Runs that are there are looked at: zoom, scales, axes, several at once, search, keys."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from tests.browser.driving import card, healthy, pixels, wait_drawn
from tests.dashboard.served import served
from tests.runs import eval_event, make_event, write_attempt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.dashboard.served import Served

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def server(folder: Path, tmp_path: Path) -> Iterator[Served]:
    """A server of two runs; the later one has an evaluation, a metric with an evil name and one of no number."""
    for name in ("first", "second"):
        (folder / name).mkdir()
        events = [make_event(step, metrics=healthy(step), wall_time=2.0 * step) for step in range(1, 201)]
        if name == "second":
            events.append(make_event(201, metrics=healthy(201) | {EVIL: 1.0, "odd": math.nan}, wall_time=402.0))
            events.append(eval_event(201, "math", metrics={"reward_mean": 0.5}, wall_time=403.0))
        write_attempt(folder / name, events)
    with served(folder, tmp_path / "cache") as server:
        yield server


def choose(page: Page, server: Served) -> None:
    """Open the page on the run `second`."""
    page.goto(server.link)
    page.locator("li.run").nth(1).wait_for()
    page.locator('li.run[data-at="second"] .run-name').click()
    # The verdict comes when it is there, its last alert last, and moves what is below it.
    page.get_by_text("odd is nan at step 201.").wait_for()
    wait_drawn(page, "reward_std", 201)


def expect_zoomed(page: Page, text: str) -> None:
    """Wait until the page says this of the range that is shown."""
    from playwright.sync_api import expect

    expect(page.locator(".toolbar .range")).to_have_text(text)


def test_a_name_is_text(page: Page, server: Served) -> None:
    """The name of a metric is shown as it is, and is no part of the document."""
    choose(page, server)
    page.get_by_label("Search metrics").fill("onerror")
    shown = card(page, EVIL)
    shown.wait_for()

    assert shown.locator("h3").inner_text() == EVIL
    assert page.locator("img").count() == 0


def test_only_values_that_are_not_finite(page: Page, server: Served) -> None:
    """A metric that has no finite value at all has a chart, with the mark."""
    choose(page, server)
    card(page, "odd").scroll_into_view_if_needed()
    page.locator("[data-metric=odd][data-nonfinite='1']").wait_for()

    assert pixels(page, "odd", "nonfinite") > 10
    assert card(page, "odd").locator(".value .number").inner_text() == "NaN"


def test_without_charts(page: Page, server: Served) -> None:
    """An installation that was built without the charts says so, and still tells of the runs."""
    page.route("**/vendor/uPlot.js", lambda route: route.fulfill(status=404))
    page.goto(server.link)
    page.get_by_role("heading", name="The charts are missing").wait_for()

    assert page.locator("li.run").count() == 2


def test_zoom(page: Page, server: Served) -> None:
    """Dragging over a chart zooms all of them to these steps, a double click shows all again, and so do keys.

    The newest value is told whatever is shown.
    """
    choose(page, server)
    area = card(page, "reward_mean").locator(".u-over")
    box = area.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40, steps=4)
    page.mouse.up()
    wait_drawn(page, "reward_std", 52)

    expect_zoomed(page, "steps 50 to 101")
    area.dblclick()
    wait_drawn(page, "reward_std", 201)
    expect_zoomed(page, "")
    page.get_by_role("heading", level=1).click()
    page.keyboard.press("+")
    expect_zoomed(page, "steps 51 to 151")
    wait_drawn(page, "reward_std", 105)
    assert card(page, "reward_std").locator(".value .number").inner_text() == f"{healthy(201)['reward_std']:.4g}"
    page.keyboard.press("ArrowRight")
    expect_zoomed(page, "steps 76 to 176")
    page.keyboard.press("x")
    page.get_by_text("2 min 32 s to 5 min 52 s").wait_for()
    page.keyboard.press("0")
    expect_zoomed(page, "")


def test_a_value_is_copied(page: Page, server: Served) -> None:
    """A double click on a value selects it, and leaves the range that is shown as it is."""
    choose(page, server)
    page.keyboard.press("+")
    expect_zoomed(page, "steps 51 to 151")
    value = card(page, "reward_std").locator(".value .number")
    value.dblclick()

    assert page.evaluate("getSelection().toString()") == value.inner_text()
    expect_zoomed(page, "steps 51 to 151")


def test_cursor(page: Page, server: Served) -> None:
    """Where the cursor is on one chart, all charts tell their values."""
    choose(page, server)
    newest = [card(page, name).locator(".value .number").inner_text() for name in ("reward_mean", "reward_std")]
    card(page, "reward_mean").focus()
    page.keyboard.press("ArrowLeft")
    for _ in range(10):
        page.keyboard.press("Shift+ArrowLeft")

    found = [card(page, name).locator(".value .number").inner_text() for name in ("reward_mean", "reward_std")]
    step = 101
    assert card(page, "reward_std").locator(".meaning").inner_text() == "step 101, 3 min 22 s"
    assert newest == [f"{healthy(201)[name]:.4g}" for name in ("reward_mean", "reward_std")]
    assert found == [f"{healthy(step)[name]:.4g}" for name in ("reward_mean", "reward_std")]


def cursor(page: Page, metric: str) -> float:
    """How far to the right the cursor of a chart is, as a share of its width."""
    found = page.evaluate(
        """metric => {
            const card = document.querySelector(`[data-metric="${metric}"]`);
            const area = card.querySelector(".u-over").getBoundingClientRect();
            return (card.querySelector(".u-cursor-x").getBoundingClientRect().left - area.left) / area.width;
        }""",
        metric,
    )
    return float(found)


def test_the_cursor_stays_at_its_step(page: Page, server: Served) -> None:
    """When another range is shown, the cursor is where its step is then; with the step it goes away."""
    choose(page, server)
    meaning = card(page, "reward_std").locator(".meaning")
    newest = meaning.inner_text()
    card(page, "reward_mean").focus()
    page.keyboard.press("ArrowLeft")
    for _ in range(6):
        page.keyboard.press("Shift+ArrowLeft")
    places = [cursor(page, "reward_std")]
    page.get_by_role("heading", level=1).click()
    for key, text in (("+", "steps 51 to 151"), ("ArrowRight", "steps 76 to 176")):
        page.keyboard.press(key)
        expect_zoomed(page, text)
        assert meaning.inner_text() == "step 141, 4 min 42 s"
        places.append(cursor(page, "reward_std"))
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect_zoomed(page, "steps 1 to 101")

    assert places == pytest.approx([140 / 200, 90 / 100, 65 / 100], abs=0.02)
    assert meaning.inner_text() == newest


def test_the_cursor_of_keys_in_a_range(page: Page, server: Served) -> None:
    """Keys move the cursor among the points that are shown, from their end on."""
    choose(page, server)
    page.keyboard.press("+")
    wait_drawn(page, "reward_std", 105)
    card(page, "reward_std").focus()
    places = []
    for key in ("ArrowLeft", "ArrowLeft", "Shift+ArrowRight"):
        page.keyboard.press(key)
        places.append((card(page, "reward_std").locator(".meaning").inner_text(), cursor(page, "reward_std")))

    assert [text for text, _ in places] == ["step 151, 5 min 02 s", "step 150, 5 min 00 s", "step 151, 5 min 02 s"]
    assert [place for _, place in places] == pytest.approx([1, 0.99, 1], abs=0.005)


def test_the_cursor_stays_on_the_other_axis(page: Page, server: Served) -> None:
    """When the axis is another one, the cursor is where its step is there."""
    choose(page, server)
    card(page, "reward_mean").focus()
    page.keyboard.press("ArrowLeft")
    for _ in range(6):
        page.keyboard.press("Shift+ArrowLeft")
    meaning = card(page, "reward_std").locator(".meaning")
    assert meaning.inner_text() == "step 141, 4 min 42 s"
    page.keyboard.press("x")
    page.wait_for_timeout(800)

    assert meaning.inner_text() == "step 141, 4 min 42 s"
    assert card(page, "reward_std").locator(".value .number").inner_text() == f"{healthy(141)['reward_std']:.4g}"
    assert cursor(page, "reward_std") == pytest.approx(280 / 401, abs=0.02)


def test_zoom_while_another_axis_comes(page: Page, server: Served) -> None:
    """Before the curves are there on the axis that was asked for, there is nothing to zoom into."""
    choose(page, server)
    page.evaluate(
        """() => {
            for (const key of ["x", "+"])
                document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        }"""
    )
    page.wait_for_timeout(800)

    expect_zoomed(page, "")
    wait_drawn(page, "reward_std", 201)


def test_smoothing_and_scale(page: Page, server: Served) -> None:
    """Smoothing is off at first, and adds a line to the points, which stay; all scales can be logarithmic."""
    choose(page, server)
    before = pixels(page, "reward_std", "run-1")
    assert page.get_by_label("Smoothing").input_value() == "0"
    page.keyboard.press("s")
    page.wait_for_timeout(400)

    assert card(page, "reward_std").get_attribute("data-drawn") == "201"
    assert 0 < pixels(page, "reward_std", "run-1") != before
    page.keyboard.press("l")
    pressed = page.locator(".card .chip[aria-pressed=true]").all_inner_texts()
    assert set(pressed) == {"log"}
    assert "x=" not in page.url
    assert page.url.endswith("&log=1&smooth=1")


def test_several_runs(page: Page, server: Served) -> None:
    """Runs are laid over each other in colours of their own, and the address holds which; one is always shown."""
    choose(page, server)
    assert pixels(page, "reward_std", "run-2") == 0
    page.locator('li.run[data-at="first"] [role=checkbox]').click()
    wait_drawn(page, "reward_std", 401)

    assert pixels(page, "reward_std", "run-2") > 100
    assert len(page.get_by_role("heading", level=1).all()) == 2
    page.reload()
    wait_drawn(page, "reward_std", 401)
    page.locator('li.run[data-at="second"] [role=checkbox]').click()
    wait_drawn(page, "reward_std", 200)


def test_numbers_in_names_are_in_their_order(page: Page, folder: Path, tmp_path: Path) -> None:
    """Metrics that nobody knows stand in the order of their names, the ninth layer before the tenth."""
    names = [f"layer/{number}" for number in (1, 2, 9, 10, 100)]
    metrics = dict.fromkeys(sorted(names), 0.5)
    write_attempt(folder, [make_event(step, metrics=metrics) for step in range(3)])
    with served(folder, tmp_path / "cache") as server:
        page.goto(server.link)
        wait_drawn(page, names[0], 3)

        assert page.locator("article.card").evaluate_all("all => all.map(each => each.dataset.metric)") == names


def test_search(page: Page, server: Served) -> None:
    """The search narrows the charts, says when nothing is found, and Escape ends it."""
    choose(page, server)
    page.keyboard.press("/")
    page.keyboard.type("reward_s")
    assert page.locator(".card h3").all_inner_texts() == ["reward_std"]
    page.keyboard.type("zzz")
    assert page.locator(".stage-place").inner_text() == "No metric has “reward_szzz” in its name."
    page.keyboard.press("Escape")

    assert page.locator(".card").count() == 14


def test_an_alert_on_a_metric_that_was_not_searched_for(page: Page, server: Served) -> None:
    """Who wants to see an alert on its curve sees it there, whatever was searched for."""
    choose(page, server)
    page.get_by_label("Search metrics").fill("kl")
    page.locator('.alert[data-rule="non_finite"] summary').click()
    page.get_by_role("button", name="show it on odd").click()
    card(page, "odd").wait_for()

    assert page.evaluate("document.activeElement.dataset.metric") == "odd"
    assert page.get_by_label("Search metrics").input_value() == ""


def test_a_session_that_has_ended(page: Page, server: Served) -> None:
    """A page whose cookie is no longer good says so, and does not ask again and again."""
    choose(page, server)
    page.context.clear_cookies()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("heading", level=1).click()
    page.keyboard.press("+")
    page.get_by_role("heading", name="This link is no longer good").wait_for()
    page.wait_for_timeout(1500)

    assert len(asked) < 10


def test_keys(page: Page, server: Served) -> None:
    """Keys choose the run, enlarge a chart, change the theme, and tell of themselves."""
    choose(page, server)
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    card(page, "loss").focus()
    page.keyboard.press("Enter")
    assert "large" in (card(page, "loss").get_attribute("class") or "")
    page.keyboard.press("t")
    page.keyboard.press("t")

    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 19, 24)"
    names = page.locator("li.run").evaluate_all("all => all.map((each) => each.dataset.at)")
    page.keyboard.press("j" if names[0] == "second" else "k")
    wait_drawn(page, "reward_std", 200)


def test_a_phone(page: Page, server: Served) -> None:
    """At the width of a phone nothing is wider than the screen, and the list of runs unfolds."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(server.link)
    page.locator(".card[data-drawn]").first.wait_for()

    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert not page.locator("li.run").first.is_visible()
    page.get_by_role("button", name="runs").click()
    page.locator("li.run").first.wait_for()
