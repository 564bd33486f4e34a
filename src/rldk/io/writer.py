"""Open a log for writing: the whole stack of writers, built in one place."""

from __future__ import annotations

import itertools
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypedDict, Unpack, get_args

from rldk.errors import RunLockedError
from rldk.io.buffer import BufferWriter
from rldk.io.clock import SystemClock
from rldk.io.compression import check_available
from rldk.io.event_schema import SCHEMA_VERSION
from rldk.io.filters import FilterWriter
from rldk.io.quantities import Quantity, parse
from rldk.io.ranks import found_rank
from rldk.io.sealing import Policy
from rldk.io.segment_writer import Counters, OnError, SegmentWriter
from rldk.io.segments import COMPRESSIONS, Compression, Log, check_run_id, log_path, new_run_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rldk.io.clock import Clock
    from rldk.io.event_schema import Primitive
    from rldk.io.filters import Filter
    from rldk.io.protocol import Writer

__all__ = [
    "Counters",
    "IfLocked",
    "OnError",
    "RunWriter",
    "WriterOptions",
    "check_options",
    "open_writer",
    "policy",
    "run_folder",
]

IfLocked = Literal["raise", "new_run"]
"""What to do when another process writes this run: refuse, or write a run of its own, named `{run_id}-2`."""


class WriterOptions(TypedDict, total=False):
    """How a log is written: the arguments of `open_writer` that an integration hands on."""

    rotation: str | None
    compression: Compression | None
    keep: str | None
    sync: str
    buffer: str | None
    filters: Sequence[Filter]
    on_error: OnError
    if_locked: IfLocked


class RunWriter:
    """The writer of a run: what `open_writer` gives.

    Args:
        segments: the innermost writer.
        buffer: the writer that holds events back, if there is one.
        filters: the outermost writer, if there is one.
    """

    def __init__(self, segments: SegmentWriter, buffer: BufferWriter | None, filters: FilterWriter | None) -> None:
        self.run_id = segments.run_id
        self.path = segments.path
        """The live file of the log."""
        self.attempt = segments.attempt
        """The number of this attempt of the rank, from 1."""
        self.past = segments.past
        """The last event that earlier attempts left in the log, None when there is none."""
        self._segments = segments
        self._buffer = buffer
        self._filters = filters
        outermost: Writer = filters or buffer or segments
        self.write: Final = outermost.write
        """Take an event; see `SegmentWriter.write`."""
        self.flush: Final = outermost.flush
        """Write what is buffered or held, if that is possible now."""
        self.close: Final = outermost.close
        """Write what is buffered or held, and give up the log."""

    @property
    def counters(self) -> Counters:
        """What became of the events so far."""
        counters = self._segments.counters
        if self._buffer is not None:
            counters.buffered = self._buffer.buffered
        if self._filters is not None:
            counters.filtered = self._filters.filtered
            counters.filtered_metrics = self._filters.filtered_metrics
        return counters


def run_folder(output_dir: str | os.PathLike[str]) -> Path:
    """The folder a run's files go to: `RLDK_OUTPUT_DIR` when it is set, else the one given."""
    return Path(os.environ.get("RLDK_OUTPUT_DIR") or output_dir).absolute()


def open_writer(
    output_dir: str | os.PathLike[str],
    *,
    run_id: str | None = None,
    rank: int | None = None,
    world_size: int | None = None,
    resumed_from: int | None = None,
    rotation: str | None = "128 MB",
    compression: Compression | None = None,
    keep: str | None = None,
    sync: str = "1 s",
    buffer: str | None = None,
    filters: Sequence[Filter] = (),
    on_error: OnError = "warn",
    if_locked: IfLocked = "raise",
    clock: Clock | None = None,
) -> RunWriter:
    """Open the log of a run for writing: one attempt of one rank.

    What the log holds already stays: the new attempt is appended, and numbered one higher than the last. A
    torn last line is moved to a `.torn` file beside the log.

    Args:
        output_dir: the folder of the run's files, made when absent; `RLDK_OUTPUT_DIR` wins over it.
        run_id: the run, a new one when not given; `RLDK_RUN_ID` wins over it.
        rank: the rank this process writes for; each has a file of its own. When not given, `torch.distributed` is
            asked if it is in use, then `RANK`, then `SLURM_PROCID`; else it is 0.
        world_size: how many ranks there are; found like the rank.
        resumed_from: the step this attempt continues after, None for one that begins at the beginning.
        rotation: the size (`64 MB`) or age (`1 h`) at which the live file is sealed and a new one begun; None for
            one file that grows.
        compression: how sealed segments are compressed, in the background: `gz`, or `zst` which needs the extra
            `zstd`; None leaves them as they are.
        keep: how many sealed segments (`20 segments`), how much of them (`2 GB`) or how old ones (`30 days`) are
            kept; None keeps all. What is removed is gone, and the manifest says so.
        sync: how much a power cut may take. `1 s`: what was written in the last second, and while the disk took it;
            a thread in the background sees to it. `100 events`: at most so many; whoever writes the last of
            them waits for the disk. `every`: no event that was acknowledged. `none`: what the kernel has not written
            back by itself.
        buffer: hold events back and write them together, so many (`100 events`) or for so long (`2 s`); they are
            not acknowledged until then, and a killed process takes them with it. None holds nothing back.
        filters: what is asked in turn about each event before it is written; see `rldk.io.filters`.
        on_error: `warn` logs one warning and counts, `raise` raises for each event, and a function is called with
            the error of each.
        if_locked: when another process writes this run and rank, `raise` refuses, `new_run` writes a run of its own,
            `{run_id}-2` or the next that is free.
        clock: where time comes from.

    Raises:
        ValueError: an argument is not what it can be; RunIdError: the run id could not be part of a file name.
        RunLockedError: another writer holds the log.
        MissingExtraError: `zst` was asked for and zstandard is not installed.
        OSError: the folder or the file cannot be made.
    """
    settings = _settings(
        rotation=rotation,
        compression=compression,
        keep=keep,
        sync=sync,
        buffer=buffer,
        filters=filters,
        on_error=on_error,
        if_locked=if_locked,
    )
    rank, world_size = _rank(rank, world_size)
    stamps: dict[str, Primitive] = {"schema": SCHEMA_VERSION, "rank": rank}
    if world_size is not None:
        stamps["world_size"] = world_size
    if resumed_from is not None:
        stamps["resumed_from"] = _count("resumed_from", resumed_from, 0)
    named = os.environ.get("RLDK_RUN_ID") or run_id
    run_id = check_run_id(new_run_id("run") if named is None else named)

    def open_segments(run_id: str) -> SegmentWriter:
        return SegmentWriter(
            Log(log_path(run_folder(output_dir), run_id, rank), run_id, rank),
            {"run_id": run_id, **stamps},
            rotation=settings.rotation,
            sync=settings.sync,
            policy=settings.policy,
            on_error=on_error,
            clock=clock or SystemClock(),
        )

    segments = open_segments(run_id) if if_locked == "raise" else _open_free(run_id, open_segments)
    buffering = BufferWriter(settings.buffer, to=segments) if settings.buffer else None
    filtering = FilterWriter(filters, to=buffering or segments) if filters else None
    return RunWriter(segments, buffering, filtering)


class _Settings(NamedTuple):
    """What the options of a writer mean."""

    rotation: Quantity | None
    policy: Policy
    sync: Quantity | None
    buffer: Quantity | None


_PLAIN: Final = WriterOptions(
    rotation=None,
    compression=None,
    keep=None,
    sync="none",
    buffer=None,
    filters=(),
    on_error="warn",
    if_locked="raise",
)
"""Options that ask for nothing: they stand in for those that were not given."""


def check_options(**options: Unpack[WriterOptions]) -> None:
    """Do nothing when `open_writer` can be called with these options.

    Raises:
        as `open_writer`; TypeError: there is no such option.
    """
    complete: WriterOptions = {**_PLAIN, **options}
    _settings(**complete)


def _settings(
    *,
    rotation: str | None,
    compression: str | None,
    keep: str | None,
    sync: str,
    buffer: str | None,
    filters: Sequence[Filter],
    on_error: OnError,
    if_locked: str,
) -> _Settings:
    for each in filters:
        if not callable(each):
            raise TypeError(f"filters: expected functions of an event, found {each!r}")
    if not callable(on_error) and on_error not in {"warn", "raise"}:
        raise ValueError(f"on_error: expected warn, raise or a function, found {on_error!r}")
    if if_locked not in get_args(IfLocked):
        raise ValueError(f"if_locked: expected raise or new_run, found {if_locked!r}")
    return _Settings(
        rotation=None if rotation is None else parse(rotation, of=("bytes", "seconds"), name="rotation"),
        policy=policy(compression, keep),
        sync=_sync(sync),
        buffer=None if buffer is None else parse(buffer, of=("events", "seconds"), name="buffer"),
    )


def policy(compression: str | None, keep: str | None) -> Policy:
    """What becomes of sealed segments, from what a user says.

    Raises:
        ValueError: it is not what can be said; MissingExtraError: zstandard is not installed.
    """
    kept = None if keep is None else parse(keep, of=("segments", "bytes", "seconds"), name="keep")
    return Policy(_compression(compression), kept)


def _open_free(run_id: str, open_segments: Callable[[str], SegmentWriter]) -> SegmentWriter:
    """Open the first of `run_id`, `{run_id}-2`, `{run_id}-3` and so on that nobody writes."""
    for name in itertools.chain([run_id], (f"{run_id}-{number}" for number in itertools.count(2))):
        with suppress(RunLockedError):
            return open_segments(check_run_id(name))
    raise AssertionError("there is always another name")


def _rank(rank: int | None, world_size: int | None) -> tuple[int, int | None]:
    """Rank and world size, as given or as found; what is not known of a rank that was given stays unknown."""
    if rank is None or world_size is None:
        found = found_rank()
        rank, world_size = (found[0] if rank is None else rank), (found[1] if world_size is None else world_size)
    return _count("rank", rank, 0), None if world_size is None else _count("world_size", world_size, 1)


def _count(name: str, value: object, least: int) -> int:
    if type(value) is not int or value < least:
        raise ValueError(f"{name}: expected an integer >= {least}, found {value!r}")
    return value


def _compression(compression: str | None) -> Compression | None:
    """A compression that can be had here."""
    if compression is None:
        return None
    for each in COMPRESSIONS:
        if compression == each:
            check_available(each)
            return each
    raise ValueError(f"compression: expected {' or '.join(COMPRESSIONS)}, found {compression!r}")


def _sync(sync: str) -> Quantity | None:
    """The sync policy; None when syncing is left to the kernel."""
    if sync in {"none", "every"}:
        return None if sync == "none" else Quantity("events", 1)
    return parse(sync, of=("seconds", "events"), name="sync, if not none or every")
