"""One who listens: where it stands in each log, and the frames that it is due."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from rldk.dashboard import ring as ring_module
from rldk.dashboard.cursor import unpacked
from rldk.dashboard.listener import listen
from rldk.io.codec import encode
from rldk.io.writer import open_writer
from tests.dashboard.stage import stage, take, taken, told
from tests.runs import make_event, write_attempt

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.usefixtures("cache")

LONG: Final = 1500
"""Events that are read from a log in two parts."""


def write(folder: Path, run_id: str, steps: Iterable[int], rank: int = 0) -> None:
    """Write events of a run."""
    writer = open_writer(folder, run_id=run_id, rank=rank, world_size=2)
    for step in steps:
        assert writer.write(make_event(step))
    writer.close()


def test_from_a_place_the_log_is_read_up_to_the_ring(folder: Path) -> None:
    """Who begins before the ring is given the log up to it, then what is in it: each event once, in order."""
    write(folder, "r", range(3))
    with stage(folder) as found:
        found.begin("r", 0)
        for step in (3, 4):
            write(folder, "r", [step])
            found.read("r")
        frames = taken(listen(found.known, None, {}), 6)

    assert told(frames) == ["hello", {"runs": ["r"]}, [0, 1, 2], "live", [3], [4]]
    assert frames[0] == {"v": 1, "type": "hello", "cursor": "0", "server": "test"}


def test_from_a_place_in_the_ring(folder: Path) -> None:
    """Who stands where a batch of the ring begins is live at once, and is given that batch and the ones behind it."""
    write(folder, "r", range(3))
    with stage(folder) as found:
        found.begin("r", 0)
        for step in (3, 4):
            write(folder, "r", [step])
            found.read("r")
        cursors = [frame["cursor"] for frame in taken(listen(found.known, None, {}), 6)]
        rests = [told(taken(listen(found.known, None, unpacked(cursor)), 4))[2:] for cursor in cursors[2:5]]

    assert rests == [["live", [3]], ["live", [3]], ["live", [4]]]


def test_from_now_on(folder: Path) -> None:
    """Without a place only what comes is given; the first cursor says so, and the next where the log ended."""
    write(folder, "r", range(3))
    with stage(folder) as found:
        found.begin("r", 0)
        (ring,) = found.known.rings.values()
        end = ring.end

        async def run() -> list[dict[str, Any]]:
            async with aclosing(listen(found.known, None, None)) as frames:
                before = await take(frames, 3)
                write(folder, "r", [3])
                found.read("r")
                return before + await take(frames, 1)

        frames = asyncio.run(run())

    assert told(frames) == ["hello", {"runs": ["r"]}, "live", [3]]
    assert frames[0]["cursor"] == "now"
    assert unpacked(frames[2]["cursor"]) == {found.ids["r"]: {0: end}}


def test_who_falls_behind_is_told_how_much_was_missed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the ring has dropped meanwhile is counted, and the latest is given; its cursor goes on from there."""
    monkeypatch.setattr(ring_module, "_SIZE", 1)
    write(folder, "r", range(3))
    with stage(folder) as found:
        found.begin("r", 0)

        async def run() -> list[dict[str, Any]]:
            async with aclosing(listen(found.known, None, None)) as frames:
                before = await take(frames, 3)
                write(folder, "r", [3])
                found.read("r")
                before += await take(frames, 1)
                for steps in ([4, 5], [6, 7], [8]):
                    write(folder, "r", steps)
                    found.read("r")
                return before + await take(frames, 2)

        frames = asyncio.run(run())
        again = taken(listen(found.known, None, unpacked(frames[4]["cursor"])), 4)

    assert told(frames) == ["hello", {"runs": ["r"]}, "live", [3], {"missed": 4}, [8]]
    assert told(again) == ["hello", {"runs": ["r"]}, "live", [8]]


def test_who_is_slow_before_it_has_come_to_the_ring(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads the log, and waits while the ring goes on and drops what was to come next, reads on in the log."""
    monkeypatch.setattr(ring_module, "_SIZE", 1)
    write(folder, "r", range(3))
    with stage(folder) as found:
        found.begin("r", 0)

        async def run() -> list[dict[str, Any]]:
            async with aclosing(listen(found.known, None, {})) as frames:
                before = await take(frames, 3)
                for steps in ([3], [4, 5], [6, 7], [8]):
                    write(folder, "r", steps)
                    found.read("r")
                return before + await take(frames, 3)

        frames = asyncio.run(run())

    assert told(frames) == ["hello", {"runs": ["r"]}, [0, 1, 2], [3, 4, 5, 6, 7], "live", [8]]


def test_who_is_slow_when_it_was_given_more_than_the_ring_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read of the log and cut off, since the ring had it, is read again when the ring has it no more."""
    monkeypatch.setattr(ring_module, "_SIZE", 1)
    write(folder, "r", range(3))
    with stage(folder) as found:
        found.begin("r", 0)
        write(folder, "r", [3])
        found.read("r")

        async def run() -> list[dict[str, Any]]:
            async with aclosing(listen(found.known, None, {})) as frames:
                before = await take(frames, 3)
                for steps in ([4, 5], [6]):
                    write(folder, "r", steps)
                    found.read("r")
                return before + await take(frames, 3)

        frames = asyncio.run(run())

    assert told(frames) == ["hello", {"runs": ["r"]}, [0, 1, 2], [3, 4, 5], "live", [6]]


def test_several_ranks_are_live_together(folder: Path) -> None:
    """A run is live when each of its ranks has been given up to its ring, which takes longer for a long log."""
    write(folder, "r", range(2))
    write(folder, "r", range(LONG), rank=1)
    with stage(folder) as found:
        found.begin("r", 0, 1)
        frames = taken(listen(found.known, None, {}), 6)

    one, first, second = (frame for frame in frames if frame["type"] == "events")
    assert [frame["type"] for frame in frames] == ["hello", "runs", "events", "events", "events", "live"]
    assert [frame["rank"] for frame in (one, first, second)] == [0, 1, 1]
    assert [event["step"] for event in first["events"] + second["events"]] == list(range(LONG))


def test_a_log_that_is_begun_anew(folder: Path) -> None:
    """Before the first events of another log it is said that the ones before are void."""
    path = folder / "r_events.jsonl"
    path.write_bytes(encode(make_event(0)))
    with stage(folder) as found:
        found.begin("r", 0)

        async def run() -> list[dict[str, Any]]:
            async with aclosing(listen(found.known, None, None)) as frames:
                await take(frames, 3)
                path.unlink()
                path.write_bytes(encode(make_event(5, wall_time=99.0)))
                found.read("r")
                return await take(frames, 2)

        frames = asyncio.run(run())

    assert told(frames) == ["reset", [5]]
    assert (frames[0]["rank"], frames[0]["why"]) == (0, "the log is another one than before")


def test_some_runs(folder: Path) -> None:
    """Events and verdicts are of the runs that are wanted, entries of those that are listed."""
    for name in ("a", "b"):
        write(folder, name, range(2))
    with stage(folder) as found:
        a, b = found.ids["a"], found.ids["b"]
        found.known.put(found.known.verdicts, {run: f'"run":"{run}"' for run in (a, b)})
        for name in ("a", "b"):
            found.begin(name, 0)
        wanted = taken(listen(found.known, {a}, {}), 5)
        listed = taken(listen(found.known, {a}, {}, listed={b}), 2)

    assert told(wanted) == ["hello", {"runs": ["a", "b"]}, "alerts", [0, 1], "live"]
    assert [frame["run"] for frame in wanted[2:]] == [a, a, a]
    assert told(listed) == ["hello", {"runs": ["b"]}]


def test_only_what_has_changed_is_told(folder: Path) -> None:
    """An entry is told again when it has changed, and the others are not."""
    for name in ("a", "b"):
        write(folder, name, range(2))
    with stage(folder) as found:

        async def run() -> list[dict[str, Any]]:
            async with aclosing(listen(found.known, None, {}, listed=None)) as frames:
                before = await take(frames, 2)
                found.known.put(found.known.entries, {found.ids["b"]: '"b, changed"'})
                found.known.tell()
                return before + await take(frames, 1)

        frames = asyncio.run(run())

    assert told(frames) == ["hello", {"runs": ["a", "b"]}, {"runs": ["b, changed"]}]


def test_a_run_that_goes(folder: Path) -> None:
    """It is told, its place leaves the cursor, and nobody listens to it any more."""
    write(folder, "r", range(2))
    with stage(folder) as found:
        found.begin("r", 0)

        async def run() -> tuple[list[dict[str, Any]], list[set[str]]]:
            heard = []
            async with aclosing(listen(found.known, None, {})) as frames:
                before = await take(frames, 4)
                heard.append(found.watcher.heard)
                found.known.forget([found.ids["r"]])
                found.known.put(found.known.verdicts, {"other": '"run":"other"'})
                found.known.tell()
                after = await take(frames, 2)
                found.known.put(found.known.verdicts, {"other": '"run":"other"'})
                found.known.tell()
                after += await take(frames, 1)
                heard.append(found.watcher.heard)
            return before[-1:] + after, heard

        frames, heard = asyncio.run(run())

    assert told(frames) == ["live", {"runs": [], "gone": [found.ids["r"]]}, "alerts", "alerts"]
    assert unpacked(frames[-1]["cursor"]) == {}
    assert heard == [{found.ids["r"]}, set()]


def test_a_run_that_went_before(folder: Path) -> None:
    """Who begins later is not told of it, also when it is there again."""
    write(folder, "r", range(2))
    with stage(folder) as found:
        found.known.forget([found.ids["r"]])
        gone = told(taken(listen(found.known, None, {}), 2))
        found.known.put(found.known.entries, {found.ids["r"]: '"r"'})
        found.begin("r", 0)
        back = told(taken(listen(found.known, None, {}), 4))

    assert gone == ["hello", {"runs": []}]
    assert back == ["hello", {"runs": ["r"]}, [0, 1], "live"]


def test_a_run_that_goes_while_it_is_read(folder: Path) -> None:
    """The log is closed, and nothing more of it is given."""
    write(folder, "r", range(LONG))
    with stage(folder) as found:
        found.begin("r", 0)
        path = str(folder / "r_events.jsonl")

        async def run() -> tuple[list[dict[str, Any]], list[bool]]:
            async with aclosing(listen(found.known, None, {})) as frames:
                await take(frames, 3)
                is_open = [path in opened()]
                found.close()
                found.known.forget([found.ids["r"]])
                found.known.put(found.known.verdicts, {"other": '"run":"other"'})
                return await take(frames, 2), [*is_open, path in opened()]

        frames, is_open = asyncio.run(run())

    assert told(frames) == [{"runs": [], "gone": [found.ids["r"]]}, "alerts"]
    assert is_open == [True, False]


def opened() -> set[str]:
    """The files that this process has open."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(str(descriptor.readlink()))
    return found


def test_a_heartbeat_when_nothing_comes(folder: Path) -> None:
    """After a time without a frame there is one with the time and the cursor."""
    write(folder, "r", range(2))
    with stage(folder, heartbeat=0.01) as found:
        found.begin("r", 0)
        frames = taken(listen(found.known, None, {}), 6)

    assert told(frames) == ["hello", {"runs": ["r"]}, [0, 1], "live", "heartbeat", "heartbeat"]
    assert {frame["cursor"] for frame in frames[2:]} == {frames[2]["cursor"]}
    assert frames[4]["time"] <= frames[5]["time"]


def test_it_ends_when_all_shall(folder: Path) -> None:
    """Closing ends one who waits, and nobody is heard afterwards."""
    write(folder, "r", range(2))
    with stage(folder) as found:
        found.begin("r", 0)

        async def run() -> list[str]:
            frames = listen(found.known, None, {})
            await take(frames, 4)
            asyncio.get_running_loop().call_later(0.01, found.known.close)
            async with asyncio.timeout(10):
                return [each async for each in frames]

        rest = asyncio.run(run())
        heard = found.watcher.heard

    assert rest == []
    assert heard == set()


def test_a_log_that_cannot_be_read(folder: Path) -> None:
    """Of a log that cannot be read nothing is given but what comes: what is wrong is told in the list of runs."""
    log = folder / "log.jsonl"
    log.write_text('{"step": 0, "loss": 1.0}\n{"step": 1, "loss": 1.0}\n')
    with stage(folder) as found:
        found.begin("log", 0)
        log.unlink()
        frames = taken(listen(found.known, None, {}), 3)

    assert told(frames) == ["hello", {"runs": ["log"]}, "live"]


def test_a_log_that_is_not_there(folder: Path) -> None:
    """A log of which nothing is found for some time is taken to end there."""
    log = write_attempt(folder, [make_event(0)])
    with stage(folder) as found:
        found.begin("r", 0)
        log.unlink()
        frames = taken(listen(found.known, None, {}), 3)

    assert told(frames) == ["hello", {"runs": ["r"]}, "live"]


def test_from_a_cursor_of_another_log(folder: Path) -> None:
    """When the log has been begun anew since the cursor was given, that is said, and all of it is given."""
    path = folder / "r_events.jsonl"
    path.write_bytes(encode(make_event(0)))
    with stage(folder) as found:
        found.begin("r", 0)
        cursor = taken(listen(found.known, None, {}), 4)[-1]["cursor"]
    path.write_bytes(encode(make_event(5, wall_time=99.0)))
    with stage(folder) as found:
        found.begin("r", 0)
        frames = taken(listen(found.known, None, unpacked(cursor)), 5)

    assert told(frames) == ["hello", {"runs": ["r"]}, "reset", [5], "live"]


def test_a_ring_that_was_given_up(folder: Path) -> None:
    """When a ring went and there is another one, what came between is read from the log."""
    write(folder, "r", range(3))
    with stage(folder) as found:
        found.begin("r", 0)

        async def run() -> list[dict[str, Any]]:
            async with aclosing(listen(found.known, None, {})) as frames:
                before = await take(frames, 4)
                found.known.end((found.ids["r"], 0))
                write(folder, "r", [3])
                found.begin("r", 0)
                before += await take(frames, 1)
                write(folder, "r", [4])
                found.read("r")
                return before + await take(frames, 1)

        frames = asyncio.run(run())

    assert told(frames) == ["hello", {"runs": ["r"]}, [0, 1, 2], "live", [3], [4]]


def test_a_run_that_is_not_watched(folder: Path) -> None:
    """Of a run that the watcher does not have yet, or no more, nothing is given until it does."""
    write(folder, "r", range(3))
    with stage(folder, heartbeat=0.01) as found:
        found.begin("r", 0)
        runs, found.watcher.runs = found.watcher.runs, {}

        async def run() -> list[dict[str, Any]]:
            async with aclosing(listen(found.known, None, {})) as frames:
                before = await take(frames, 3)
                found.watcher.runs = runs
                return before + await take(frames, 1)

        frames = asyncio.run(run())

    assert told(frames) == ["hello", {"runs": ["r"]}, "heartbeat", [0, 1, 2]]
