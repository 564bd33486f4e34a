"""A run that is started again and again, and events that are very large."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rldk.io.codec import decode
from rldk.io.event_schema import MAX_LINE
from rldk.io.writer import open_writer
from tests.crash.accounts import account, sized_event
from tests.runs import make_event

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_twenty_restarts(tmp_path: Path) -> None:
    """P4, P8. Each attempt leaves the bytes before it as they were, and saves what was cut short in a file of its own.

    Seen to fail when a torn tail is cut off without being saved, when it is left where it is, and when the log is
    opened with truncation.
    """
    path, before = tmp_path / "r_events.jsonl", b""
    for attempt in range(1, 21):
        writer = open_writer(tmp_path, run_id="r", resumed_from=attempt * 3 if attempt > 1 else None)
        for step in range(attempt * 3, attempt * 3 + 5):
            assert writer.write(make_event(step))
        writer.close()
        content, torn = path.read_bytes(), tmp_path / f"r_events.jsonl.{attempt}.torn"
        assert writer.attempt == attempt
        assert content.startswith(before)
        assert torn.exists() == (attempt > 1)
        assert attempt == 1 or torn.read_bytes() == f'{{"step":{attempt - 1}'.encode()
        before = content
        with path.open("ab") as file:
            file.write(f'{{"step":{attempt}'.encode())
    done = account(tmp_path, torn=True)

    assert [event.attempt for event in done.events] == [attempt for attempt in range(1, 21) for _ in range(5)]
    assert done.codes == ["torn_tail"] * 19


def test_a_million_metrics(tmp_path: Path) -> None:
    """An event of 11 MB is written and read back as it was, and leaves the log as fit as any other."""
    metrics = {f"m{index}": 1 for index in range(1_000_000)}
    writer = open_writer(tmp_path, run_id="r")
    written = [writer.write(make_event(step, metrics=metrics if step == 1 else {"loss": 0.5})) for step in range(3)]
    writer.close()
    events = [decode(line) for line in writer.path.read_bytes().splitlines()]

    assert written == [True] * 3
    assert events[1].metrics == metrics
    assert [(event.step, event.seq) for event in events] == [(0, 0), (1, 1), (2, 2)]


def test_a_line_that_is_too_long(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """P9. An event beyond the limit of 16 MiB is refused and counted, with one warning; the next one is fine.

    Seen to fail when the limit is only that of the reader.
    """
    writer = open_writer(tmp_path, run_id="r")
    written = [writer.write(sized_event(step, MAX_LINE if step in {1, 2} else 10)) for step in range(4)]
    writer.close()

    assert written == [True, False, False, True]
    assert (writer.counters.written, writer.counters.refused, writer.counters.dropped) == (2, 2, 0)
    assert len(caplog.messages) == 1
    assert account(tmp_path).steps == [0, 3]
