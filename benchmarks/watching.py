"""Watching: how soon a follower has a line, a server its first charts, and twenty clients every event."""

import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from websockets.asyncio.client import connect

from benchmarks.events import NAMES, events, large_log
from rldk import follow, open_writer

RATE = 1000
SECONDS = 10
CLIENTS = 20
EVENTS = 1_000_000
POINTS = 800


class _Now(msgspec.Struct):
    now: float


class _Event(msgspec.Struct):
    step: int
    metrics: _Now


class _Frame(msgspec.Struct):
    type: str
    events: list[_Event] = []


def write(folder: str, run_id: str, count: int) -> None:
    """Write so many events with 30 metrics, RATE of them a second, each with the moment it was written."""
    writer = open_writer(folder, run_id=run_id, rotation="2 MB", compression="gz")
    some = events(RATE)
    began = time.perf_counter()
    for step in range(count):
        time.sleep(max(0.0, began + step / RATE - time.perf_counter()))
        event = some[step % RATE]
        metrics = {**event.metrics, "now": time.time()}
        writer.write(msgspec.structs.replace(event, step=step, wall_time=float(step), metrics=metrics))
    writer.close()


def _python(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments])  # noqa: S603 - our own


def _writer(folder: Path, run_id: str, count: int) -> subprocess.Popen[bytes]:
    code = "import sys; from benchmarks.watching import write; write(sys.argv[1], sys.argv[2], int(sys.argv[3]))"
    return _python(code, str(folder), run_id, str(count))


def _share(values: list[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)] * 1000


def following(folder: Path) -> list[float]:
    """How late each line is when it is read, in seconds, rotated and compressed meanwhile."""
    count = RATE * SECONDS
    process = _writer(folder, "followed", count)
    while not list(folder.glob("followed_events*")):
        time.sleep(0.01)
    late, steps = [], []
    for line in follow(folder / "followed_events.jsonl", until=lambda: process.poll() is not None):
        late.append(time.time() - line.item.metrics["now"])  # type: ignore[union-attr, operator]
        steps.append(line.item.step)  # type: ignore[union-attr]
    assert steps == list(range(count))
    return late


class Server(NamedTuple):
    """A server that was started."""

    process: subprocess.Popen[str]
    base: str
    token: str
    took: float
    """Seconds until it listened."""

    def get(self, path: str) -> Any:
        """An answer."""
        headers = {"Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(self.base + path, headers=headers)  # noqa: S310 - our own server
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own server
            return json.loads(answer.read())

    def anonymous(self) -> int:
        """Its anonymous memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) // 1000  # type: ignore[index]

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


def start(folder: Path, cache: Path) -> Server:
    """Serve a folder."""
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 - our own
        [sys.executable, "-m", "rldk", "serve", str(folder)],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "RLDK_CACHE_DIR": str(cache)},
    )
    assert process.stdout
    for line in process.stdout:
        if match := re.search(r"(http://[^/]+)/\?t=(\S+)", line):
            return Server(process, match[1], match[2], time.perf_counter() - began)
    raise AssertionError("the server did not start")


class Charts(NamedTuple):
    """How soon charts are there."""

    first: float
    """Seconds from the start of the process to charts of 12 metrics that reach the last step."""
    whole: float
    """Seconds until the whole log is in them."""
    zooms: list[float]
    """Seconds that 12 metrics of a tenth of the run take, for one part of it after the other."""
    memory: int


def charts(folder: Path, cache: Path, last: int) -> Charts:
    """Start a server, and ask for charts as the page does."""
    server = start(folder, cache)
    began = time.perf_counter() - server.took
    try:
        run = ""
        while not run:
            run = next((each["id"] for each in server.get("/api/runs")["runs"]), "")
        query = "&".join(f"metrics={name}" for name in NAMES[:12])
        path = f"/api/runs/{run}/series?points={POINTS}&{query}"
        while (answer := server.get(path))["range"] is None or answer["range"][1] < last:
            time.sleep(0.02)
        first, memory = time.perf_counter() - began, 0
        while answer["progress"] < 1:
            time.sleep(0.2)
            answer = server.get(path + "&to=1")
            memory = max(memory, server.anonymous())
        whole = time.perf_counter() - began
        zooms = [
            _seconds(partial(server.get, f"{path}&from={last * at // 10}&to={last * (at + 1) // 10}"))
            for at in range(10)
        ]
        return Charts(first, whole, zooms, max(memory, server.anonymous()))
    finally:
        server.stop()


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def clients(folder: Path, cache: Path) -> list[float]:
    """How late each event is at each of twenty clients, in seconds."""
    count = RATE * SECONDS
    first = open_writer(folder, run_id="streamed")
    first.write(msgspec.structs.replace(events(1)[0], metrics={"now": time.time()}))
    first.close()
    server = start(folder, cache)
    try:
        while not server.get("/api/runs")["runs"]:
            time.sleep(0.02)
        return asyncio.run(_clients(folder, server, count))
    finally:
        server.stop()


async def _clients(folder: Path, server: Server, count: int) -> list[float]:
    late: list[float] = []
    url = f"ws{server.base.removeprefix('http')}/api/stream"
    decode = msgspec.json.Decoder(_Frame).decode

    async def listen() -> None:
        steps: list[int] = []
        headers = {"Authorization": f"Bearer {server.token}"}
        async with connect(url, additional_headers=headers, compression=None, max_size=None) as socket:
            while len(steps) < count:
                found = decode(await socket.recv())
                now = time.time()
                assert found.type != "gap"
                steps += [event.step for event in found.events]
                late.extend(now - event.metrics.now for event in found.events)
        assert steps == list(range(count))

    listening = [asyncio.create_task(listen()) for _ in range(CLIENTS)]
    await asyncio.sleep(1)
    process = await asyncio.to_thread(_writer, folder, "streamed", count)
    await asyncio.gather(*listening)
    await asyncio.to_thread(process.wait)
    return late


def measure(folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """Follow, chart and stream."""
    places = [folder / name for name in ("followed", "charted", "streamed", "cache")]
    for place in places:
        place.mkdir()
    late = following(places[0])
    yield f"follow, {RATE:,} events/s: p50, p99", f"{_share(late, 0.5):.0f}, {_share(late, 0.99):.0f} ms", "", "50 ms"
    path, count = large_log(places[1], EVENTS * 1820)
    what = f"{count:,} events, 30 metrics, {path.stat().st_size / 1e9:.1f} GB"
    cold = charts(places[1], places[3], count - 1)
    warm = charts(places[1], places[3], count - 1)
    yield f"serve, {what}, cold: newest points", f"{cold.first:.2f} s", "", "1.5 s"
    yield "the same: all points", f"{cold.whole:.1f} s", "", ""
    yield "the same, seen before: first charts", f"{warm.first:.2f} s", "", "1.5 s"
    zooms = f"{statistics.median(warm.zooms) * 1000:.0f}, {max(warm.zooms) * 1000:.0f} ms"
    yield "the same: zoom into ten parts, 12 charts: median, slowest", zooms, "", "150 ms"
    yield "the same: anonymous memory", f"{max(cold.memory, warm.memory)} MB", "", "300 MB"
    path.unlink()
    late = clients(places[2], places[3])
    figures = f"{_share(late, 0.5):.0f}, {_share(late, 0.99):.0f} ms"
    yield f"{CLIENTS} clients, {RATE:,} events/s, none missing: p50, p99", figures, "", "150 ms"
