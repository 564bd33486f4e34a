"""Share the work on large files among processes of their own, and get the results back in order.

They are subprocesses and not `multiprocessing`, so that a script without a guard and a notebook can start them.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from bisect import bisect
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import msgspec

import rldk
from rldk.ingest.worker import Message, Piece, Progress, results
from rldk.io.event_schema import MAX_LINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rldk.ingest.worker import Result, Task

__all__ = ["Stored", "WorkerError", "automatic", "perform", "shares", "stored"]

_LARGE: Final = 80_000_000
"""From this size in bytes on, work is worth starting processes for."""
_SHARE: Final = 20_000_000
"""The least that is worth a process."""
_HEAD_START: Final = 40_000_000
"""So many bytes are done here while a process starts."""
_SMALLER: Final = 8
"""So many times smaller a compressed file may well be."""

_CHUNK: Final = 2**16
_decode: Final = msgspec.json.Decoder(Message).decode


class WorkerError(Exception):
    """A process that was started to share the work has died; the work can still be done without it."""


class Stored(NamedTuple):
    """A file that is to be worked on."""

    path: Path
    status: os.stat_result

    @property
    def name(self) -> str:
        """What the pieces of it are called by."""
        return str(self.path.absolute())

    @property
    def compressed(self) -> bool:
        """Whether it can be read from its beginning only."""
        return self.path.suffix in {".gz", ".zst"}

    @property
    def weight(self) -> int:
        """How much work it is, in bytes."""
        return self.status.st_size * (_SMALLER if self.compressed else 1)


def stored(paths: Sequence[Path]) -> list[Stored]:
    """The files at these paths; one that cannot be looked at, or has just gone, is left out."""
    found = []
    for path in paths:
        try:
            found.append(Stored(path, path.stat()))
        except OSError:
            continue
    return found


def automatic(files: Sequence[Stored]) -> int:
    """How many processes the work on some files is worth on this machine; 1 means none but this one."""
    weight = sum(file.weight for file in files)
    if weight < _LARGE or not sys.executable:
        return 1
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(processors, weight // _SHARE)


def shares(files: Sequence[Stored], count: int) -> list[list[Piece]]:
    """The files cut into so many shares of about equal work, in their order; there may be fewer.

    The first is the larger by what can be done while processes start. A plain file is cut between lines, a
    compressed one is not cut.
    """
    total = sum(file.weight for file in files)
    ahead = min(_HEAD_START, total // 2) if count > 1 else 0
    ends = [ahead + (total - ahead) * number // count for number in range(1, count + 1)]
    found: list[list[Piece]] = [[] for _ in ends]
    begin = 0
    for file in files:
        for start, end in _ranges(file, [cut - begin for cut in ends]):
            middle = begin + (start + (file.weight if end is None else end)) // 2
            # One of no size at the very end is behind every cut.
            found[bisect(ends, middle, hi=len(ends) - 1)].append(_piece(file, start, end))
        begin += file.weight
    return [pieces for pieces in found if pieces]


def _piece(file: Stored, start: int, end: int | None) -> Piece:
    return Piece(file.name, file.status.st_dev, file.status.st_ino, start, end)


def _ranges(file: Stored, cuts: Sequence[int]) -> Iterator[tuple[int, int | None]]:
    """The parts of a file between these places, each moved to the start of the next line."""
    size = file.status.st_size
    if file.compressed:
        yield 0, None
        return
    start = 0
    for cut in [cut for cut in cuts if 0 < cut < size]:
        end = _line_start(file.path, cut)
        if start < end < size:
            yield start, end
            start = end
    if start < size:
        yield start, size


def _line_start(path: Path, byte: int) -> int:
    """Where the first line begins at or after a byte; a place after the end when there is none near."""
    with path.open("rb") as file:
        file.seek(byte - 1)
        line = file.readline(MAX_LINE)
    return byte - 1 + len(line) if line.endswith(b"\n") else sys.maxsize


def perform(tasks: Sequence[Task], progress: Callable[[int], None] = lambda _: None) -> list[list[Result]]:
    """Do the first task here, and each other one in a process of its own. However this ends, no process stays.

    Args:
        tasks: what is to be done.
        progress: told how many more bytes are done, again and again.

    Returns:
        the results of each task, one for each of its pieces.

    Raises:
        WorkerError: a process died, or gave no result for a piece.
    """
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes.extend(map(_start, tasks[1:]))
        with _Answers(processes, progress) as answers:

            def tell(size: int) -> None:
                progress(size)
                answers.take(0)

            own = [list(results(task, tell)) for task in tasks[:1]]
            while answers.take(None):
                pass
        codes = [process.wait() for process in processes]
        if any(codes) or [len(task.pieces) for task in tasks[1:]] != list(map(len, answers.results)):
            raise WorkerError(f"expected processes that end with 0 and a result for each piece, found {codes}")
        return own + answers.results
    finally:
        for process in processes:
            _end(process)


class _Answers:
    """What processes say.

    Args:
        processes: the processes.
        progress: told how many more bytes they have done.
    """

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]], progress: Callable[[int], None]) -> None:
        self.results: list[list[Result]] = [[] for _ in processes]
        self._progress = progress
        self._rests = [b"" for _ in processes]
        self._selector = selectors.DefaultSelector()
        for number, process in enumerate(processes):
            self._selector.register(process.stdout, selectors.EVENT_READ, number)  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def take(self, seconds: float | None) -> bool:
        """Take in what has been said, or wait for it so long; False when nobody has anything more to say."""
        for key, _ in self._selector.select(seconds) if self._selector.get_map() else ():
            chunk = os.read(key.fd, _CHUNK)
            if not chunk:
                self._selector.unregister(key.fileobj)
            *lines, self._rests[key.data] = (self._rests[key.data] + chunk).split(b"\n")
            for message in map(_decode, lines):
                if isinstance(message, Progress):
                    self._progress(message.size)
                else:
                    self.results[key.data].append(message)
        return bool(self._selector.get_map())


def _start(task: Task) -> subprocess.Popen[bytes]:
    """A process that has been given a task.

    Raises:
        WorkerError: it cannot be started.
    """
    root = str(Path(rldk.__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    with TemporaryFile() as request:
        request.write(msgspec.json.encode(task))
        request.seek(0)
        try:
            return subprocess.Popen(
                # Not from the current folder, where anything may be called like a module.
                [sys.executable, "-P", "-m", "rldk.ingest.worker"],
                env={**os.environ, "PYTHONPATH": path},
                stdin=request,
                stdout=subprocess.PIPE,
                # Ctrl-C is for this process, which ends the others.
                process_group=0,
            )
        except OSError as error:
            raise WorkerError(f"expected a process, found {error}") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that may have ended."""
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()
