"""What the server answers; see docs/reference/stream.md."""

from __future__ import annotations

import asyncio
import math
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast, get_args

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from rldk.dashboard.charts import Axis, Query
from rldk.dashboard.cursor import packed, unpacked
from rldk.dashboard.details import details_of
from rldk.dashboard.entry import entry_of
from rldk.dashboard.frames import VERSION
from rldk.dashboard.reports import Reports
from rldk.report.html import CHARTS, PAGE
from rldk.report.render import IMPORTANT

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import HTTPConnection, Request
    from starlette.websockets import WebSocket

    from rldk.dashboard.cursor import Places
    from rldk.dashboard.hub import Hub
    from rldk.dashboard.tail import Watcher
    from rldk.dashboard.watched import Watched

__all__ = ["make_app"]

_KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
"""What is given of the page, by the ending of its name."""

_ID: Final = re.compile(r"[0-9a-f]{12}", re.ASCII)
_MOST_METRICS: Final = 500
_MOST_POINTS: Final = 10_000
_READY: Final = 10.0
"""Seconds that one waits for the folder to have been looked through."""
_MISSING: Final = (
    "<!doctype html><meta charset=utf-8><title>RLDK</title><h1>The page is not here</h1>"
    "<p>This installation of RLDK was built without its web page: {missing} {verb} missing. "
    "The page comes with the package from PyPI; from a checkout it is built by <code>pip install -e .</code> "
    "where <code>npm</code> is installed.</p>"
    "<p>The API works, and <code>rldk watch</code> shows the runs in a terminal.</p>"
)


def make_app(watcher: Watcher, hub: Hub, page: Path = PAGE) -> Starlette:
    """The application: the page, the API and the streams. Who may ask is not its business; see `rldk.dashboard.guard`.

    Args:
        watcher: reads the runs.
        hub: knows what comes.
        page: where the files of the page are.
    """
    answers = _Answers(watcher, hub, page)
    return Starlette(
        routes=[
            Route("/api/runs", answers.runs, methods=["GET"]),
            Route("/api/runs/{id}", answers.run, methods=["GET"]),
            Route("/api/runs/{id}/series", answers.series, methods=["GET"]),
            Route("/api/runs/{id}/alerts", answers.alerts, methods=["GET"]),
            Route("/api/runs/{id}/report", answers.report, methods=["GET"]),
            WebSocketRoute("/api/runs/{id}/events", answers.events),
            WebSocketRoute("/api/stream", answers.stream),
            Route("/{name:path}", answers.file, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _on_error},
    )


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, "application/json")


async def _on_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for them
    return _error(error)


def _error(error: HTTPException) -> Response:
    return _json({"v": VERSION, "error": error.detail}, error.status_code, dict(error.headers or {}))


class _Answers:
    """The answers, one for each route."""

    def __init__(self, watcher: Watcher, hub: Hub, page: Path) -> None:
        self._watcher, self._hub = watcher, hub
        self._reports = Reports()
        self._page = page
        self._files = {
            path.relative_to(page).as_posix(): path
            for path in sorted(page.rglob("*"))
            if path.suffix in _KINDS and path.is_file() and "node_modules" not in path.parts
        }

    async def runs(self, request: Request) -> Response:
        """Every run in the folder."""
        await asyncio.to_thread(self._watcher.ready.wait, _READY)
        if self._watcher.error:
            raise HTTPException(503, self._watcher.error)
        root = self._watcher.catalogue.root
        return _json(
            {
                "v": VERSION,
                "folder": root.resolve().name,
                "runs": self._watcher.entries,
                "passed_over": self._watcher.catalogue.passed_over,
            }
        )

    async def _run(self, connection: HTTPConnection) -> Watched:
        """The run that is asked for, by an id that is looked up and never part of a path."""
        await asyncio.to_thread(self._watcher.ready.wait, _READY)
        run_id = connection.path_params["id"]
        run = self._watcher.runs.get(run_id) if _ID.fullmatch(run_id) else None
        if run is None:
            raise HTTPException(404, "expected the id of a run, as GET /api/runs lists them, found none of them")
        return run

    async def run(self, request: Request) -> Response:
        """One run: its entry, its curves, what its metrics mean, its seams."""
        run = await self._run(request)

        def content() -> dict[str, Any]:
            """All of it, read in another thread."""
            cursor = self._cursor(run)
            return {"v": VERSION, "run": entry_of(run), "cursor": cursor, **details_of(run)}

        with self._watcher.asked():
            return _json(await asyncio.to_thread(content))

    @staticmethod
    def _cursor(run: Watched) -> str:
        """Where the stream goes on behind what the columns know."""
        return packed({run.found.id: {min(run.found.ranks): run.columns.position}})

    async def series(self, request: Request) -> Response:
        """Curves, thinned."""
        run = await self._run(request)
        query = _query(request, run)

        def content() -> bytes:
            """The curves as JSON, made in another thread."""
            cursor, progress = self._cursor(run), run.progress
            found = run.series(query)
            ends = [end for each in found if each.x for end in (each.x[0], each.x[-1])]
            places = [end for end in ends if end is not None]
            return msgspec.json.encode(
                {
                    "v": VERSION,
                    "id": run.found.id,
                    "x": query.x,
                    "cursor": cursor,
                    "progress": round(progress, 3),
                    "range": [min(places), max(places)] if places else None,
                    "clock": run.clock(query),
                    "series": found,
                }
            )

        try:
            with self._watcher.asked():
                return Response(await asyncio.to_thread(content), media_type="application/json")
        except OSError as error:
            raise HTTPException(503, "expected the run, found that it is being read anew; ask again") from error

    async def alerts(self, request: Request) -> Response:
        """What the rules say of a run."""
        run = await self._run(request)
        return _json({"v": VERSION, "id": run.found.id, "progress": round(run.judged, 3), "verdict": run.verdict})

    async def report(self, request: Request) -> Response:
        """The final report of a run, as it is now."""
        run = await self._run(request)
        text = await self._reports.get(run)
        if text is None:
            raise HTTPException(503, "expected a report, found that it is being made; ask again", {"Retry-After": "2"})
        return _json({"v": VERSION, "id": run.found.id, "report": text})

    async def events(self, socket: WebSocket) -> None:
        """The events of one run, as they come."""
        try:
            run = await self._run(socket)
        except HTTPException as error:
            await socket.send_denial_response(_error(error))
            return
        await self._send(socket, {run.found.id}, {run.found.id})

    async def stream(self, socket: WebSocket) -> None:
        """The events of all runs, or of some."""
        await asyncio.to_thread(self._watcher.ready.wait, _READY)
        wanted = {run for run in socket.query_params.getlist("run") if _ID.fullmatch(run)}
        await self._send(socket, wanted if "run" in socket.query_params else None)

    async def _send(self, socket: WebSocket, wanted: set[str] | None, listed: set[str] | None = None) -> None:
        places: Places | None = None
        if "from" in socket.query_params:
            try:
                places = unpacked(socket.query_params["from"])
            except ValueError as error:
                await socket.send_denial_response(_json({"v": VERSION, "error": str(error)}, 400))
                return
        await socket.accept()
        sending = asyncio.create_task(self._frames(socket, wanted, places, listed))
        try:
            # What the client says is not read; that it goes away is.
            while (await socket.receive())["type"] != "websocket.disconnect":
                pass
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect, OSError):
                await sending

    async def _frames(
        self, socket: WebSocket, wanted: set[str] | None, places: Places | None, listed: set[str] | None
    ) -> None:
        frames = self._hub.listen(wanted, places, listed=listed)
        try:
            async for text in frames:
                await socket.send_text(text)
            await socket.close(1001)
        finally:
            await frames.aclose()

    async def file(self, request: Request) -> Response:
        """A file of the page; names are looked up and never part of a path."""
        name = request.path_params["name"] or "index.html"
        missing = [each for each in ("index.html", CHARTS) if each not in self._files]
        if name == "index.html" and "index.html" in missing:
            verb = "is" if len(missing) == 1 else "are"
            text = _MISSING.format(missing=" and ".join(missing), verb=verb)
            return Response(text, 503, media_type="text/html")
        if (path := self._files.get(name)) is None:
            raise HTTPException(404, "expected a file of the page or an address below /api, found neither")
        return Response(await asyncio.to_thread(path.read_bytes), media_type=_KINDS[path.suffix])


def _query(request: Request, run: Watched) -> Query:
    """What series are asked for.

    Raises:
        HTTPException: a parameter says nothing that can be understood.
    """
    given = request.query_params
    known = run.metrics
    metrics = list(dict.fromkeys(name for text in given.getlist("metrics") for name in _names(text, known)))
    if len(metrics) > _MOST_METRICS:
        raise HTTPException(400, f"metrics: expected at most {_MOST_METRICS} names, found {len(metrics)}")
    axis = given.get("x", "step")
    if axis not in get_args(Axis):
        raise HTTPException(400, f"x: expected one of {', '.join(get_args(Axis))}, found {axis[:40]!r}")
    history = given.get("history", "effective")
    if history not in {"effective", "all"}:
        raise HTTPException(400, f"history: expected one of effective, all, found {history[:40]!r}")
    return Query(
        metrics=tuple(metrics or [name for name in IMPORTANT if name in known] or known[:12]),
        points=_points(given.get("points", "1000")),
        x=cast("Axis", axis),
        low=_bound("from", given.get("from"), -math.inf),
        high=_bound("to", given.get("to"), math.inf),
        phase=given.get("phase"),
        eval_set=given.get("eval_set"),
        rewound=history == "all",
    )


def _names(text: str, known: list[str]) -> list[str]:
    """A name, or several divided by commas, which may be part of a name."""
    return [text] if text in known else [name for name in text.split(",") if name]


def _points(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) or not 1 <= int(text) <= _MOST_POINTS:
        raise HTTPException(400, f"points: expected an integer from 1 to {_MOST_POINTS}, found {text[:40]!r}")
    return int(text)


def _bound(name: str, text: str | None, default: float) -> float:
    try:
        value = default if text is None else float(text)
    except ValueError:
        value = math.nan
    if text is not None and not math.isfinite(value):
        raise HTTPException(400, f"{name}: expected a number, found {text[:40]!r}")
    return value
