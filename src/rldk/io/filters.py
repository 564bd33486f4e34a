"""Leave out events, or parts of them, before they are written."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from fnmatch import translate
from typing import TYPE_CHECKING, Final

import msgspec

from rldk.io.event_schema import Event
from rldk.io.values import plain_number, type_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rldk.io.event_schema import Section
    from rldk.io.protocol import Writer

__all__ = ["REDACTED", "Filter", "FilterWriter", "drop", "every_n_steps", "keep", "on_change", "redact"]

Filter = Callable[[Event], Event | None]
"""What is to be written of an event: the event itself, another in its place, or None for nothing.

Any callable will do. An event is not to be changed in place: `msgspec.structs.replace` makes another.
"""

REDACTED: Final = "<redacted>"
"""What stands in the place of a text that is not to be written."""

_IDENTITY: Final = frozenset({"run_id", "phase", "eval_set"})
"""Keys that say which run and which curve an event belongs to."""


def keep(*globs: str) -> Filter:
    """Write only the metrics that match, as in `keep("loss", "reward*")`.

    Obeyed to the letter, by NaN too. An event that had metrics and has none left is left out, unless it has
    notes; one that had none passes.

    Args:
        globs: patterns as of a shell; capital and small letters are told apart.
    """
    matches = _matcher("keep", _some("keep", globs))
    return lambda event: _only(event, matches)


def drop(*globs: str) -> Filter:
    """Write all metrics but those that match, as in `drop("completions/*")`; otherwise as `keep`.

    Args:
        globs: patterns as of a shell; capital and small letters are told apart.
    """
    matches = _matcher("drop", _some("drop", globs))
    return lambda event: _only(event, lambda name: not matches(name))


def every_n_steps(n: int, exempt: Iterable[str] = ()) -> Filter:
    """Write training events only at the steps that n divides; evaluations and the final event at any step.

    A thinned log must not lose a NaN: an event with a metric that is not finite passes whole, at any step. One
    with notes passes for their sake, with no metrics but those exempt.

    Args:
        n: how many steps there are to one that is written.
        exempt: patterns of metrics that are written at every step, as those that alerts need.
    """
    if type(n) is not int or n < 1:
        raise ValueError(f"every_n_steps: expected an integer >= 1, found {n!r}")
    exempted = _matcher("every_n_steps", exempt)

    def thin(event: Event) -> Event | None:
        if event.step % n == 0 or event.phase != "train" or _has_nonfinite(event):
            return event
        return _only(event, exempted) if event.metrics or event.notes else None

    return thin


def on_change(*globs: str, exempt: Iterable[str] = ()) -> Filter:
    """Leave out metrics whose value is the one last written for the same phase and evaluation set.

    Two values are the same when their type and all their bits are: -0.0 is not 0.0, and 1 is not 1.0. A metric
    of a step that was seen before, as after a resume, counts as changed. A thinned log must not lose a NaN: an
    event with a metric that is not finite passes whole. One of which no metric is left is left out, unless it
    has notes.

    What it lets pass it takes as written: put it behind the filters that leave out events or metrics.

    Args:
        globs: patterns of the metrics it is about; all of them when none is given.
        exempt: patterns of metrics that are written always, as those that alerts need.
    """
    concerned = _matcher("on_change", globs or ("*",))
    exempted = _matcher("on_change", exempt)
    curves: dict[tuple[str, str | None], dict[str, tuple[int, object]]] = {}

    def thin(event: Event) -> Event | None:
        last = curves.setdefault((event.phase, event.eval_set), {})
        values = {name: (event.step, _plain(value)) for name, value in event.metrics.items() if concerned(name)}
        same = {name for name, seen in values.items() if name in last and _is_repeated(seen, last[name])}
        last.update(values)
        return event if _has_nonfinite(event) else _only(event, lambda name: name not in same or exempted(name))

    return thin


def redact(*globs: str) -> Filter:
    """Write `<redacted>` for texts in `model_info`, `data_slice` and `rng` whose key matches.

    Never for `run_id`, `phase` and `eval_set`, which say where an event belongs. Metrics, notes, and values that
    are no texts stay as they are.

    Args:
        globs: patterns as of a shell; capital and small letters are told apart.
    """
    matches = _matcher("redact", _some("redact", globs))

    def hide(event: Event) -> Event:
        sections = {name: getattr(event, name) for name in ("rng", "data_slice", "model_info")}
        hidden = {name: _hide(section, matches) for name, section in sections.items()}
        changed = {name: section for name, section in hidden.items() if section is not sections[name]}
        return msgspec.structs.replace(event, **changed) if changed else event

    return hide


def _some(name: str, globs: tuple[str, ...]) -> tuple[str, ...]:
    if not globs:
        raise ValueError(f"{name}: expected patterns such as 'reward*', found none")
    return globs


def _matcher(name: str, globs: Iterable[str]) -> Callable[[str], bool]:
    """Whether the name of a metric, or a key, matches any of the patterns."""
    patterns = [globs] if isinstance(globs, bytes | str) else list(globs)
    if patterns == [globs] or not all(isinstance(pattern, str) for pattern in patterns):
        raise ValueError(f"{name}: expected patterns such as 'reward*', found {globs!r}")
    matches = re.compile("|".join(map(translate, patterns)) or r"(?!)").match
    # The names of metrics are few and come again and again. One that is no text is for the writer to refuse.
    return functools.lru_cache(1024)(lambda text: isinstance(text, str) and matches(text) is not None)


def _only(event: Event, wanted: Callable[[str], bool]) -> Event | None:
    """The event with the wanted metrics only; None when that leaves neither metrics nor notes."""
    metrics = {name: value for name, value in event.metrics.items() if wanted(name)}
    if len(metrics) == len(event.metrics):
        return event
    return msgspec.structs.replace(event, metrics=metrics) if metrics or event.notes else None


def _hide(section: Section, matches: Callable[[str], bool]) -> Section:
    hidden = {
        key: REDACTED
        for key, value in section.items()
        if isinstance(value, str) and key not in _IDENTITY and matches(key)
    }
    return {**section, **hidden} if hidden else section


def _has_nonfinite(event: Event) -> bool:
    return any(map(_is_nonfinite, event.metrics.values()))


def _is_nonfinite(value: object) -> bool:
    number = _plain(value)
    return isinstance(number, float) and number - number != 0


def _plain(value: object) -> object:
    """The number a value will be written as; for what the writer will refuse, an object like no other."""
    try:
        return plain_number(value)
    except (TypeError, OverflowError):
        return object()


def _is_repeated(now: tuple[int, object], last: tuple[int, object]) -> bool:
    """Whether a value, with its step, comes after the last one and is written in the same way."""
    return last[0] < now[0] and type(now[1]) is type(last[1]) and repr(now[1]) == repr(last[1])


class FilterWriter:
    """A writer that hands on what its filters leave of each event.

    What a filter raises reaches whoever writes, and the event is not handed on: a filter that fails to redact must
    not let pass what it was to hide. A filter that keeps a state must bear being called by as many threads as write.

    Args:
        filters: what is asked in turn, each about what the one before it left.
        to: where the events go.
    """

    def __init__(self, filters: Iterable[Filter], *, to: Writer) -> None:
        self._filters = tuple(filters)
        self._to = to
        self.filtered = 0
        """Events left out."""
        self.filtered_metrics = 0
        """Metrics left out of events handed on."""

    def write(self, event: Event) -> bool:
        """Hand on what is left of an event.

        Returns:
            False when it was left out, else what the writer behind says.

        Raises:
            TypeError: a filter gave back what is no event; whatever a filter raises.
        """
        left = event
        for each in self._filters:
            after: object = each(left)
            if after is None:
                self.filtered += 1
                return False
            if not isinstance(after, Event):
                raise TypeError(f"filter {each!r}: expected an event or None, found {type_name(after)}")
            left = after
        if left is not event:
            self.filtered_metrics += len(event.metrics.keys() - left.metrics.keys())
        return self._to.write(left)

    def flush(self) -> None:
        """Hand on whatever the writer behind holds back; filters hold nothing."""
        self._to.flush()

    def close(self) -> None:
        """Close the writer behind."""
        self._to.close()
