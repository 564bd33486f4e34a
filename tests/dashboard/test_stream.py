"""The API and the streams of a real server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, get_args

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from rldk.dashboard.charts import Series
from rldk.dashboard.entry import Entry, State
from rldk.dashboard.judge import PlacedSeam
from rldk.io.codec import encode
from rldk.io.writer import open_writer
from tests.dashboard.served import Served, events, frames, served, steps
from tests.pages import ROOT
from tests.runs import make_event, write_attempt
from tests.shared import REAL, needs_shared

if TYPE_CHECKING:
    from pathlib import Path


def is_live(found: list[dict[str, Any]]) -> bool:
    """Whether all that was there has been sent."""
    return bool(found[-1]["type"] == "live")


def listened(server: Served, run: dict[str, Any], cursor: str, count: int) -> list[dict[str, Any]]:
    """Frames from a cursor on, until so many events have come."""
    with server.listen(f"/api/runs/{run['id']}/events?from={cursor}") as socket:
        return frames(socket, lambda found: is_live(found) or len(steps(found)) >= count)


def test_from_the_beginning_and_from_every_cursor(folder: Path, cache: Path) -> None:
    """`from=0` gives everything; from the cursor of any frame the rest is given, also by a new server."""
    writer = open_writer(folder, run_id="r", rotation="8 KB", compression="gz")
    writer.write(make_event(0))
    with served(folder, cache) as server:
        run = server.run("r")
        with server.listen(f"/api/runs/{run['id']}/events?from=0") as socket:
            thread = threading.Thread(target=lambda: [_write_slowly(writer, step) for step in range(1, 400)])
            thread.start()
            found = frames(socket, lambda found: steps(found)[-1:] == [399])
            thread.join()
        writer.close()
        assert steps(found) == list(range(400))
        assert [frame["type"] for frame in found[:2]] == ["hello", "runs"]
        some = [at for at, frame in enumerate(found) if frame["type"] == "events"][::5]
        for at in some[:4]:
            rest = listened(server, run, found[at]["cursor"], 400)
            assert steps(found[: at + 1]) + steps(rest) == list(range(400))
    with served(folder, cache) as server:
        for at in some[-3:]:
            rest = listened(server, run, found[at]["cursor"], 400)
            assert steps(found[: at + 1]) + steps(rest) == list(range(400))


def _write_slowly(writer: Any, step: int) -> None:
    writer.write(make_event(step))
    time.sleep(0.001)


def test_what_comes_while_nobody_serves(folder: Path, cache: Path) -> None:
    """Events written between two servers are there for one who comes back, and a compressed segment is no gap."""
    writer = open_writer(folder, run_id="r", rotation="4 KB", compression="gz")
    for step in range(50):
        writer.write(make_event(step))
    with served(folder, cache) as server:
        run = server.run("r")
        first = listened(server, run, "0", 50)
    for step in range(50, 100):
        writer.write(make_event(step))
    writer.close()
    with served(folder, cache) as server:
        second = listened(server, run, first[-1]["cursor"], 50)

    assert steps(first) + steps(second) == list(range(100))


def test_from_now_on(folder: Path, cache: Path) -> None:
    """Without a cursor only what comes is given, and a run that begins later from its first event."""
    writer = open_writer(folder, run_id="r")
    for step in range(10):
        writer.write(make_event(step))
    with served(folder, cache) as server:
        server.run("r")
        with server.listen("/api/stream") as socket:
            before = frames(socket, is_live)
            writer.write(make_event(10))
            other = open_writer(folder / "more", run_id="later")
            other.write(make_event(0, model_info={"run_id": "later"}))
            found = frames(socket, lambda found: len(steps(found)) == 2)
    writer.close()
    other.close()

    assert steps(before) == []
    assert sorted((event["model_info"]["run_id"], event["step"]) for event in events(found)) == [
        ("later", 0),
        ("r", 10),
    ]


def test_all_runs_from_one_cursor(folder: Path, cache: Path) -> None:
    """One cursor stands for all runs; a run that it does not know is given from its beginning."""
    for name in ("a", "b"):
        open_and_write(folder, name, range(5))
    with served(folder, cache) as server:
        server.run("a")
        server.run("b")
        with server.listen("/api/stream?from=0") as socket:
            first = frames(socket, lambda found: len(steps(found)) == 10)
    open_and_write(folder, "a", range(5, 8))
    open_and_write(folder, "c", range(2))
    with served(folder, cache) as server:
        server.run("c")
        with server.listen(f"/api/stream?from={first[-1]['cursor']}") as socket:
            second = frames(socket, lambda found: len(steps(found)) == 5)
            rest = frames(socket, lambda found: found[-1]["type"] == "heartbeat")

    assert sorted((event["model_info"]["run_id"], event["step"]) for event in events(second)) == [
        ("a", 5),
        ("a", 6),
        ("a", 7),
        ("c", 0),
        ("c", 1),
    ]
    assert steps(rest) == []


def open_and_write(folder: Path, run_id: str, of: range) -> None:
    """Write events of a run."""
    writer = open_writer(folder, run_id=run_id)
    for step in of:
        writer.write(make_event(step, model_info={"run_id": run_id}))
    writer.close()


def test_some_runs(folder: Path, cache: Path) -> None:
    """`run=ID` asks for the events of those runs only; the list has every run."""
    for name in ("a", "b"):
        open_and_write(folder, name, range(3))
    with served(folder, cache) as server:
        server.run("b")
        run = server.run("a")
        with server.listen(f"/api/stream?from=0&run={run['id']}") as socket:
            found = frames(socket, is_live)

    assert {event["model_info"]["run_id"] for event in events(found)} == {"a"}
    assert {each["name"] for frame in found if frame["type"] == "runs" for each in frame["runs"]} == {"a", "b"}


def test_several_ranks(folder: Path, cache: Path) -> None:
    """Events of every rank come, each frame says of which, and charts are of the lowest."""
    for rank in (0, 1):
        writer = open_writer(folder, run_id="r", rank=rank, world_size=2)
        for step in range(3):
            writer.write(make_event(step, metrics={"loss": float(rank)}))
        writer.close()
    with served(folder, cache) as server:
        run = server.run("r")
        found = listened(server, run, "0", 6)
        chart = server.get(f"/api/runs/{run['id']}/series?metrics=loss")

    assert run["ranks"] == [0, 1]
    assert sorted((frame["rank"], len(frame["events"])) for frame in found if frame["type"] == "events") == [
        (0, 3),
        (1, 3),
    ]
    assert [each["y"] for each in chart["series"]] == [[0.0, 0.0, 0.0]]


def test_logs_of_other_tools(folder: Path, cache: Path) -> None:
    """A foreign log is served as it grows, resumed by its cursor, and its torn end is held back."""
    path = folder / "train_log.jsonl"
    path.write_text("".join(json.dumps({"step": step, "loss": 1.0}) + "\n" for step in range(5)))
    with served(folder, cache) as server:
        run = server.run("train_log")
        with server.listen(f"/api/runs/{run['id']}/events?from=0") as socket:
            first = frames(socket, lambda found: len(steps(found)) == 5 and is_live(found))
            with path.open("a") as file:
                file.write(json.dumps({"step": 5, "loss": 2.0}) + "\n" + '{"step": 6, "lo')
            second = frames(socket, lambda found: steps(found) == [5])
            with path.open("a") as file:
                file.write('ss": 3.0}\n')
            third = frames(socket, lambda found: steps(found) == [6])
    with served(folder, cache) as server:
        again = listened(server, run, first[-1]["cursor"], 2)

    assert run["adapter"] == "custom_jsonl"
    assert steps(first) + steps(second) + steps(third) == list(range(7))
    assert steps(again) == [5, 6]
    assert all(frame.get("problems") is None for frame in first + second + third)


@needs_shared
def test_real_logs(cache: Path) -> None:
    """Every real log that can be ingested is listed, and its curves are given."""
    with served(REAL, cache) as server:
        deadline = time.monotonic() + 60
        runs = server.get("/api/runs")["runs"]
        while not runs or any(run["progress"] < 1 for run in runs):
            assert time.monotonic() < deadline
            time.sleep(0.1)
            runs = server.get("/api/runs")["runs"]
        points = {run["name"]: server.get(f"/api/runs/{run['id']}")["curves"] for run in runs}

    assert len(runs) > 30
    assert len({run["adapter"] for run in runs}) > 8
    assert [run["name"] for run in runs if run["events"] and not points[run["name"]]] == []


def test_a_log_that_is_begun_anew(folder: Path, cache: Path) -> None:
    """One who listens is told that the log is another one, and is given it from its first event."""
    path = folder / "r_events.jsonl"
    path.write_bytes(b"".join(encode(make_event(step)) for step in range(5)))
    with served(folder, cache) as server:
        run = server.run("r")
        with server.listen(f"/api/runs/{run['id']}/events?from=0") as socket:
            first = frames(socket, is_live)
            path.unlink()
            path.write_bytes(b"".join(encode(make_event(step, wall_time=step + 9.0)) for step in range(2)))
            second = frames(socket, lambda found: len(steps(found)) == 2)
        third = listened(server, run, first[-1]["cursor"], 2)
        deadline = time.monotonic() + 10
        while server.run("r")["events"] != 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    assert steps(first) == [0, 1, 2, 3, 4]
    for found in (second, third):
        assert [frame["type"] for frame in found if frame["type"] in {"reset", "events"}][:1] == ["reset"]
        assert steps(found) == [0, 1]


def test_a_run_that_is_removed(folder: Path, cache: Path) -> None:
    """It leaves the list, and those who listen are told."""
    open_and_write(folder / "a", "a", range(3))
    open_and_write(folder / "b", "b", range(3))
    with served(folder, cache) as server:
        server.run("b")
        run = server.run("a")
        with server.listen("/api/stream?from=0") as socket:
            frames(socket, lambda found: len(steps(found)) == 6)
            shutil.rmtree(folder / "a")
            found = frames(socket, lambda found: bool(found[-1].get("gone")))
        listed = server.get("/api/runs")

    assert found[-1]["gone"] == [run["id"]]
    assert [each["name"] for each in listed["runs"]] == ["b"]


def test_heartbeats(folder: Path, cache: Path) -> None:
    """While nothing happens a frame comes as often as `hello` says, with the time and the cursor."""
    write_attempt(folder, [make_event(0)])
    with served(folder, cache) as server:
        server.run("r")
        with server.listen("/api/stream?from=0") as socket:
            found = frames(socket, lambda found: found[-1]["type"] == "heartbeat")

    assert found[0]["heartbeat"] == 5.0
    assert abs(found[-1]["time"] - time.time()) < 10
    assert all(frame["v"] == 1 and frame["cursor"] for frame in found)


def test_numbers_come_as_they_were_written(folder: Path, cache: Path) -> None:
    """What is not finite is null with its name beside it, and floats have all their digits."""
    path = folder / "r_events.jsonl"
    path.write_bytes(encode(make_event(0, metrics={"a": float("nan"), "b": float("-inf"), "c": 0.1 + 0.2, "d": None})))
    with served(folder, cache) as server:
        run = server.run("r")
        (event,) = events(listened(server, run, "0", 1))
        chart = server.get(f"/api/runs/{run['id']}/series?metrics=a&metrics=b,c&metrics=d")

    assert event["metrics"] == {"a": None, "b": None, "c": 0.1 + 0.2, "d": None}
    assert event["nonfinite"] == {"a": "NaN", "b": "-Infinity"}
    assert {each["metric"]: (each["y"], each["nonfinite"]) for each in chart["series"]} == {
        "a": ([], [[0, "NaN", 1]]),
        "b": ([], [[0, "-Infinity", 1]]),
        "c": ([0.1 + 0.2], []),
        "d": ([], []),
    }


def test_a_name_that_is_markup(folder: Path, cache: Path) -> None:
    """A metric may be named anything, commas included, and comes as JSON."""
    name = "<img src=x onerror=alert(1)>, </script>"
    write_attempt(folder, [make_event(0, metrics={name: 1.0})])
    with served(folder, cache) as server:
        run = server.run("r")
        answer = server.ask(
            f"/api/runs/{run['id']}/series?metrics=%3Cimg%20src=x%20onerror=alert(1)%3E,%20%3C/script%3E", server.bearer
        )

    assert [each["metric"] for each in answer.json["series"]] == [name]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("points=0", "points: expected an integer from 1 to 10000, found '0'"),
        ("points=10001", "points: expected an integer from 1 to 10000, found '10001'"),
        ("points=1e3", "points: expected an integer from 1 to 10000, found '1e3'"),
        ("x=time", "x: expected one of step, wall_time, found 'time'"),
        ("history=some", "history: expected one of effective, all, found 'some'"),
        ("from=nan", "from: expected a number, found 'nan'"),
        ("to=abc", "to: expected a number, found 'abc'"),
        ("metrics=" + ",".join(map(str, range(501))), "metrics: expected at most 500 names, found 501"),
    ],
)
def test_parameters_are_checked(folder: Path, cache: Path, query: str, message: str) -> None:
    """A parameter that says nothing is refused with what was expected and what was found."""
    write_attempt(folder, [make_event(0)])
    with served(folder, cache) as server:
        run = server.run("r")
        answer = server.ask(f"/api/runs/{run['id']}/series?{query}", server.bearer)

    assert (answer.status, answer.json) == (400, {"v": 1, "error": message})


def test_a_cursor_that_is_none(folder: Path, cache: Path) -> None:
    """A WebSocket with something else for a cursor, or for a run that is not there, is refused in the handshake."""
    write_attempt(folder, [make_event(0)])
    with served(folder, cache) as server:
        run = server.run("r")
        statuses = []
        for path in (f"/api/runs/{run['id']}/events?from=x!", "/api/stream?from=kZ", "/api/runs/0123456789ab/events"):
            with pytest.raises(InvalidStatus) as caught, server.listen(path):
                pass
            statuses.append(caught.value.response.status_code)

    assert statuses == [400, 400, 404]


def test_reports_and_verdicts(folder: Path, cache: Path) -> None:
    """The final report and the verdict of the rules are given as they are now, of foreign logs too."""
    write_attempt(folder, [make_event(step, metrics={"loss": float("nan")}) for step in range(5)])
    (folder / "other.jsonl").write_text("".join(json.dumps({"step": step, "loss": 1.0}) + "\n" for step in range(5)))
    with served(folder, cache) as server:
        run, other = server.run("r"), server.run("other")
        report = server.get(f"/api/runs/{run['id']}/report")["report"]
        foreign = server.get(f"/api/runs/{other['id']}/report")["report"]
        deadline = time.monotonic() + 20
        while (judged := server.get(f"/api/runs/{run['id']}/alerts"))["verdict"] is None or judged["progress"] < 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with server.listen(f"/api/runs/{run['id']}/events") as socket:
            told = frames(socket, lambda found: found[-1]["type"] == "alerts")[-1]

    assert (report["run_id"], report["steps"], report["data_quality"]["nonfinite"]) == ("r", [0, 4], {"loss": 5})
    assert foreign["steps"] == [0, 4]
    assert judged["verdict"]["run_id"] == "r"
    assert told["verdict"] == judged["verdict"]


def test_details(folder: Path, cache: Path) -> None:
    """A run alone: curves, what its metrics mean, seams with their times, and the cursor behind all of this."""
    write_attempt(folder, [make_event(step, metrics={"loss": 1.0, "own": 2.0}) for step in range(5)])
    write_attempt(folder, [make_event(step) for step in range(3, 6)], resumed_from=2)
    with served(folder, cache) as server:
        run = server.run("r")
        deadline = time.monotonic() + 20
        while not (found := server.get(f"/api/runs/{run['id']}"))["seams"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        rest = listened(server, run, found["cursor"], 1)

    assert found["curves"] == [
        {"phase": "train", "eval_set": None, "points": 8, "steps": [0, 5], "metrics": ["loss", "own"]}
    ]
    assert found["metrics"]["loss"]["unit"] == "loss"
    assert found["metrics"]["own"] == {"unit": None, "meaning": None, "source": None}
    assert [(seam["attempt"], seam["resumed_from"], seam["wall_time"]) for seam in found["seams"]] == [(2, 2, 3.0)]
    assert (run["attempts"], run["events"], run["steps"]) == (2, 8, [0, 5])
    assert steps(rest) == []


def test_the_same_id_after_a_restart(folder: Path, cache: Path) -> None:
    """Ids come from where runs lie, so links to a run stay good; equal names in two folders have two ids."""
    open_and_write(folder / "a", "r", range(2))
    open_and_write(folder / "b", "r", range(2))
    found = []
    for _ in range(2):
        with served(folder, cache) as server:
            server.run("r")
            found.append({run["path"]: run["id"] for run in server.get("/api/runs")["runs"]})

    assert found[0] == found[1]
    assert found[0].keys() == {"a/r_events.jsonl", "b/r_events.jsonl"}
    assert len(set(found[0].values())) == 2


def test_an_empty_folder(folder: Path, cache: Path) -> None:
    """A folder without runs is served, and the first run appears in it."""
    with served(folder, cache) as server:
        assert server.get("/api/runs")["runs"] == []
        write_attempt(folder, [make_event(0)])

        assert server.run("r")["events"] == 1


@pytest.mark.usefixtures("cache")
def test_the_page_of_a_bare_installation(folder: Path) -> None:
    """Where the package was built without its page, the server says what is missing, and the API answers."""
    from starlette.testclient import TestClient

    from rldk.dashboard.app import make_app
    from rldk.dashboard.hub import Hub
    from rldk.dashboard.tail import Watcher

    watcher = Watcher(folder)
    watcher.turn()
    with TestClient(make_app(watcher, Hub("rldk", "runs"), folder)) as client:
        answer = client.get("/")
        listed = client.get("/api/runs")

    assert answer.status_code == 503
    assert "index.html and vendor/uPlot.js are missing" in answer.text
    assert listed.json() == {"v": 1, "folder": folder.name, "runs": [], "passed_over": []}


def test_it_ends_at_once(folder: Path, cache: Path) -> None:
    """When it is told to, it ends with code 0, and those who listen are told."""
    write_attempt(folder, [make_event(0)])
    with served(folder, cache) as server:
        server.run("r")
        with server.listen("/api/stream") as socket:
            frames(socket, is_live)
            began = time.monotonic()
            os.kill(server.process.pid, 2)
            with pytest.raises(ConnectionClosed) as caught:
                frames(socket, lambda _: False)
            code = server.process.wait(10)

    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code in {1001, 1012}
    assert code == 0
    assert time.monotonic() - began < 5


def test_the_example_of_the_reference(folder: Path, cache: Path) -> None:
    """The five lines in the reference of the stream print every frame of a real server."""
    page = (ROOT / "docs/reference/stream.md").read_text(encoding="utf-8")
    code = page[page.index("```python\n") + len("```python\n") :].partition("```")[0]
    write_attempt(folder, map(make_event, range(3)))
    with served(folder, cache) as server:
        server.run("r")
        arguments = [sys.executable, "-c", code, f"ws://127.0.0.1:{server.port}", server.token]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, encoding="utf-8") as process:
            assert process.stdout
            lines = []
            for line in process.stdout:
                lines.append(line.split())
                if line.startswith("live"):
                    break
            process.kill()

    assert [line[0] for line in lines][:2] == ["hello", "runs"]
    assert sum(int(line[2]) for line in lines) == 3
    assert len(code.strip().splitlines()) == 7


def test_every_frame_and_field_is_documented() -> None:
    """The reference of the stream names every type of frame, every state, and every field of entries and series."""
    page = (ROOT / "docs/reference/stream.md").read_text(encoding="utf-8")
    source = (ROOT / "src/rldk/dashboard/listener.py").read_text(encoding="utf-8")
    types = set(re.findall(r'frame\("([a-z]+)"', source))
    fields = {*Entry.__struct_fields__, *Series.__struct_fields__, *PlacedSeam.__struct_fields__}

    assert types == {"alerts", "events", "gap", "heartbeat", "hello", "live", "reset", "runs"}
    assert [name for name in types if f"| `{name}` |" not in page] == []
    assert [name for name in fields if f'"{name}"' not in page] == []
    assert [state for state in get_args(State) if f"`{state}`" not in page] == []
