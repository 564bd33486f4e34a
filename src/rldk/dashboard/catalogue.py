"""Find the runs in a folder that is served, again and again, and give each an id that is no path."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rldk.adapters.base import HEAD, FormatAdapter
from rldk.dashboard.foreign import ForeignTail
from rldk.errors import RLDKError, UnknownFormatError
from rldk.ingest.account import PassedOver
from rldk.ingest.options import Options
from rldk.ingest.sources import find_units, unit_files
from rldk.io.log_tail import LogTail
from rldk.io.manifest import read_manifest
from rldk.io.position import START, Position
from rldk.io.reader import is_live
from rldk.io.segments import Log, has_segments, segments, whole_log

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rldk.dashboard.foreign import Tail
    from rldk.ingest.sources import Unit
    from rldk.io.manifest import Manifest
    from rldk.metrics import Source

__all__ = ["Catalogue", "Found"]

_DIGITS = 12


class Found(NamedTuple):
    """A run that was found."""

    id: str
    name: str
    path: str
    """Where it lies, from the folder that is served."""
    unit: Unit
    logs: dict[int, Log]
    """RLDK's own logs by rank; none of a foreign run."""

    def tail(self, rank: int, position: Position = START) -> Tail:
        """What reads the log of a rank from a position on; a foreign run has rank 0 only."""
        if self.logs:
            return LogTail(self.logs[rank], position, links=False)
        return ForeignTail(self.unit, position)

    @property
    def ranks(self) -> list[int]:
        """The ranks that have a log."""
        return sorted(self.logs) or [0]

    @property
    def lowest(self) -> Log | None:
        """The log that stands for the run, None of a foreign run."""
        return self.logs[min(self.logs)] if self.logs else None

    @property
    def manifest(self) -> Manifest | None:
        """What is known of the run beside its events, None of a foreign run."""
        return read_manifest(self.lowest) if self.lowest else None

    @property
    def is_held(self) -> bool:
        """Whether a writer is at work on it."""
        return any(is_live(log.path) for log in self.logs.values())

    @property
    def axis(self) -> str:
        """What its steps count."""
        adapter = self.unit.adapter
        if self.logs or not isinstance(adapter, FormatAdapter):
            return "step of the trainer"
        return adapter.read(self.unit.path).axis

    @property
    def sources(self) -> Mapping[str, Source]:
        """What its metrics exactly are, by the key as it was logged."""
        manifest = self.manifest
        return manifest.metrics if manifest else {}

    def files(self) -> list[Path]:
        """The files it is read from."""
        if self.logs:
            return [path for log in self.logs.values() for path in segments(log)]
        return unit_files(self.unit)

    def updated(self) -> float:
        """When a file of it was last written, seconds since 1970."""
        times = [0.0]
        for path in self.files():
            with suppress(OSError):
                times.append(path.stat().st_mtime)
        return max(times)


class Catalogue:
    """The runs in a folder, or of a single file.

    Nothing is read through a symbolic link, so that who may write into the folder cannot show files that lie
    elsewhere.

    Args:
        root: the folder, or the file.
    """

    def __init__(self, root: Path) -> None:
        # A link that the user names is meant to be followed.
        self.root = root = Path(os.path.realpath(root))
        self._base = str(root if root.is_dir() else root.parent)
        self._seen: Any = None
        self.runs: dict[str, Found] = {}
        self.passed_over: list[PassedOver] = []

    def look(self) -> bool:
        """Look for runs; whether there is anything new.

        Raises:
            OSError: the folder cannot be read.
        """
        seen = self._listing()
        if seen == self._seen:
            return False
        self._seen = seen
        before = dict(self.runs)
        self.runs = {found.id: found for found in self._find()}
        return before != self.runs

    def _listing(self) -> list[tuple[str, int]]:
        """Every file, and how much of it can tell what it is."""
        if not self.root.is_dir():
            return [(str(self.root), 0)]
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = os.path.join(folder, name)  # noqa: PTH118 - there may be very many
                with suppress(OSError):
                    found.append((path, min(os.lstat(path).st_size, HEAD)))
        return found

    def _find(self) -> Iterator[Found]:
        self.passed_over = []
        try:
            units, passed_over = find_units([(self.root, str(self.root))], Options(history="all"))
        except UnknownFormatError as error:
            considered = error.considered if self.root.is_dir() else [(str(self.root), error.reason)]
            self.passed_over = [PassedOver(self._relative(path), why) for path, why in considered]
            return
        self.passed_over = [PassedOver(self._relative(each.path), each.why) for each in passed_over]
        yield from self._foreign(unit for unit in units if unit.log is None)
        yield from self._own([unit for unit in units if unit.log is not None])

    def _own(self, units: list[Unit]) -> Iterator[Found]:
        """RLDK's own runs, each with all its ranks."""
        runs: dict[tuple[Path, str], dict[int, tuple[Log, Unit]]] = {}
        for unit in units:
            log = unit.log
            if log is None or self._is_linked(unit, log.path):
                continue
            whole = whole_log(log)
            runs.setdefault((whole.path.parent, whole.run_id), {})[whole.rank] = (whole, unit)
        for (folder, run_id), ranks in runs.items():
            lowest, unit = ranks[min(ranks)]
            path = self._relative(str(lowest.path))
            key = self._relative(str(folder / run_id)) if has_segments(lowest) else path
            yield Found(_id(key), run_id, path, unit, {rank: log for rank, (log, _) in ranks.items()})

    def _foreign(self, units: Iterable[Unit]) -> Iterator[Found]:
        for unit in units:
            try:
                linked = any(self._is_linked(unit, path) for path in (unit.path, *unit_files(unit)))
            except (OSError, RLDKError) as error:
                self.passed_over.append(PassedOver(self._relative(str(unit.path)), str(error)))
                continue
            if linked:
                continue
            path = self._relative(str(unit.path))
            if unit.adapter.name == "rldk_events" and unit.path.is_file():
                yield Found(_id(path), unit.path.stem, path, unit, {0: Log(unit.path, unit.path.stem, 0)})
            else:
                yield Found(_id(path), unit.path.name if unit.path.is_dir() else unit.path.stem, path, unit, {})

    def _is_linked(self, unit: Unit, path: Path) -> bool:
        """Whether a path leads out of its place; it is told once."""
        base = self.root if self.root.is_dir() else self.root.parent
        here = os.path.normpath(os.path.join(self._base, os.path.relpath(path, base)))  # noqa: PTH118
        if os.path.realpath(path) == here:
            return False
        why = PassedOver(self._relative(str(unit.path)), "a symbolic link is not followed by the server")
        if why not in self.passed_over:
            self.passed_over.append(why)
        return True

    def _relative(self, path: str) -> str:
        base = self.root if self.root.is_dir() else self.root.parent
        relative = os.path.relpath(path, base)
        return base.resolve().name if relative == "." else relative


def _id(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:_DIGITS]
