"""RLDK's own logs, as an adapter gives them: each event as it was written, each line accounted for."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from rldk.adapters.base import Aside, Bad, Certainty, Claim, Parsed, no
from rldk.adapters.rldk_events import RLDKEventsAdapter, is_events, read_run
from rldk.io.codec import encode
from rldk.io.compression import compress
from rldk.io.lock import Lock
from rldk.io.manifest import Manifest, Removed
from rldk.io.reader import read_events
from rldk.io.segments import lock_path, run_log, sealed_path
from tests.adapters.items import bads, events, survives
from tests.runs import make_event, write_attempt, write_manifest
from tests.samples import EXAMPLE, an_event, write_log

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = [an_event(step) for step in range(4)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log with four events."""
    return write_log(tmp_path / "r1_events.jsonl", EVENTS)


@pytest.mark.parametrize(
    ("name", "head", "claim"),
    [
        ("any.txt", EXAMPLE + b"\n", Claim(Certainty.SURE, "the first line is an RLDK event")),
        ("any.txt", EXAMPLE, Claim(Certainty.SURE, "the first line is an RLDK event")),
        ("r1_events.jsonl", b"damaged", Claim(Certainty.SURE, "the name of an RLDK log")),
        ("r1_events.rank3.000001.jsonl.zst", b"", Claim(Certainty.SURE, "the name of an RLDK log")),
        ("any.jsonl", b'{"step": 1}\n', no("the first line is no RLDK event")),
        ("any.jsonl", b"\xff\n", no("the first line is no RLDK event")),
    ],
)
def test_a_log_is_recognised_by_its_events_or_its_name(tmp_path: Path, name: str, head: bytes, claim: Claim) -> None:
    """A damaged one by its name alone: it is to be refused with the line that is wrong."""
    assert RLDKEventsAdapter().handles(head, tmp_path / name) == claim


def test_a_folder_is_recognised_by_the_logs_in_it(log: Path) -> None:
    """Only by those in itself."""
    folder = log.parent
    (folder / "inner").mkdir()

    assert RLDKEventsAdapter().handles(b"", folder) == Claim(Certainty.SURE, "a folder with RLDK logs")
    assert RLDKEventsAdapter().handles(b"", folder / "inner") == no("no RLDK log is in it")


def test_fields_of_an_event_are_an_event() -> None:
    """Other fields may be there; one that is missing makes it none."""
    assert is_events(EXAMPLE)
    assert is_events(EXAMPLE[:-1] + b',"gpu":1}')
    assert not is_events(b'{"step":1,"metrics":{}}')


def test_the_events_are_those_that_were_written(log: Path) -> None:
    """Each as the reader gives it, in its order."""
    adapter = RLDKEventsAdapter()

    assert list(adapter.events(log)) == EVENTS == list(read_events(log))
    assert list(adapter.read(log).items) == [Parsed(event) for event in EVENTS]
    assert list(adapter.events(log.parent)) == EVENTS


def test_all_segments_are_read(log: Path) -> None:
    """The live file stands for the sealed ones too; a sealed one is itself alone, and leads to the whole log."""
    adapter, whole = RLDKEventsAdapter(), run_log(log)
    first, second = sealed_path(whole, 1), sealed_path(whole, 2)
    write_log(first, EVENTS[:1])
    compress(first, "gz")
    write_log(second, EVENTS[1:3])
    write_log(log, EVENTS[3:])

    assert list(adapter.events(log)) == EVENTS
    assert list(adapter.events(second)) == EVENTS[1:3]
    assert adapter.unit(second, log.parent) == adapter.unit(log, log.parent) == log
    assert adapter.unit(log.parent / "mine.jsonl", log.parent) == log.parent / "mine.jsonl"


def test_damage_is_given_as_what_it_is(log: Path) -> None:
    """With the line and the byte of its file."""
    lines = [encode(event) for event in EVENTS]
    log.write_bytes(lines[0] + b"oops\n" + lines[1] + lines[2][:-9])
    items = list(read_run(log).items)

    assert [type(item) for item in items] == [Parsed, Bad, Parsed, Bad]
    assert bads(items) == [
        f"<line>:2:{len(lines[0])}: expected a value, found oops [bad_json]",
        (
            f"<line>:4:{len(lines[0]) + 5 + len(lines[1])}: expected a newline at the end of the last line, "
            f"found {len(lines[2]) - 9} bytes without one [torn_tail]"
        ),
    ]


def test_a_line_that_is_being_written_is_no_damage(log: Path) -> None:
    """While a writer holds the log, its last line may be unfinished."""
    log.write_bytes(encode(EVENTS[0]) + b'{"step":')
    lock = Lock(lock_path(log.parent, "r1"))
    try:
        items = list(read_run(log).items)
    finally:
        lock.release()

    assert items == [Parsed(EVENTS[0]), Aside("line that is being written")]
    assert [type(item) for item in read_run(log).items] == [Parsed, Bad]


def test_events_of_another_run_are_refused(log: Path) -> None:
    """Two logs in one file are no run: each line of the second is named, with its place in its file."""
    lines = [encode(an_event(step, info={"run_id": run})) for step, run in enumerate(["r1", "r2", "r1", "r2"])]
    segment = sealed_path(run_log(log), 1)
    segment.write_bytes(b"".join(lines))
    compress(segment, "gz")
    log.write_bytes(lines[1])
    items = list(read_run(log).items)
    first, second, third = (len(b"".join(lines[:count])) for count in (1, 3, 0))

    assert [event.step for event in events(items)] == [0, 2]
    assert bads(items) == [
        (
            f"<line>:{line}:{byte}: $.model_info.run_id: expected events of 'r1' only, and each run in a file of its "
            "own, found 'r2' [mixed_runs]"
        )
        for line, byte in ((2, first), (4, second), (1, third))
    ]


def test_what_is_known_of_the_run_comes_along(log: Path) -> None:
    """The framework and what metrics mean, from the manifest; and how much retention took away."""
    reading = read_run(write_attempt(log.parent / "other", [make_event(1)]))

    assert (reading.axis, reading.unit, reading.facts) == ("step of the trainer", "line", {})

    removed = Removed(
        segments=1, events=7, bytes=1, last_number=1, last_attempt=1, last_seq=6, last_step=6, at="", policy="1 segment"
    )
    write_manifest(run_log(log), Manifest("r1", framework="trl", algorithm="grpo", removed=removed))

    assert read_run(log).facts == {"framework": "trl", "algorithm": "grpo", "removed_events": 7}
    assert read_run(log).sources == {}


def test_nothing_but_an_error_of_ours_comes_of_any_bytes(tmp_path: Path) -> None:
    """Whatever happened to the file, plain or compressed."""
    content = b"".join(map(encode, EVENTS))

    survives(RLDKEventsAdapter(), tmp_path / "r1_events.jsonl", content, 150)
    survives(RLDKEventsAdapter(), tmp_path / "r2_events.000001.jsonl.gz", gzip.compress(content), 150)
