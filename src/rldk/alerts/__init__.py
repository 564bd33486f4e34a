"""Judge a run by its events: the same over a live callback, a followed file and a finished log.

    engine = Engine(rules_for("grpo"), algorithm="grpo")
    for event in events:
        for alert in engine.add(event):   # only what changed: newly firing, worse, resolved
            ...
    verdict = engine.finish()

    alerts = list(check(read_events("logs"), rules_for("auto")))

What cannot be judged is said, too: a rule has passed, has found something, or says which metric it misses.

    findings     what is said: alerts, stories, what could not be checked, the verdict
    rule         what a rule is
    record       what is remembered of a run
    statistics   robust statistics
    rules        the rules, a module for each group
    stories      several findings that are one
    presets      which rules for which algorithm
    rules_file   rules that users write
    engine       runs the rules
"""

from __future__ import annotations

from rldk.alerts.engine import Engine, check
from rldk.alerts.findings import Alert, Passed, Severity, Story, Unchecked, Verdict
from rldk.alerts.presets import PRESETS, rules_for
from rldk.alerts.rule import Rule
from rldk.alerts.rules import RULES, clones
from rldk.alerts.rules_file import load_rules

__all__ = [
    "PRESETS",
    "RULES",
    "Alert",
    "Engine",
    "Passed",
    "Rule",
    "Severity",
    "Story",
    "Unchecked",
    "Verdict",
    "check",
    "clones",
    "load_rules",
    "rules_for",
]
