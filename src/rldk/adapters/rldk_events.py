"""RLDK's own logs: runs, ranks, segments and attempts."""

from __future__ import annotations

import io
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, ClassVar

from rldk.adapters.base import Aside, Bad, Certainty, Claim, FormatAdapter, Parsed, Reading, no
from rldk.adapters.foreign_json import objects
from rldk.io.compression import open_segment
from rldk.io.manifest import read_manifest
from rldk.io.problems import Problem
from rldk.io.reader import is_live, read_items
from rldk.io.segments import find_logs, is_log, run_log, whole_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rldk.adapters.base import Item
    from rldk.io.segments import Log

__all__ = ["RLDKEventsAdapter", "is_events", "read_run"]

_FIELDS = {"step", "wall_time", "metrics", "rng", "data_slice", "model_info", "notes"}


class RLDKEventsAdapter(FormatAdapter):
    """Reads RLDK's own logs, live or sealed, compressed or not, with all their segments."""

    name: ClassVar[str] = "rldk_events"
    reads: ClassVar[str] = "RLDK's own logs, {run_id}_events.jsonl, with their sealed segments"

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether the file has the name and the fields of an RLDK log."""
        if path.is_dir():
            return Claim(Certainty.SURE, "a folder with RLDK logs") if find_logs(path) else no("no RLDK log is in it")
        if is_events(head):
            return Claim(Certainty.SURE, "the first line is an RLDK event")
        if is_log(path):
            return Claim(Certainty.SURE, "the name of an RLDK log")
        return no("the first line is no RLDK event")

    def read(self, path: Path) -> Reading:
        """The run of which this is a log."""
        return read_run(path)

    def unit(self, path: Path, root: Path) -> Path:
        """The live file, which stands for all segments of its log; ranks above the lowest are read with `all`."""
        return whole_log(run_log(path)).path if is_log(path) else path


def is_events(head: bytes) -> bool:
    """Whether a file begins with an RLDK event, or something that has all fields of one."""
    records = objects(head)
    return bool(records) and records[0].keys() >= _FIELDS


def read_run(path: Path) -> Reading:
    """The events of a log, as every adapter gives them that finds one."""
    log = run_log(path)
    manifest = read_manifest(whole_log(log))
    facts = {
        "framework": manifest.framework,
        "algorithm": manifest.algorithm,
        "attempts": len(manifest.attempts),
        "removed_events": manifest.removed.events if manifest.removed else 0,
    }
    return Reading(_items(log), "step of the trainer", manifest.metrics, facts={k: v for k, v in facts.items() if v})


def _items(log: Log) -> Iterator[Item]:
    run_id = ""
    for path, lines in groupby(read_items(log), itemgetter(0)):
        starts = enumerate(_starts(path), 1)
        for number, (_, item) in enumerate(lines, 1):
            if isinstance(item, Problem):
                written = item.kind == "torn_tail" and is_live(path)
                yield Aside("line that is being written") if written else Bad(item, path)
            elif item.run_id == (run_id := run_id or item.run_id):
                yield Parsed(item)
            else:
                expected = f"events of {run_id!r} only, and each run in a file of its own"
                mixed = Problem("mixed_runs", expected, repr(item.run_id), "$.model_info.run_id")
                yield Bad(mixed.at(number, next(byte for line, byte in starts if line == number)), path)


def _starts(path: Path) -> Iterator[int]:
    """The byte at which each line of a file begins."""
    byte = 0
    # Read one by one, the bytes of a file without a buffer would take minutes.
    with open_segment(path) as file, io.BufferedReader(file) as lines:  # type: ignore[type-var]
        for line in lines:
            yield byte
            byte += len(line)
