"""What a process does that was started to share the work: `python -m rldk.ingest.worker`, for `executors` only.

It reads one task on standard input, and answers in lines on standard output: how far it has come, and a result for
each piece. It never says what is wrong with a piece, only that not all is right: the one who asked looks himself.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias, cast

import msgspec

from rldk.errors import MissingExtraError
from rldk.ingest.columns import Gatherer, Layout
from rldk.io.compression import open_segment
from rldk.io.decoder import LineDecoder
from rldk.io.opened import Opened
from rldk.io.order import Ends, Order
from rldk.io.reader import blocks
from rldk.io.segments import segment_number
from rldk.io.validator import check_file, make_check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rldk.io.problems import Problem

__all__ = [
    "Checked",
    "Checking",
    "Gathered",
    "Gathering",
    "Irregular",
    "Message",
    "Piece",
    "Progress",
    "Result",
    "Task",
]

_TOLD: Final = 2**20
"""So many bytes are worth a message."""


class Piece(msgspec.Struct, frozen=True):
    """A part of a file, from the start of a line to the end of another."""

    path: str
    device: int
    inode: int
    start: int
    end: int | None
    """None for a compressed file, which is taken whole."""


class Checking(msgspec.Struct, frozen=True, tag="check"):
    """The task to check pieces as `rldk validate` does."""

    pieces: list[Piece]
    strict: bool
    check_consistency: bool
    require: list[str]


class Gathering(msgspec.Struct, frozen=True, tag="gather"):
    """The task to gather the rows of pieces as columns."""

    pieces: list[Piece]
    outputs: list[str]
    """The file for the buffers of each piece."""


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """So many more bytes are done, as they are stored."""

    size: int


class Checked(msgspec.Struct, frozen=True, tag="checked"):
    """A piece is valid in itself."""

    lines: int
    size: int
    ends: Ends


class Gathered(msgspec.Struct, frozen=True, tag="gathered"):
    """A piece is regular in itself, and its buffers are in their file."""

    layout: Layout


class Irregular(msgspec.Struct, frozen=True, tag="irregular"):
    """A piece is not as it should be, or no longer where it was."""


Task: TypeAlias = Checking | Gathering
Result: TypeAlias = Checked | Gathered | Irregular
"""What is said of a piece; each piece has one, in their order."""
Message: TypeAlias = Progress | Result


class _IrregularError(Exception):
    """A piece is not as it should be."""


class _Range:
    """A part of a file as a file; it offers only what `blocks` and `check_file` ask for."""

    def __init__(self, file: IO[bytes], start: int, end: int) -> None:
        file.seek(start)
        self._file = file
        self._left = end - start

    def read(self, size: int) -> bytes:
        """The next bytes, at most so many; none at the end of the part."""
        chunk = self._file.read(min(size, self._left))
        self._left -= len(chunk)
        return chunk

    def seekable(self) -> bool:
        """As a file is, and no pipe."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _opened(piece: Piece) -> Opened:
    """The piece as a file.

    Raises:
        _IrregularError: it is not there any more, or cannot be read.
    """
    path = Path(piece.path)
    try:
        file = open_segment(path)
    except (OSError, MissingExtraError) as error:
        raise _IrregularError from error
    status = os.fstat(file.fileno())
    if (status.st_dev, status.st_ino) != (piece.device, piece.inode):
        file.close()
        raise _IrregularError
    part = file if piece.end is None else cast("IO[bytes]", _Range(file, piece.start, piece.end))
    return Opened(path, segment_number(path.name), part)


def _refuse(_: Problem) -> None:
    raise _IrregularError


def _check(task: Checking, piece: Piece, tell: Callable[[int], None]) -> Checked:
    order = Order(_refuse)
    order.skip()
    options: dict[str, Any] = {"strict": task.strict, "check_consistency": task.check_consistency}
    check = make_check(_refuse, order, require=task.require, **options)
    segment = _opened(piece)
    with closing(segment.file):
        check_file(segment, check, _refuse, strict=task.strict, progress=tell)
    return Checked(check.lines, check.size, order.ends())


def _gather(piece: Piece, output: str, tell: Callable[[int], None]) -> Gathered:
    gatherer = Gatherer()
    segment = _opened(piece)
    with closing(segment.file):
        if not add_rows(segment.file, gatherer, LineDecoder(), tell):
            raise _IrregularError
    with Path(output).open("xb") as file:
        file.writelines(gatherer.buffers())
    return Gathered(gatherer.layout())


def add_rows(file: IO[bytes], gatherer: Gatherer, decoder: LineDecoder, tell: Callable[[int], None]) -> bool:
    """Add the rows of a file; False when they are not regular."""
    for block in blocks(file):
        if block.damage or not all(map(gatherer.add, decoder.runs(block.text))):
            return False
        tell(len(block.text))
    return True


def results(task: Task, tell: Callable[[int], None]) -> Iterator[Result]:
    """What is to be said of each piece of a task.

    Args:
        task: the task.
        tell: told how many more bytes are done, after every MiB or so.
    """
    told = _Told(tell)
    for number, piece in enumerate(task.pieces):
        try:
            if isinstance(task, Checking):
                yield _check(task, piece, told.add)
            else:
                yield _gather(piece, task.outputs[number], told.add)
        except _IrregularError:
            yield Irregular()
    told.flush()


class _Told:
    """Adds up bytes until they are worth telling."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._size = 0

    def add(self, size: int) -> None:
        """Add bytes, and tell of them when there are enough."""
        self._size += size
        if self._size >= _TOLD:
            self.flush()

    def flush(self) -> None:
        """Tell of what was added since the last time."""
        self._tell(self._size)
        self._size = 0


def main() -> None:
    """Do the task that is asked for on standard input."""
    # When the one who asked is gone, there is nothing left to do, and nobody to tell.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)

    def send(message: Message) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
        sys.stdout.buffer.flush()

    for result in results(task, lambda size: send(Progress(size))):
        send(result)


if __name__ == "__main__":
    main()
