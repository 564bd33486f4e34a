"""Run every benchmark and print one table."""

import platform
import sys
import tempfile
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks import alerting, checking, ingesting, recording, rollouts, watching, writing


def main() -> None:
    """Measure everything in a throw-away folder; `python -m benchmarks FOLDER` makes it on another disk."""
    place = sys.argv[1] if len(sys.argv) > 1 else None
    console = Console(highlight=False)
    table = Table(
        title=f"RLDK, Python {platform.python_version()}, msgspec {msgspec.__version__}", title_justify="left"
    )
    for column in ("what", "measured", "required", "goal"):
        table.add_column(column, no_wrap=column != "what")
    with tempfile.TemporaryDirectory(dir=place) as folder:
        for part in (writing, recording, rollouts, checking, alerting, ingesting, watching):
            with console.status(f"measuring {part.__name__.rpartition('.')[2]}"):
                for figure in part.measure(Path(folder)):
                    table.add_row(*figure)
    console.print(table)


if __name__ == "__main__":
    main()
