"""Open the files of a log one after the other, while its writer may be rotating, compressing and removing them."""

from __future__ import annotations

import errno
import os
from contextlib import nullcontext
from typing import IO, TYPE_CHECKING, NamedTuple

from rldk.io.compression import open_segment
from rldk.io.segments import COMPRESSIONS, has_segments, sealed_numbers, sealed_path, segment_number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rldk.io.segments import Log

__all__ = ["Opened", "newest_first", "opened"]


class Opened(NamedTuple):
    """A file of a log, open for reading from its beginning."""

    path: Path
    number: int | None
    """Its place in the log when it was sealed, None for the live file."""
    file: IO[bytes]


def opened(log: Log) -> Iterator[Opened]:
    """Each file of a log, oldest first, open until the next one is asked for.

    It is the log as it is when the first one is asked for, with what is added to the live file until its turn:
    nothing of it is missed and nothing given twice, whatever the writer does meanwhile. A segment that retention
    removes before its turn is passed over.

    Raises:
        OSError: a file cannot be read; FileNotFoundError when there is none at all.
    """
    numbers, live = _listed(log)
    if not numbers and not live:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(log.path))
    with live.file if live else nullcontext():
        for number in numbers:
            if segment := _open_sealed(log, number):
                with segment.file:
                    yield segment
        if live:
            yield live


def _listed(log: Log) -> tuple[list[int], Opened | None]:
    """The numbers of the sealed segments, and the file that was the live one when they were listed."""
    while True:
        live = _open_file(log.path)
        numbers = sealed_numbers(log)
        if not has_segments(log) or _is_at(live, log.path):
            return numbers, live
        # It was sealed while the others were listed, so it may be among them.
        if live:
            live.file.close()


def _is_at(live: Opened | None, path: Path) -> bool:
    """Whether this is what is at a path; None when nothing should be."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return live is None
    return live is not None and os.path.samestat(os.fstat(live.file.fileno()), status)


def newest_first(log: Log) -> Iterator[Opened]:
    """Each file of a log, newest first, open until the next one is asked for.

    What becomes a sealed segment at this moment may be given twice.
    """
    if live := _open_file(log.path):
        with live.file:
            yield live
    for number in reversed(sealed_numbers(log)):
        if file := _open_sealed(log, number):
            with file.file:
                yield file


def _open_sealed(log: Log, number: int) -> Opened | None:
    """A sealed segment, plain if it is there plain: it is looked for in the order in which compressing replaces it."""
    found = (_open_file(sealed_path(log, number, compression)) for compression in (None, *COMPRESSIONS))
    return next(filter(None, found), None)


def _open_file(path: Path) -> Opened | None:
    try:
        return Opened(path, segment_number(path.name), open_segment(path))
    except FileNotFoundError:
        return None
