"""Whatever becomes of a log, reading it gives events or an error of RLDK's, soon and in little memory."""

from __future__ import annotations

import random
import resource
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from rldk.adapters.registry import NAMES, detect, load
from rldk.errors import RLDKError
from rldk.io.codec import encode
from tests.formats import FORMATS
from tests.shared import REAL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rldk.adapters.base import Mode

INPUTS: Final = 20_000
SLOWEST: Final = 1.0
"""Seconds that one input may take; those of a busy machine are measured as processor time."""
MEMORY: Final = 500 * 2**20
_LARGEST: Final = 2**14
"""Bytes of a real log that are mutated."""


class Seed(NamedTuple):
    """What is mutated, and the adapter that reads it."""

    adapter: str
    file: str
    content: bytes


def seeds() -> list[Seed]:
    """The logs written by hand, and the beginnings of real ones where they are there."""
    found = [Seed(log.adapter, log.file.rpartition("/")[2], log.whole) for log in FORMATS]
    for path in sorted(REAL.rglob("*")) if REAL.is_dir() else ():
        if path.is_file() and path.name != "MANIFEST.csv":
            with suppress(RLDKError):
                found.append(Seed(detect(path).adapter.name, path.name, path.read_bytes()[:_LARGEST]))
    return found


def flip(content: bytearray, rng: random.Random) -> None:
    """Change a few bytes."""
    for _ in range(rng.randint(1, 4)):
        content[rng.randrange(len(content))] = rng.randrange(256)


def cut(content: bytearray, rng: random.Random) -> None:
    """Lose the end."""
    del content[rng.randrange(len(content)) :]


def lose(content: bytearray, rng: random.Random) -> None:
    """Lose a piece."""
    at = rng.randrange(len(content))
    del content[at : at + rng.randint(1, 200)]


def repeat(content: bytearray, rng: random.Random) -> None:
    """Have a piece twice."""
    at, to = rng.randrange(len(content)), rng.randrange(len(content))
    content[to:to] = content[at : at + rng.randint(1, 2000)]


def zero(content: bytearray, rng: random.Random) -> None:
    """Have NUL bytes in the place of a piece."""
    at = rng.randrange(len(content))
    size = min(rng.randint(1, 500), len(content) - at)
    content[at : at + size] = bytes(size)


_PIECES: Final = (
    *(b"9" * 5000, b"-", b"1e999", b"NaN", b"null", b"true", b"[" * 300, b'{"a":' * 20, b"\xff\xfe", b"\xf0\x9f"),
    *(b"\n", b"\r", b"\r\n", b"\n\n\n", b'"', b"'", b"\\", b"\\ud800", b",", b":", b"\x1b[31m", b"|", b"\xe2\x94\x82"),
    *(b"\0" * 8, b"\xff" * 8, b"\x7f" * 4, b" " * 20_000, b"(" * 5000, b"step:1 - ", b"Global step 1: {", b"0x1p5"),
    *(b"0000000001", b"1_000", b"\xd9\xa1", b"=", b"#", b";", b"\t", b"9223372036854775808", b"-1", b"1e-400"),
)


def insert(content: bytearray, rng: random.Random) -> None:
    """Have something in between that makes trouble."""
    at = rng.randrange(len(content))
    content[at:at] = rng.choice(_PIECES)


def replace(content: bytearray, rng: random.Random) -> None:
    """Have something that makes trouble in the place of a number."""
    digits = [at for at in range(len(content)) if content[at : at + 1].isdigit()]
    if digits:
        at = rng.choice(digits)
        content[at : at + 1] = rng.choice(_PIECES)


def shuffle(content: bytearray, rng: random.Random) -> None:
    """Have the lines in another order."""
    lines = bytes(content).splitlines(keepends=True)
    rng.shuffle(lines)
    content[:] = b"".join(lines)


MUTATIONS: Final[tuple[Callable[[bytearray, random.Random], None], ...]] = (
    *(flip, flip, cut, lose, repeat, zero, insert, insert, replace, replace, shuffle),
)
MODES: Final[tuple[Mode, ...]] = ("strict", "tolerate_torn_tail", "stop_at_first_bad", "salvage", "salvage")


def read(path: Path, name: str | None, mode: Mode) -> None:
    """Read a log as it would be read; events have to be such that RLDK can write them."""
    with suppress(RLDKError):
        adapter = load(name) if name else detect(path).adapter
        for event in adapter.events(path, mode):
            encode(event)


@pytest.mark.timeout(900)
def test_mutated_logs_give_events_or_an_error(tmp_path: Path) -> None:
    """Of 20,000 mutated logs of all formats none gives another exception, takes a second or 500 MB.

    Most are read by the adapter of their format, some by the one that recognises them, some by any other.
    """
    rng = random.Random(20_260_131)  # noqa: S311 - damage, not secrets
    sources = seeds()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    slow: list[str] = []

    for number in range(INPUTS):
        seed = rng.choice(sources)
        content = bytearray(seed.content)
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            if content:
                rng.choice(MUTATIONS)(content, rng)
        name = rng.choice((seed.adapter, seed.adapter, None, rng.choice(list(NAMES))))
        path = tmp_path / seed.file
        path.write_bytes(content)
        mode = rng.choice(MODES)
        began = time.process_time()
        try:
            read(path, name, mode)
        except Exception as error:  # noqa: BLE001 - that none comes is what is tested
            kept = tmp_path / "kept"
            kept.write_bytes(content)
            pytest.fail(f"input {number}, {seed.file} by {name} in mode {mode}: {error!r}; it is in {kept}")
        took = time.process_time() - began
        if took > SLOWEST:
            slow.append(f"input {number}, {seed.file} by {name} in mode {mode}: {took:.1f} s")
        path.unlink()

    assert slow == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < MEMORY
