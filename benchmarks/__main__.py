"""Run every benchmark and print one table."""

import multiprocessing
import platform
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.parts import PARTS, measured


def main() -> None:
    """Measure everything in a throw-away folder; `python -m benchmarks FOLDER` makes it on another disk."""
    place = sys.argv[1] if len(sys.argv) > 1 else None
    console = Console(highlight=False)
    table = Table(
        title=f"RLDK, Python {platform.python_version()}, msgspec {msgspec.__version__}", title_justify="left"
    )
    for column in ("what", "measured", "required", "goal"):
        table.add_column(column, no_wrap=column != "what")
    new = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(dir=place) as folder,
        ProcessPoolExecutor(1, mp_context=new, max_tasks_per_child=1) as processes,
    ):
        for part in PARTS:
            with console.status(f"measuring {part}"):
                for figure in processes.submit(measured, part, folder).result():
                    table.add_row(*figure)
    console.print(table)


if __name__ == "__main__":
    main()
