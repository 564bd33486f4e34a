"""Every adapter by name, and which of them reads a file."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rldk.adapters.base import Adapter, Certainty, Claim, FormatAdapter
from rldk.adapters.console import is_text, last_error
from rldk.adapters.lines import read_head
from rldk.errors import RLDKError, UnknownFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint
    from pathlib import Path

__all__ = ["GROUP", "NAMES", "detect", "load", "names", "no_log"]

GROUP: Final = "rldk.adapters"
"""The entry points by which other packages register adapters: a class for each name."""

NAMES: Final[dict[str, str]] = {
    "rldk_events": "RLDKEventsAdapter",
    "trl": "TRLAdapter",
    "openrlhf": "OpenRLHFAdapter",
    "verl": "VerlAdapter",
    "wandb": "WandbAdapter",
    "tensorboard": "TensorBoardAdapter",
    "sb3": "SB3Adapter",
    "baselines": "BaselinesAdapter",
    "llamafactory": "LLaMAFactoryAdapter",
    "ms_swift": "MSSwiftAdapter",
    "tinker": "TinkerAdapter",
    "nemo_rl": "NeMoRLAdapter",
    "dreamer": "DreamerAdapter",
    "areal": "AReaLAdapter",
    "custom_csv": "CustomCSVAdapter",
    "custom_jsonl": "CustomJSONLAdapter",
}
"""RLDK's own adapters: the module, by which each is called, and its class."""


def names() -> list[str]:
    """What adapters are called, RLDK's own first."""
    return [*NAMES, *sorted({point.name for point in _points(tuple(sys.path))} - NAMES.keys())]


@lru_cache(maxsize=1)
def _points(_: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """What other packages register; as that takes longer than to look into a file, it is found once for each path."""
    return tuple(entry_points(group=GROUP))


def load(name: str, field_map: Mapping[str, str] | None = None) -> Adapter:
    """An adapter by its name.

    Raises:
        ValueError: there is none of this name.
        RLDKError: what another package registers cannot be loaded, or is no adapter.
    """
    kind = getattr(import_module(f"rldk.adapters.{name}"), NAMES[name]) if name in NAMES else _registered(name)
    adapter: Adapter = kind(field_map) if issubclass(kind, FormatAdapter) else kind()
    return adapter


def _registered(name: str) -> Any:
    """The class that another package registers under a name."""
    point = next((point for point in _points(tuple(sys.path)) if point.name == name), None)
    if point is None:
        raise ValueError(f"adapter: expected one of {', '.join(names())}, found {name!r}")
    try:
        kind = point.load()
    except (ImportError, AttributeError) as error:
        raise RLDKError(f"adapter {name!r}: {point.value} cannot be loaded: {error}") from error
    if not isinstance(kind, type) or not isinstance(kind, Adapter):
        raise RLDKError(f"adapter {name!r}: expected a class with name, handles and events, found {point.value}")
    return kind


class Found(NamedTuple):
    """An adapter that reads a file, and what it says of it."""

    adapter: Adapter
    claim: Claim


def detect(path: Path, field_map: Mapping[str, str] | None = None) -> Found:
    """The adapter that reads a file, by what is in it; where RLDK's own is sure, nobody else is asked.

    Raises:
        UnknownFormatError: nobody reads it, or several might; it says who was asked and what they say.
        OSError: it cannot be read.
    """
    head = read_head(path)
    if not path.is_dir() and (reason := no_log(head)):
        raise UnknownFormatError(path, reason)
    found: list[Found] = []
    for name in names():
        adapter = load(name, field_map)
        found.append(Found(adapter, adapter.handles(head, path)))
        if name == "rldk_events" and found[0].claim.certainty == Certainty.SURE:
            return found[0]
    best = max(each.claim.certainty for each in found)
    first, *others = [each for each in found if each.claim.certainty == best]
    if best == Certainty.NO:
        raise UnknownFormatError(path, _nothing(head, path), [(each.adapter.name, each.claim.why) for each in found])
    if others:
        marks = ", ".join(each.adapter.name for each in (first, *others))
        reason = f"expected one format, found marks of {marks}; choose one: --adapter NAME, adapter_hint in Python"
        raise UnknownFormatError(path, reason, [(each.adapter.name, each.claim.why) for each in (first, *others)])
    return first


def _nothing(head: bytes, path: Path) -> str:
    """Why nobody reads a file; when a training printed it and failed, first of all with what."""
    reason = "expected a log of training metrics in a format that is known, found none of them"
    if failure := last_error(head, path) if is_text(head) else None:
        reason += f"; what printed it failed, at line {failure.number}: {failure.text}"
    return reason


def no_log(head: bytes) -> str:
    """Why a file cannot be a log whatever it is called, as a sentence without its period; empty when it may be one."""
    if not head:
        return "expected a log, found an empty file: nothing was written to it, or it was not copied whole"
    for begin, reason in _MARKS:
        if head.startswith(begin):
            return reason
    if _NOTEBOOK.match(head):
        return "expected a log, found a notebook; save what its training printed to a file"
    if b"\0" in head[:512] and not head.strip(b"\0"):
        return "expected a log, found only NUL bytes: the disk lost what was written, as after a power cut"
    return ""


_NOTEBOOK: Final = re.compile(rb'\s{0,99}\{\s{0,99}"cells"\s{0,9}:\s{0,9}\[')
_PICKLE: Final = "expected a log, found a pickle of Python, which RLDK never opens: to read one is to run what is in it"
_UTF_16: Final = (
    "expected UTF-8, found UTF-16, as PowerShell's `>` writes it; convert it first: iconv -f UTF-16 -t UTF-8 FILE"
)
_MARKS: Final = (
    (b"version https://git-lfs", "expected a log, found a pointer of Git LFS in its place; fetch it: git lfs pull"),
    (b"/annex/objects/", "expected a log, found a pointer of git-annex in its place; fetch it: git annex get"),
    (
        b"\0\x05\x16\x07",
        "expected a log, found an AppleDouble file, in which macOS keeps what a disk cannot; see beside it",
    ),
    (b"\xff\xfe", _UTF_16),
    (b"\xfe\xff", _UTF_16),
    (b"PK\x03\x04", "expected a log, found a zip archive; unpack it first"),
    (b"\x1f\x8b", "expected a log, found gzip data; give the file a name that ends in .gz"),
    (b"\x28\xb5\x2f\xfd", "expected a log, found zstd data; give the file a name that ends in .zst"),
    (b"BZh9", "expected a log, found bzip2 data; unpack it first: bunzip2 FILE"),
    (b"\xfd7zXZ\0", "expected a log, found xz data; unpack it first: unxz FILE"),
    (b"\x80\x02\x8a\n", _PICKLE),
    (b"\x80\x04\x95", _PICKLE),
    (b"\x80\x05\x95", _PICKLE),
    (b"\x89PNG", "expected a log, found a picture"),
    (b"PAR1", "expected a log, found a Parquet file; what `rldk ingest -o` wrote can be read by pandas and DuckDB"),
    (b"SQLite format 3\0", "expected a log, found a SQLite database"),
    (b"<!DOCTYPE", "expected a log, found a web page: was it downloaded without signing in?"),
    (b"<html", "expected a log, found a web page: was it downloaded without signing in?"),
)
