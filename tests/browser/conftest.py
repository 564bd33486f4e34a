"""A Chromium for all tests of the page; where there is none, it is said aloud."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rldk.report.html import CHARTS, PAGE
from tests.dashboard.served import served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.dashboard.served import Served

HERE = Path(__file__).parent
SCREENS = HERE / "screens"
"""Where the tests put pictures of the page, to be looked at."""


def missing() -> str | None:
    """Why the page cannot be tested here."""
    if shutil.which("chromium") is None or importlib.util.find_spec("playwright") is None:
        return "there is no Chromium, or no playwright, to open the web page in: make browser"
    if not (PAGE / CHARTS).is_file():
        return "RLDK was built without its web page: install npm, then pip install -e ."
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder; skip them where they cannot run, and where they must run let them fail."""
    why = missing()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if why and os.environ.get("CI") != "true":
                item.add_marker(pytest.mark.skip(reason=why))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud that the page was not tested."""
    if why := missing():
        terminalreporter.write_sep("!", f"THE WEB PAGE WAS NOT TESTED: {why}", yellow=True, bold=True)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window; while it is driven, no other event loop can run in this thread."""
    if why := missing():
        pytest.fail(why)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A window of a desk, in which nothing may go wrong unheard."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    context.set_default_timeout(20_000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page, on which no script may fail and nothing may be refused by the policy."""
    page = context.new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if "Content Security Policy" in message.text else None)
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    yield page
    assert said == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for runs."""
    path = tmp_path / "runs"
    path.mkdir()
    return path


@pytest.fixture
def server(folder: Path, tmp_path: Path) -> Iterator[Served]:
    """A server of the folder."""
    with served(folder, tmp_path / "cache") as server:
        yield server
