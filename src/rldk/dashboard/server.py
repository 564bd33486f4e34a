"""Serve a folder with runs on this machine."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import sys
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import uvicorn

from rldk.dashboard.app import make_app
from rldk.dashboard.guard import Guard
from rldk.dashboard.hub import Hub
from rldk.dashboard.tail import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["bound", "is_local", "run_server"]

_INBOUND: Final = 64 * 2**10
"""The longest message that a client may send."""
_SOCKETS: Final = "uvicorn.protocols.websockets.websockets_sansio_impl:WebSocketsSansIOProtocol"


def is_local(host: str) -> bool:
    """Whether nobody but this machine can reach a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bound(host: str, port: int) -> list[socket.socket]:
    """The sockets to listen on, all with one port; on this machine, both its addresses where it has both.

    Raises:
        OSError: the port is taken, or the host is none of this machine.
    """
    hosts = ["127.0.0.1", "::1"] if host in {"127.0.0.1", "localhost"} else [host]
    found = [_bound(hosts[0], port)]
    for other in hosts[1:]:
        # A machine without IPv6 does without.
        with suppress(OSError):
            found.append(_bound(other, found[0].getsockname()[1]))
    return found


def _bound(host: str, port: int) -> socket.socket:
    kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    found = socket.socket(kind, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if kind == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        found.bind(address)
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRINUSE:
            raise OSError(errno.EADDRINUSE, f"port {port} is taken; --port 0 finds a free one", host) from error
        raise
    return found


def run_server(
    root: Path,
    sockets: list[socket.socket],
    token: str,
    *,
    hosts: Iterable[str] = (),
    ready: Callable[[], object] = lambda: None,
) -> None:
    """Serve until the process is told to end.

    Args:
        root: the folder with runs, or a log.
        sockets: what to listen on.
        token: what must be known to be answered.
        hosts: names by which the server may be asked for, beside those of this machine.
        ready: called when it listens.
    """
    # The threads that read give way sooner to the one that answers.
    sys.setswitchinterval(0.001)
    asyncio.run(_serve(root, sockets, token, hosts, ready))


async def _serve(
    root: Path, sockets: list[socket.socket], token: str, hosts: Iterable[str], ready: Callable[[], object]
) -> None:
    watcher = Watcher(root)
    hub = Hub(f"rldk {version('rldk')}", watcher.catalogue.root.name)
    watcher.listener = hub
    app = Guard(make_app(watcher, hub), token, sockets[0].getsockname()[1], hosts)
    config = uvicorn.Config(
        app,
        http="h11",
        ws=_SOCKETS,
        ws_max_size=_INBOUND,
        ws_per_message_deflate=False,
        lifespan="off",
        log_level="warning",
        # Addresses with the token would be in it.
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config, hub, ready)
    hub.attach(watcher, asyncio.get_running_loop())
    watcher.start()
    try:
        await server.serve(sockets=sockets)
    finally:
        await asyncio.to_thread(watcher.stop)


class _Server(uvicorn.Server):
    """Says when it listens, and lets those who listen to it come to an end when it does."""

    def __init__(self, config: uvicorn.Config, hub: Hub, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._hub, self._ready = hub, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin, and say so."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, those who listen first."""
        self._hub.close()
        await asyncio.sleep(0)
        await super().shutdown(sockets)
