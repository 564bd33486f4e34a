"""An alert in words, and how loud it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rldk.alerts.findings import Alert

__all__ = ["heading", "in_a_line", "since"]

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""What would end the line, or tell a terminal what to do; a key of a log may hold it."""


def heading(alert: Alert) -> str:
    """What has happened to the alert: `CRITICAL nonfinite`, `resolved: reward_constant`."""
    return f"{alert.severity.upper()} {alert.rule}" if alert.state == "firing" else f"resolved: {alert.rule}"


def since(alert: Alert) -> str:
    """At which step it was found, and since when if that is earlier: `step 40, since step 12`."""
    phase = "" if alert.phase == "train" else f" of {alert.phase}" + (f" {alert.eval_set}" if alert.eval_set else "")
    began = f", since step {alert.first_step}" if alert.first_step != alert.last_step else ""
    return f"step {alert.last_step}{phase}{began}"


def in_a_line(alert: Alert, run_id: str) -> str:
    """The alert in one line."""
    line = f"{run_id}: {heading(alert)} at {since(alert)}: {alert.message}"
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", line)
