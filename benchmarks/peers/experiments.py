"""The experiments: what is done to a logger, and what is said of it in the tables."""

from __future__ import annotations

import json
import math
import random
import re
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from benchmarks.peers.interface import Row
from benchmarks.peers.processes import Child, EndlessError, FailedError, mount, unmount
from benchmarks.peers.values import NONFINITE, writer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from benchmarks.peers.processes import Installed

Cells = dict[str, str]
"""What an experiment says, by column."""

FAST: Final = 0.005
SLOW: Final = 0.4
"""Seconds between the steps of a process that is killed."""

_LIMIT: Final = 180.0
"""How long any process may take."""

_FILLING: Final = 20.0
"""Seconds without another step after which a logger on a full disk hangs."""

_BALLAST: Final = 16 * 1024
"""KiB on the small disk that are freed near the end: enough for all that a logger may have held back."""

_READING: Final = 60.0
"""How long reading may take."""

_BETWEEN: Final = 1.1
"""Seconds before a restart: none comes sooner, and some loggers name their files by the second."""

_TROUBLE: Final = re.compile(
    r"no space|disk (?:is )?full|full disk|errno 28|ENOSPC|not written|database or disk", re.IGNORECASE
)
"""How a logger that goes on might say that the disk is full."""


class Kill(NamedTuple):
    """One process that was killed: where it logged, and the steps it had acknowledged."""

    folder: Path
    acknowledged: list[int]


def cost(installed: Installed, place: Path, *, steps: int = 2000, rounds: int = 3, budget: float = 10.0) -> Cells:
    """Time a process that logs as fast as it can; the best of some rounds, one when a round takes long."""
    best: dict[str, Any] = {}
    began = time.monotonic()
    for number in range(rounds):
        folder = _folder(place, f"cost-{number}")
        found = Child(installed, "cost", folder, steps=steps).answer(_LIMIT)
        if not best or found["p50"] < best["p50"]:
            best = found | {"bytes": _size(folder), "folder": folder}
        if time.monotonic() - began > budget:
            break
    readable = len(_whole(_read(installed, best["folder"])))
    return {
        "p50": f"{best['p50'] * 1e6:.1f}",
        "p99": f"{best['p99'] * 1e6:.0f}",
        "thread": f"{best['thread'] * 1e6:.1f}",
        "process": f"{best['process'] * 1e6:.1f}",
        "start": f"{best['start']:.2f}",
        "finish": f"{best['finish']:.2f}",
        "bytes": f"{best['bytes'] / 1e6:.2f}",
        "readable": f"{readable} of {steps}",
    }


def kill(installed: Installed, place: Path, number: int, *, pace: float) -> Kill:
    """Let a process log for a while and kill it: each second time its whole tree."""
    folder = _folder(place, f"kill-{pace}-{number}")
    acks = folder.parent / "acks"
    child = Child(installed, "write", folder, passes=[(0, 90_000, 0)], pace=pace, acks=str(acks))
    until = time.monotonic() + _LIMIT
    while not (acks.exists() and acks.stat().st_size):
        if not child.running() or time.monotonic() > until:
            child.kill(tree=True)
            child.answer(0.0)
        time.sleep(0.01)
    life = random.Random(number).uniform(*((0.2, 1.5) if pace < SLOW else (4.0, 10.0)))  # noqa: S311 - no secret
    time.sleep(life)
    child.kill(tree=number % 2 == 0)
    return Kill(folder, _steps(acks))


def lost(installed: Installed, kills: Sequence[Kill]) -> str:
    """How many of the acknowledged steps cannot be read back."""
    if not kills:
        return "no kill"
    losses, unreadable = [], 0
    for one, found in zip(kills, _read_all(installed, [each.folder for each in kills]), strict=True):
        unreadable += isinstance(found, str)
        kept = set() if isinstance(found, str) else {step for _, step in _whole(found)}
        losses.append(len(set(one.acknowledged) - kept))
    acknowledged = sum(len(each.acknowledged) for each in kills)
    said = f"{sum(losses)} of {acknowledged} in {len(kills)} kills"
    said += f", at most {max(losses)} at once" if any(losses) else ""
    return said + (f", {unreadable} logs unreadable" if unreadable else "")


def restart(installed: Installed, place: Path) -> Cells:
    """Log 150 steps, and go on in a second process."""
    folder = _folder(place, "restart")
    Child(installed, "write", folder, passes=[(0, 150, 0)]).answer(_LIMIT)
    time.sleep(_BETWEEN)
    Child(installed, "write", folder, passes=[(150, 200, 0)], resumed_from=149).answer(_LIMIT)
    kept = {step for _, step in _whole(_read(installed, folder))}
    return {"restart": f"{len(kept & set(range(150)))} of 150"}


def nonfinite(installed: Installed, place: Path) -> Cells:
    """Log NaN and both infinities; say what they have become, and whether lines of JSON still are."""
    folder = _folder(place, "nonfinite")
    Child(installed, "nonfinite", folder).answer(_LIMIT)
    first = next((row.metrics for row in _read(installed, folder) if row.step == 0), {})
    changes = [
        f"{value} is {_shown(first.get(name, 'absent'))}"
        for name, value in NONFINITE.items()
        if not _same(first.get(name), value)
    ]
    invalid = [path.name for path in folder.glob(installed.peer.lines or "-") if not _is_json(path)]
    return {"nonfinite": "; ".join([*(changes or ["kept"]), *(["no valid JSON"] if invalid else [])])}


def writers(installed: Installed, place: Path, *, steps: int = 250) -> Cells:
    """Let four processes of one run log at the same time, into one folder that was logged into before."""
    folder = _folder(place, "writers")
    Child(installed, "write", folder, passes=[(0, 0, 0)], run="before").answer(_LIMIT)
    time.sleep(_BETWEEN)
    children = [
        Child(
            installed,
            "write",
            folder,
            passes=[(0, steps, rank)],
            acks=str(folder.parent / f"{rank}.acks"),
            rank=rank,
            ranks=4,
        )
        for rank in range(4)
    ]
    failures = [failure for child in children if (failure := _failure(child))]
    rows = _read(installed, folder)
    kept = _whole(rows)
    parts = [f"{len(kept)} of {4 * steps}"]
    if len({writer for writer, _ in kept}) > 1:
        parts.append("told apart" if _apart(rows) else "mixed")
    if failures:
        parts.append(f"{len(failures)} processes failed: {failures[0][:60]}")
    return {"writers": ", ".join(parts)}


def _apart(rows: Iterable[Row]) -> bool:
    """Whether no source has rows of two writers."""
    writers_of: dict[str, set[int | None]] = {}
    for row in rows:
        writers_of.setdefault(row.source, set()).add(writer_of(row.step, row.metrics))
    return all(len(found - {None}) == 1 for found in writers_of.values())


def full_disk(installed: Installed, place: Path, *, steps: int = 6000, freed_at: int = 5500) -> Cells:
    """Log on a small disk that becomes full, and is freed again near the end."""
    folder = _folder(place, "full")
    acks = folder.parent / "acks"
    mount(folder, installed.peer.room + _BALLAST)
    try:
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(_BALLAST * 1024))
        request = {"steps": steps, "freed_at": freed_at, "ballast": str(ballast), "acks": str(acks)}
        child = Child(installed, "fill", folder, **request)
        try:
            found = child.answer(_FILLING, growing=acks)
        except EndlessError as error:
            found = {"raised": "", **(error.answer or {}), "hangs": True}
        if found.get("steps") == 0:
            raise FailedError(f"{found['raised']} at its start")
        ballast.unlink(missing_ok=True)
        (rows,) = _read_all(installed, [folder])
    finally:
        unmount(folder)
    training = _training(found, loud=bool(_TROUBLE.search(child.output())))
    if isinstance(rows, str):
        return {"full": training, "full_kept": f"not readable: {rows[:60]}", "full_gap": "-"}
    kept = {step for _, step in _whole(rows)}
    acknowledged = set(_steps(acks))
    return {
        "full": training,
        "full_kept": f"{len(acknowledged & kept)} of {len(acknowledged)}"
        + (f", and {len(late)} others" if (late := kept - acknowledged) else ""),
        "full_gap": _gap(found, steps - len(kept), sum(row.missing for row in rows)),
    }


def _training(found: dict[str, Any], *, loud: bool) -> str:
    if found["raised"]:
        return f"ends with {found['raised']}" + (", but hangs at its exit" if found.get("hangs") else "")
    if found.get("hangs"):
        return "hangs"
    if found["at_end"]:
        return f"goes on; {found['at_end']} at the end"
    return "goes on, with a warning" if loud else "goes on, silent"


def _gap(found: dict[str, Any], missing: int, told: int) -> str:
    if found.get("hangs") or found["raised"]:
        return "-"
    if not missing:
        return "no gap"
    return f"yes, {told} steps" if told == missing else f"no: {told} of {missing}"


def rewind_in_process(installed: Installed, place: Path) -> Cells:
    """Log the steps 0 to 9, and in the same process go on from 5."""
    folder = _folder(place, "rewind")
    Child(installed, "write", folder, passes=[(0, 10, 0), (5, 15, 1)]).answer(_LIMIT)
    return {"rewind": _both_passes(_read(installed, folder))}


def rewind_at_restart(installed: Installed, place: Path) -> Cells:
    """Log the steps 0 to 9, and in a second process go on from 5."""
    folder = _folder(place, "rewind-restart")
    Child(installed, "write", folder, passes=[(0, 10, 0)]).answer(_LIMIT)
    time.sleep(_BETWEEN)
    Child(installed, "write", folder, passes=[(5, 15, 1)], resumed_from=4).answer(_LIMIT)
    return {"rewind_restart": _both_passes(_read(installed, folder))}


def _both_passes(rows: Iterable[Row]) -> str:
    """How much of both passes over the steps 5 to 9 is there, and whether the first is marked as replaced."""
    passes: tuple[list[Row], list[Row]] = ([], [])
    for row in rows:
        writer = writer_of(row.step, row.metrics)
        if writer is not None and 5 <= row.step < 10:  # noqa: PLR2004 - the steps that both passes have
            passes[writer].append(row)
    first, second = passes
    counts = f"{len(first)} + {len(second)} of 5 + 5"
    if not (first and second):
        return counts
    if all(row.replaced for row in first) and not any(row.replaced for row in second):
        return f"{counts}, marked"
    apart = {row.source for row in first}.isdisjoint(row.source for row in second)
    return f"{counts}, {'apart, not marked' if apart else 'mixed'}"


EXPERIMENTS: Final[tuple[tuple[Callable[[Installed, Path], Cells], tuple[str, ...]], ...]] = (
    (restart, ("restart",)),
    (nonfinite, ("nonfinite",)),
    (writers, ("writers",)),
    (full_disk, ("full", "full_kept", "full_gap")),
    (rewind_in_process, ("rewind",)),
    (rewind_at_restart, ("rewind_restart",)),
)
"""The experiments beside timing and killing, with the columns they fill."""


def cells(experiment: Callable[..., Cells], columns: Iterable[str], *arguments: Any, **options: Any) -> Cells:
    """What an experiment says; whatever goes wrong in it stands in its first cell."""
    try:
        return experiment(*arguments, **options)
    except Exception as error:  # noqa: BLE001 - no logger may end the run of all
        reason = str(error) if isinstance(error, FailedError) else f"{type(error).__name__}: {error}"
        first, *others = columns
        return {first: f"failed: {reason[:100]}", **dict.fromkeys(others, "-")}


def _folder(place: Path, name: str) -> Path:
    folder = place / name / "log"
    folder.mkdir(parents=True)
    return folder


def _failure(child: Child) -> str:
    try:
        child.answer(_LIMIT)
    except FailedError as error:
        return str(error)
    return ""


def _read(installed: Installed, folder: Path) -> list[Row]:
    (found,) = _read_all(installed, [folder])
    if isinstance(found, str):
        raise FailedError(f"not readable: {found}")
    return found


def _read_all(installed: Installed, folders: Sequence[Path]) -> list[list[Row] | str]:
    """The rows of each folder in one process, or why it cannot be read."""
    child = Child(installed, "read", folders[0], more=[str(folder) for folder in folders[1:]])
    try:
        answer = child.answer(_READING)
    except EndlessError as error:
        # Aim's process cannot end after an error of its storage.
        answer = error.answer or [str(error)] * len(folders)
    return [found if isinstance(found, str) else [Row(*row) for row in found] for found in answer]


def _whole(rows: Iterable[Row]) -> set[tuple[int, int]]:
    """Writer and step of the rows that have all their metrics."""
    return {(writer, row.step) for row in rows if (writer := writer_of(row.step, row.metrics)) is not None}


def _steps(acks: Path) -> list[int]:
    return [int(line) for line in acks.read_bytes().splitlines()]


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def _same(found: Any, value: float) -> bool:
    return isinstance(found, int | float) and (found == value or (math.isnan(found) and math.isnan(value)))


def _shown(found: Any) -> str:
    if found is None:
        return "null"
    return f"{found:.3e}" if isinstance(found, float) and math.isfinite(found) else str(found)


def _is_json(path: Path) -> bool:
    """Whether each line is JSON by the book, which has no NaN."""
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            json.loads(line, parse_constant=_refuse)
    except ValueError:
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(constant)
