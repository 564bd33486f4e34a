"""Run a program for each alert."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from typing import TYPE_CHECKING

import msgspec

from rldk.alerts.sinks.outbox import PATIENCE, Outbox, UndeliveredError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldk.alerts.findings import Alert

__all__ = ["Command"]


class Command:
    """Runs a program for each alert, with `{"run_id": ..., "alert": {...}}` on its standard input.

    The program runs beside the training, one alert after the other, and is killed with all that it has started when
    it takes too long. No shell is involved, and nothing of an alert is part of the command line. What it prints is
    not shown.

    Args:
        words: the program and its arguments.
        timeout: seconds that it may take.

    Raises:
        TypeError: it is a text, which only a shell could take apart, or holds something else than texts.
        ValueError: there is no program.
    """

    def __init__(self, words: Sequence[str], *, timeout: float = 30.0) -> None:
        if isinstance(words, str) or not all(isinstance(word, str) for word in words):
            raise TypeError(f"command: expected a list of words, as ['notify-send', 'alert'], found {words!r}")
        if not words:
            raise ValueError("command: expected a program, found an empty list")
        self._words = list(words)
        self._timeout = timeout
        self._running: subprocess.Popen[bytes] | None = None
        self._pid = os.getpid()
        """A forked child leaves its parent's program alone."""
        self._outbox = Outbox(self._run, self._words[0], waits=())

    def __repr__(self) -> str:
        return f"Command({self._words[0]!r})"

    @property
    def lost(self) -> int:
        """For how many alerts the program did not end well."""
        return self._outbox.lost

    def __call__(self, alert: Alert, run_id: str) -> None:
        """Take an alert to run the program for."""
        self._outbox.post(msgspec.json.encode({"run_id": run_id, "alert": alert}) + b"\n")

    def flush(self, patience: float = PATIENCE) -> None:
        """Wait for programs that are to be run; after so many seconds the one that still runs is killed."""
        self._outbox.flush(patience)
        running = self._running
        if running and running.returncode is None and os.getpid() == self._pid:
            _kill(running)

    def _run(self, message: bytes) -> None:
        # A file, because a pipe would wait for a program that does not read it.
        with tempfile.TemporaryFile() as stdin:
            stdin.write(message)
            stdin.seek(0)
            try:
                self._running = subprocess.Popen(  # noqa: S603 - the user's own program
                    self._words,
                    stdin=stdin,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except OSError as error:
                raise UndeliveredError(error.strerror or type(error).__name__, again=False) from error
        self._await(self._running)

    def _await(self, program: subprocess.Popen[bytes]) -> None:
        try:
            code = program.wait(self._timeout)
        except subprocess.TimeoutExpired:
            _kill(program)
            program.wait()
            raise UndeliveredError(f"it took longer than {self._timeout:g} s", again=False) from None
        finally:
            self._running = None
        if code:
            raise UndeliveredError(f"it ended with exit code {code}", again=False)


def _kill(program: subprocess.Popen[bytes]) -> None:
    """Kill a program and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)
