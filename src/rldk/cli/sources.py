"""What the commands that read any log have in common: their options, a count while they read, and how they fail."""

from __future__ import annotations

import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, get_args

import click
import msgspec
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from rldk.adapters.foreign_json import decode
from rldk.adapters.registry import names
from rldk.cli.terminal import terminal
from rldk.errors import InvalidLineError
from rldk.ingest.options import OnError, check_field_map
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rldk.errors import IngestError

__all__ = ["counting", "fail", "format_options", "options_of", "source_options"]

_AT_ONCE: Final = 1000
"""So many lines are counted before the count on the terminal is told."""


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how a log is to be read."""
    on_error = click.option(
        "--on-error",
        default="abort",
        show_default=True,
        type=click.Choice(get_args(OnError)),
        metavar="WHAT",
        help="If a line cannot be read: abort, collect, salvage, tolerate_torn_tail, stop_at_first_bad.",
    )
    return format_options(on_error(command))


def format_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say of what format a log is."""
    fields = click.option(
        "--field-map",
        "fields",
        multiple=True,
        metavar="NAME=FIELD",
        help="FIELD holds what RLDK calls NAME: step=trainer.iteration. Or a .json or .toml file.",
    )
    adapter = click.option("--adapter", metavar="NAME", help="The adapter to read with; `rldk adapters` lists them.")
    return adapter(fields(command))


def options_of(adapter: str | None, fields: Sequence[str], on_error: str) -> dict[str, Any]:
    """What the options say, as the arguments of `rldk.ingest.ingest_runs`.

    Raises:
        BadParameter: one says nothing that can be understood.
    """
    if adapter is not None and adapter not in names():
        raise click.BadParameter(f"expected one of {', '.join(names())}, found {adapter!r}", param_hint="--adapter")
    return {"adapter_hint": adapter, "field_map": _field_map(fields), "on_error": on_error}


def _field_map(fields: Sequence[str]) -> dict[str, str]:
    """The field map that options say, each `name=field` or a file."""
    found: dict[str, str] = {}
    try:
        for text in fields:
            found |= _from_option(text)
        check_field_map(found)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--field-map") from error
    return found


def _from_option(text: str) -> dict[str, str]:
    name, equals, field = text.partition("=")
    if equals and name and field:
        return {name.strip(): field.strip()}
    if not equals and Path(text).suffix in {".json", ".toml"}:
        return _from_file(Path(text))
    raise ValueError(f"expected NAME=FIELD, as step=trainer.iteration, or a .json or .toml file, found {text!r}")


def _from_file(path: Path) -> dict[str, str]:
    expected = f"{path}: expected the name of a field for each of RLDK's names"
    try:
        content = path.read_bytes()
        found = tomllib.loads(content.decode()) if path.suffix == ".toml" else decode(content)
        if isinstance(found, Problem):
            raise found.error(path)
        return msgspec.convert(found, dict[str, str])
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except InvalidLineError:
        raise
    except (ValueError, msgspec.ValidationError) as error:
        raise ValueError(f"{expected}, found: {error}") from error


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None] | None]:
    """A count of the lines that were read, on standard error while that is a terminal."""
    console = terminal(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f} lines"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task, waiting = bar.add_task(what, total=None), 0

        def count(lines: int) -> None:
            nonlocal waiting
            waiting += lines
            if waiting >= _AT_ONCE:
                bar.advance(task, waiting)
                waiting = 0

        yield count


def fail(error: IngestError, on_error: str) -> NoReturn:
    """Say what cannot be read and what can be done about it, and exit with 1."""
    click.echo(f"rldk: {error}", err=True)
    torn = isinstance(error.__cause__, InvalidLineError) and error.__cause__.kind == "torn_tail"
    ways = {
        "collect": "lists all that cannot be read",
        "tolerate_torn_tail": "leaves out an unfinished end such as this",
        "salvage": "keeps what can be read",
    }
    if not torn or on_error == "collect":
        del ways["tolerate_torn_tail"]
    ways.pop(on_error, None)
    for way, what in ways.items():
        click.echo(f"  --on-error {way:<{max(map(len, ways))}}  {what}", err=True)
    sys.exit(1)
