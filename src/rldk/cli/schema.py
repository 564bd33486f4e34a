"""`rldk schema`."""

from __future__ import annotations

import json

import click

from rldk.io.event_schema import json_schema

__all__ = ["schema"]


@click.command()
def schema() -> None:
    """Print the JSON Schema (draft 2020-12) of one line of an event log.

    \b
    rldk schema > event.schema.json
    """
    click.echo(json.dumps(json_schema(), indent=2))
