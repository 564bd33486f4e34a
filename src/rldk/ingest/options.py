"""How a source is read: the arguments that everything that ingests has in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from rldk.adapters.records import PLACES
from rldk.ingest.account import is_metric
from rldk.io.filters import Filter
from rldk.io.reader import History, Mode

__all__ = ["OnError", "Options", "check_field_map"]

OnError: TypeAlias = Literal["abort", "collect", "salvage", "tolerate_torn_tail", "stop_at_first_bad"]
"""What is done about a line that cannot be read: stop and say which; read on, then stop and say all; or go on as
the reader's mode of that name does."""

_MODES: dict[OnError, Mode] = {"abort": "strict", "collect": "salvage"}


def check_field_map(field_map: Mapping[str, str]) -> None:
    """Do nothing when a field map can be meant as it is written.

    Raises:
        TypeError: it is no mapping.
        ValueError: a name or a field is no text, name and field were mixed up, or two names have one field.
    """
    if not isinstance(field_map, Mapping):
        raise TypeError(f"field_map: expected a mapping, as {{'step': 'iteration'}}, found {field_map!r}")
    names: dict[str, str] = {}
    for name, field in field_map.items():
        if not (isinstance(name, str) and name and isinstance(field, str) and field):
            raise ValueError(f"field_map: expected the name of a field for each name, found {name!r}: {field!r}")
        if _is_known(field) and not _is_known(name):
            expected = f"RLDK's name first, {field}={name}"
            raise ValueError(f"field_map: expected {expected}, found {name}={field}, which seems to be mixed up")
        if field in names:
            both = f"{names[field]} and {name}"
            raise ValueError(f"field_map: expected a field of its own for each name, found {field!r} for {both}")
        names[field] = name


def _is_known(name: str) -> bool:
    return name in PLACES or is_metric(name)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a source is read; `rldk.ingest.ingest_runs` says what each means.

    Raises:
        TypeError: the field map is no mapping.
        ValueError: one has a value that it cannot have.
    """

    adapter_hint: str | None = None
    field_map: Mapping[str, str] | None = None
    on_error: OnError = "abort"
    history: History = "effective"
    filters: Sequence[Filter] = ()
    progress: Callable[[int], None] | None = None
    output: Path | None = None
    """The file that is to be written, which must not be one of those that are read."""

    def __post_init__(self) -> None:
        for name, choices in (("on_error", get_args(OnError)), ("history", get_args(History))):
            if (value := getattr(self, name)) not in choices:
                raise ValueError(f"{name}: expected one of {', '.join(choices)}, found {value!r}")
        check_field_map(self.field_map or {})

    @property
    def mode(self) -> Mode:
        """The mode of the adapters that comes to the same."""
        return _MODES.get(self.on_error, self.on_error)  # type: ignore[arg-type]

    @property
    def key(self) -> tuple[Any, ...]:
        """All that makes one table differ from another of the same files."""
        return self.adapter_hint, dict(self.field_map or {}), self.on_error, self.history
