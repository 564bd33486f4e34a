"""Give a framework's keys their canonical names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import msgspec

from rldk.metrics import control, hugging_face, language_models, nemo_rl, openrlhf, verl
from rldk.metrics.lookalikes import LOOKALIKES
from rldk.metrics.source import Lookalike, Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["SOURCES", "Translator"]

SOURCES: Final[tuple[Source, ...]] = (
    *hugging_face.SOURCES,
    *openrlhf.SOURCES,
    *verl.SOURCES,
    *nemo_rl.SOURCES,
    *language_models.SOURCES,
    *control.SOURCES,
)
"""Every key whose meaning is known.

Of two keys that mean the same metric, the first listed is renamed and the other keeps its own name.
"""

_ALL: Final[tuple[Source | Lookalike, ...]] = (*SOURCES, *LOOKALIKES)

_BUILT_ON: Final = {"trl": ("transformers",), "ms_swift": ("trl", "transformers")}
"""Whose keys a framework logs beside its own, which go before them."""

_PREFIXES: Final = {
    "areal": ("ppo_actor/update/", "grpo_actor/update/", "ppo_actor/", "grpo_actor/"),
    "llamafactory": ("train/",),
    "ms_swift": ("train/",),
    "nemo_rl": ("train/",),
    "openrlhf": ("train/",),
    "rllib": ("ray/tune/",),
    "slime": ("train/",),
    "transformers": ("train/",),
    "trl": ("train/",),
}
"""What may stand before a framework's keys, by where it logs them to."""

_DETAILS: Final = ("estimator", "versus", "reduction", "sign", "caveat")

_Value = TypeVar("_Value")


class Translator:
    """Gives a framework's keys their canonical names, and remembers which it has given.

    When the algorithm is not known for sure, a key is renamed if every algorithm in question that logs it means
    the same metric by it. What they compute may differ: then the source leaves it open, and its caveat says what
    it depends on. A key with the name of a reward function in it is renamed only when something is known of the
    algorithm, for such a name can be anything.

    Args:
        framework: the framework that logs.
        algorithm: what it trains with, as `grpo` or `dpo`; a source for other algorithms does not apply. Several
            joined with ` or ` when a log does not tell which of them it is, as `grpo or rloo`; empty when nothing is
            known.
    """

    def __init__(self, framework: str, algorithm: str) -> None:
        possible = tuple(algorithm.split(" or ")) if algorithm else ()
        self._frameworks = [_Framework(name, possible) for name in (framework, *_BUILT_ON.get(framework, ()))]
        self._prefixes = _PREFIXES.get(framework, ())
        self._names: dict[str, str] = {}
        self._priority: dict[str, int] = {}
        self.applied: dict[str, Source] = {}
        """What was found to be known so far: the source of each key, by the key as it was logged."""

    def translate(self, metrics: Mapping[str, _Value]) -> dict[str, _Value]:
        """The metrics under their canonical names, in the same order.

        When two keys mean one metric, the first in `SOURCES` is renamed and the other keeps its own name. A
        key that is spelled like a canonical name already keeps it, and the others stay native.
        """
        names = self._names
        if unknown := metrics.keys() - names.keys():
            names.update({key: self._name(key) for key in metrics if key in unknown})
        translated = {names[key]: value for key, value in metrics.items()}
        if len(translated) == len(metrics):
            return translated
        winners = self._winners(list(metrics))
        return {names[key] if key in winners else key: value for key, value in metrics.items()}

    def _name(self, key: str) -> str:
        found = self._found(key)
        sources = [each.source for each in found if each.source]
        if len(sources) < len(found) or len({source.canonical for source in sources}) != 1:
            return key
        source = _agreed(sources)
        self._priority[key] = min(each.priority for each in found)
        self.applied[key] = msgspec.structs.replace(source, native=key)
        return source.canonical

    def _found(self, key: str) -> list[_Meaning]:
        """All that a key may mean, a framework's own meanings before those it is built on."""
        shorter = [key.removeprefix(prefix) for prefix in self._prefixes if key.startswith(prefix)]
        for name in (key, *shorter):
            found: list[_Meaning] = []
            for framework in self._frameworks:
                found += [each for each in framework.meanings(name) if not _overruled(each, found)]
            if found:
                return found
        return []

    def _winners(self, keys: list[str]) -> set[str]:
        """Of keys some of which mean the same, those that are renamed."""
        known = sorted((key for key in keys if key in self.applied), key=self._priority.__getitem__)
        taken = {key for key in keys if self._names[key] == key}
        winners = set()
        for key in known:
            if self._names[key] not in taken:
                taken.add(self._names[key])
                winners.add(key)
        return winners


class _Meaning(NamedTuple):
    """What a key means in some of the algorithms in question; in all when none is named."""

    priority: int
    algorithms: frozenset[str]
    source: Source | None
    """None when it means no metric that has a name."""


class _Framework:
    """The keys of one framework, as far as they concern the algorithms in question; all when there are none."""

    def __init__(self, name: str, possible: tuple[str, ...]) -> None:
        self._keys: dict[str, list[_Meaning]] = {}
        self._patterns: list[tuple[re.Pattern[str], _Meaning]] = []
        self._any = not possible
        for priority, each in enumerate(_ALL):
            algorithms = frozenset(each.algorithms).intersection(possible or each.algorithms)
            if each.framework != name or (each.algorithms and not algorithms):
                continue
            meaning = _Meaning(priority, algorithms, each if isinstance(each, Source) else None)
            if "<f>" in each.native:
                self._patterns.append((re.compile(re.escape(each.native).replace("<f>", "([^/]+)")), meaning))
            else:
                self._keys.setdefault(each.native, []).append(meaning)

    def meanings(self, key: str) -> Iterator[_Meaning]:
        """What a key may mean."""
        yield from self._keys.get(key, ())
        for pattern, meaning in self._patterns:
            if match := pattern.fullmatch(key):
                yield meaning._replace(source=self._carried(meaning, match[1]))

    def _carried(self, meaning: _Meaning, name: str) -> Source | None:
        """The source with the name of the reward function; None when it might just as well be something else."""
        if meaning.source is None or (self._any and meaning.algorithms):
            return None
        canonical = meaning.source.canonical.replace("<f>", name)
        return msgspec.structs.replace(meaning.source, canonical=canonical)


def _overruled(meaning: _Meaning, others: list[_Meaning]) -> bool:
    """Whether the framework itself has meanings for all the algorithms of one that it has from what it is built on."""
    if any(not other.algorithms for other in others):
        return True
    return bool(meaning.algorithms) and meaning.algorithms <= frozenset().union(*(each.algorithms for each in others))


def _agreed(sources: list[Source]) -> Source:
    """What several sources of a name have in common."""
    first, *others = sources
    if not others:
        return first
    details = {field: list(dict.fromkeys(getattr(each, field) for each in sources)) for field in _DETAILS}
    differing = [f"{field} {' or '.join(filter(None, said))}" for field, said in details.items() if len(said) > 1]
    common = {field: said[0] if len(said) == 1 else "" for field, said in details.items()}
    if differing:
        common["caveat"] = f"the algorithm is not known, and with it: {', '.join(differing)}"
    return msgspec.structs.replace(
        first,
        algorithms=tuple(dict.fromkeys(name for each in sources for name in each.algorithms)),
        reference=", ".join(dict.fromkeys(filter(None, (each.reference for each in sources)))),
        **common,
    )
