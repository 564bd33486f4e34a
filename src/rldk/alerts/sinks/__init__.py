"""Where alerts go while a run is being recorded: a log, a terminal, a chat, a program.

A sink is any function of an alert and the run's id. One that delivers in the background has a method `flush`, too,
which is called when training ends.

    RLDKCallback("logs", on_alert=[log, Webhook("https://hooks.slack.com/..."), lambda alert, run_id: ...])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rldk.alerts.sinks.command import Command
from rldk.alerts.sinks.terminal import log, show
from rldk.alerts.sinks.webhook import Webhook

if TYPE_CHECKING:
    from rldk.alerts.findings import Alert

__all__ = ["Command", "Sink", "Webhook", "log", "show"]


class Sink(Protocol):
    """Takes alerts."""

    def __call__(self, alert: Alert, run_id: str, /) -> object:
        """Take an alert that has begun to fire, got worse, or was resolved."""
        ...
