"""An alert in words, and how loud it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rldk.io.printable import printable

if TYPE_CHECKING:
    from rldk.alerts.findings import Alert

__all__ = ["heading", "in_a_line", "since"]


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
    return printable(f"{run_id}: {heading(alert)} at {since(alert)}: {alert.message}")
