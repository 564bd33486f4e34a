"""Rules that users write, in TOML.

    [[rule]]
    name = "reward_too_low"
    when = "mean(reward_mean, 20) < 0.1 and kl_mean > 0.5"
    window = 5
    severity = "critical"
    action = "stop"
    message = "The reward is gone."
    advice = "Ask on the channel."

Only `name` and `when` are required; `when` is explained in `rldk.alerts.expression`, and a metric is named as in the
log or by its canonical name. The rule fires when its condition held for `window` points of training in a row.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from rldk.alerts.expression import Expression, ExpressionError, parse
from rldk.alerts.findings import Severity
from rldk.alerts.rule import Finding, Rule
from rldk.alerts.rules import CLONE_RUN, RULES
from rldk.alerts.rules.wording import number
from rldk.errors import RulesFileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rldk.alerts.record import Record

__all__ = ["ACTIONS", "load_rules", "parse_rules"]

Action = Literal["", "warn", "save", "stop", "save_and_stop"]

ACTIONS: Final = ("warn", "save", "stop", "save_and_stop")
"""What may be wanted when a rule fires."""

_NOTHING: Final[tuple[Finding, ...]] = ()
_HEADER: Final = re.compile(r"\s*\[\[\s*rule\s*\]\]")
_AT_LINE: Final = re.compile(r"(?P<what>.*) \(at line (?P<line>\d+), column \d+\)")


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    """A rule as it stands in the file."""

    name: Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]*\Z")]
    when: str
    window: Annotated[int, Meta(ge=1, le=10_000)] = 1
    severity: Severity = "warning"
    action: Action = ""
    message: str = ""
    advice: str = ""


class _Condition:
    """Finds that a user's condition held for so many points in a row."""

    def __init__(self, written: _Written, expression: Expression) -> None:
        self._written = written
        self._expression = expression
        self._row = 0
        self._first = 0
        self._step = -1

    def __call__(self, record: Record) -> Sequence[Finding]:
        """The finding, while it holds."""
        if record.cut_to is not None:
            self._row, self._step = 0, -1
        train = record.train
        if record.phase == "train":
            there = all(name in train and train[name].last_step == record.step for name in self._expression.metrics)
            # A step that is logged in two parts is one point.
            if there and record.step != self._step:
                self._step = record.step
                self._note(record)
        if self._row < self._written.window:
            return _NOTHING
        values = {name: train[name].last for name in self._expression.metrics}
        name, value = next(iter(values.items()))
        shown = ", ".join(f"{each} {number(found)}" for each, found in values.items())
        held = f"{self._expression.text} has held for {self._row} point{'s' if self._row > 1 else ''} ({shown})."
        return [
            Finding(
                severity=self._written.severity,
                message=f"{self._written.message} {held}".strip(),
                first_step=self._first,
                metric=name,
                value=value,
                evidence=dict(values),
                confidence=1.0,
            )
        ]

    def _note(self, record: Record) -> None:
        try:
            holds = self._expression.holds(record.train)
        except (ArithmeticError, ValueError):
            # A quotient by zero is no number, and nothing holds of it.
            holds = False
        if not holds:
            self._row = 0
            return
        if not self._row:
            self._first = record.step
        self._row += 1


def load_rules(path: Path) -> tuple[Rule, ...]:
    """The rules of a file, to be used beside those of a preset.

    Raises:
        RulesFileError: it cannot be read, or says something that is no rule; with the line, and what was expected.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "bytes that are no UTF-8"
        raise RulesFileError(path, 0, "a file of rules in TOML", str(why)) from error
    return parse_rules(text, path)


def parse_rules(text: str, path: Path) -> tuple[Rule, ...]:
    """The rules of a text.

    Args:
        text: TOML.
        path: what the text is called in errors.

    Raises:
        RulesFileError: as `load_rules`.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _AT_LINE.match(str(error))
        last = len(text.splitlines()) or 1
        line, what = (
            (int(match["line"]), match["what"]) if match else (last, str(error).removesuffix(" (at end of document)"))
        )
        raise RulesFileError(path, line, "TOML", what) from error
    except (RecursionError, ValueError) as error:
        # Of a list in a thousand lists, and of an integer of thousands of digits, the parser says nothing better.
        what = "lists or tables too deep in one another" if isinstance(error, RecursionError) else "too long an integer"
        raise RulesFileError(path, 0, "a file of rules in TOML", what) from error
    places = _Places(text)
    if content.keys() != {"rule"} or not isinstance(content["rule"], list):
        found = next((key for key in content if key != "rule"), "nothing" if not content else "no list")
        raise RulesFileError(path, places.key(found), "tables [[rule]] and nothing else", repr(found))
    rules: list[Rule] = []
    taken = {rule.name for rule in (*RULES, CLONE_RUN)}
    for index, written in enumerate(content["rule"]):
        rule = _rule(written, index, places, path)
        if rule.name in taken:
            raise RulesFileError(path, places.of(index, "name"), "a name that no other rule has", repr(rule.name))
        taken.add(rule.name)
        rules.append(rule)
    return tuple(rules)


class _Places:
    """Where in the text the parts of each rule stand."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._headers = [line for line, each in enumerate(self._lines, 1) if _HEADER.match(each)]

    def key(self, key: str) -> int:
        """The line of a key or a table outside of the rules."""
        pattern = re.compile(rf"\s*(?:{re.escape(key)}\b\s*=|\[+\s*{re.escape(key)}\b)")
        return next((line for line, each in enumerate(self._lines, 1) if pattern.match(each)), 1)

    def of(self, index: int, key: str = "") -> int:
        """The line of a rule, or of one of its keys."""
        if index >= len(self._headers):
            return 1
        begin = self._headers[index]
        end = self._headers[index + 1] - 1 if index + 1 < len(self._headers) else len(self._lines)
        pattern = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=")
        return next((line for line in range(begin, end + 1) if key and pattern.match(self._lines[line - 1])), begin)


def _rule(content: object, index: int, places: _Places, path: Path) -> Rule:
    try:
        written = msgspec.convert(content, _Written)
    except msgspec.ValidationError as error:
        raise _invalid(error, content, index, places, path) from error
    try:
        expression = parse(written.when)
    except ExpressionError as error:
        raise RulesFileError(path, places.of(index, "when"), error.expected, error.found) from error
    return Rule(
        name=written.name,
        group="user",
        severity=written.severity,
        summary=written.message or f"{written.when}, for {written.window} points in a row.",
        why="You asked for it.",
        advice=written.advice,
        references=(path.name,),
        traps=(),
        make=lambda: _Condition(written, expression),
        needs=expression.metrics,
        eager=True,
        action=written.action,
    )


def _invalid(
    error: msgspec.ValidationError, content: object, index: int, places: _Places, path: Path
) -> RulesFileError:
    """The error of a rule that has a wrong key or value, with its line."""
    known = _Written.__struct_fields__
    keys = list(content) if isinstance(content, dict) else []
    for key in keys:
        if key not in known:
            return RulesFileError(path, places.of(index, key), f"one of the keys {', '.join(known)}", repr(key))
    for key in ("name", "when"):
        if key not in keys:
            return RulesFileError(path, places.of(index), f"a rule with the key {key!r}", "none")
    expected, _, where = str(error).partition(" - at `$.")
    key = where.rstrip("`")
    return RulesFileError(
        path,
        places.of(index, key),
        f"another {key}: {expected[:1].lower()}{expected[1:]}",
        repr(dict(content)[key]),  # type: ignore[call-overload]
    )
