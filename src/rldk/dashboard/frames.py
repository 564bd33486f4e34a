"""What is sent to those who listen: frames of JSON, the costly part of each made once for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from rldk.errors import InvalidLineError
from rldk.io.decoder import LineDecoder
from rldk.io.reader import problem

if TYPE_CHECKING:
    from rldk.io.log_tail import Chunk

__all__ = ["VERSION", "encoded", "frame", "lines"]

VERSION: Final = 1
"""The version of frames and answers."""

_encode: Final = msgspec.json.Encoder().encode


def encoded(content: Any) -> str:
    """Something as JSON."""
    return _encode(content).decode()


def frame(kind: str, cursor: str, rest: str = "") -> str:
    """A frame: its type, its cursor, and further members as JSON, each with its name."""
    return f'{{"v":{VERSION},"type":"{kind}","cursor":"{cursor}"{"," if rest else ""}{rest}}}'


def lines(run: str, rank: int, chunk: Chunk) -> tuple[str, int]:
    """The members of a frame with some lines of a log, and how many events they are.

    The lines were written as JSON, and those that are events are sent as they were written.
    """
    problems: list[dict[str, Any]] = []
    text, events = chunk.text, chunk.text.count(b"\n")
    if chunk.problem:
        problems.append({"file": chunk.path.name, **msgspec.structs.asdict(chunk.problem)})
    good: list[bytes] | None = None
    number = 0
    for each in LineDecoder().runs(text):
        if isinstance(each.tails[0], InvalidLineError):
            if good is None:
                good = [line + b"\n" for line in text.split(b"\n")[:-1]]
            found = problem(each.tails[0]).at(chunk.start.line + number + 1, chunk.start.byte + each.start)
            problems.append({"file": chunk.path.name, **msgspec.structs.asdict(found)})
            good[number] = b""
        number += len(each.tails)
    if good is not None:
        events, text = sum(map(bool, good)), b"".join(good)
    # In a line of an event a newline stands at its end only.
    listed = text[:-1].replace(b"\n", b",").decode()
    rest = f',"problems":{encoded(problems)}' if problems else ""
    return f'"run":"{run}","rank":{rank},"events":[{listed}]{rest}', events
