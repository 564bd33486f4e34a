"""A process that writes a run, and a page that shows it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.runs import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Locator, Page

ROOT = Path(__file__).parents[2]


class Writing:
    """A run that is being written by a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def write(self, step: int, metrics: dict[str, Any], **more: Any) -> float:
        """Write a step; when it was written, in seconds since 1970."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"step": step, "metrics": metrics, **more}) + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait()


@contextmanager
def writing(folder: Path, run_id: str, resumed_from: int | None = None) -> Iterator[Writing]:
    """Write a run; it is finished when the block ends, unless it was killed."""
    more = [] if resumed_from is None else [str(resumed_from)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.browser.writer", str(folder), run_id, *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
        cwd=ROOT,
    ) as process:
        yield Writing(process)


def healthy(step: int) -> dict[str, float]:
    """The metrics of a step in which all is well."""
    wave = ((step * 7919) % 97) / 97
    return {
        "reward_mean": 0.2 + step / 400 + 0.05 * wave,
        "reward_std": 0.3 + 0.02 * wave,
        "kl_mean": 0.002 + step / 40000 + 0.001 * wave,
        "entropy_mean": 1.1 - step / 500 + 0.02 * wave,
        "response_len_mean": 180 + step / 4 + 8 * wave,
        "truncation_rate": 0.02 + 0.01 * wave,
        "loss": 0.4 - step / 1000 + 0.03 * wave,
        "grad_norm": 0.5 + 0.1 * wave,
        "lr": 1e-6,
        "clip_frac": 0.04 + 0.01 * wave,
        "step_time": 11 + wave,
        "tokens_per_second": 8200 + 300 * wave,
    }


def card(page: Page, metric: str) -> Locator:
    """The chart of a metric."""
    return page.locator(f'article.card[data-metric="{metric}"]')


def wait_drawn(page: Page, metric: str, points: int) -> float:
    """Wait until a chart has been drawn with so many points; when that was, in seconds since 1970."""
    return float(
        page.wait_for_function(
            """([metric, points]) => {
                const card = [...document.querySelectorAll(".card")].find((each) => each.dataset.metric === metric);
                return Number(card?.dataset.drawn) === points && Date.now() / 1000;
            }""",
            arg=[metric, points],
            polling=20,
        ).json_value()
    )


def pixels(page: Page, metric: str, colour: str) -> int:
    """How many pixels of a chart have the colour of this name, or nearly: edges are smooth."""
    return int(
        card(page, metric).evaluate(
            """(card, name) => {
                const probe = document.body.appendChild(document.createElement("i"));
                probe.style.color = `var(--${name})`;
                const [r, g, b] = getComputedStyle(probe).color.match(/[0-9]+/g).map(Number);
                probe.remove();
                const canvas = card.querySelector("canvas");
                const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                let count = 0;
                for (let at = 0; at < data.length; at += 4)
                    count += Math.hypot(data[at] - r, data[at + 1] - g, data[at + 2] - b) < 30 && data[at + 3] > 220;
                return count;
            }""",
            colour,
        )
    )
