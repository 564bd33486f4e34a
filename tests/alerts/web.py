"""A web server that does with messages what servers do."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Server:
    """What a server is to do, and what it has been sent.

    Args:
        answers: the status of each answer, the last one for all that follow.
        delay: seconds before each answer.
    """

    def __init__(self, answers: list[int], delay: float) -> None:
        self.answers = answers
        self.delay = delay
        self.url = ""
        self.got: list[tuple[str, Any]] = []
        """The path and the content of each message."""
        self.times: list[float] = []
        self.who: list[str | None] = []
        """The user and password that came with each message."""
        self.gone = threading.Event()

    def answer(self) -> int:
        """The next status."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def server(*answers: int, delay: float = 0.0) -> Iterator[Server]:
    """A server on this machine."""
    told = Server(list(answers or (200,)), delay)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.times.append(time.monotonic())
            told.who.append(self.headers["Authorization"])
            told.got.append((self.path, content))
            told.gone.wait(told.delay)
            try:
                self.send_response(told.answer())
                if self.path == "/moved":
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:
                # Whoever asked has not waited.
                return

        do_GET = do_POST  # noqa: N815 - its name in the class above

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        told.url = f"http://127.0.0.1:{http.server_port}/services/T000/B000/SECRET"
        try:
            yield told
        finally:
            told.gone.set()
            http.shutdown()
            thread.join()
