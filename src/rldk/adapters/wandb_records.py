"""What stands in a record of a W&B run file: rows of the history, the summary, the run, and much beside."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from rldk.adapters.foreign_json import decode
from rldk.adapters.protobuf_wire import Field, WireError, fields
from rldk.io.filters import REDACTED
from rldk.io.problems import Problem
from rldk.io.secrets import names_secret

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Facts", "Other", "Row", "Summary", "logged"]

_HISTORY, _SUMMARY = 2, 3
_OTHERS: Final = {
    4: "output of the console",
    5: "config",
    6: "files",
    7: "system metrics",
    8: "artifact",
    9: "TensorBoard folder",
    10: "alert",
    11: "telemetry",
    12: "metric definition",
    13: "output of the console",
    17: "run",
    18: "exit",
    20: "final",
    21: "header",
    22: "footer",
    23: "preempting",
    24: "artifact",
    25: "artifact",
    26: "environment",
    27: "output of the console",
    100: "request",
}
"""What a record can be, by its field in `Record` of wandb_internal.proto; all kinds since W&B 0.12."""
_NO_KIND: Final = (1, 16, 19, 200)
"""Fields that every record can have."""

_DEPTH: Final = 8

_KEYS: Final = re.compile(r"(?i)(?:\A|[-_.])keys\Z")
"""Secret here, too: what somebody else has recorded is not to be trusted to name its keys one by one."""
_TOLD: Final = re.compile(
    r"(?i)(?:token|secrets?|passwords?|passwd|credentials?|key)['\"]?\s*[=:]|://[^/\s:@]*:[^/\s@]+@"
)
"""How a text tells one: an object that W&B kept as its repr, an address with a password in it."""


class Row(NamedTuple):
    """A row of the history: what one call of `log` wrote."""

    values: dict[str, Any]


class Summary(NamedTuple):
    """New values of the summary, and the names of those removed."""

    values: dict[str, Any]
    removed: list[str]


class Facts(NamedTuple):
    """What is known of the run, and the kind of record that says it."""

    kind: str
    facts: dict[str, Any]


class Other(NamedTuple):
    """A record of another kind."""

    kind: str


def logged(data: bytes) -> Row | Summary | Facts | Other | Problem:
    """What a record holds, or what is wrong with it; bytes are counted from its start."""
    try:
        body = next((field for field in fields(data) if field.number not in _NO_KIND), None)
        if body is None:
            return Other("record without content")
        if body.number == _HISTORY:
            return _history(body)
        if body.number == _SUMMARY:
            return _summary(body)
        kind = _OTHERS.get(body.number, f"record of kind {body.number}, which is not known")
        return Facts(kind, _FACTS[body.number](body)) if body.number in _FACTS else Other(kind)
    except WireError as error:
        return Problem("bad_record", error.expected, error.found, byte=error.byte)
    except _RefusedError as error:
        return error.problem


class _RefusedError(Exception):
    """A value that cannot be taken."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


def _history(body: Field) -> Row:
    values: dict[str, Any] = {}
    step: int | None = None
    for field in body.fields():
        if field.number == 1:
            _put(values, *_item(field))
        elif field.number == 2:  # noqa: PLR2004 - the numbers are those of wandb_internal.proto
            step = next((each.integer() for each in field.fields() if each.number == 1), 0)
    if step is not None:
        values.setdefault("_step", step)
    return Row(values)


def _summary(body: Field) -> Summary:
    values: dict[str, Any] = {}
    removed: list[str] = []
    for field in body.fields():
        if field.number == 1:
            _put(values, *_item(field))
        elif field.number == 2:  # noqa: PLR2004
            removed.append(".".join(_item(field)[0]))
    return Summary(values, removed)


def _item(item: Field) -> tuple[list[str], Any]:
    """The keys that lead to a value, and the value."""
    key, nested = "", []
    value: Any = None
    for field in item.fields():
        if field.number == 1:
            key = field.text()
        elif field.number == 2:  # noqa: PLR2004
            nested.append(field.text())
        elif field.number in _VALUES:
            value = _VALUES[field.number](field)
    return nested or [key], value


def _json(field: Field) -> Any:
    """A value in JSON, in which NaN and infinities may stand bare."""
    value = decode(field.content())
    if isinstance(value, Problem):
        raise _RefusedError(msgspec.structs.replace(value, byte=field.byte + value.byte))
    return value


def _signed(field: Field) -> int:
    """The value of a sint64 field."""
    number = field.integer() & 2**64 - 1
    return (number >> 1) ^ -(number & 1)


_VALUES: Final[dict[int, Callable[[Field], Any]]] = {
    3: lambda _: None,
    4: lambda field: field.integer() != 0,
    5: _signed,
    6: Field.double,
    7: Field.text,
    8: _json,
    16: _json,
}
"""How a value is read, by its field; W&B writes 16, its newest versions know the others too."""


def _put(values: dict[str, Any], keys: list[str], value: Any) -> None:
    """Put a value where keys lead to, one inside the other."""
    if len(keys) > _DEPTH:
        raise _RefusedError(Problem("too_deep", f"at most {_DEPTH} levels", str(len(keys))))
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise _RefusedError(_repeated(key))
    if keys[-1] in values:
        raise _RefusedError(_repeated(keys[-1]))
    values[keys[-1]] = value


def _repeated(key: str) -> Problem:
    return Problem("duplicate_key", "each key once", f"{key[:40]!r} again")


def _run(body: Field) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for field in body.fields():
        if field.number in _RUN:
            facts[_RUN[field.number]] = field.text()
        elif field.number == 4:  # noqa: PLR2004
            facts["config"] = _config(field)
        elif field.number == 14 and field.integer():  # noqa: PLR2004
            facts["starting_step"] = field.integer()
        elif field.number == 18:  # noqa: PLR2004
            facts["resumed"] = field.integer() != 0
    return facts


_RUN: Final = {1: "run_id", 2: "entity", 3: "project", 6: "group", 7: "job_type", 8: "name"}


def _config(body: Field) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for field in body.fields():
        if field.number == 1:
            keys, value = _item(field)
            config[".".join(keys)] = value
    config.pop("_wandb", None)
    return _without_secrets(config)


def _without_secrets(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without values whose names or texts tell of a key, a token or a password."""
    return {key: REDACTED if _is_secret(key, value) else value for key, value in config.items()}


def _is_secret(key: str, value: Any) -> bool:
    if value in (None, "", False):
        return False
    return names_secret(key) or bool(_KEYS.search(key) or _TOLD.search(str(value)))


def _header(body: Field) -> dict[str, Any]:
    info = next((field for field in body.fields() if field.number == 1), None)
    version = next((field.text() for field in info.fields() if field.number == 1), "") if info else ""
    return {"wandb_version": version} if version else {}


def _telemetry(body: Field) -> dict[str, Any]:
    names = {4: "python_version", 5: "wandb_version", 6: "transformers_version"}
    return {names[field.number]: field.text() for field in body.fields() if field.number in names}


def _exit(body: Field) -> dict[str, Any]:
    return {"exit_code": next((field.integer() for field in body.fields() if field.number == 1), 0)}


_FACTS: Final[dict[int, Callable[[Field], dict[str, Any]]]] = {
    5: lambda body: {"config": _config(body)},
    11: _telemetry,
    17: _run,
    18: _exit,
    21: _header,
}
"""What other records say of the run."""
