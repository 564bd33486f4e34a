"""A real terminal of 80 columns and 24 lines, and what is on its screen."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pexpect
import pyte

from tests.runs import clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Terminal:
    """A program in a terminal."""

    def __init__(self, child: pexpect.spawn[bytes]) -> None:
        self.child = child
        self.screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self.screen)
        self.sent = b""
        """All that it sent."""

    def read(self, seconds: float = 0.2) -> None:
        """Take in what it sends for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                part = self.child.read_nonblocking(65536, timeout=0.05)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                return
            self.sent += part
            self._stream.feed(part)

    @property
    def lines(self) -> list[str]:
        """What is on the screen."""
        return [line.rstrip() for line in self.screen.display]

    def wait_for(self, holds: Callable[[list[str]], Any], seconds: float = 30) -> list[str]:
        """The screen as soon as something holds."""
        end = time.monotonic() + seconds
        while not holds(self.lines):
            assert time.monotonic() < end, "\n".join(self.lines)
            self.read(0.1)
        return self.lines

    def interrupt(self) -> int | None:
        """Press Ctrl-C; the exit code."""
        self.child.sendintr()
        self.read(0.5)
        self.child.expect(pexpect.EOF, timeout=20)
        rest = self.child.before or b""
        self.sent += rest
        self._stream.feed(rest)
        self.child.close()
        code: int | None = self.child.exitstatus
        return code


@contextmanager
def terminal(*arguments: str, **environment: str) -> Iterator[Terminal]:
    """Run `rldk` in a terminal."""
    child = pexpect.spawn(
        sys.executable,
        ["-m", "rldk", *arguments],
        dimensions=(24, 80),
        env=clean_environment() | {"TERM": "xterm-256color"} | environment,
        timeout=30,
        # A test run that was started in the background ignores Ctrl-C, and its children would.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield Terminal(child)
    finally:
        child.close(force=True)
