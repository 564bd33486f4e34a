"""A power cut: the disk has what the sync policy says, and never a later event without the earlier ones."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from rldk.io.sealing import Sealer
from rldk.io.segments import sealed_segments, segments
from rldk.io.sync import Syncer
from rldk.io.writer import open_writer
from tests.crash.accounts import abandon, account, log_of, many_metrics
from tests.runs import make_event

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crash.conftest import PowerCut


@pytest.fixture
def _no_background(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the thread that seals from forcing a sealed segment to the disk by chance."""
    monkeypatch.setattr(Sealer, "wake", lambda _: None)


def write(power_cut: PowerCut, count: int, **options: Any) -> int:
    """Write so many events of about 700 bytes and die; how many were acknowledged."""
    writer = open_writer(power_cut.folder, run_id="r", **options)
    acknowledged = sum(writer.write(make_event(step, metrics=many_metrics(step))) for step in range(count))
    abandon(writer)
    return acknowledged


def kept(folder: Path) -> list[int]:
    """The steps that a disk has after a power cut; none when it has not even the file."""
    return account(folder, torn=True).steps if segments(log_of(folder)) else []


def test_a_power_cut_takes_what_was_not_synced(power_cut: PowerCut) -> None:
    """Without syncs nothing is on the disk yet: this is what the other tests of power cuts would find."""
    count = write(power_cut, 500, sync="none")

    assert count == 500
    assert kept(power_cut.cut()) == []


@pytest.mark.usefixtures("_no_background")
@pytest.mark.parametrize("rotation", [None, "100 kB"])
@pytest.mark.parametrize(("sync", "most"), [("every", 0), ("100 events", 99)])
def test_a_policy_of_events(power_cut: PowerCut, sync: str, most: int, rotation: str | None) -> None:
    """P2. What is lost is the end of the log and no more than the policy says, over several attempts and rotations.

    Seen to fail when nothing is synced.
    """
    done = [write(power_cut, count, sync=sync, rotation=rotation) for count in (5, 444, 155)]
    steps = kept(power_cut.cut())

    written = [*range(5), *range(444), *range(155)]
    assert done == [5, 444, 155]
    assert steps == written[: len(steps)]
    assert len(written) - len(steps) <= most
    assert bool(sealed_segments(log_of(power_cut.folder))) == bool(rotation)


@pytest.mark.usefixtures("_no_background")
def test_a_rotation_between_two_syncs(power_cut: PowerCut) -> None:
    """P2. The end of a sealed segment is on the disk before anything of the file that follows it is.

    Seen to fail when a rotation leaves the sealed file to the next sync, which is one of the new file.
    """
    write(power_cut, 130, sync="100 events", rotation="70 kB")
    (sealed,) = sealed_segments(log_of(power_cut.folder))
    steps = kept(power_cut.cut())

    assert sealed.path.stat().st_size < 100_000
    assert steps == list(range(len(steps)))
    assert 130 - len(steps) <= 99


@pytest.mark.usefixtures("_no_background")
def test_attempts_that_end_between_two_syncs(power_cut: PowerCut) -> None:
    """P2. What earlier attempts left to the next sync does not add up: the next attempt begins with one.

    Seen to fail when it does not.
    """
    for _ in range(5):
        write(power_cut, 40, sync="100 events")

    assert 200 - len(kept(power_cut.cut())) <= 99


@pytest.mark.usefixtures("_no_background")
@pytest.mark.parametrize("rotation", [None, "50 kB"])
def test_a_policy_of_seconds(power_cut: PowerCut, rotation: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """P2. What was written before the last sync began is there, and syncs are a second and the sync itself apart.

    Seen to fail when the thread that syncs is not told of the file that follows a sealed one.
    """
    sync = Syncer._sync
    begun, ended = [], []

    def timed(syncer: Syncer) -> None:
        now = time.monotonic()
        sync(syncer)
        # A writer that an earlier test left behind may still sync its own log.
        if syncer._folder == power_cut.folder:
            begun.append(now)
            ended.append(time.monotonic())

    monkeypatch.setattr(Syncer, "_sync", timed)
    began = time.monotonic()
    writer = open_writer(power_cut.folder, run_id="r", sync="1 s", rotation=rotation)
    acknowledged: list[float] = []
    while time.monotonic() < began + 2.5:
        assert writer.write(make_event(len(acknowledged), metrics=many_metrics(len(acknowledged))))
        acknowledged.append(time.monotonic())
        time.sleep(0.005)
    steps = kept(power_cut.cut())
    writer.close()

    assert steps == list(range(len(steps)))
    last = max(start for start, end in zip(begun, ended, strict=True) if end < acknowledged[-1])
    assert len(steps) >= sum(moment < last for moment in acknowledged)
    assert acknowledged[-1] - last < 1.0 + max(map(float.__sub__, ended, begun)) + 1.0
