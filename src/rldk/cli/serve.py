"""`rldk serve`."""

from __future__ import annotations

import sys
import webbrowser
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rldk.errors import MissingExtraError
from rldk.report.html import CHARTS, PAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["serve"]

_NO_CHARTS: Final = (
    "the page has no charts: this RLDK was built where there was no npm. Install npm and say pip install -e . "
    "once more, or install the package from PyPI; rldk watch shows the runs in a terminal"
)


@click.command()
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path, exists=True))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=0, show_default=True, type=click.IntRange(0, 65535), help="The port; 0 is a free one.")
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file that holds the token, or is made to: the link stays good when the server is started again.",
)
@click.option("--allow-remote", is_flag=True, help="Let --host be one that other machines can reach, unencrypted.")
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A name by which browsers may ask for the server, beside localhost; with --allow-remote.",
)
def serve(
    folder: Path,
    *,
    host: str,
    port: int,
    open_page: bool,
    token_file: Path | None,
    allow_remote: bool,
    hosts: Sequence[str],
) -> None:
    """Watch the runs in DIR in a browser, while they train and afterwards.

    DIR is a folder with logs of any framework that `rldk ingest` reads, or a single log; the current folder when
    it is not given. New runs appear as they begin. Nothing is ever written into it.

    The link that is printed holds a token; whoever has it can read the runs until the server is stopped. From
    another machine, forward the port by ssh.

    \b
    rldk serve rldk_logs --open
    ssh -L 8321:127.0.0.1:8321 trainer rldk serve runs --port 8321

    Exit codes: 0 stopped by Ctrl-C, 2 wrong usage, or the port is taken.
    """
    server, guard = _loaded()
    if not server.is_local(host) and not allow_remote:
        raise click.UsageError(
            f"--host {host}: other machines could reach it, and what they send and get is not encrypted; "
            "forward the port by ssh, or add --allow-remote"
        )
    if hosts and not allow_remote:
        raise click.UsageError("--allow-host: it is of use with --allow-remote only")
    token = guard.token_in(token_file) if token_file else guard.new_token()
    sockets = server.bound(host, port)
    shown = "127.0.0.1" if host in {"127.0.0.1", "localhost", "0.0.0.0", "::"} else host  # noqa: S104 - it is compared
    name = f"[{shown}]" if ":" in shown else shown
    link = f"http://{name}:{sockets[0].getsockname()[1]}/?t={token}"

    def ready() -> None:
        """Say where the server is, as soon as it listens."""
        if not (PAGE / CHARTS).is_file():
            click.echo(_NO_CHARTS, err=True)
        click.echo(f"serving {folder}; Ctrl-C stops it\n\n    {link}\n")
        sys.stdout.flush()
        if open_page:
            webbrowser.open(link)

    # Told to end, uvicorn ends in peace and then passes Ctrl-C on.
    with suppress(KeyboardInterrupt):
        server.run_server(folder, sockets, token, hosts=[*hosts, *([host] if allow_remote else [])], ready=ready)


def _loaded() -> tuple[Any, Any]:
    """The modules that need the extra."""
    try:
        return import_module("rldk.dashboard.server"), import_module("rldk.dashboard.guard")
    except ImportError as error:
        if (error.name or "").partition(".")[0] in {"starlette", "uvicorn", "websockets", "h11", "anyio"}:
            raise MissingExtraError(error.name or "starlette", "serve") from error
        raise
