"""Hand out what comes to all who listen."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from rldk.dashboard.hub import Hub
from rldk.dashboard.tail import Watcher
from rldk.io.writer import open_writer
from tests.dashboard.stage import take
from tests.runs import make_event, write_attempt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("cache")


@asynccontextmanager
async def attached(folder: Path) -> AsyncIterator[tuple[Hub, Watcher]]:
    """A hub that a watcher tells what it finds whenever a test lets it look, for which it is always time."""
    seconds = count()
    watcher = Watcher(folder, clock=lambda: time.monotonic() + next(seconds))
    hub = watcher.listener = Hub("rldk 1", "runs", heartbeat=60.0)
    hub.attach(watcher, asyncio.get_running_loop())
    try:
        yield hub, watcher
    finally:
        watcher.stop()


def types(frames: list[dict[str, Any]]) -> list[str]:
    """The types of frames."""
    return [frame["type"] for frame in frames]


def test_all_who_listen_are_told_what_a_thread_finds(folder: Path) -> None:
    """Entries, what is written and what is judged come to each of them; the latter to one who comes later, too."""

    async def run() -> list[list[dict[str, Any]]]:
        async with (
            attached(folder) as (hub, watcher),
            aclosing(hub.listen(None, None)) as one,
            aclosing(hub.listen(None, None)) as other,
        ):
            await asyncio.to_thread(watcher.turn)
            before = [await take(each, 3) for each in (one, other)]
            await asyncio.to_thread(watcher.listen)
            live = [await take(each, 1) for each in (one, other)]
            waiting = asyncio.gather(take(one, 1), take(other, 1))
            await asyncio.sleep(0.01)
            writer.write(make_event(1))
            await asyncio.to_thread(watcher.listen)
            after = await waiting
            async with aclosing(hub.listen(None, None)) as later:
                return [
                    *(first + second + third for first, second, third in zip(before, live, after, strict=True)),
                    await take(later, 3),
                ]

    writer = open_writer(folder, run_id="r")
    writer.write(make_event(0))
    one, other, later = asyncio.run(run())
    writer.close()

    assert types(one) == ["hello", "runs", "alerts", "live", "events"]
    assert one == other
    assert one[0] == {
        "v": 1,
        "type": "hello",
        "cursor": "now",
        "server": "rldk 1",
        "folder": "runs",
        "heartbeat": 60.0,
    }
    assert [(entry["name"], entry["state"], entry["events"]) for entry in one[1]["runs"]] == [("r", "training", 1)]
    assert (one[2]["run"], one[2]["progress"], one[2]["seams"]) == (one[1]["runs"][0]["id"], 1.0, [])
    assert one[2]["verdict"]["run_id"] == "r"
    assert [event["step"] for event in one[4]["events"]] == [1]
    assert [frame["type"] for frame in later] == ["hello", "runs", "alerts"]


def test_what_goes_and_what_ends(folder: Path) -> None:
    """A run that is removed is gone for those who listen; when all shall end, every one of them does."""

    async def run() -> tuple[list[dict[str, Any]], list[str]]:
        async with attached(folder) as (hub, watcher):
            frames = hub.listen(None, None)
            await asyncio.to_thread(watcher.turn)
            (run_id,) = watcher.runs
            before = await take(frames, 3)
            await asyncio.to_thread(hub.gone, [run_id])
            before += await take(frames, 1)
            hub.close()
            return before, [each async for each in frames]

    write_attempt(folder, [make_event(0)])
    found, rest = asyncio.run(run())

    assert types(found) == ["hello", "runs", "alerts", "runs"]
    assert found[3]["gone"] == [entry["id"] for entry in found[1]["runs"]]
    assert rest == []


def test_what_nobody_listens_to_is_not_kept(folder: Path) -> None:
    """When the watcher says that a log has ended, its ring goes, and one who comes back is given what was missed."""

    async def run() -> list[dict[str, Any]]:
        async with attached(folder) as (hub, watcher):
            await asyncio.to_thread(watcher.turn)
            async with aclosing(hub.listen(None, {})) as frames:
                await take(frames, 3)
                await asyncio.to_thread(watcher.listen)
                before = await take(frames, 2)
            await asyncio.to_thread(watcher.listen)
            assert hub._known.rings == {}
            writer.write(make_event(1))
            async with aclosing(hub.listen(None, {})) as frames:
                await take(frames, 3)
                await asyncio.to_thread(watcher.listen)
                return before + await take(frames, 2)

    writer = open_writer(folder, run_id="r")
    writer.write(make_event(0))
    frames = asyncio.run(run())
    writer.close()

    steps = [[event["step"] for event in frame["events"]] for frame in frames if frame["type"] == "events"]
    assert types(frames) == ["events", "live", "events", "live"]
    assert steps == [[0], [0, 1]]


def test_what_comes_when_there_is_no_loop(folder: Path) -> None:
    """Before it is attached, and when its loop has been closed, what it is told goes nowhere and is no error."""

    async def run() -> Hub:
        async with attached(folder) as (hub, _):
            return hub

    never, closed = Hub("rldk 1", "runs"), asyncio.run(run())
    for hub in (never, closed):
        hub.gone(["r"])

        async def first(hub: Hub = hub) -> list[dict[str, Any]]:
            async with aclosing(hub.listen(None, None)) as frames:
                return await take(frames, 2)

        frames = asyncio.run(first())

        assert types(frames) == ["hello", "runs"]
        assert "gone" not in frames[1]
