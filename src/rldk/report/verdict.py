"""Show a verdict on a terminal, or in a pipe."""

from __future__ import annotations

import math
import re
import textwrap
from itertools import groupby
from typing import TYPE_CHECKING, Final

from rich.text import Text

from rldk.alerts.findings import SEVERITIES
from rldk.report.words import number, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rldk.alerts import Alert, Story, Unchecked, Verdict

__all__ = ["COLOURS", "render_alerts", "render_change", "render_findings", "render_rule", "sentence"]

COLOURS: Final = {
    "critical": "bold red",
    "warning": "bold yellow",
    "info": "cyan",
    "bad": "bold red",
    "attention": "bold yellow",
    "good": "bold green",
    "unknown": "bold",
}
"""The colours of severities and of what a run's health can be."""

_SHOWN: Final = 12
"""How many keys that were not understood are listed."""

_INDENT: Final = 10
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""What would move the cursor; a key of a foreign log may hold anything."""


def sentence(run_id: str, verdict: Verdict, width: float = math.inf) -> Iterator[Text]:
    """The verdict in one sentence, behind the run and how it is."""
    text = f"{run_id}: {verdict.health}. {verdict.sentence}"
    yield from _wrapped(text, width, style=COLOURS[verdict.health])


def render_findings(verdict: Verdict, width: float = math.inf) -> Iterator[Text]:
    """All that is behind a verdict: what was found, what is fine, and what could not be checked.

    Args:
        verdict: the verdict.
        width: the columns of the terminal; without, each paragraph is one line.
    """
    for story in verdict.stories:
        yield Text()
        yield from _story(story, width)
    found = sorted(verdict.alerts, key=lambda alert: -SEVERITIES.index(alert.severity))
    for _, group in groupby(found, key=lambda alert: (alert.severity, alert.rule)):
        yield Text()
        yield from render_rule(list(group), width)
    yield Text()
    yield from _fine(verdict, width)
    yield from _unchecked(verdict.unchecked, width)
    yield from _taken_for(verdict.taken_for, width)
    yield from _unknown(verdict.unknown, width)


def render_alerts(verdict: Verdict, width: float = math.inf) -> Iterator[Text]:
    """What is a warning or worse, in short; `render_findings` has all that was found."""
    for alert in verdict.alerts:
        if alert.severity == "info":
            continue
        over = "resolved, " if alert.state == "resolved" else ""
        head = f"{alert.severity:<{_INDENT}}"
        text = f"{alert.rule}, {over}{_place(alert)}: {alert.message}"
        yield from _wrapped(text, width, indent=_INDENT, label=head, style=COLOURS[alert.severity])


def render_change(step: int, alert: Alert, width: float = math.inf) -> Iterator[Text]:
    """An alert that has changed at a step."""
    if alert.state == "resolved":
        what, style = "resolved", "green"
    else:
        what, style = alert.severity, COLOURS[alert.severity]
    worse = ", got worse" if alert.state == "firing" and alert.fired_step < step else ""
    began = f", since step {alert.first_step}" if alert.first_step < step else ""
    head = Text(f"step {step:<8}{what:<{_INDENT}}{alert.rule}", style=style)
    yield head.append(f"{worse}{began}", style="not bold dim")
    if alert.state == "firing":
        yield from _wrapped(alert.message, width, indent=13)


def _place(alert: Alert) -> str:
    """Since when: `step 120 to 300`, `eval math, step 40`."""
    curve = "" if alert.phase == "train" else f"{alert.phase}{f' {alert.eval_set}' if alert.eval_set else ''}, "
    until = "" if alert.last_step == alert.first_step else f" to {alert.last_step}"
    return f"{curve}step {alert.first_step}{until}"


def _story(story: Story, width: float) -> Iterator[Text]:
    head = f"{story.severity:<{_INDENT}}{story.name}, since step {story.first_step}"
    yield Text(head, style=COLOURS[story.severity])
    yield from _entry("", story.sentence, width)
    yield from _entry("explains", ", ".join(story.rules), width)
    yield from _entry("do", story.advice, width)


def render_rule(alerts: Sequence[Alert], width: float) -> Iterator[Text]:
    """What one rule has found, about one metric or several, and what to do about it."""
    for alert in alerts:
        over = ", resolved" if alert.state == "resolved" else ""
        head = Text(f"{alert.severity:<{_INDENT}}{alert.rule}", style=COLOURS[alert.severity])
        yield head.append(f"  {_place(alert)}{over}", style="not bold dim")
        yield from _entry("", alert.message, width)
        yield from _entry("evidence", ", ".join(_evidence(alert)), width, style="dim")
    yield from _entry("do", alerts[0].advice, width)
    yield from _entry("see", "; ".join(alerts[0].references), width, style="dim")


def _evidence(alert: Alert) -> Iterator[str]:
    """The numbers behind an alert."""
    if alert.value is not None:
        against = "" if alert.baseline is None else f" against {number(alert.baseline)}"
        yield f"{alert.metric or 'value'} {number(alert.value)}{against}"
    for name, value in alert.evidence.items():
        yield f"{name} {value if isinstance(value, str) else number(value)}"
    yield f"confidence {alert.confidence:.0%}"


def _fine(verdict: Verdict, width: float) -> Iterator[Text]:
    if verdict.passed:
        names = ", ".join(each.rule for each in verdict.passed)
        yield from _section("fine", plural(len(verdict.passed), "rule"), width, [names], style="green")


def _unchecked(unchecked: Sequence[Unchecked], width: float) -> Iterator[Text]:
    """What could not be judged, the rules with one reason together."""
    reasons: dict[str, list[str]] = {}
    for each in unchecked:
        reasons.setdefault(each.why, []).append(each.rule)
    if reasons:
        said = [f"{why.removeprefix('not applicable: ')}: {', '.join(rules)}" for why, rules in reasons.items()]
        yield from _section("not checked", plural(len(unchecked), "rule"), width, said, style="yellow")


def _taken_for(taken_for: dict[str, str], width: float) -> Iterator[Text]:
    if taken_for:
        said = [", ".join(f"{key} as {name}" for key, name in taken_for.items())]
        yield from _section("presumed", plural(len(taken_for), "key"), width, said, style="bold")


def _unknown(unknown: dict[str, int], width: float) -> Iterator[Text]:
    if unknown:
        more = [f"and {len(unknown) - _SHOWN:,} more"] if len(unknown) > _SHOWN else []
        said = [", ".join([*[*unknown][:_SHOWN], *more])]
        yield from _section("not understood", plural(len(unknown), "key"), width, said, style="bold")


def _section(title: str, count: str, width: float, lines: Iterable[str], *, style: str) -> Iterator[Text]:
    yield Text(title, style=style).append(f"  {count}", style="not bold dim")
    for line in lines:
        yield from _wrapped(line, width, indent=_INDENT)


def _entry(label: str, text: str, width: float, *, style: str = "") -> Iterator[Text]:
    """A labelled paragraph; nothing when it has no text."""
    if text:
        yield from _wrapped(text, width, indent=_INDENT, label=label, style=style)


def _wrapped(text: str, width: float, *, indent: int = 0, label: str = "", style: str = "") -> Iterator[Text]:
    """A paragraph broken between words, so that a path or a key stays whole."""
    first, rest = f"{label:<{indent}}", " " * indent
    text = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
    lines = [first + text]
    if width < math.inf:
        lines = textwrap.wrap(
            text,
            int(width),
            initial_indent=first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        )
    for line in lines:
        yield Text(line, style=style)
