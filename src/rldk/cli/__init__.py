"""The command line: a command in each module, loaded when it is called."""

from __future__ import annotations

import io
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final, NoReturn

import click

from rldk.errors import RLDKError
from rldk.io.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "rldk"]

_COMMANDS: Final = {
    "adapters": "List the formats that RLDK reads.",
    "convert": "Write the logs of any framework as RLDK event logs.",
    "demo": "Train a tiny model with TRL, and see what RLDK records of it.",
    "diagnose": "Say what is wrong with a run, and since when.",
    "ingest": "Read the logs of any framework into one table.",
    "query": "Ask the logs of any framework in SQL.",
    "repair": "Bring a log back to whole lines, or copy what can be read of it.",
    "replay": "Show when each alert would have fired.",
    "report": "Say what became of a run, and build its derived files anew.",
    "schema": "Print the JSON Schema of an event.",
    "seal": "Finish a run whose process was killed.",
    "serve": "Watch runs in a browser, while they train and afterwards.",
    "tail": "Print the events of a run, and those to come.",
    "validate": "Check event logs, or any JSON lines, line by line.",
    "verify": "Check that all of a run is there, and as it was written.",
    "watch": "Watch runs in a terminal, while they train.",
}
"""Each command's help in a line, so that listing them loads none of them."""


class _LazyGroup(click.Group):
    """A group whose commands are imported only when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, imported now; None when there is none of that name."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"rldk.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the line of help of each command, without importing it."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's
    if value and not ctx.resilient_parsing:
        click.echo(f"rldk {import_module('importlib.metadata').version('rldk')}")
        ctx.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def rldk() -> None:
    """The flight recorder for RL training.

    Exit codes: 0 all is well, 1 something was found or the data is bad, 2 wrong usage or nothing to read.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; what RLDK raises on purpose becomes a sentence and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What this terminal has no character for, and the bytes of a file name that is no text, appear as codes.
            stream.reconfigure(errors="backslashreplace")
    try:
        rldk.main(arguments, prog_name="rldk")
    except (RLDKError, UnicodeError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _fail(message: str) -> NoReturn:
    for line in f"rldk: {message}".split("\n"):
        click.echo(printable(line), err=True)
    sys.exit(2)
