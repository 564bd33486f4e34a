"""What `open_writer` gives: a log of the right name in the right place, written as the options say."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rldk.errors import MissingExtraError, RLDKError, RunIdError, RunLockedError
from rldk.io.buffer import BufferWriter
from rldk.io.codec import decode
from rldk.io.filters import FilterWriter, drop, every_n_steps
from rldk.io.lock import Lock
from rldk.io.quantities import Quantity
from rldk.io.reader import read_events
from rldk.io.sealing import Policy
from rldk.io.segment_writer import SegmentWriter
from rldk.io.writer import Counters, _settings, check_options, open_writer, run_folder
from tests.io.faults import fail, full, segment_names, wait_for_sealing, written
from tests.runs import make_event, write_attempt

if TYPE_CHECKING:
    from pathlib import Path


# What is written


def test_an_event_is_one_line_with_the_stamps_of_its_writer(tmp_path: Path) -> None:
    """seq, attempt, rank, world_size, schema, run_id and resumed_from are the writer's to say, whatever came in."""
    writer = open_writer(tmp_path, run_id="real", rank=3, world_size=4, resumed_from=7)
    info = {"run_id": "other", "phase": "train", "rank": 9, "attempt": 9, "world_size": 9, "git_sha": "abc"}
    taken = writer.write(make_event(8, seq=77, model_info=info))
    writer.close()

    assert taken is True
    assert writer.path.read_text() == (
        '{"step":8,"wall_time":8.0,"timestamp":"2026-01-31T23:59:59.000000Z","seq":0,"metrics":{"loss":0.5},'
        '"rng":{},"data_slice":{},"model_info":{"run_id":"real","phase":"train","rank":3,"attempt":1,"world_size":4,'
        '"git_sha":"abc","schema":1,"resumed_from":7},"notes":[]}\n'
    )


def test_a_first_attempt_does_not_say_that_it_resumed(tmp_path: Path) -> None:
    """Absent is absent: no resumed_from where there is nothing to resume from."""
    path = write_attempt(tmp_path, [make_event()])

    assert decode(path.read_bytes()).model_info == {
        "run_id": "r",
        "phase": "train",
        "schema": 1,
        "rank": 0,
        "world_size": 1,
        "attempt": 1,
    }


# Where


def test_the_files_of_a_run(tmp_path: Path) -> None:
    """The folder is made when absent; rank 0 has the plain name, every other rank a file of its own."""
    folder = tmp_path / "a" / "b"
    writers = [open_writer(folder, run_id="r"), open_writer(folder, run_id="r", rank=12)]
    during = sorted(path.name for path in folder.iterdir())
    for writer in writers:
        writer.close()

    assert during == ["r.lock", "r.rank12.lock", "r_events.jsonl", "r_events.rank12.jsonl"]
    assert sorted(path.name for path in folder.iterdir()) == ["r_events.jsonl", "r_events.rank12.jsonl"]


def test_a_symbolic_link_is_no_log(tmp_path: Path) -> None:
    """A log that is a link is refused, and what it points to is left alone."""
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / "r_events.jsonl").symlink_to(target)
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        open_writer(tmp_path, run_id="r")

    assert target.read_text() == "precious"


def test_rldk_output_dir_wins_over_the_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment decides where the files go; unset or empty, the argument does."""
    monkeypatch.setenv("RLDK_OUTPUT_DIR", str(tmp_path / "environment"))
    by_environment = write_attempt(tmp_path / "argument", [])
    monkeypatch.setenv("RLDK_OUTPUT_DIR", "")
    by_argument = write_attempt(tmp_path / "argument", [])

    assert by_environment == tmp_path / "environment" / "r_events.jsonl"
    assert by_argument == tmp_path / "argument" / "r_events.jsonl"


def test_a_relative_folder_is_meant_from_where_the_run_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that changes its working folder later does not move its log."""
    monkeypatch.chdir(tmp_path)
    folder = run_folder("logs")
    monkeypatch.chdir("/")

    assert folder == tmp_path / "logs"


# The run id


def test_rldk_run_id_wins_over_the_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the run; empty, it says nothing."""
    monkeypatch.setenv("RLDK_RUN_ID", "environment")
    by_environment = open_writer(tmp_path, run_id="argument")
    by_environment.close()
    monkeypatch.setenv("RLDK_RUN_ID", "")
    by_argument = open_writer(tmp_path, run_id="argument")
    by_argument.close()

    assert (by_environment.run_id, by_environment.path.name) == ("environment", "environment_events.jsonl")
    assert (by_argument.run_id, by_argument.path.name) == ("argument", "argument_events.jsonl")


def test_a_run_without_a_name_gets_one_that_says_when(tmp_path: Path) -> None:
    """A new name for each run: what, when, and four random digits."""
    writers = [open_writer(tmp_path), open_writer(tmp_path)]
    for writer in writers:
        writer.close()

    assert all(re.fullmatch(r"run-\d{8}T\d{6}-[0-9a-f]{4}", writer.run_id) for writer in writers)
    assert writers[0].run_id != writers[1].run_id


@pytest.mark.parametrize("run_id", ["r", "0", "A.b_c-d", "x" * 128, "console", "com", "lpt10", "nul_1"])
def test_a_good_run_id_is_taken(tmp_path: Path, run_id: str) -> None:
    """Letters, digits, dot, underscore and dash, up to 128 of them."""
    writer = open_writer(tmp_path, run_id=run_id)
    writer.close()

    assert writer.path == tmp_path / f"{run_id}_events.jsonl"


@pytest.mark.parametrize("source", ["argument", "environment"])
@pytest.mark.parametrize(
    "run_id",
    ["a\n", "con", "CON", "nul.txt", "com1", "LPT9", "..", ".", ".a", "-a", "_a", "a/b", "a\\b", "x" * 129, "ä", "a b"],
)
def test_a_bad_run_id_is_refused(tmp_path: Path, run_id: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be a file name on every system, or would leave the folder, is refused; nothing is made."""
    if source == "environment":
        monkeypatch.setenv("RLDK_RUN_ID", run_id)
    with pytest.raises(RunIdError) as caught:
        open_writer(tmp_path / "logs", run_id=run_id if source == "argument" else "good")

    assert str(caught.value) == (
        f"run_id {run_id!r}: expected 1 to 128 characters from A-Z a-z 0-9 . _ -, the first a letter or a digit, "
        "and no Windows device name such as con or nul"
    )
    assert not (tmp_path / "logs").exists()


def test_an_empty_run_id_is_refused_not_replaced(tmp_path: Path) -> None:
    """A name that came out empty is a mistake somewhere, not a wish for a new name."""
    with pytest.raises(RunIdError):
        open_writer(tmp_path, run_id="")


# A run that is being written


def test_a_run_that_is_being_written_is_refused(tmp_path: Path) -> None:
    """Unless another is asked for; RLDK does not mix the events of two processes."""
    writer = open_writer(tmp_path, run_id="r")
    with pytest.raises(RunLockedError):
        open_writer(tmp_path, run_id="r", if_locked="raise")
    writer.close()

    assert segment_names(tmp_path) == ["r_events.jsonl"]


def test_a_run_of_its_own_is_written_where_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first name that is free; its events carry that name, and the first writer is not disturbed."""
    monkeypatch.setattr("rldk.io.lock._PATIENCE", 0.0)
    writers = [open_writer(tmp_path, run_id="r", if_locked="new_run") for _ in range(3)]
    for writer in writers:
        writer.write(make_event(0))
    writers[1].close()
    again = open_writer(tmp_path, run_id="r", if_locked="new_run")
    for writer in (*writers, again):
        writer.close()

    assert [writer.run_id for writer in writers] == ["r", "r-2", "r-3"]
    assert (again.run_id, again.attempt) == ("r-2", 2)
    assert [event.run_id for event in read_events(writers[2].path)] == ["r-3"]


def test_a_name_that_would_be_too_long_is_refused(tmp_path: Path) -> None:
    """The search for a free name ends where no file can have it."""
    name = "x" * 127
    lock = Lock(tmp_path / f"{name}.lock")
    with pytest.raises(RunIdError):
        open_writer(tmp_path, run_id=name, if_locked="new_run")
    lock.release()


# The stack


def test_the_defaults(tmp_path: Path) -> None:
    """Sealed at 128 MB, synced every second, nothing compressed, removed, buffered or filtered."""
    writer = open_writer(tmp_path, run_id="r")
    live = writer._segments._live
    found = (live._limit, live._sealer._policy, live._syncer and live._syncer._period, writer._buffer, writer._filters)
    writer.close()

    assert found == (128_000_000, Policy(None, None), 1.0, None, None)
    assert writer._segments._on_error == "warn"


def test_events_go_through_the_filters_into_the_buffer_to_the_disk(tmp_path: Path) -> None:
    """In this order, whatever of them there is."""
    writer = open_writer(tmp_path, run_id="r", filters=[drop("x")], buffer="2 events")
    filters, buffer = writer._filters, writer._buffer
    assert isinstance(filters, FilterWriter)
    assert isinstance(buffer, BufferWriter)
    chain = (filters._to, buffer._to)
    writer.close()

    assert chain == (buffer, writer._segments)
    assert isinstance(writer._segments, SegmentWriter)
    assert writer.write == filters.write


@pytest.mark.parametrize("options", [{"buffer": "2 events"}, {"filters": [every_n_steps(2)]}, {}], ids=str)
def test_a_part_that_was_not_asked_for_is_not_there(tmp_path: Path, options: dict[str, Any]) -> None:
    """What is outermost takes the events."""
    writer = open_writer(tmp_path, run_id="r", **options)
    outermost = writer._filters or writer._buffer or writer._segments
    writer.close()

    assert (writer._buffer is not None, writer._filters is not None) == ("buffer" in options, "filters" in options)
    assert writer.write == outermost.write
    assert writer.close == outermost.close
    assert writer.flush == outermost.flush


def test_all_options_together(tmp_path: Path) -> None:
    """Filtered, buffered, rotated, compressed and removed: what is left is what should be."""
    writer = open_writer(
        tmp_path,
        run_id="r",
        rotation="400 B",
        compression="zst",
        keep="2 segments",
        sync="4 events",
        buffer="2 events",
        filters=[every_n_steps(2)],
    )
    for step in range(20):
        writer.write(make_event(step))
    writer.flush()
    wait_for_sealing(writer)
    writer.close()

    assert segment_names(tmp_path) == ["r_events.000004.jsonl.zst", "r_events.000005.jsonl.zst", "r_events.jsonl"]
    assert [event.step for event in read_events(writer.path)] == [12, 14, 16, 18]


def test_the_counters_are_of_the_whole_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event that was given is in exactly one of them."""
    path = write_attempt(tmp_path, [make_event(0)])
    with path.open("ab") as file:
        file.write(b"torn")
    writer = open_writer(tmp_path, run_id="r", buffer="2 events", filters=[every_n_steps(2), drop("gone")])
    events = [make_event(step) for step in (2, 3, 4)]
    events += [make_event(6, metrics={"loss": 0.5, "gone": 1.0, "text": "x"}), make_event(8, wall_time=-1.0)]
    events += [make_event(10), make_event(12), make_event(14)]
    for event in events[:5]:
        writer.write(event)
    fail(monkeypatch, writer.path, full, full, full)
    for event in events[5:]:
        writer.write(event)
    found = writer.counters
    writer.close()

    assert found == Counters(
        written=3,
        held=2,
        buffered=1,
        filtered=1,
        filtered_metrics=1,
        refused=1,
        refused_metrics=1,
        torn_bytes=4,
    )
    assert writer.counters.written == 6
    assert [step for step, _ in written(path)] == [0, 2, 4, 6, 10, 12, 14]


def test_the_counters_are_a_snapshot(tmp_path: Path) -> None:
    """What was asked for earlier does not change."""
    writer = open_writer(tmp_path, run_id="r")
    before = writer.counters
    writer.write(make_event(0))
    writer.close()

    assert (before, writer.counters) == (Counters(), Counters(written=1))


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_error": "ignore"}, "on_error: expected warn, raise or a function, found 'ignore'"),
        ({"if_locked": "wait"}, "if_locked: expected raise or new_run, found 'wait'"),
        ({"compression": "bz2"}, "compression: expected gz or zst, found 'bz2'"),
        (
            {"rotation": "5 events"},
            "rotation: expected a size such as '64 MB' or a time such as '1 h', found '5 events'",
        ),
        ({"rotation": 64}, "rotation: expected a size such as '64 MB' or a time such as '1 h', found 64"),
        (
            {"keep": "20"},
            (
                "keep: expected a number of segments such as '20 segments', a size such as '64 MB' "
                "or a time such as '1 h', found '20'"
            ),
        ),
        (
            {"sync": "often"},
            (
                "sync, if not none or every: expected a time such as '1 h' or a number of events such as '100 events', "
                "found 'often'"
            ),
        ),
        (
            {"sync": None},
            (
                "sync, if not none or every: expected a time such as '1 h' or a number of events such as '100 events', "
                "found None"
            ),
        ),
        (
            {"buffer": "1 MB"},
            "buffer: expected a number of events such as '100 events' or a time such as '1 h', found '1 MB'",
        ),
    ],
    ids=str,
)
def test_an_option_that_cannot_be_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    """By both, with the same words, before anything is made."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_options(**options)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        open_writer(tmp_path / "logs", run_id="r", **options)

    assert not (tmp_path / "logs").exists()


def test_a_filter_that_is_no_function_is_refused(tmp_path: Path) -> None:
    """The name of one is easily given in its place."""
    message = "^filters: expected functions of an event, found 'keep'$"
    options: dict[str, Any] = {"filters": ["keep"]}
    with pytest.raises(TypeError, match=message):
        check_options(**options)
    with pytest.raises(TypeError, match=message):
        open_writer(tmp_path / "logs", run_id="r", **options)

    assert not (tmp_path / "logs").exists()


def test_an_option_that_does_not_exist_is_refused() -> None:
    """A misspelt option is told of when it is given, not when training has run for a day."""
    options: dict[str, Any] = {"rotate": "1 h"}
    with pytest.raises(TypeError, match="unexpected keyword argument 'rotate'"):
        check_options(**options)


def test_zstd_without_its_extra_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the log is opened, not when the first segment is sealed; gzip needs nothing."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    check_options(compression="gz")
    message = re.escape("zstandard is not installed; install it with: pip install 'rldk[zstd]'")
    with pytest.raises(MissingExtraError, match=f"^{message}$"):
        check_options(compression="zst")
    with pytest.raises(MissingExtraError, match=f"^{message}$"):
        open_writer(tmp_path / "logs", run_id="r", compression="zst")

    assert not (tmp_path / "logs").exists()


def test_options_that_can_be_are_taken() -> None:
    """One of each, and none at all."""

    def told(error: RLDKError) -> None:
        raise error

    check_options()
    check_options(
        rotation="1 h",
        compression="zst",
        keep="2 GB",
        sync="every",
        buffer="2 s",
        filters=(drop("x"),),
        on_error=told,
        if_locked="new_run",
    )


@pytest.mark.parametrize(
    ("sync", "meaning"),
    [
        ("none", None),
        ("every", Quantity("events", 1)),
        ("100 events", Quantity("events", 100)),
        ("1 s", Quantity("seconds", 1.0)),
    ],
)
def test_what_a_sync_policy_means(sync: str, meaning: Quantity | None) -> None:
    """`every` is each single event, `none` is left to the kernel."""
    found = _settings(
        rotation=None,
        compression=None,
        keep=None,
        sync=sync,
        buffer=None,
        filters=(),
        on_error="warn",
        if_locked="raise",
    )

    assert found.sync == meaning


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rank": -1}, "rank: expected an integer >= 0, found -1"),
        ({"rank": True}, "rank: expected an integer >= 0, found True"),
        ({"resumed_from": -1}, "resumed_from: expected an integer >= 0, found -1"),
        ({"resumed_from": 2.5}, "resumed_from: expected an integer >= 0, found 2.5"),
        ({"world_size": 0}, "world_size: expected an integer >= 1, found 0"),
    ],
    ids=str,
)
def test_an_argument_that_cannot_be_is_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    """What would make every line of the log invalid is refused before the log is made."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        open_writer(tmp_path / "logs", run_id="r", **arguments)

    assert not (tmp_path / "logs").exists()


def test_a_world_size_that_nobody_knows_is_not_invented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank that the launcher tells without their number: the events do not say how many there are."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("RANK", "2")
    writer = open_writer(tmp_path, run_id="r")
    writer.write(make_event(0))
    writer.close()

    assert "world_size" not in decode(writer.path.read_bytes()).model_info
