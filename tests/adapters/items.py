"""What tests ask of the items an adapter makes, and inputs that were damaged by chance."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

from rldk.adapters.base import Aside, Bad, Parsed
from rldk.adapters.lines import read_head
from rldk.errors import RLDKError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rldk.adapters.base import FormatAdapter, Item
    from rldk.io.event_schema import Event

__all__ = ["asides", "bads", "events", "lines", "survives"]

_SPLINTERS: Final = (
    *(b"\0", b"\n", b"\r", b"\xff\xfe", b"\x1b[31m", b'"', b"{", b"}", b"[" * 200, b":", b" - ", b"/", "│".encode()),
    *(b"9" * 5000, b"-1", b"1e999", b"NaN", b"null", b"true", b"[]", b"{}", b'"x"', b"0.5", b"step:", b"np.float64("),
)


def events(items: list[Item]) -> list[Event]:
    """The events among items."""
    return [item.event for item in items if isinstance(item, Parsed)]


def asides(items: list[Item]) -> list[tuple[str, int]]:
    """What was set aside, and how many lines it takes."""
    return [(item.why, item.lines) for item in items if isinstance(item, Aside)]


def bads(items: list[Item]) -> list[str]:
    """What is wrong, as a reader is told it, without the path."""
    return [str(item.problem.error()) for item in items if isinstance(item, Bad)]


def lines(items: list[Item]) -> int:
    """How many lines or records the items are made from."""
    return sum(item.lines for item in items)


def survives(adapter: FormatAdapter, path: Path, content: bytes, count: int = 300) -> None:
    """Damage a log in many ways, and see that nothing but an `RLDKError` comes of it, in time."""
    chance = random.Random(content)  # noqa: S311 - to be the same each time is what is wanted
    for damaged in _damaged(content, chance, count):
        path.write_bytes(damaged)
        began = time.perf_counter()
        try:
            adapter.handles(damaged[:65536], path)
            adapter.handles(read_head(path), path)
            for item in adapter.read(path).items:
                assert isinstance(item, Parsed | Aside | Bad)
        except RLDKError:
            pass
        assert time.perf_counter() - began < 1, damaged


def _damaged(content: bytes, chance: random.Random, count: int) -> Iterator[bytes]:
    for _ in range(count):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(damaged) + 1)
            to = min(len(damaged), at + chance.choice((0, 1, 3, 40)))
            damaged[at:to] = chance.choice((b"", damaged[at:to] * 2, bytes([chance.randrange(256)]), *_SPLINTERS))
        yield bytes(damaged[: chance.randrange(len(damaged) + 1)] if chance.random() < 0.2 else damaged)
