"""`rldk tail`."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from rldk.dashboard.catalogue import Catalogue, Found
from rldk.errors import InvalidLineError, RunNotFoundError, UnknownFormatError
from rldk.io.codec import decode
from rldk.io.log_tail import near_end
from rldk.io.position import START
from rldk.io.printable import printable
from rldk.io.reader import problem
from rldk.io.values import spelled
from rldk.report.render import IMPORTANT
from rldk.report.words import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rldk.dashboard.foreign import Tail
    from rldk.io.event_schema import Event
    from rldk.io.log_tail import Chunk

__all__ = ["found_run", "tail"]

_QUICK: Final = 0.01
_SLOW: Final = 0.2
_LOOK: Final = 1.0
_LINE: Final = 2048
"""Bytes that a line has at most, as a rule: so far before its end the reading of a long log begins."""
_SHOWN: Final = 6
"""Metrics that are shown when none are named."""


class _Line(NamedTuple):
    rank: int
    text: bytes
    problem: str


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path, exists=False))
@click.option("-f", "--follow", is_flag=True, help="Wait for more, until Ctrl-C.")
@click.option("-n", "--lines", default=10, show_default=True, type=click.IntRange(0), help="How many of the last.")
@click.option("--all", "every", is_flag=True, help="Print all events from the beginning.")
@click.option("--json", "as_json", is_flag=True, help="Print each event as a line of JSON, as it was written.")
@click.option("--metrics", multiple=True, metavar="NAME,...", help="The metrics to print; by default important ones.")
def tail(run: Path, *, follow: bool, lines: int, every: bool, as_json: bool, metrics: Sequence[str]) -> None:
    """Print the last events of RUN, and with -f those to come.

    RUN is a log of any framework that `rldk ingest` reads, or a folder with one run. What it prints is for pipes:
    an event on each line, at once. Of several ranks every one is printed. Lines that cannot be read are told on
    standard error.

    \b
    rldk tail rldk_logs -n 3
    rldk tail rldk_logs --all --json | jq .metrics.loss
    rldk tail rldk_logs --metrics loss,kl_mean

    Exit codes: 0 all is well, also when Ctrl-C ended it, 1 a line could not be read, 2 wrong usage or no run.
    """
    names = [name for text in metrics for name in text.split(",") if name]
    catalogue = Catalogue(run)
    found = found_run(catalogue, run)
    bad = False
    try:
        for line in _lines(catalogue, found, None if every else lines, follow=follow):
            if line.problem:
                bad = True
                click.echo(f"rldk: {printable(line.problem)}", err=True)
            elif as_json:
                sys.stdout.write(line.text.decode() + "\n")
            else:
                shown = _shown(decode(line.text), names, several=len(found.ranks) > 1)
                sys.stdout.write(printable(shown) + "\n")
            if follow:
                sys.stdout.flush()
        sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Whoever read this has seen enough; the interpreter would complain of it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1 if bad else 0)


def found_run(catalogue: Catalogue, path: Path) -> Found:
    """The only run at a path.

    Raises:
        UnknownFormatError: it is a file that is no log.
        RunNotFoundError: there is no run, or there are several.
        FileNotFoundError: there is nothing at the path.
    """
    if not catalogue.root.exists():
        catalogue.root.stat()
    catalogue.look()
    runs = list(catalogue.runs.values())
    if not runs and not catalogue.root.is_dir():
        raise UnknownFormatError(path, catalogue.passed_over[0].why)
    if len(runs) != 1:
        raise RunNotFoundError(path, sorted(each.path for each in runs))
    return runs[0]


def _lines(catalogue: Catalogue, found: Found, last: int | None, *, follow: bool) -> Iterator[_Line]:
    """The last lines of a run, every one when `last` is None, and those to come."""
    tails = {rank: found.tail(rank) for rank in found.ranks}
    if last is not None:
        for rank, each in tails.items():
            tails[rank], before = _last(found, rank, each, last)
            yield from before
    pause, looked = _QUICK, time.monotonic()
    while True:
        came = False
        for rank, each in tails.items():
            while chunk := each.read():
                came = True
                yield from _of(rank, chunk)
                if follow:
                    break
        if not follow:
            return
        if time.monotonic() - looked > _LOOK:
            looked = time.monotonic()
            if catalogue.look() and found.id in catalogue.runs:
                found = catalogue.runs[found.id]
                tails |= {rank: found.tail(rank) for rank in found.ranks if rank not in tails}
        pause = _QUICK if came else min(pause * 1.2, _SLOW)
        time.sleep(pause)


def _last(found: Found, rank: int, tail: Tail, count: int) -> tuple[Tail, list[_Line]]:
    """The last lines of a log, and what reads on behind them."""
    log = found.logs.get(rank)
    place = near_end(log, max(2**18, count * _LINE), links=False) if log else None
    for begin in (place, START) if place else (START,):
        tail = found.tail(rank, begin)
        kept: deque[_Line] = deque(maxlen=count)
        while chunk := tail.read():
            kept.extend(_of(rank, chunk))
        if len(kept) == count or begin == START:
            break
        tail.close()
    return tail, list(kept)


def _of(rank: int, chunk: Chunk) -> Iterator[_Line]:
    if chunk.problem:
        yield _Line(rank, b"", str(chunk.problem.error(chunk.path)))
    byte = chunk.start.byte
    for count, text in enumerate(chunk.text.split(b"\n")[:-1], 1):
        try:
            decode(text)
        except InvalidLineError as error:
            found = problem(error).at(chunk.start.line + count, byte)
            yield _Line(rank, b"", str(found.error(chunk.path)))
        else:
            yield _Line(rank, text, "")
        byte += len(text) + 1


def _shown(event: Event, names: Sequence[str], *, several: bool) -> str:
    """An event for a person: its step, and those metrics that matter or were asked for."""
    wanted = names or [name for name in IMPORTANT if name in event.metrics][:_SHOWN] or list(event.metrics)[:_SHOWN]
    place = event.phase if event.eval_set is None else f"{event.phase}: {event.eval_set}"
    rank = [f"rank {event.rank}"] if several or event.rank else []
    values = [f"{name} {_value(event, name)}" for name in wanted]
    return "  ".join([f"step {event.step}", place, *rank, *values, *event.notes])


def _value(event: Event, name: str) -> str:
    """A metric in a few digits; a dash when it was not measured."""
    value = event.metrics.get(name)
    return str(spelled(value)) if value is not None and value - value != 0 else number(value)
