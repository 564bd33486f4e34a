"""Install the loggers, do every experiment with each, and print two tables."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from benchmarks.peers.catalogue import PEERS, Peer
from benchmarks.peers.experiments import EXPERIMENTS, FAST, SLOW, cells, cost, kill, lost
from benchmarks.peers.processes import FailedError, Installed, install
from benchmarks.peers.table import COST, Result, markdown, terminal, write_page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from benchmarks.peers.experiments import Cells, Kill

WIDTH: Final = 240
"""The columns of tables that go to no terminal."""

NAMES: Final = tuple(peer.name for peer in PEERS)


class Bench:
    """The measurements of one run.

    Args:
        installed: what is measured.
        place: a folder for all that is logged.
        steps: how many steps are timed.
        console: where the progress is told.
    """

    def __init__(self, installed: Sequence[Installed], place: Path, steps: int, console: Console) -> None:
        self.found: dict[str, Cells] = {one.peer.name: {} for one in installed}
        self._installed = installed
        self._place = place
        self._steps = steps
        self._console = console
        self._began = time.monotonic()

    def say(self, what: str) -> None:
        """Tell how far it is."""
        self._console.print(f"{time.monotonic() - self._began:4.0f} s  {what}")

    def costs(self) -> None:
        """Time one logger after the other, with nothing beside it."""
        for one in self._installed:
            self.say(f"timing {one.peer.title}")
            self.found[one.peer.name] |= cells(cost, COST, one, self._place / one.peer.name, steps=self._steps)

    def kills(self, numbers: dict[str, int], pace: float, column: str, workers: int) -> None:
        """Kill processes of all loggers, some at a time."""
        self.say(f"killing {sum(numbers.values())} processes that log a step each {pace} s")
        with ThreadPoolExecutor(workers) as pool:
            killed = {
                one.peer.name: [
                    pool.submit(kill, one, self._place / one.peer.name, number, pace=pace)
                    for number in range(numbers[one.peer.name])
                ]
                for one in self._installed
            }
        for one in self._installed:
            self.found[one.peer.name] |= cells(_lost, [column], one, killed[one.peer.name], column)

    def others(self) -> None:
        """Do the other experiments, two at a time."""
        self.say("restarts, values, four writers, full disks, rewinds")
        with ThreadPoolExecutor(2) as pool:
            done = [
                (one.peer.name, pool.submit(cells, experiment, columns, one, self._place / one.peer.name))
                for one in self._installed
                for experiment, columns in EXPERIMENTS
            ]
        for name, found in done:
            self.found[name] |= found.result()
        self.say("done")


def _lost(installed: Installed, killed: Sequence[Future[Kill]], column: str) -> Cells:
    return {column: lost(installed, [each.result() for each in killed])}


def _install(peers: Sequence[Peer], place: Path, console: Console) -> tuple[list[Installed], dict[str, str]]:
    """What could be installed, and why the rest could not."""
    installed, missing = [], {}
    for peer in peers:
        console.print(f"  installing {', '.join(peer.packages) or peer.name}")
        try:
            installed.append(install(peer, place))
        except (FailedError, OSError) as error:
            missing[peer.name] = str(error)
    return installed, missing


def _slow(kills: int) -> int:
    """How many of the kills are at the slow pace: an eighth, but three if there are as many."""
    return min(kills, max(3, round(kills * 0.12)))


def _about(place: Path) -> list[str]:
    """When this was, and on what."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    return [
        f"Date: {datetime.now(UTC):%Y-%m-%d}",
        f"Python: {platform.python_version()}, for all of them",
        f"Machine: {os.cpu_count()} CPUs ({model}), {platform.system()} {platform.release()}, {_file_system(place)}",
    ]


def _file_system(place: Path) -> str:
    """The kind of file system that a folder is on."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "file system unknown"
    found = [line.split()[1:3] for line in mounts.read_text(encoding="utf-8").splitlines()]
    return max(((point, kind) for point, kind in found if place.resolve().is_relative_to(point)), default=("", "?"))[1]


def _numbers(peers: Sequence[Peer], given: Sequence[str]) -> dict[str, int]:
    """How many processes of each peer are killed: `N` is for all but RLDK, `NAME=N` for one."""
    numbers = {peer.name: peer.kills for peer in peers}
    for word in given:
        name, equals, number = word.rpartition("=")
        if not number.isdecimal() or (equals and name not in numbers):
            raise click.BadParameter(f"expected N or NAME=N, found {word!r}")
        numbers |= {each: int(number) for each in ([name] if equals else numbers) if equals or each != "rldk"}
    return numbers


@click.command()
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Keep the environments in this folder, and use them again."
)
@click.option("--on", "disk", type=click.Path(exists=True, path_type=Path), help="Log below this folder.")
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="Measure this one; may be given more than once.")
@click.option("--kills", multiple=True, metavar="[NAME=]N", help="How many processes are killed, of each or of one.")
@click.option("--steps", default=2000, show_default=True, help="How many steps are timed.")
@click.option("--markdown", "page", type=click.Path(path_type=Path), help="Write the tables to this page too.")
def main(
    *,
    keep: Path | None,
    disk: Path | None,
    only: tuple[str, ...],
    kills: tuple[str, ...],
    steps: int,
    page: Path | None,
) -> None:
    """Measure RLDK beside other loggers: what they cost, and what they keep."""
    peers = [peer for peer in PEERS if not only or peer.name in only]
    numbers = _numbers(peers, kills)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rldk-peers-", dir=disk)))
        installed, missing = _install(peers, (keep or place / "environments").absolute(), console)
        bench = Bench(installed, place, steps, console)
        bench.costs()
        slow = {one.peer.name: _slow(numbers[one.peer.name]) for one in installed}
        bench.kills(slow, SLOW, "kill_slow", workers=12)
        bench.kills({name: numbers[name] - slow[name] for name in slow}, FAST, "kill", workers=3)
        bench.others()
        about = _about(place)
    versions = {one.peer.name: one.version for one in installed}
    results = [
        Result(
            f"{peer.title} {versions.get(peer.name, '')}".strip(),
            bench.found.get(peer.name, {}),
            missing.get(peer.name, ""),
        )
        for peer in peers
    ]
    console.print(terminal(results, about))
    if page:
        write_page(page, markdown(results, about))


if __name__ == "__main__":
    main()
