"""`rldk watch`."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.live import Live

from rldk.cli.terminal import terminal, widen
from rldk.dashboard.screen import screen
from rldk.dashboard.tail import Watcher

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["watch"]

_REFRESH: Final = 0.5
_PATIENCE: Final = 30.0
"""Seconds that --once waits for a long log to be read."""


@click.command()
@click.argument("path", metavar="[RUN|DIR]", default=".", type=click.Path(path_type=Path, exists=True))
@click.option("--once", is_flag=True, help="Print what there is now, and end; so it is in a pipe, too.")
def watch(path: Path, *, once: bool) -> None:
    """Watch a run in the terminal while it trains: its metrics, alerts, pace, and how long it will take.

    RUN is a log of any framework that `rldk ingest` reads, and DIR a folder with some, the current one when it is
    not given; of several, the one that was written last is shown, and the others in a line each. Ctrl-C ends it.
    On a terminal that cannot be drawn over (TERM=dumb), it is as with --once.

    \b
    rldk watch rldk_logs
    ssh trainer rldk watch runs --once

    Exit codes: 0 ended by Ctrl-C, or printed, 2 wrong usage.
    """
    console = terminal()
    # Whoever is told to end puts the terminal back as it was.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    watcher = Watcher(path)
    watcher.start()
    try:
        watcher.ready.wait(_PATIENCE)
        if once or not console.is_terminal or console.is_dumb_terminal:
            _await(watcher)
            widen(console)
            console.print(_screen(watcher, console))
            return
        with Live(_screen(watcher, console), console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(_REFRESH)
                live.update(_screen(watcher, console), refresh=True)
    except KeyboardInterrupt:
        console.print(_screen(watcher, console))
    finally:
        watcher.stop()


def _screen(watcher: Watcher, console: Console) -> RenderableType:
    return screen(list(watcher.runs.values()), console.width, console.height)


def _await(watcher: Watcher) -> None:
    """Wait until everything has been read and judged, for as long as that may take."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and any(run.progress < 1 or run.judged < 1 for run in watcher.runs.values()):
        time.sleep(0.02)
