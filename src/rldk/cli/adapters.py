"""`rldk adapters`."""

from __future__ import annotations

import click
import msgspec
from rich.table import Table

from rldk.adapters.registry import load, names
from rldk.cli.terminal import print_table, terminal

__all__ = ["adapters"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each adapter, one on each line.")
def adapters(*, as_json: bool) -> None:
    """List the formats that RLDK reads, and what each of them needs.

    A name can be given to --adapter. Another package adds one by an entry point of the group `rldk.adapters`.

    \b
    rldk adapters
    """
    found = [(name, load(name)) for name in names()]
    rows = [(name, getattr(each, "reads", ""), getattr(each, "needs", "")) for name, each in found]
    if as_json:
        for name, reads, needs in rows:
            click.echo(msgspec.json.encode({"name": name, "reads": reads, "needs": needs}))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("adapter", no_wrap=True)
    table.add_column("reads", overflow="fold")
    if any(needs for _, _, needs in rows):
        table.add_column("needs")
    for name, reads, needs in rows:
        table.add_row(name, reads, *([f"rldk[{needs}]"] if needs else []))
    print_table(table, terminal())
