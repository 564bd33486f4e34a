"""Columns are kept, found again, and made anew when they are not those of the log."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from rldk.dashboard import columns as columns_module
from rldk.dashboard.catalogue import Catalogue
from rldk.dashboard.charts import Query, series
from rldk.dashboard.columns import Columns
from rldk.dashboard.kept import keep, trim
from rldk.dashboard.watched import Watched
from rldk.io.codec import encode
from rldk.io.log_tail import LogTail
from rldk.io.segments import Log, run_log
from tests.runs import eval_event, make_event, write_attempt

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write every hundred rows."""
    monkeypatch.setattr(columns_module, "_FULL", 100)


def read(log: Log, name: str = "run") -> tuple[Columns, int]:
    """The columns of a log, and how many bytes of it were read."""
    columns = Columns(partial(keep, name))
    tail = LogTail(log, columns.position)
    count = 0
    while chunk := tail.read():
        for line in chunk.text.splitlines(keepends=True):
            columns.add(chunk._replace(text=line, end=chunk.end._replace(byte=chunk.start.byte + count + len(line))))
            count += len(line)
    tail.close()
    return columns, count


def all_of(columns: Columns) -> list[Any]:
    """Every point of every metric."""
    names = tuple(name for curve in columns.curves for name in curve.metrics)
    return series(columns, Query(metrics=names, points=10_000, rewound=True))


@pytest.fixture
def log(folder: Path) -> Log:
    """A log with two attempts, evaluations and a metric that comes late."""
    events = [
        make_event(step, metrics={"loss": step / 7, **({"late": 1.0} if step > 80 else {})}) for step in range(250)
    ]
    write_attempt(folder, [*events[:200], eval_event(199, "math", metrics={"accuracy": 0.5}), *events[200:]])
    return run_log(write_attempt(folder, [make_event(step) for step in range(221, 260)], resumed_from=220))


def test_what_was_kept_is_found_again(log: Log) -> None:
    """The second time only the end of the log is read, and the same is found as in one go without a cache."""
    first, whole = read(log)
    first.close()
    second, rest = read(log)
    plain = Columns()
    tail = LogTail(log)
    while chunk := tail.read():
        plain.add(chunk)
    tail.close()

    assert rest < whole / 2
    assert all_of(second) == all_of(plain)
    assert (second.events, second.problems, second.last_steps) == (290, 0, {1: 220})
    second.close()


@pytest.mark.parametrize("name", ["index", "numbers"])
@pytest.mark.parametrize("size", [0, 1, 7, 100, 1000])
def test_a_cache_that_was_cut_short(log: Log, cache: Path, name: str, size: int) -> None:
    """What is whole of a damaged cache is used, and the rest is read from the log."""
    first, _ = read(log)
    expected = all_of(first)
    first.close()
    (path,) = cache.rglob(name)
    path.write_bytes(path.read_bytes()[:size])

    again, _ = read(log)

    assert all_of(again) == expected
    again.close()


def test_a_cache_of_another_version(log: Log, cache: Path) -> None:
    """An index whose records are of another shape, or whose bytes were changed, is not believed."""
    first, _ = read(log)
    expected = all_of(first)
    first.close()
    (path,) = cache.rglob("index")
    content = bytearray(path.read_bytes())
    content[20] ^= 255
    path.write_bytes(content)

    again, _ = read(log)

    assert all_of(again) == expected
    again.close()


def test_two_processes_do_not_share_what_they_write(log: Log, cache: Path) -> None:
    """While one keeps a run, another keeps it apart, and takes that away in the end."""
    first, _ = read(log)
    second, _ = read(log)

    assert all_of(first) == all_of(second)
    assert len(list(cache.glob("charts/passing-*"))) == 1
    second.close()
    assert list(cache.glob("charts/passing-*")) == []
    first.close()


def test_the_cache_is_capped(log: Log, cache: Path) -> None:
    """What was used longest ago goes first, and what is in use stays."""
    used, _ = read(log, "used")
    for name in ("old", "older"):
        columns, _ = read(log, name)
        columns.close()

    trim(1)

    assert len(list(cache.glob("charts/*"))) == 1
    assert all_of(used)
    used.close()


def test_a_small_run_is_not_kept(folder: Path, cache: Path) -> None:
    """Nothing is written for a run that is read in no time."""
    columns, _ = read(run_log(write_attempt(folder, map(make_event, range(99)))))

    assert not list(cache.rglob("index"))
    assert columns.folder is None


def test_attempts_that_are_not_named(folder: Path) -> None:
    """Where no event names its attempt, a step of training that goes back begins a new one."""
    path = folder / "r_events.jsonl"
    path.write_bytes(b"".join(encode(make_event(step)) for step in [*range(6), *range(3, 8)]))

    columns, _ = read(run_log(path))

    assert columns.last_steps == {1: 2}
    assert [(each.attempt, each.x) for each in all_of(columns)] == [(None, [0, 1, 2, 3, 4, 5, 6, 7]), (1, [3, 4, 5])]


@pytest.mark.usefixtures("log")
def test_a_verdict_is_kept_too(folder: Path) -> None:
    """The verdict on a run that has ended is there at once the next time, and is found anew when the run has grown."""
    verdicts = []
    for grow in (False, False, True):
        if grow:
            write_attempt(folder, [make_event(260)], resumed_from=259)
        catalogue = Catalogue(folder)
        catalogue.look()
        (found,) = catalogue.runs.values()
        run = Watched(found, str(folder))
        while run.advance(time.monotonic() + 0.01) or run.judged < 1:
            time.sleep(0.01)
        run.close()
        verdicts.append((run.verdict, run.judged, [seam.attempt for seam in run.seams]))

    assert verdicts[0] == verdicts[1]
    assert [seams for _, _, seams in verdicts] == [[2], [2], [2, 3]]
    assert [judged for _, judged, _ in verdicts] == [1.0, 1.0, 1.0]
    assert len(read_back(folder)) == 1


def read_back(folder: Path) -> list[bytes]:
    """The verdicts that are kept."""
    return [path.read_bytes() for path in folder.parent.rglob("charts/*/verdict")]
