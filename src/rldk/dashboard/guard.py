"""Who may ask: the host that is asked for, the page that asks, and the token, checked before anything else is done."""

from __future__ import annotations

import os
import re
import secrets
import stat
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qs

import msgspec

from rldk.dashboard.frames import VERSION
from rldk.errors import RLDKError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HEADERS", "LOCAL", "Guard", "new_token", "token_in"]

LOCAL: Final = frozenset({"127.0.0.1", "::1", "localhost"})
"""The names of this machine; a browser that asks for another one was led here by somebody else's DNS."""

HEADERS: Final = (
    (
        b"content-security-policy",
        b"default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
)
"""What every answer carries."""

_HOST: Final = re.compile(r"(?:\[(?P<six>[0-9a-f:]+)\]|(?P<name>[a-z0-9._-]+))(?::[0-9]{1,5})?", re.IGNORECASE)
_SHORTEST: Final = 32
"""Characters that a token has at least."""


class Refusal(NamedTuple):
    """Why somebody is not answered."""

    status: int
    why: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Guard:
    """Lets through who may ask, and puts the security headers on every answer.

    Args:
        app: what answers.
        token: what must be known.
        port: the port of the server, after which the cookie is named.
        hosts: names by which the server may be asked for, beside those of this machine.
    """

    def __init__(self, app: ASGIApp, token: str, port: int, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = LOCAL | {host.lower().strip("[]") for host in hosts}
        self.cookie = f"rldk_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse to."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "http":
            await _answer(send, "http.response", refusal, html=_wants_page(scope))
        else:
            await receive()
            await _answer(send, "websocket.http.response", refusal, html=False)

    def _refusal(self, scope: Scope) -> Refusal | None:  # noqa: PLR0911 - a list of checks
        headers = _Headers(scope)
        host = headers.only(b"host")
        match = _HOST.fullmatch(host or "")
        name = (match["six"] or match["name"]).lower() if match else ""
        if name not in self._hosts:
            return Refusal(421, f"expected this server by one of its names, found the host {host!r}")
        origin = headers.only(b"origin")
        if origin is not None and origin != f"http://{host}":
            return Refusal(403, f"expected a page of this server, found the origin {origin!r}")
        if scope["type"] == "http" and scope["method"] != "GET":
            return Refusal(405, f"expected GET, found {scope['method']}", ((b"allow", b"GET"),))
        bearer = self._is_bearer(headers.only(b"authorization"))
        if scope["type"] == "websocket" and origin is None and not bearer:
            return Refusal(403, "expected an Origin, or the token as Authorization: Bearer TOKEN")
        if scope["path"].startswith("/api/") and (headers.only(b"sec-fetch-site") or "none") not in {
            "none",
            "same-origin",
        }:
            return Refusal(403, "expected a page of this server, found a request that another one made")
        given = parse_qs(scope["query_string"].decode("latin-1")).get("t")
        if given and scope["type"] == "http" and scope["path"] == "/":
            return self._welcome(given)
        if not bearer and not self._is_cookie(headers.all(b"cookie")):
            return Refusal(401, "expected the token: open the link that `rldk serve` printed")
        return None

    def _welcome(self, given: list[str]) -> Refusal:
        """Take the token out of the address, into a cookie."""
        if len(given) != 1 or not self._is_token(given[0]):
            return Refusal(401, "expected the token: open the link that `rldk serve` printed last")
        cookie = f"{self.cookie}={self._token.decode()}; HttpOnly; SameSite=Strict; Path=/"
        return Refusal(303, "", ((b"location", b"/"), (b"set-cookie", cookie.encode())))

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(errors="surrogateescape"), self._token)

    def _is_bearer(self, header: str | None) -> bool:
        kind, _, given = (header or "").partition(" ")
        return kind.lower() == "bearer" and self._is_token(given.strip())

    def _is_cookie(self, headers: list[str]) -> bool:
        for header in headers:
            try:
                cookie = SimpleCookie(header).get(self.cookie)
            except CookieError:
                continue
            if cookie is not None and self._is_token(cookie.value):
                return True
        return False


class _Headers:
    """The headers of a request."""

    def __init__(self, scope: Scope) -> None:
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]

    def all(self, name: bytes) -> list[str]:
        """Every value of a header."""
        return [value.decode("latin-1") for key, value in self._headers if key.lower() == name]

    def only(self, name: bytes) -> str | None:
        """The value of a header; several together are none that could be right."""
        found = self.all(name)
        return ", ".join(found) if found else None


def _wants_page(scope: Scope) -> bool:
    return any(b"text/html" in accept for accept in (value for key, value in scope["headers"] if key == b"accept"))


async def _answer(send: Send, kind: str, refusal: Refusal, *, html: bool) -> None:
    if html and refusal.status != 303:  # noqa: PLR2004 - there
        body, form = _page(refusal), b"text/html; charset=utf-8"
    else:
        body, form = msgspec.json.encode({"v": VERSION, "error": refusal.why}), b"application/json"
    length = (b"content-length", str(len(body)).encode())
    headers = [*HEADERS, *refusal.headers, (b"content-type", form), length]
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})


def _page(refusal: Refusal) -> bytes:
    # What was asked for does not appear: it may be anything.
    why = {401: "Open the link that <code>rldk serve</code> printed in its terminal."}.get(refusal.status, "")
    text = f"<!doctype html><meta charset=utf-8><title>RLDK</title><h1>{refusal.status}</h1><p>{why}</p>"
    return text.encode()


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] in {"http.response.start", "websocket.accept", "websocket.http.response.start"}:
            given: list[Any] = list(message.get("headers", ()))
            names = {name.lower() for name, _ in given}
            message = {**message, "headers": [*given, *(each for each in HEADERS if each[0] not in names)]}
        await send(message)

    return wrapped


def new_token() -> str:
    """A token of 256 bits."""
    return secrets.token_urlsafe(32)


def token_in(path: Path) -> str:
    """The token in a file, which is made with a new one when it is not there. Only its owner may read it.

    Raises:
        RLDKError: others may read it, or it holds no token.
        OSError: it cannot be read or made.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, encoding="ascii", errors="replace") as file:
            status = os.fstat(file.fileno())
            token = file.read(4096).strip()
        if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.getuid():
            mode = f"mode {stat.S_IMODE(status.st_mode):03o} of user {status.st_uid}"
            raise RLDKError(f"{path}: expected a file that only you can read, found {mode}; chmod 600 it") from None
        if not re.fullmatch(rf"[A-Za-z0-9_-]{{{_SHORTEST},}}", token):
            raise RLDKError(
                f"{path}: expected a token of at least {_SHORTEST} letters, digits, - or _; "
                "remove the file, and a new one is made"
            ) from None
        return token
    token = new_token()
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(token + "\n")
    return token
