"""The names of a run's files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rldk.errors import RunIdError, RunNotFoundError
from rldk.io.segments import (
    COMPRESSIONS,
    Compression,
    Log,
    Sealed,
    check_run_id,
    derived_path,
    find_logs,
    has_segments,
    is_log,
    lock_path,
    log_path,
    new_run_id,
    run_log,
    sealed_numbers,
    sealed_path,
    sealed_segments,
    segment_number,
    segments,
    whole_log,
)

HERE = Path("logs")


@pytest.mark.parametrize(
    "run_id", ["a", "7", "grpo-20260131T235959-1f3a", "A.b_c-d", "x" * 128, "console", "com", "nul1"]
)
def test_a_run_id_that_any_system_can_hold_is_taken(run_id: str) -> None:
    """Letters, digits, dot, underscore and hyphen make a file name everywhere."""
    assert check_run_id(run_id) == run_id


@pytest.mark.parametrize(
    "run_id",
    [
        "",
        "x" * 129,
        ".hidden",
        "-option",
        "_x",
        "a/b",
        "..",
        "../up",
        "a\\b",
        "a b",
        "a:b",
        "a\n",
        "é",
        "٣",
        "a\0b",
        "con",
        "CON",
        "NUL.txt",
        "aux.log.gz",
        "Com1",
        "lpt9.x",
    ],
)
def test_a_run_id_that_could_not_be_a_file_name_is_refused(run_id: str) -> None:
    """No path, no hidden file, no option of a command and no Windows device can be named by it."""
    with pytest.raises(RunIdError) as caught:
        check_run_id(run_id)

    assert caught.value.run_id == run_id
    assert str(caught.value) == (
        f"run_id {run_id!r}: expected 1 to 128 characters from A-Z a-z 0-9 . _ -, "
        "the first a letter or a digit, and no Windows device name such as con or nul"
    )


def test_a_new_run_id_says_what_ran_and_when() -> None:
    """Algorithm, UTC second and four hexadecimal digits that keep two runs of one second apart."""
    one, other = new_run_id("grpo"), new_run_id("grpo")

    assert re.fullmatch(r"grpo-\d{8}T\d{6}-[0-9a-f]{4}", one)
    assert one != other


def test_a_new_run_id_of_a_name_that_is_none_is_refused() -> None:
    """What stands before the time must be fit for a file name, too."""
    with pytest.raises(RunIdError):
        new_run_id("../grpo")


def test_the_files_of_a_run_are_named_after_it() -> None:
    """Rank 0 is not named, every other rank is; a derived file stands beside its log."""
    main, third = Log(log_path(HERE, "r1"), "r1", 0), Log(log_path(HERE, "r1", 3), "r1", 3)

    assert main.path == HERE / "r1_events.jsonl"
    assert third.path == HERE / "r1_events.rank3.jsonl"
    assert lock_path(HERE, "r1") == HERE / "r1.lock"
    assert lock_path(HERE, "r1", 3) == HERE / "r1.rank3.lock"
    assert derived_path(main, "manifest.json") == HERE / "r1_manifest.json"
    assert derived_path(third, "manifest.json") == HERE / "r1_manifest.rank3.json"
    assert derived_path(main, "metrics.csv") == HERE / "r1_metrics.csv"


@pytest.mark.parametrize(
    ("name", "log"),
    [
        ("r1_events.jsonl", ("r1", 0)),
        ("r1_events.rank12.jsonl", ("r1", 12)),
        ("a_events_events.jsonl", ("a_events", 0)),
        ("a.b_events.jsonl", ("a.b", 0)),
        ("events.jsonl", None),
        ("_events.jsonl", None),
        ("r1_events.json", None),
        ("r1_events.jsonl.gz", None),
        ("r1_events.rank.jsonl", None),
        ("r1_events.rankx.jsonl", None),
        ("r1_events.000001.jsonl", ("r1", 0)),
        ("r1_events.rank3.000012.jsonl.zst", ("r1", 3)),
        ("r1_events.000001.jsonl.xz", None),
        ("r1_events.00001.jsonl", None),
        ("r1_events.000000.jsonl", None),
        (".rldk-r1_events.000001.jsonl.zst", None),
        ("._r1_events.jsonl", None),
        ("r1_events.0000001.jsonl", None),
        ("r1_events.1234567.jsonl.gz", ("r1", 0)),
        ("r1_events.rank0.jsonl", None),
        ("r1_events.000001.rank3.jsonl", None),
        ("r1_events.jsonl.2.torn", None),
        ("r1_manifest.json", None),
    ],
)
def test_a_log_is_known_by_its_name(tmp_path: Path, name: str, log: tuple[str, int] | None) -> None:
    """Run and rank are read off the name, of a sealed segment too; other files of a run are no logs."""
    path = tmp_path / name
    path.touch()

    assert is_log(path) is (log is not None)
    assert find_logs(tmp_path) == ([Log(log_path(tmp_path, *log), *log)] if log else [])


def test_the_name_of_a_log_leads_back_to_it(tmp_path: Path) -> None:
    """What is written under a run id and a rank is found under them."""
    for run_id, rank in (("r1", 0), ("r1", 3), ("a_events", 0), ("a.rank2", 1)):
        path = log_path(tmp_path, run_id, rank)
        path.touch()

        assert run_log(path) == Log(path, run_id, rank)


@pytest.mark.parametrize("rank", [0, 3])
@pytest.mark.parametrize("number", [1, 999_999, 1_000_000])
@pytest.mark.parametrize("compression", [None, *COMPRESSIONS])
def test_the_name_of_a_sealed_segment_leads_back_to_it(
    tmp_path: Path, rank: int, number: int, compression: Compression | None
) -> None:
    """Its path stands for itself alone, and its log is found by it."""
    log = Log(log_path(tmp_path, "r1", rank), "r1", rank)
    path = sealed_path(log, number, compression)
    path.touch()
    alone = run_log(path)

    assert path.name == (
        f"r1_events{'.rank3' if rank else ''}.{number:06}.jsonl{'.' + compression if compression else ''}"
    )
    assert alone == Log(path, "r1", rank)
    assert (has_segments(alone), segments(alone)) == (False, [path])
    assert (whole_log(alone), segment_number(path.name)) == (log, number)
    assert sealed_segments(log) == [Sealed(path, number, compression)]
    assert run_log(log.path) == log


def test_the_segments_of_a_log_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """Those of other ranks and runs are not among them; the live file is the last, when there is one."""
    log = Log(log_path(tmp_path, "r1"), "r1", 0)
    names = [f"r1_events.{number}.jsonl" for number in ("000002", "000010", "999999", "1000000")]
    for name in (*reversed(names), "r1_events.rank1.000003.jsonl", "r1_events_events.000004.jsonl", "r2_events.jsonl"):
        (tmp_path / name).touch()
    sealed = [tmp_path / name for name in names]

    assert segments(log) == sealed
    log.path.touch()
    assert segments(log) == [*sealed, log.path]
    assert [each.number for each in sealed_segments(log)] == sealed_numbers(log) == [2, 10, 999_999, 1_000_000]
    assert sealed_numbers(run_log(sealed[0])) == []
    assert [segment_number(path.name) for path in segments(log)] == [2, 10, 999_999, 1_000_000, None]


def test_of_a_segment_that_is_there_twice_the_plain_file_counts(tmp_path: Path) -> None:
    """Between compressing it and removing it, a crash can leave both."""
    log = Log(log_path(tmp_path, "r1"), "r1", 0)
    for compression in ("zst", None, "gz"):
        sealed_path(log, 1, compression).touch()  # type: ignore[arg-type]

    assert sealed_segments(log) == [Sealed(sealed_path(log, 1), 1, None)]


def test_a_log_in_no_folder_has_no_segments(tmp_path: Path) -> None:
    """It has not been begun."""
    log = Log(log_path(tmp_path / "absent", "r1"), "r1", 0)

    assert (segments(log), sealed_segments(log)) == ([], [])


def test_a_file_of_another_name_is_its_own_log(tmp_path: Path) -> None:
    """It has no sealed segments, whatever stands beside it."""
    log = Log(tmp_path / "train.jsonl", "train", 0)
    log.path.touch()
    (tmp_path / "train_events.000001.jsonl").touch()

    assert (whole_log(log), has_segments(log), segments(log)) == (log, False, [log.path])


def test_logs_are_ordered_by_run_and_rank(tmp_path: Path) -> None:
    """Ranks are numbers: 10 comes after 2. A log of several files is one log."""
    for name in (
        "b_events.jsonl",
        "a_events.rank10.jsonl",
        "a_events.rank2.jsonl",
        "a_events.rank2.000001.jsonl",
        "a_events.000001.jsonl.gz",
        "a_events.000002.jsonl",
        "notes.txt",
    ):
        (tmp_path / name).touch()

    assert [(log.run_id, log.rank) for log in find_logs(tmp_path)] == [("a", 0), ("a", 2), ("a", 10), ("b", 0)]


def test_a_file_of_another_name_stands_for_itself(tmp_path: Path) -> None:
    """Its stem is the run id, as for the logs of other tools."""
    path = tmp_path / "trainer_log.jsonl"
    path.touch()

    assert run_log(path) == Log(path, "trainer_log", 0)


def test_a_folder_stands_for_its_only_run(tmp_path: Path) -> None:
    """Of its ranks the lowest is meant; with no run, or two, nobody guesses."""
    with pytest.raises(RunNotFoundError) as none:
        run_log(tmp_path)
    for rank in (4, 2):
        log_path(tmp_path, "r1", rank).touch()
    one = run_log(tmp_path)
    log_path(tmp_path, "r2").touch()
    with pytest.raises(RunNotFoundError) as two:
        run_log(tmp_path)

    assert one == Log(tmp_path / "r1_events.rank2.jsonl", "r1", 2)
    assert (none.value.found, two.value.found) == ([], ["r1", "r2"])


def test_nothing_at_a_path_is_an_error(tmp_path: Path) -> None:
    """The path itself is named."""
    with pytest.raises(FileNotFoundError) as caught:
        run_log(tmp_path / "r1_events.jsonl")

    assert caught.value.filename == str(tmp_path / "r1_events.jsonl")
