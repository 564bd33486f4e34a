"""What is known of all runs at this moment, and who listens to which of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldk.dashboard import known as known_module
from rldk.dashboard.known import Known
from rldk.dashboard.tail import Watcher
from rldk.io.log_tail import Chunk
from rldk.io.position import START, Position
from tests.runs import make_event, write_attempt

CHUNK = Chunk(Path("log"), START, Position(1, 10, 1, 7), b"")


@pytest.fixture
def known() -> Known:
    """Nothing yet."""
    return Known("", 60.0)


def test_changes_are_numbered(known: Known) -> None:
    """What changes together has one number, and a later change a greater one; who went is remembered."""
    known.put(known.entries, {"a": "1", "b": "1", "c": "1"})
    known.put(known.verdicts, {"a": "good"})
    known.put(known.entries, {"b": "2"})
    known.forget(["a", "c"])

    assert known.entries == {"b": (3, "2")}
    assert known.verdicts == {}
    assert known.gone == [(4, "a"), (4, "c")]
    assert known.changes == 4


def test_a_run_that_went_has_no_rings(known: Known) -> None:
    """All its ranks go, and those of other runs stay."""
    known.begin("a", {0: START, 1: START})
    known.begin("b", {0: START, 1: START})

    known.forget(["a"])
    known.end(("b", 1))

    assert known.rings.keys() == {("b", 0)}


def test_what_is_newer(known: Known) -> None:
    """Since a version only the rings with something new are named; lines of a log without a ring are nothing new."""
    known.begin("a", {0: START, 1: START})
    before = known.version
    known.add(("a", 1), CHUNK, "text", 1, lost=False)
    known.add(("b", 0), CHUNK, "text", 1, lost=False)

    assert known.newer(0) == {("a", 0), ("a", 1)}
    assert known.newer(before) == {("a", 1)}
    assert known.newer(known.version) == set()
    assert [batch.text for batch in known.rings["a", 1].batches] == ["text"]


def test_what_is_newer_than_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a version that lies too far back, and of none, it is not known what is newer."""
    monkeypatch.setattr(known_module, "_REMEMBERED", 2)
    known = Known("", 60.0)
    known.begin("a", {0: START, 1: START, 2: START})

    assert known.newer(-1) is None
    assert known.newer(0) is None
    assert known.newer(1) == {("a", 1), ("a", 2)}


def test_who_waits_is_told_once(known: Known) -> None:
    """Those who wait are let go by the next news, and who waits after that by the news behind it."""
    first = known.came
    known.tell()
    second = known.came
    before = (first.is_set(), second.is_set(), known.closing)
    known.close()

    assert before == (True, False, False)
    assert (second.is_set(), known.closing) == (True, True)


@pytest.mark.usefixtures("cache")
def test_who_listens(known: Known, folder: Path) -> None:
    """The watcher reads the runs that somebody listens to, until the last one leaves."""
    known.watcher = Watcher(folder)
    heard = []
    for change, run in [
        (known.join, "a"),
        (known.join, "a"),
        (known.join, "b"),
        (known.leave, "a"),
        (known.leave, "a"),
    ]:
        change(run)
        heard.append(known.watcher.heard)

    assert heard == [{"a"}, {"a"}, {"a", "b"}, {"a", "b"}, {"b"}]


@pytest.mark.usefixtures("cache")
def test_the_run_itself(known: Known, folder: Path) -> None:
    """It is found while it is watched, and nothing is found before there is a watcher."""
    write_attempt(folder, [make_event(0)])
    watcher = Watcher(folder)
    watcher.turn()
    ((run_id, found),) = watcher.catalogue.runs.items()
    before = known.found(run_id)
    known.watcher = watcher

    assert before is None
    assert known.found(run_id) == found
    assert known.found("other") is None
    watcher.stop()
