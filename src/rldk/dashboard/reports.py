"""Build the final reports of runs that are watched, in processes of their own: a long log takes a while."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from rldk.io.segments import Log, log_path, run_log
from rldk.report.final import build_report

if TYPE_CHECKING:
    from rldk.dashboard.catalogue import Found
    from rldk.dashboard.watched import Watched

__all__ = ["Reports"]

_PATIENCE: Final = 2.0
"""Seconds that somebody waits for a report; then an older one has to do."""
_REST: Final = 5.0
"""A report of a run that grows may take one part in so many of the time."""


class _Made:
    """The last report of a run."""

    def __init__(self) -> None:
        self.text: msgspec.Raw | None = None
        self.of: object = None
        self.not_before = 0.0
        self.task: asyncio.Task[None] | None = None


class Reports:
    """The last report of each run; made anew when it is asked for and the run has gone on."""

    def __init__(self) -> None:
        self._made: dict[str, _Made] = {}

    async def get(self, run: Watched) -> msgspec.Raw | None:
        """The report of a run as JSON, or as it was a while ago; None while there is none."""
        made = self._made.setdefault(run.found.id, _Made())
        if made.task is None and made.of != _state(run) and time.monotonic() >= made.not_before:
            made.task = asyncio.create_task(self._make(run, made))
        if made.task is not None:
            await asyncio.wait([made.task], timeout=_PATIENCE)
        return made.text

    @staticmethod
    async def _make(run: Watched, made: _Made) -> None:
        began, state = time.monotonic(), _state(run)
        try:
            if text := await _report(run.found):
                made.text, made.of = msgspec.Raw(text), state
        finally:
            made.task = None
            made.not_before = time.monotonic() + _REST * (time.monotonic() - began)


def _state(run: Watched) -> object:
    return run.columns.position, run.columns.events, run.found.is_held


async def _report(found: Found) -> bytes:
    """The report of a run; empty when it cannot be made."""
    if found.lowest and not any(path.is_symlink() for path in found.files()):
        return await _in_process(found.lowest.path)
    with tempfile.TemporaryDirectory(prefix="rldk-") as folder:
        path = log_path(Path(folder), "run")
        await asyncio.to_thread(_copy, found, path)
        return await _in_process(path)


def _copy(found: Found, path: Path) -> None:
    """Write the events of a foreign run as a log."""
    tail = found.tail(min(found.ranks))
    with path.open("wb") as file:
        while chunk := tail.read():
            file.write(chunk.text)
    tail.close()


async def _in_process(path: Path) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "rldk.dashboard.reports",
        str(path),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        text, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    return text.strip() if process.returncode == 0 else b""


def _main(path: Path) -> None:
    log: Log = run_log(path)
    sys.stdout.buffer.write(msgspec.json.encode(build_report(log).final))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
