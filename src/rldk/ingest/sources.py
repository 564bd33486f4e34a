"""Find the runs in what a user names: files, folders, patterns, lists of these, and addresses of other stores."""

from __future__ import annotations

import errno
import glob
import os
import re
from collections.abc import Iterable
from contextlib import contextmanager, nullcontext
from importlib import import_module
from itertools import chain
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from rldk.adapters.base import Certainty, Claim, FormatAdapter
from rldk.adapters.lines import read_head
from rldk.adapters.registry import detect, load, no_log
from rldk.errors import MissingExtraError, UnknownFormatError
from rldk.ingest.account import PassedOver
from rldk.io.manifest import read_manifest
from rldk.io.repair import copies
from rldk.io.segments import (
    Log,
    derived_path,
    find_logs,
    has_segments,
    is_log,
    run_log,
    sealed_segments,
    segments,
    whole_log,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rldk.adapters.base import Adapter
    from rldk.ingest.options import Options

__all__ = ["Source", "Unit", "find_units", "local", "unit_files"]

Source: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]"
"""What can be ingested: a file, a folder, a pattern such as `runs/*/metrics.jsonl`, an address such as
`s3://bucket/runs`, or several of these."""

_OTHER: Final = re.compile(
    r"\.(?:bin|bmp|cfg|css|db|gif|h5|html|ini|ipynb|jpe?g|js|lock|md|mp4|np[yz]|onnx|parquet|pdf|pickle|pkl|png|pth?"
    r"|pyc?|safetensors|sh|so|svg|tar|tgz|toml|torn|ts|whl|ya?ml|zip|jinja|model)\Z"
    r"|\A(?:(?:adapter_|generation_|preprocessor_|processor_|tokenizer_)?config|added_tokens|merges|special_tokens_map"
    r"|tokenizer|vocab|[\w.-]+\.index)\.(?:json|txt)\Z",
    re.IGNORECASE,
)
"""Names of files in a folder that are no logs, those of models among them; they are not even opened."""

_DERIVED: Final = ("manifest.json", "metrics.csv", "metrics.json", "alerts.json", "final_report.json")
"""What RLDK writes beside a log, and makes of it."""


_BESIDE: Final = frozenset({".lock", ".torn"})
"""Endings of what RLDK writes beside a log while it writes it."""

_A_FILE: Final = "expected a file or a folder, found a pipe, a device or a socket"

_SHOWN: Final = 20
"""How many files a message names."""


class Unit(NamedTuple):
    """One run to be read."""

    adapter: Adapter
    path: Path
    shown: str
    """What the user knows it by."""
    why: str
    """What the adapter recognised it by."""

    @property
    def log(self) -> Log | None:
        """RLDK's own log, None for those of others."""
        return run_log(self.path) if is_log(self.path) else None

    def shown_path(self, path: Path) -> str:
        """What the user knows a file by that is read for this run."""
        return _below(self.shown.rpartition("/")[0], path, self.path.parent) if "://" in self.shown else _text(path)


@contextmanager
def local(source: Source) -> Iterator[list[tuple[Path, str]]]:
    """Everything that a source names, on this machine, each with what the user knows it by.

    What is elsewhere is copied into a temporary folder, which is removed in the end.

    Raises:
        FileNotFoundError: there is nothing at a path, or nothing that fits a pattern.
        MissingExtraError: an address is given, and `fsspec` is not installed.
        OSError: an address cannot be reached.
        ValueError: the source names nothing.
    """
    texts = [os.fspath(each) for each in _each(source)]
    if not texts:
        raise ValueError("source: expected a file, a folder, a pattern or an address, found an empty list")
    elsewhere = any("://" in text for text in texts)
    with TemporaryDirectory(prefix="rldk-") if elsewhere else nullcontext("") as folder:
        yield [
            place for text in texts for place in (_fetched(text, Path(folder)) if "://" in text else _expanded(text))
        ]


def _each(source: Source) -> Iterable[str | os.PathLike[str]]:
    if isinstance(source, (str, os.PathLike)):
        return [source]
    if isinstance(source, bytes) or not isinstance(source, Iterable):
        found = type(source).__name__
        raise TypeError(f"source: expected a path, a pattern, an address or a list of these, found {found}")
    return source


def _expanded(text: str) -> list[tuple[Path, str]]:
    path = Path(text).expanduser()
    if text and (path.exists() or _is_rotated(path)):
        return [(path, _text(text))]
    # Path.glob takes no absolute pattern.
    found = sorted(glob.glob(str(path), recursive=True)) if glob.has_magic(text) else []  # noqa: PTH207
    if not found:
        what = "No file or folder fits the pattern" if glob.has_magic(text) else "No such file or directory"
        raise FileNotFoundError(errno.ENOENT, what, text)
    return [(Path(each), _text(each)) for each in found]


def _text(path: str | Path) -> str:
    """A path as text that can be written anywhere; bytes of it that are no text appear as codes."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _is_rotated(path: Path) -> bool:
    """Whether a path names a log of RLDK that has sealed segments, whether its live file is there or not."""
    return is_log(path) and bool(sealed_segments(whole_log(Log(path, path.stem, 0))))


def _fetched(address: str, folder: Path) -> list[tuple[Path, str]]:
    """What is at an address, copied into a folder; only what is on this machine stays where it is."""
    try:
        fsspec = import_module("fsspec")
    except ImportError as error:
        raise MissingExtraError("fsspec", "table") from error
    try:
        files, root = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise OSError(errno.EPROTONOSUPPORT, str(error), address) from error
    if files.protocol == ("file", "local"):
        return _expanded(root)
    is_pattern = glob.has_magic(root) and not files.exists(root)
    roots = sorted(files.glob(root)) if is_pattern else [root]
    if not roots or not files.exists(roots[0]):
        raise FileNotFoundError(errno.ENOENT, "No such file or folder", address)
    store = folder / address.partition("://")[0]
    shown = files.unstrip_protocol if is_pattern else lambda _: address
    return [(_copied(files, each, store), shown(each)) for each in roots]


def _copied(files: Any, name: str, folder: Path) -> Path:
    """The copy of a file or a folder, under its whole name; of a log of RLDK, what belongs to it comes along."""
    target = _inside(folder, name)
    if files.isdir(name):
        target.mkdir(parents=True, exist_ok=True)
        copies = {each: _inside(target, each.removeprefix(name)) for each in files.find(name)}
    else:
        beside = _belonging(files, name, target) if is_log(target) else []
        copies = {each: target.with_name(PurePosixPath(each).name) for each in [name, *beside]}
    for copy in copies.values():
        copy.parent.mkdir(parents=True, exist_ok=True)
    # Only a name in a list is never taken for a pattern, whatever brackets are in it.
    files.get(list(copies), list(map(str, copies.values())))
    return target


def _inside(folder: Path, name: str) -> Path:
    """The place of a name of a store below a folder."""
    return folder.joinpath(*(part for part in PurePosixPath(name).parts if part not in {"/", ".."}))


def _belonging(files: Any, name: str, log: Path) -> list[str]:
    """The other segments of a log, and its manifest, where the store can list them."""
    run_id = whole_log(Log(log, log.stem, 0)).run_id
    begin = name.removesuffix(log.name) + run_id
    try:
        beside: list[str] = files.ls(name.removesuffix(log.name), detail=False)
    except (FileNotFoundError, NotImplementedError):
        return []
    return [each for each in beside if each.startswith((f"{begin}_events", f"{begin}_manifest")) and each != name]


def find_units(
    places: Iterable[tuple[Path, str]],
    options: Options,
) -> tuple[list[Unit], list[PassedOver]]:
    """The runs at some places, each once, and the files that are none.

    Args:
        places: files and folders, with what the user knows them by.
        options: how they are to be read.

    Raises:
        UnknownFormatError: a file is of no format that is known, or a folder holds none that is.
        FileExistsError: one of the files is the one that is to be written.
        OSError: something cannot be read.
    """
    search = _Search(options)
    for path, shown in places:
        try:
            (search.folder if path.is_dir() else search.file)(path, shown)
        except UnknownFormatError as error:
            if error.path != path:
                raise
            # Of what was fetched, the copy is gone by the time anybody looks for it.
            raise UnknownFormatError(Path(shown), error.reason, error.considered) from error
    units = search.chosen()
    if options.output:
        _check_apart(options.output, [*search.files, *chain.from_iterable(map(unit_files, units))])
    return units, search.passed_over


def _check_apart(output: Path, files: Iterable[Path]) -> None:
    if output.exists() and any(path.exists() and path.samefile(output) for path in files):
        raise FileExistsError(errno.EEXIST, "it is among what is read, and is not written over", str(output))


class _Search:
    """Looks for runs, and remembers what was none."""

    def __init__(self, options: Options) -> None:
        self._hint = options.adapter_hint
        self._field_map = options.field_map
        self._all_ranks = options.history == "all"
        self._units: dict[str, Unit] = {}
        """The runs by the path that is left when all links are followed."""
        self._named: set[str] = set()
        """Those that the user named one by one."""
        self.files: list[Path] = []
        """Every file that was looked at."""
        self.passed_over: list[PassedOver] = []

    def file(self, path: Path, shown: str) -> None:
        """Take a file that the user named."""
        self.files.append(path)
        rotated = _is_rotated(path)
        if not path.is_file() and not rotated:
            raise UnknownFormatError(path, f"{_A_FILE}; sources are read twice, so save it to a file first")
        if self._hint:
            if not is_log(path) and (reason := no_log(read_head(path))):
                raise UnknownFormatError(path, reason)
            unit = Unit(load(self._hint, self._field_map), path, shown, "chosen by name")
        elif rotated:
            unit = Unit(load("rldk_events"), path, shown, "the name of an RLDK log")
        elif path.suffix in _BESIDE or path.name in _derived(path.parent):
            self.passed_over.append(PassedOver(shown, "RLDK wrote it beside a log; it is the log that is read"))
            return
        else:
            found = detect(path, self._field_map)
            unit = Unit(found.adapter, path, shown, found.claim.why)
        self._named.add(self._add(unit))

    def folder(self, root: Path, shown: str) -> None:
        """Take all runs in a folder."""
        refused = len(self.passed_over)
        if not [path for path in _files(root) if self._found(path, root, shown)]:
            asked = [(each.path, each.why) for each in self.passed_over[refused:]]
            more = [("...", f"and {len(asked) - _SHOWN} more")] if len(asked) > _SHOWN else []
            reason = "expected a folder with logs of training, found none in it"
            raise UnknownFormatError(root, reason, asked[:_SHOWN] + more)

    def _found(self, path: Path, root: Path, shown: str) -> bool:
        """Whether a file of a folder is part of a run, which is taken then."""
        self.files.append(path)
        why = ""
        try:
            if not path.is_file():
                why = "a link that leads nowhere" if path.is_symlink() else _A_FILE
            elif self._hint:
                adapter = load(self._hint, self._field_map)
                claim = adapter.handles(read_head(path), path)
                why = "" if claim else claim.why
            elif _is_rotated(path):
                adapter, claim = load("rldk_events"), Claim(Certainty.SURE, "the name of an RLDK log")
            else:
                adapter, claim = detect(path, self._field_map)
        except UnknownFormatError as error:
            why = error.reason
        if why:
            self.passed_over.append(PassedOver(_below(shown, path, root), why))
            return False
        unit = adapter.unit(path, root) if isinstance(adapter, FormatAdapter) else path
        self._add(Unit(adapter, unit, _below(shown, unit, root), claim.why))
        return True

    def _add(self, unit: Unit) -> str:
        key = os.path.realpath(unit.path)
        self._units.setdefault(key, unit)
        return key

    def chosen(self) -> list[Unit]:
        """The runs, without those that are read from elsewhere.

        Raises:
            UnknownFormatError: there are none.
        """
        logs = {key: log for key, unit in self._units.items() if (log := unit.log)}
        others = _Others(list(logs.values()), all_ranks=self._all_ranks)
        kept = []
        for key, unit in self._units.items():
            why = others.log(logs[key]) if key in logs else "" if key in self._named else others.record(unit.path)
            if why:
                self.passed_over.append(PassedOver(unit.shown, why))
            else:
                kept.append(unit)
        if not kept:
            raise UnknownFormatError(Path(self.passed_over[0].path), self.passed_over[0].why)
        return kept


class _Others:
    """Says of a run whether it is read from elsewhere, among these logs of RLDK."""

    def __init__(self, logs: list[Log], *, all_ranks: bool) -> None:
        self._all_ranks = all_ranks
        self._live = {log.path.absolute() for log in logs if has_segments(log)}
        self._lowest: dict[tuple[Path, str], int] = {}
        for log in logs:
            self._lowest[_run(log)] = min(log.rank, self._lowest.get(_run(log), log.rank))
        self._trained = {
            Path(folder).absolute(): log.run_id
            for log in logs
            if has_segments(log) and (folder := read_manifest(log).trainer_output_dir)
        }

    def log(self, log: Log) -> str:
        """Where the events of a log are read from instead; empty when it has to be read."""
        if not has_segments(log) and whole_log(log).path.absolute() in self._live:
            return "a segment of a log that is read whole"
        if not self._all_ranks and log.rank > self._lowest[_run(log)]:
            return f"rank {log.rank}: the lowest rank stands for the run; the whole history has every rank"
        return ""

    def record(self, path: Path) -> str:
        """Which log of RLDK has what a trainer's own record at a path has; empty when none does."""
        for folder, run_id in self._trained.items():
            if path.absolute().is_relative_to(folder):
                return f"the trainer's own record of run {run_id}, which has an RLDK log"
        return ""


def _run(log: Log) -> tuple[Path, str]:
    return log.path.absolute().parent, log.run_id


def _below(shown: str, path: Path, root: Path) -> str:
    """What the user knows a file by that was found in a folder."""
    inner = _text(path.relative_to(root).as_posix())
    return f"{shown.rstrip('/')}/{inner}" if "://" in shown else str(Path(shown) / inner)


def _files(root: Path) -> Iterator[Path]:
    """The files below a folder that may be logs, sorted; hidden ones and those made of other logs there left out.

    Raises:
        OSError: a folder cannot be read.
    """
    for folder, folders, names in os.walk(root, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(folder)
        derived = _derived(here) | _copies(here, names)
        for name in sorted(names):
            if not name.startswith(".") and name not in derived and not _OTHER.search(name):
                yield here / name


def _refuse(error: OSError) -> None:
    raise error


def _derived(folder: Path) -> set[str]:
    """The names of what RLDK made of the logs in a folder."""
    return {derived_path(log, name).name for log in find_logs(folder) for name in _DERIVED}


def _copies(folder: Path, names: Iterable[str]) -> set[str]:
    """The names of what `rldk repair --salvage` made of the files in a folder."""
    if not any(".salvaged." in name for name in names):
        return set()
    return {copy.name for name in names for copy in copies(folder / name)}


def unit_files(unit: Unit) -> list[Path]:
    """The files that a run may be read from."""
    if log := unit.log:
        return segments(log)
    return [path for path in _files(unit.path) if path.is_file()] if unit.path.is_dir() else [unit.path]
