"""Send alerts to a chat, as messages that Slack understands."""

from __future__ import annotations

import re
from base64 import b64encode
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec

from rldk.alerts.sinks.outbox import PATIENCE, Outbox, UndeliveredError
from rldk.alerts.sinks.words import heading, in_a_line, since

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldk.alerts.findings import Alert

__all__ = ["Webhook", "slack_message"]

_SOUND: Final = re.compile(r"https?://[!-~]+", re.IGNORECASE)
_AGAIN: Final = frozenset({408, 425, 429, *range(500, 600)})
"""The answers of a server that may take the same message later."""

_COLOURS: Final = {"critical": "danger", "warning": "warning", "info": "#439FE0"}


class _NoRedirects(HTTPRedirectHandler):
    """Follows no redirect: the message is meant for the address that was given, and no other."""

    def redirect_request(self, *_: Any) -> None:
        """Answer that there is nothing to follow."""


class Webhook:
    """Posts each alert to an address as JSON that Slack takes, and Mattermost, Rocket.Chat and Discord's `/slack`.

    It posts from a thread of its own: whoever hands it an alert never waits. A message that a server does not take,
    or not in time, is tried three times more; up to 100 wait meanwhile. An address is a secret, so that no message
    and no error shows more of it than the host.

    Args:
        url: the address.
        timeout: seconds that a server has to answer.
        waits: seconds before each further try.

    Raises:
        ValueError: the address is none of HTTP.
    """

    def __init__(self, url: str, *, timeout: float = 10.0, waits: Sequence[float] = (1.0, 5.0, 25.0)) -> None:
        self.shown = _shown(url)
        """The address as it may be shown."""
        self._url, self._headers = _request(url)
        self._timeout = timeout
        self._opener = build_opener(_NoRedirects)
        self._outbox = Outbox(self._post, self.shown, waits=waits)

    def __repr__(self) -> str:
        return f"Webhook({self.shown!r})"

    @property
    def lost(self) -> int:
        """How many alerts were not delivered."""
        return self._outbox.lost

    def __call__(self, alert: Alert, run_id: str) -> None:
        """Take an alert to be posted."""
        self._outbox.post(msgspec.json.encode(slack_message(alert, run_id)))

    def flush(self, patience: float = PATIENCE) -> None:
        """Wait for what is not yet posted, but not longer than so many seconds."""
        self._outbox.flush(patience)

    def _post(self, body: bytes) -> None:
        request = Request(self._url, data=body, headers=self._headers, method="POST")  # noqa: S310 - it is one of HTTP
        try:
            self._opener.open(request, timeout=self._timeout).close()
        except HTTPError as error:
            error.close()
            raise UndeliveredError(f"HTTP status {error.code}", again=error.code in _AGAIN) from None
        except (OSError, HTTPException) as error:
            raise UndeliveredError(_reason(error), again=True) from None


def slack_message(alert: Alert, run_id: str) -> dict[str, Any]:
    """An alert as an incoming webhook of Slack takes it."""
    fields = {"run": run_id, "step": since(alert)}
    attachment = {
        "color": _COLOURS[alert.severity] if alert.state == "firing" else "good",
        "title": _escaped(heading(alert)),
        "text": _escaped(alert.message + (f"\n{alert.advice}" if alert.state == "firing" else "")),
        "fields": [{"title": title, "value": _escaped(value), "short": True} for title, value in fields.items()],
    }
    return {"text": _escaped(in_a_line(alert, run_id)), "attachments": [attachment]}


def _escaped(text: str) -> str:
    """A text with what Slack would take for a link, or for the name of everybody in the channel, as plain letters."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _shown(url: str) -> str:
    expected = "webhook: expected an address that begins with https:// or http://"
    if not isinstance(url, str) or not _SOUND.fullmatch(url):
        raise ValueError(f"{expected}, found another one")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise ValueError(f"{expected}, found one without a host")
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}/..."


def _request(url: str) -> tuple[str, dict[str, str]]:
    """The address without user and password, which Python would take for a part of the host, and the headers."""
    headers = {"Content-Type": "application/json", "User-Agent": "rldk"}
    parts = urlsplit(url)
    if parts.username is None:
        return url, headers
    who = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    headers["Authorization"] = f"Basic {b64encode(who.encode()).decode()}"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(), headers


def _reason(error: Exception) -> str:
    """What went wrong, in words that hold nothing of the address."""
    cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    return (cause.strerror if isinstance(cause, OSError) else None) or type(cause).__name__
