"""The files derived from a run: what is in them, and that the events are never touched."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import json
import math
import os
import re
import resource
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rldk.alerts import Engine
from rldk.io.manifest import Attempt, Manifest, read_manifest
from rldk.io.segments import run_log
from rldk.io.writer import open_writer
from rldk.report import files as report_files
from rldk.report import final as report_final
from rldk.report.files import write_files
from rldk.report.final import build_report
from tests.runs import TIMESTAMP, eval_event, files, make_event, run_python, write_attempt, write_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rldk.io.event_schema import Event

JUDGED = ("alerts", "stories", "passed", "unchecked")
"""What the final report has from the verdict."""

DERIVED = ("r_alerts.json", "r_final_report.json", "r_manifest.json", "r_metrics.csv", "r_metrics.json")


@pytest.fixture
def few_open_files() -> Iterator[None]:
    """This process may have a hundred files open."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def write_run(folder: Path) -> Path:
    """A run of two attempts: steps 1 to 4, and, resumed after step 2, steps 3 to 5 and the final log."""
    write_attempt(
        folder,
        [
            make_event(1, metrics={"loss": 2.5, "num": 3}),
            make_event(2, metrics={"loss": float("nan"), "num": None, "a,b": 0.1}),
            eval_event(2, "math", metrics={"accuracy": 0.25}),
            eval_event(2, "code", metrics={"accuracy": 1 / 3}),
            make_event(3, metrics={"loss": 99.0}),
            make_event(4, metrics={"loss": 99.0}),
            eval_event(4, "math", metrics={"accuracy": 99.0}),
        ],
    )
    return write_attempt(
        folder,
        [
            make_event(3, metrics={"loss": float("inf")}, notes=["loss_filtered: was shown as 0.0"]),
            make_event(4, metrics={"loss": float("-inf"), "num": 2**53 + 1}),
            make_event(4, metrics={"a,b": 5e-324}, wall_time=4.5),
            eval_event(4, "math", metrics={"accuracy": 0.5}),
            make_event(5, metrics={"loss": -0.0}),
            make_event(5, metrics={"train_runtime": 7.5}, model_info={"run_id": "r", "phase": "final"}),
        ],
        resumed_from=2,
    )


def content(path: Path, name: str) -> Any:
    """What a derived file of the run says."""
    return json.loads((path.parent / f"r_{name}").read_text())


# What is in the files


def test_metrics_csv_is_the_effective_history(tmp_path: Path) -> None:
    """A row for each point that counts, curve by curve; exact numbers, NaN spelled out, nothing where nothing was."""
    path = write_run(tmp_path)
    write_files(run_log(path))

    assert (tmp_path / "r_metrics.csv").read_text() == (
        'phase,eval_set,step,wall_time,timestamp,attempt,loss,num,"a,b",accuracy,train_runtime\n'
        f"train,,1,1.0,{TIMESTAMP},1,2.5,3,,,\n"
        f"train,,2,2.0,{TIMESTAMP},1,NaN,,0.1,,\n"
        f"train,,3,3.0,{TIMESTAMP},2,Infinity,,,,\n"
        f"train,,4,4.5,{TIMESTAMP},2,-Infinity,9007199254740993,5e-324,,\n"
        f"train,,5,5.0,{TIMESTAMP},2,-0.0,,,,\n"
        f"eval,math,2,2.0,{TIMESTAMP},1,,,,0.25,\n"
        f"eval,math,4,4.0,{TIMESTAMP},2,,,,0.5,\n"
        f"eval,code,2,2.0,{TIMESTAMP},1,,,,0.3333333333333333,\n"
        f"final,,5,5.0,{TIMESTAMP},2,,,,,7.5\n"
    )


def test_metrics_csv_gives_back_every_float(tmp_path: Path) -> None:
    """Reading a cell with float gives the very number that was logged."""
    values = [0.1, 1 / 3, 1e-300, 5e-324, 1.7976931348623157e308, -0.0, 123456789.12345679, math.pi]
    path = write_attempt(tmp_path, [make_event(step, metrics={"x": value}) for step, value in enumerate(values)])
    write_files(run_log(path))
    with (tmp_path / "r_metrics.csv").open(newline="") as file:
        found = [float(row["x"]) for row in csv.DictReader(file)]

    assert [value.hex() for value in found] == [value.hex() for value in values]


def test_names_of_any_kind_are_columns(tmp_path: Path) -> None:
    """Commas, quotes, newlines and letters of all scripts in a name are read back as they were."""
    names = ["a,b", 'say "x"', "two\nlines", "größe", "奖励", "=1+1", " "]
    path = write_attempt(tmp_path, [make_event(1, metrics=dict.fromkeys(names, 0.5))])
    write_files(run_log(path))
    with (tmp_path / "r_metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))

    assert rows[0][6:] == names
    assert rows[1][6:] == ["0.5"] * len(names)


def test_each_metric_has_a_column_of_its_own(tmp_path: Path) -> None:
    """Also one that is called like the column of another."""
    metrics = {"step": 0.1, "metrics.step": 0.2, "loss": 0.3}
    path = write_attempt(tmp_path, [make_event(1, metrics=metrics)])
    write_files(run_log(path))
    (row,) = csv.DictReader((tmp_path / "r_metrics.csv").read_text().splitlines())

    assert (row["step"], list(row.items())[6:]) == (
        "1",
        [("metrics.step", "0.1"), ("metrics.metrics.step", "0.2"), ("loss", "0.3")],
    )


@pytest.mark.usefixtures("few_open_files")
def test_there_may_be_more_curves_than_open_files(tmp_path: Path) -> None:
    """An evaluation set for each step, as somebody may name them; a long curve is written whole beside them."""
    long = [make_event(step, metrics={"loss": step + 1 / 3}) for step in range(2000)]
    path = write_attempt(tmp_path, [*long, *(eval_event(2000, f"set{number}") for number in range(200))])
    write_files(run_log(path))
    rows = list(csv.DictReader((tmp_path / "r_metrics.csv").read_text().splitlines()))

    assert [float(row["loss"]) for row in rows[:2000]] == [step + 1 / 3 for step in range(2000)]
    assert [row["eval_set"] for row in rows[2000:]] == [f"set{number}" for number in range(200)]


def test_metrics_json_has_the_aggregates_of_each_curve(tmp_path: Path) -> None:
    """Count, nonfinite, null, first, last, min, max, mean and std for each metric of each phase and set."""
    path = write_run(tmp_path)
    write_files(run_log(path))

    def one(value: float) -> dict[str, Any]:
        numbers = dict.fromkeys(("first", "last", "min", "max", "mean"), value)
        return {"count": 1, "nonfinite": 0, "null": 0, **numbers, "std": None}

    def curve(phase: str, eval_set: str | None, span: tuple[int, int, int], **metrics: Any) -> dict[str, Any]:
        points, first, last = span
        place = {"phase": phase, "eval_set": eval_set, "points": points, "first_step": first, "last_step": last}
        return {**place, "metrics": metrics}

    loss = one(2.5) | {"count": 2, "nonfinite": 3, "last": -0.0, "min": -0.0, "mean": 1.25, "std": 1.7677669529663689}
    num = one(3) | {"count": 2, "null": 1, "last": 2**53 + 1, "max": 2**53 + 1, "mean": 2.0**52 + 2, "std": 2.0**52.5}
    num["std"] = pytest.approx(num["std"], rel=1e-12)
    accuracy = one(0.25) | {
        "count": 2,
        "last": 0.5,
        "max": 0.5,
        "mean": 0.375,
        "std": pytest.approx(0.17677669529663687),
    }
    rare = one(0.1) | {
        "count": 2,
        "last": 5e-324,
        "min": 5e-324,
        "mean": 0.05,
        "std": pytest.approx(0.07071067811865475),
    }
    assert content(path, "metrics.json") == {
        "schema": 1,
        "run_id": "r",
        "curves": [
            curve("train", None, (5, 1, 5), loss=loss, num=num, **{"a,b": rare}),
            curve("eval", "math", (2, 2, 4), accuracy=accuracy),
            curve("eval", "code", (1, 2, 2), accuracy=one(1 / 3)),
            curve("final", None, (1, 5, 5), train_runtime=one(7.5)),
        ],
    }


def test_alerts_json_says_what_was_checked_and_found(tmp_path: Path) -> None:
    """Each alert with all that is known of it; the rules that could judge, those that found nothing too."""
    path = write_run(tmp_path)
    report = write_files(run_log(path))
    found = content(path, "alerts.json")

    assert list(found) == ["schema", "checked", "alerts"]
    assert found["alerts"] == json.loads(msgspec.json.encode(report.verdict.alerts))
    assert [(each["rule"], each["severity"], each["first_step"]) for each in found["alerts"]] == [
        ("non_finite", "critical", 2),
        ("rewound", "info", 3),
    ]
    assert found["checked"] == sorted({*(each.rule for each in report.verdict.passed), "non_finite", "rewound"})


def test_a_verdict_that_is_known_is_not_made_again(tmp_path: Path) -> None:
    """What was found while the run was recorded stands: the log may have been thinned since."""
    path = write_run(tmp_path)
    known = Engine().finish()
    report = write_files(run_log(path), verdict=known)

    assert report.verdict is known
    assert content(path, "alerts.json")["alerts"] == []


def test_final_report_json_says_what_became_of_the_run(tmp_path: Path) -> None:
    """Outcome, steps, attempts, duration, counters, health and what must be known before the numbers are believed."""
    path = write_run(tmp_path)
    report = write_files(run_log(path))
    found = content(path, "final_report.json")
    created = found.pop("created")
    attempts = found.pop("attempts")

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", created)
    assert created == report.final.created
    assert [(each["attempt"], each["resumed_from"], each["events"]) for each in attempts] == [(1, None, 7), (2, 2, 6)]
    assert [(each["first_step"], each["last_step"]) for each in attempts] == [(1, 4), (3, 5)]
    assert found == {
        "run_id": "r",
        "outcome": "unknown",
        "outcome_detail": "no manifest says how it ended",
        "steps": [1, 5],
        "duration_seconds": 5.0,
        "seams": [
            {
                "attempt": 2,
                "resumed_from": 2,
                "last_step": 4,
                "first_step": 3,
                "jumps": {"loss": [None, None]},
                "gap_seconds": None,
            }
        ],
        "counters": {"events": 10, "dropped": 0, "replaced": 3},
        "health": "bad",
        "verdict": report.verdict.sentence,
        **{name: json.loads(msgspec.json.encode(getattr(report.verdict, name))) for name in JUDGED},
        "metrics": content(path, "metrics.json")["curves"],
        "data_quality": {
            "nonfinite": {"loss": 3},
            "null": {"num": 1},
            "duplicates": 1,
            "replaced": 3,
            "notes": {"loss_filtered": 1},
            "unknown": report.verdict.unknown,
            "problems": [],
        },
        "schema": 1,
    }
    assert list(report.verdict.unknown) == ["num", "a,b"]


def test_the_manifest_says_what_was_counted(tmp_path: Path) -> None:
    """Events, bytes, steps and the sha256 of the log; a flipped bit can be told."""
    path = write_run(tmp_path)
    write_files(run_log(path))
    (segment,) = content(path, "manifest.json")["segments"]

    assert segment == {
        "file": "r_events.jsonl",
        "sealed": False,
        "events": 13,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "first_attempt": 1,
        "last_attempt": 2,
        "first_seq": 0,
        "last_seq": 5,
        "first_step": 1,
        "last_step": 5,
        "stored_bytes": path.stat().st_size,
        "stored_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def test_what_the_manifest_knew_is_kept(tmp_path: Path) -> None:
    """Provenance that only the writer knew survives when the derived files are built anew."""
    path = write_run(tmp_path)
    known = Manifest(
        run_id="r",
        framework="trl",
        algorithm="grpo",
        trainer_output_dir="/out",
        attempts=[Attempt(attempt=2, started=TIMESTAMP, outcome="completed", git={"sha": "abc", "dirty": True})],
    )
    write_manifest(run_log(path), known)
    report = write_files(run_log(path))
    found = read_manifest(run_log(path))

    assert found.segments != []
    assert report.manifest == found
    found.segments = []
    assert found == known


def test_a_rank_has_files_of_its_own(tmp_path: Path) -> None:
    """What is derived from the log of a rank carries its number."""
    writer = open_writer(tmp_path, run_id="r", rank=3, world_size=4)
    writer.write(make_event(1))
    writer.close()
    write_files(run_log(writer.path))

    assert sorted(files(tmp_path)) == [
        "r_alerts.rank3.json",
        "r_events.rank3.jsonl",
        "r_final_report.rank3.json",
        "r_manifest.rank3.json",
        "r_metrics.rank3.csv",
        "r_metrics.rank3.json",
    ]


def test_a_log_without_events_has_derived_files_too(tmp_path: Path) -> None:
    """An attempt that never logged is a report of nothing, not an error."""
    path = write_attempt(tmp_path, [])
    report = write_files(run_log(path))

    assert (tmp_path / "r_metrics.csv").read_text() == "phase,eval_set,step,wall_time,timestamp,attempt\n"
    assert content(path, "metrics.json") == {"schema": 1, "run_id": "r", "curves": []}
    assert (report.final.steps, report.final.counters["events"], report.final.health) == (None, 0, "unknown")


# What is not touched


def test_the_events_are_never_touched(tmp_path: Path) -> None:
    """Bytes and times of the log are as they were, also when it is damaged."""
    path = write_run(tmp_path)
    with path.open("ab") as file:
        file.write(b'garbage\n{"torn')
    os.utime(path, ns=(10**18, 10**18))
    before = path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino
    write_files(run_log(path))

    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) == before


def test_building_again_changes_nothing(tmp_path: Path) -> None:
    """The same events give the same files, but for the moment of the report; nothing else is left in the folder."""
    path = write_run(tmp_path)
    found = []
    for _ in range(2):
        write_files(run_log(path))
        found.append(files(tmp_path))
    reports = [json.loads(each.pop("r_final_report.json")) for each in found]

    assert found[0] == found[1]
    assert [report.pop("created") < timestamp_in(60) for report in reports] == [True, True]
    assert reports[0] == reports[1]
    assert sorted(files(tmp_path)) == sorted([*DERIVED, "r_events.jsonl"])


def timestamp_in(seconds: float) -> str:
    """A moment that is yet to come."""
    from rldk.io.clock import timestamp

    return timestamp(time.time() + seconds)


def test_only_asking_writes_nothing(tmp_path: Path) -> None:
    """build_report reads."""
    path = write_run(tmp_path)
    report = build_report(run_log(path))

    assert report.final.steps == (1, 5)
    assert sorted(files(tmp_path)) == ["r_events.jsonl"]


LIMITED = """
import resource, sys
from pathlib import Path
from rldk.io.segments import run_log
from rldk.report.files import write_files
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    write_files(run_log(Path(sys.argv[1])))
except OSError as error:
    print(error.strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


@pytest.mark.parametrize("size", [10, 300, 2000])
def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, size: int) -> None:
    """Each derived file is the old one whole or the new one whole, wherever the disk became full."""
    path = write_run(tmp_path)
    write_files(run_log(path))
    old = files(tmp_path)
    write_attempt(tmp_path, [make_event(step) for step in range(6, 30)], resumed_from=5)
    done = run_python("-c", LIMITED, path, str(size))
    found = files(tmp_path)

    assert (done.stdout, done.stderr) == ("File too large\n", "")
    assert sorted(found) == sorted(old)
    write_files(run_log(path))
    new = files(tmp_path)
    for name in found.keys() - {"r_final_report.json"}:
        assert found[name] in {old[name], new[name]}
    assert json.loads(found["r_final_report.json"])["steps"] in [[1, 5], [1, 29]]


def test_files_are_as_readable_as_others(tmp_path: Path) -> None:
    """A derived file has the permissions any new file would get, not those of a temporary one."""
    path = write_run(tmp_path)
    before = os.umask(0o027)
    try:
        write_files(run_log(path))
    finally:
        os.umask(before)

    assert {(tmp_path / name).stat().st_mode & 0o777 for name in DERIVED} == {0o640}


# How a run ended


def end(path: Path, *attempts: Attempt) -> tuple[str, str]:
    """What the report says of the end of a run whose manifest has these attempts."""
    write_manifest(run_log(path), Manifest(run_id="r", attempts=list(attempts)))
    final = build_report(run_log(path)).final
    return final.outcome, final.outcome_detail


def attempt(number: int, **facts: Any) -> Attempt:
    """What a manifest says of an attempt."""
    return Attempt(attempt=number, started=TIMESTAMP, **facts)


@pytest.mark.parametrize("outcome", ["completed", "interrupted", "crashed"])
def test_the_manifest_says_how_the_last_attempt_ended(tmp_path: Path, outcome: Any) -> None:
    """Of several attempts the last one's outcome is the run's."""
    path = write_run(tmp_path)
    ended = end(
        path, attempt(1, outcome="crashed", outcome_detail="no"), attempt(2, outcome=outcome, outcome_detail="yes")
    )

    assert ended == (outcome, "yes")


def test_a_process_that_ended_without_a_word_crashed(tmp_path: Path) -> None:
    """An attempt with a beginning and no end, whose lock nobody holds, was killed."""
    path = write_run(tmp_path)

    assert end(path, attempt(1, outcome="completed"), attempt(2)) == ("crashed", "its process ended without a word")


def test_a_run_whose_lock_is_held_is_running(tmp_path: Path) -> None:
    """While a writer is at work the run has not ended; a stale lock file says nothing."""
    path = write_run(tmp_path)
    writer = open_writer(tmp_path, run_id="r")
    during = end(path, attempt(1), attempt(2), attempt(3))
    writer.close()
    (tmp_path / "r.lock").touch()
    after = end(path, attempt(1), attempt(2), attempt(3))

    assert during == ("running", "a process is writing the log")
    assert after[0] == "crashed"


def test_without_a_manifest_nobody_knows(tmp_path: Path) -> None:
    """A log alone does not say whether its end was the end of the training; nor does what cannot be read."""
    path = write_run(tmp_path)
    without = build_report(run_log(path)).final.outcome
    (tmp_path / "r_manifest.json").write_text('{"run_id": 7}')
    unreadable = build_report(run_log(path)).final.outcome

    assert (without, unreadable) == ("unknown", "unknown")


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\xff\xfe", b'{"run_id":"a\xff"}', b"[" * 10_000, b'{"run_id":"r","rank":"x"}']
)
def test_a_damaged_manifest_is_begun_anew(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is in it, it costs provenance and a warning, not the report."""
    path = write_run(tmp_path)
    (tmp_path / "r_manifest.json").write_bytes(damage)
    report = write_files(run_log(path))

    assert report.final.outcome == "unknown"
    assert read_manifest(run_log(path)).segments == report.manifest.segments
    assert (tmp_path / "r_manifest.json.damaged").read_bytes() == damage
    assert caplog.messages[0].startswith(f"{tmp_path}/r_manifest.json: the manifest cannot be read: ")
    assert caplog.messages[1].startswith(f"{tmp_path}/r_manifest.json.damaged: ")


def test_an_attempt_that_came_to_no_event_counts_as_the_last(tmp_path: Path) -> None:
    """A run that completed, and was started again and killed before its first event, was killed."""
    path = write_run(tmp_path)
    ended = end(path, attempt(1, outcome="completed"), attempt(2, outcome="completed"), attempt(3))

    assert ended == ("crashed", "its process ended without a word")


def test_of_two_starts_of_one_attempt_the_later_counts(tmp_path: Path) -> None:
    """An attempt that ended before its first event leaves its number to the next, whose end it is."""
    path = write_run(tmp_path)
    ended = end(path, attempt(1), attempt(2, outcome="crashed"), attempt(2, outcome="completed"))

    assert ended == ("completed", "")


# What is missing or damaged


def test_a_damaged_log_is_reported_not_refused(tmp_path: Path) -> None:
    """Lines that cannot be read are listed with line, byte and reason; all others count."""
    path = write_attempt(tmp_path, [make_event(step) for step in range(1, 5)])
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = b"garbage\n"
    path.write_bytes(b"".join(lines)[:-10])
    report = write_files(run_log(path))
    problems = content(path, "final_report.json")["data_quality"]["problems"]

    assert [(each["kind"], each["line"], each["byte"]) for each in problems] == [
        ("bad_json", 2, len(lines[0])),
        ("torn_tail", 4, len(lines[0]) + 8 + len(lines[2])),
    ]
    assert report.final.health == "attention"
    assert report.final.counters["events"] == 2
    assert [row.split(",")[2] for row in (tmp_path / "r_metrics.csv").read_text().splitlines()] == ["step", "1", "3"]


def test_a_torn_tail_is_a_finding(tmp_path: Path) -> None:
    """A killed process may leave half a line; what comes before it is judged."""
    path = write_attempt(tmp_path, [make_event(1)])
    with path.open("ab") as file:
        file.write(b'{"step":2')
    final = build_report(run_log(path)).final

    assert (final.health, [problem.kind for problem in final.data_quality.problems]) == ("attention", ["torn_tail"])
    assert [alert.rule for alert in final.alerts] == ["torn_record"]


def test_events_that_could_not_be_written_are_told_of(tmp_path: Path) -> None:
    """What the notes say is counted; a run with missing events needs attention."""
    path = write_attempt(tmp_path, [make_event(1), make_event(2, notes=["events_dropped: 17, seq 120-136"])])
    final = build_report(run_log(path)).final

    assert (final.counters["dropped"], final.health) == (17, "attention")


def test_events_that_were_dropped_last_are_told_of_too(tmp_path: Path) -> None:
    """No event came after them to carry a note, but the writer's counters in the manifest know."""
    path = write_attempt(tmp_path, [make_event(1, notes=["events_dropped: 2, seq 0-1"])])
    write_manifest(
        run_log(path), Manifest(run_id="r", attempts=[attempt(1, counters={"dropped": 7}), attempt(2, counters={})])
    )
    final = build_report(run_log(path)).final

    assert (final.counters["dropped"], final.health) == (7, "attention")


def test_a_folder_that_cannot_be_written_to_leaves_the_report_to_be_read(tmp_path: Path) -> None:
    """A derived file in whose place a folder stands is an error; the log and the others are not harmed."""
    path = write_run(tmp_path)
    (tmp_path / "r_metrics.csv").mkdir()
    with pytest.raises(IsADirectoryError):
        write_files(run_log(path))

    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["r_events.jsonl", "r_metrics.csv"]


# Time, and logs that grow


def test_the_deadline_is_kept(tmp_path: Path) -> None:
    """When time is up the build gives up, says so, and leaves the old files."""
    path = write_run(tmp_path)
    write_files(run_log(path))
    before = files(tmp_path)
    with pytest.raises(TimeoutError) as caught:
        write_files(run_log(path), deadline=time.monotonic() - 1)

    assert str(caught.value) == f"{path}: building the derived files took too long"
    assert files(tmp_path) == before


def test_the_deadline_is_looked_at_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long log is given up soon after the deadline, not when it has been read."""
    event = make_event(1)
    path = write_attempt(tmp_path, (event for _ in range(10_000)))
    looks = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(looks)))
    with pytest.raises(TimeoutError):
        build_report(run_log(path), deadline=2.5)

    assert next(looks) == 4


def test_a_log_that_grows_meanwhile_is_reported_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events written between the passes over a live log count in none of them, so that all numbers agree."""
    writer = open_writer(tmp_path, run_id="r")
    writer.write(make_event(1))
    cuts = report_final.cuts

    def cuts_while_writing(events: Iterable[Event]) -> dict[int, int]:
        found = cuts(events)
        for step in range(2, 5):
            writer.write(make_event(step))
        return found

    monkeypatch.setattr(report_final, "cuts", cuts_while_writing)
    report = write_files(run_log(writer.path))
    writer.close()

    assert report.final.counters == {"events": 1, "dropped": 0, "replaced": 0}
    assert (report.final.outcome, report.final.steps) == ("running", (1, 1))
    assert (tmp_path / "r_metrics.csv").read_text().count("\n") == 2


def test_what_a_writer_puts_into_the_manifest_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report built while training ends does not bring back the manifest of before."""
    path = write_run(tmp_path)
    write_manifest(run_log(path), Manifest(run_id="r", attempts=[attempt(2)]))
    describe = report_files.describe

    def describe_while_training_ends(*arguments: Any, **options: Any) -> Any:
        write_manifest(run_log(path), Manifest(run_id="r", attempts=[attempt(2, outcome="completed")]))
        return describe(*arguments, **options)

    monkeypatch.setattr(report_files, "describe", describe_while_training_ends)
    report = write_files(run_log(path))

    assert [each.outcome for each in read_manifest(run_log(path)).attempts] == ["completed"]
    assert report.manifest == read_manifest(run_log(path))


def test_reading_takes_no_lock(tmp_path: Path) -> None:
    """A report of a run whose log another process has locked is built without waiting."""
    path = write_run(tmp_path)
    with (tmp_path / "r.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        report = build_report(run_log(path))

    assert report.final.outcome == "running"


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Building the files of a log twenty times as long takes hardly more memory."""

    def peak(count: int) -> int:
        folder = tmp_path / str(count)
        event = make_event(1, metrics={f"metric_{index}": index / 7 for index in range(10)})
        path = write_attempt(folder, (event for _ in range(count)))
        code = (
            "import resource, sys; from pathlib import Path; from rldk.io.segments import run_log; "
            "from rldk.report.files import write_files; write_files(run_log(Path(sys.argv[1]))); "
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        return int(run_python("-c", code, path).stdout)

    assert peak(40_000) - peak(2_000) < 4_000
