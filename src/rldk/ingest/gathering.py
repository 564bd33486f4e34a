"""The columns of a log, gathered in several processes when it is large."""

from __future__ import annotations

import logging
import mmap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from rldk.ingest.columns import Gatherer, Layout, Part, columns
from rldk.ingest.executors import WorkerError, automatic, perform, shares, stored
from rldk.ingest.worker import Gathered, Gathering, add_rows
from rldk.io.decoder import LineDecoder
from rldk.io.opened import opened
from rldk.io.segments import segments

if TYPE_CHECKING:
    from collections.abc import Callable

    from rldk.ingest.columns import Columns
    from rldk.io.segments import Log

__all__ = ["gather"]

_log: Final = logging.getLogger(__name__)


def gather(log: Log, jobs: int | None = None, progress: Callable[[int], None] = lambda _: None) -> Columns | None:
    """The effective history of a log as columns, when the log is regular.

    It is when every line of all its segments and its live file is an event, no attempt has replaced anything, no
    two events are to be merged into one point, and no integer is beyond 2**53. Any other log gives None, and so
    does one that a writer was just rotating: the events have to be read one by one then.

    Args:
        log: the log.
        jobs: how many processes to start, 1 for none; by default as many as there are processors, when the log is
            worth it.
        progress: told how many more bytes were read, again and again.

    Raises:
        MissingExtraError: a segment is compressed with zstd, and `zstandard` is not installed.
        OSError: a file cannot be read.
    """
    files = stored(segments(log))
    shared = shares(files, automatic(files) if jobs is None else jobs)
    if len(shared) <= 1:
        return _gathered(log, progress)
    with TemporaryDirectory(prefix="rldk-") as folder:
        tasks = [
            Gathering(pieces, [str(Path(folder) / f"{share}-{number}") for number in range(len(pieces))])
            for share, pieces in enumerate(shared)
        ]
        try:
            answers = perform(tasks, progress)
        except WorkerError as error:
            _log.warning("reading in one process: %s", error)
            return _gathered(log, progress)
        layouts: list[Layout] = []
        parts: list[Part] = []
        for task, results in zip(tasks, answers, strict=True):
            for output, result in zip(task.outputs, results, strict=True):
                if not isinstance(result, Gathered):
                    return None
                layouts.append(result.layout)
                parts.append(result.layout.part(_mapped(Path(output))))
    return columns(layouts, parts)


def _mapped(path: Path) -> memoryview:
    """What is in a file, which may be removed afterwards."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b"")


def _gathered(log: Log, progress: Callable[[int], None]) -> Columns | None:
    gatherer, decoder = Gatherer(), LineDecoder()
    for segment in opened(log):
        if not add_rows(segment.file, gatherer, decoder, progress):
            return None
    layout = gatherer.layout()
    return columns([layout], [layout.part(memoryview(b"".join(gatherer.buffers())))])
