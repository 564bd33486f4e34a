"""Check large files in several processes at once; what is wrong is left to be told by the serial check."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from rldk.ingest.executors import WorkerError, perform, shares
from rldk.ingest.worker import Checked, Checking
from rldk.io.order import Order
from rldk.io.validator import Report, goes_on

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rldk.ingest.executors import Stored
    from rldk.ingest.worker import Result

__all__ = ["Identity", "valid_files"]

Identity: TypeAlias = tuple[Path, int, int]
"""A file at a moment: its path as it was named, its device and its inode."""

_log: Final = logging.getLogger(__name__)


def valid_files(
    files: Sequence[Stored],
    jobs: int,
    *,
    strict: bool,
    check_consistency: bool,
    require: Sequence[str],
    progress: Callable[[int], None] = lambda _: None,
) -> dict[Identity, Report]:
    """The reports of those files that are valid, as `validate_opened` would make them.

    Args:
        files: the files to check, each by itself.
        jobs: how many processes to start.
        strict: see `rldk.io.validator.validate_jsonl_file`.
        check_consistency: likewise.
        require: likewise.
        progress: told the size in bytes of each part that was checked, as it is stored.

    Returns:
        the report of each valid file. A file that is not valid, or was not there as it was,
        is not among them: its report has to be made by `validate_opened`. It is so with all when a process dies.
    """
    tasks = [Checking(pieces, strict, check_consistency, list(require)) for pieces in shares(files, jobs)]
    try:
        answers = perform(tasks, progress)
    except WorkerError as error:
        _log.warning("checking in one process: %s", error)
        return {}
    results: dict[str, list[Result]] = {}
    for task, found in zip(tasks, answers, strict=True):
        for piece, result in zip(task.pieces, found, strict=True):
            results.setdefault(piece.path, []).append(result)
    reports = {
        (file.path, file.status.st_dev, file.status.st_ino): _report(file, results[file.name], strict=strict)
        for file in files
        if file.name in results
    }
    return {file: report for file, report in reports.items() if report}


def _report(file: Stored, results: Sequence[Result], *, strict: bool) -> Report | None:
    """The report of a file whose parts are valid and follow each other; None for any other."""
    parts = [result for result in results if isinstance(result, Checked)]
    order = Order(lambda _: None)
    if goes_on(file.path):
        order.skip()
    whole = file.compressed or sum(part.size for part in parts) == file.status.st_size
    if len(parts) < len(results) or not whole or not all(order.join(part.ends) for part in parts):
        return None
    lines, size = sum(part.lines for part in parts), sum(part.size for part in parts)
    return Report(str(file.path), strict=strict, lines=lines, bytes=size) if lines else None
