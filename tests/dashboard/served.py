"""A folder that is really served, by a process of its own, and how to ask it."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from websockets.sync.client import connect

from tests.runs import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from websockets.sync.client import ClientConnection


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, when it is JSON."""
        return json.loads(self.body)


class Served:
    """A server that is running."""

    def __init__(self, process: subprocess.Popen[str], link: str, cache: Path) -> None:
        self.process, self.link, self.cache = process, link, cache
        match = re.fullmatch(r"http://127\.0\.0\.1:([0-9]+)/\?t=(\S+)", link)
        assert match, link
        self.port, self.token = int(match[1]), match[2]
        self.said: list[str] = [link]
        """All that it printed."""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        self.said += self.process.stdout

    @property
    def bearer(self) -> dict[str, str]:
        """The header with the token."""
        return {"Authorization": f"Bearer {self.token}"}

    def ask(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> Answer:
        """Ask with exactly these headers, and the host when it is not among them."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """An answer of the API."""
        answer = self.ask(path, self.bearer)
        assert answer.status == 200, answer
        return answer.json

    def run(self, name: str) -> dict[str, Any]:
        """The entry of a run, as soon as all of it was read."""
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + 20
        while not (found and found[0]["progress"] == 1):
            assert time.monotonic() < deadline, self.get("/api/runs")
            found = [run for run in self.get("/api/runs")["runs"] if run["name"] == name]
            time.sleep(0.02)
        return found[0]

    @contextmanager
    def listen(self, path: str, **options: Any) -> Iterator[ClientConnection]:
        """A WebSocket."""
        with connect(
            f"ws://127.0.0.1:{self.port}{path}",
            additional_headers=self.bearer,
            max_size=None,
            compression=None,
            **options,
        ) as socket:
            yield socket

    def stop(self) -> int:
        """End it as Ctrl-C does; its exit code."""
        self.process.terminate()
        code = self.process.wait(20)
        self._reader.join(20)
        assert self.process.stdout
        self.process.stdout.close()
        return code


@contextmanager
def served(folder: Path, cache: Path, *options: str) -> Iterator[Served]:
    """Serve a folder."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rldk", "serve", str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env=clean_environment() | {"RLDK_CACHE_DIR": str(cache)},
    )
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if "http://" in line:
            break
    else:
        raise AssertionError("".join(said))
    server = Served(process, line.strip(), cache)
    try:
        yield server
    finally:
        server.stop()


def frames(socket: ClientConnection, until: Any, seconds: float = 20) -> list[dict[str, Any]]:
    """The frames that come until one of them, or all together, are what is waited for."""
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + seconds
    while not (found and until(found)):
        found.append(json.loads(socket.recv(timeout=max(0.0, deadline - time.monotonic()))))
    return found


def events(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events in frames."""
    return [event for frame in found if frame["type"] == "events" for event in frame["events"]]


def steps(found: list[dict[str, Any]]) -> list[int]:
    """The steps of the events in frames."""
    return [event["step"] for event in events(found)]
