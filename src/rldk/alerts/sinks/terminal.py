"""Tell of alerts where a person, or a log of the training, sees them."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Final

from rldk.alerts.sinks.words import in_a_line

if TYPE_CHECKING:
    from rldk.alerts.findings import Alert

__all__ = ["log", "show"]

_log: Final = logging.getLogger("rldk.alerts")
_LEVELS: Final = {"critical": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}
_COLOURS: Final = {"critical": "31", "warning": "33", "info": "36"}


def log(alert: Alert, run_id: str) -> None:
    """Log an alert through `logging`, as `rldk.alerts`: a critical one as an error, a resolved one as information."""
    level = _LEVELS[alert.severity] if alert.state == "firing" else logging.INFO
    advice = f". {alert.advice}" if alert.state == "firing" and alert.advice else ""
    _log.log(level, "%s%s", in_a_line(alert, run_id).removesuffix("."), advice)


def show(alert: Alert, run_id: str) -> None:
    """Print an alert to standard error, coloured where that is a terminal and `NO_COLOR` is not set."""
    line = in_a_line(alert, run_id)
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        line = f"\x1b[{_COLOURS[alert.severity] if alert.state == 'firing' else '32'}m{line}\x1b[0m"
    # One write, so that no other thread's output gets in between.
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
