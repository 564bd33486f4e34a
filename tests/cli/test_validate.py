"""`rldk validate`, run as a person runs it, and `python -m rldk.io.validator`, which is the same."""

from __future__ import annotations

import gzip
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from rldk.cli import rldk, validate
from rldk.ingest import executors
from rldk.io.codec import encode
from rldk.io.compression import compress
from rldk.io.segments import run_log, sealed_path
from rldk.io.validator import Report, validate_jsonl_file
from rldk.io.writer import open_writer
from tests.runs import clean_environment, make_event, run_python, write_attempt

if TYPE_CHECKING:
    from rldk.io.opened import Opened

FOREIGN = '{"step":1,"loss":0.5}\n{"step":0,"loss":0.25}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a valid run in logs, an event that goes back in bad.jsonl, and a foreign log in foreign.jsonl."""
    write_attempt(tmp_path / "logs", [make_event(step) for step in range(3)])
    events = [make_event(1, seq=0), make_event(0, seq=1, wall_time=1.0)]
    (tmp_path / "bad.jsonl").write_bytes(b"".join(map(encode, events)))
    (tmp_path / "foreign.jsonl").write_text(FOREIGN)
    (tmp_path / "empty").mkdir()
    return tmp_path


BAD = (
    "bad.jsonl:2:180: $.step: expected step >= 1, found 0 [step_back]\n"
    "      1  step_back: `step` goes back within one attempt, rank, phase and evaluation set\n"
    "bad.jsonl: 1 problem in 2 lines\n"
)
CASES = [
    (["logs"], 0, "logs/r_events.jsonl: valid, 3 lines\n"),
    (["--strict", "logs"], 0, "logs/r_events.jsonl: valid, 3 lines\n"),
    (["--strict", "logs/r_events.jsonl"], 0, "logs/r_events.jsonl: valid, 3 lines\n"),
    (["bad.jsonl"], 0, "bad.jsonl: valid, 2 lines\n"),
    (["--strict", "bad.jsonl"], 1, BAD),
    (["--check-consistency", "bad.jsonl"], 1, BAD),
    (["logs", "bad.jsonl", "--strict"], 1, "logs/r_events.jsonl: valid, 3 lines\n" + BAD),
    (["bad.jsonl", "logs", "--strict"], 1, BAD + "logs/r_events.jsonl: valid, 3 lines\n"),
    (["foreign.jsonl"], 0, "foreign.jsonl: valid, 2 lines\n"),
    (["foreign.jsonl", "--require", "loss"], 0, "foreign.jsonl: valid, 2 lines\n"),
    (
        ["foreign.jsonl", "--require", "loss", "--require", "kl"],
        1,
        (
            "foreign.jsonl:1:0: $.kl: expected the required field, found nothing [missing_field]\n"
            "foreign.jsonl:2:22: $.kl: expected the required field, found nothing [missing_field]\n"
            "      2  missing_field: a required field is absent\n"
            "foreign.jsonl: 2 problems in 2 lines\n"
        ),
    ),
    (
        ["foreign.jsonl", "--require", "kl", "--max-errors", "1"],
        1,
        (
            "foreign.jsonl:1:0: $.kl: expected the required field, found nothing [missing_field]\n"
            "      1  missing_field: a required field is absent\n"
            "foreign.jsonl: 1 problem in 1 line; stopped there, --max-errors 0 finds all\n"
        ),
    ),
]


@pytest.mark.parametrize(("arguments", "code", "output"), CASES)
def test_what_is_printed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, output: str
) -> None:
    """Each problem with file, line and byte, the field, expected and found; then how many; exit 0 or 1."""
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(rldk, ["validate", *arguments])

    assert (done.output, done.exit_code) == (output, code)


@pytest.mark.parametrize("jobs", ["1", "2", "5"])
@pytest.mark.parametrize("arguments", [case[0] for case in CASES])
def test_what_is_printed_is_the_same_for_any_number_of_processes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], jobs: str
) -> None:
    """Valid files, invalid ones, and both, each file named twice."""
    monkeypatch.chdir(folder)
    paths = [argument for argument in arguments if argument in {"logs", "bad.jsonl", "foreign.jsonl"}]
    expected = CliRunner().invoke(rldk, ["validate", *arguments, *paths])
    done = CliRunner().invoke(rldk, ["validate", *arguments, *paths, "--jobs", jobs])

    assert (done.output, done.exit_code) == (expected.output, expected.exit_code)


def test_a_large_file_is_checked_in_several_processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being told to; the serial check is not asked then. With one process it is."""
    events = [make_event(step, seq=step) for step in range(2000)]
    monkeypatch.chdir(folder)
    (folder / "large_events.jsonl").write_bytes(b"".join(map(encode, events)))
    monkeypatch.setattr(executors, "_LARGE", 100_000)
    monkeypatch.setattr(executors, "_SHARE", 50_000)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    asked: list[Path] = []

    def validate_opened(segment: Opened, **_: Any) -> Report:
        asked.append(segment.path)
        return Report(str(segment.path), strict=True)

    monkeypatch.setattr(validate, "validate_opened", validate_opened)
    printed = [
        CliRunner().invoke(rldk, ["validate", "--strict", "large_events.jsonl", *jobs]).output
        for jobs in ([], ["--jobs", "1"])
    ]

    assert printed == ["large_events.jsonl: valid, 2,000 lines\n", "large_events.jsonl: valid, 0 lines\n"]
    assert asked == [Path("large_events.jsonl")]


@pytest.mark.parametrize("jobs", ["0", "-1", "x"])
def test_the_number_of_processes_is_a_number(folder: Path, jobs: str) -> None:
    """At least one; anything else is a usage error."""
    done = CliRunner().invoke(rldk, ["validate", str(folder / "bad.jsonl"), "--jobs", jobs])

    assert done.exit_code == 2


def test_of_a_folder_every_segment_of_every_log_is_checked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order, the compressed ones too; the path of a live file is that file alone."""
    monkeypatch.chdir(folder)
    live = folder / "logs" / "r_events.jsonl"
    log = run_log(live)
    lines = live.read_bytes()
    for number in (2, 1):
        sealed_path(log, number).write_bytes(lines)
    compress(sealed_path(log, 1), "zst")
    (folder / "logs" / "r_events.rank1.jsonl").write_bytes(lines)
    names = ("r_events.000001.jsonl.zst", "r_events.000002.jsonl", "r_events.jsonl", "r_events.rank1.jsonl")
    done = CliRunner().invoke(rldk, ["validate", "--strict", "logs"])
    alone = CliRunner().invoke(rldk, ["validate", "--strict", "logs/r_events.jsonl"])

    assert (done.output, done.exit_code) == ("".join(f"logs/{name}: valid, 3 lines\n" for name in names), 0)
    assert alone.output == "logs/r_events.jsonl: valid, 3 lines\n"


def test_a_damaged_compressed_segment_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line that could not be completed, and the byte of what is in the file."""
    monkeypatch.chdir(folder)
    path = folder / "logs" / "r_events.000001.jsonl.gz"
    path.write_bytes(gzip.compress((folder / "logs" / "r_events.jsonl").read_bytes())[:-5])
    size = (folder / "logs" / "r_events.jsonl").stat().st_size
    done = CliRunner().invoke(rldk, ["validate", "--strict", f"logs/{path.name}"])

    assert done.exit_code == 1
    assert done.output == (
        f"logs/{path.name}:4:{size}: expected whole gzip data, found the end of the file in the middle of it, "
        f"at byte {path.stat().st_size} [bad_compression]\n"
        "      1  bad_compression: the compressed file is damaged or cut short; what comes before can be read\n"
        f"logs/{path.name}: 1 problem in 4 lines\n"
    )


@pytest.mark.parametrize("arguments", [CASES[1][0], CASES[4][0]], ids=["valid", "invalid"])
@pytest.mark.parametrize("command", [["rldk", "validate"], ["rldk.io.validator"]], ids=["rldk", "rldk.io.validator"])
def test_both_commands_are_the_same(folder: Path, command: list[str], arguments: list[str]) -> None:
    """`rldk validate` and `python -m rldk.io.validator` print and exit the same, without a warning."""
    done = run_python("-W", "error", "-m", *command, *arguments, cwd=folder)
    expected = next((code, output, "") for known, code, output in CASES if known == arguments)

    assert (done.returncode, done.stdout, done.stderr) == expected


def test_options_may_stand_after_the_file(folder: Path) -> None:
    """The call of the specification: FILE --strict."""
    done = run_python("-m", "rldk.io.validator", "bad.jsonl", "--strict", cwd=folder)

    assert (done.returncode, done.stdout) == (1, BAD)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope.jsonl"], "rldk: nope.jsonl: No such file or directory\n"),
        (["empty"], "rldk: empty: expected the log of a run (*_events.jsonl), found none\n"),
        (["foreign.jsonl/x"], "rldk: foreign.jsonl/x: Not a directory\n"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(folder: Path, arguments: list[str], message: str) -> None:
    """Exit 2, one line on standard error, nothing on standard output, no traceback."""
    done = run_python("-m", "rldk", "validate", *arguments, cwd=folder)

    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_what_could_be_read_before_is_printed(folder: Path) -> None:
    """A missing file after others does not take their results away."""
    done = run_python("-m", "rldk", "validate", "logs", "nope.jsonl", cwd=folder)

    assert (done.returncode, done.stdout) == (2, "logs/r_events.jsonl: valid, 3 lines\n")
    assert done.stderr == "rldk: nope.jsonl: No such file or directory\n"


@pytest.mark.parametrize("arguments", [[], ["--nonsense", "logs"], ["--max-errors", "-1", "logs"], ["--require"]])
def test_wrong_usage_is_exit_2(folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """What click refuses is wrong usage, with a hint where to find help."""
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(rldk, ["validate", *arguments])

    assert done.exit_code == 2
    assert "Error: " in done.output


def test_a_folder_stands_for_all_its_logs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run and every rank, in order; other files are left alone."""
    monkeypatch.chdir(folder)
    for run_id, rank in (("b", 0), ("a", 10), ("a", 2), ("a", 0)):
        open_writer(folder / "many", run_id=run_id, rank=rank).close()
    (folder / "many" / "notes.jsonl").write_text("garbage")
    done = CliRunner().invoke(rldk, ["validate", "--json", "many"])
    reports = [json.loads(line) for line in done.output.splitlines()]

    assert [report["path"] for report in reports] == [
        "many/a_events.jsonl",
        "many/a_events.rank2.jsonl",
        "many/a_events.rank10.jsonl",
        "many/b_events.jsonl",
    ]
    assert [report["counts"] for report in reports] == [{"empty_file": 1}] * 4


def test_json_is_the_report(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each file, with all that the report in Python holds."""
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(rldk, ["validate", "--json", "--strict", "logs", "bad.jsonl"])
    reports = [json.loads(line) for line in done.output.splitlines()]

    assert done.exit_code == 1
    assert reports == [
        {
            "path": "logs/r_events.jsonl",
            "strict": True,
            "valid": True,
            "lines": 3,
            "bytes": (folder / "logs" / "r_events.jsonl").stat().st_size,
            "stopped": False,
            "counts": {},
            "problems": [],
        },
        {
            "path": "bad.jsonl",
            "strict": True,
            "valid": False,
            "lines": 2,
            "bytes": (folder / "bad.jsonl").stat().st_size,
            "stopped": False,
            "counts": {"step_back": 1},
            "problems": [
                {
                    "kind": "step_back",
                    "expected": "step >= 1",
                    "found": "0",
                    "field": "$.step",
                    "byte": 180,
                    "line": 2,
                }
            ],
        },
    ]


def test_a_log_that_is_being_written_is_valid(tmp_path: Path) -> None:
    """What a writer at work has not finished yet is no torn tail; once the writer is gone it is."""
    writer = open_writer(tmp_path, run_id="r")
    writer.write(make_event(0))
    with writer.path.open("ab") as file:
        file.write(b'{"step":1')
    during = CliRunner().invoke(rldk, ["validate", "--strict", str(tmp_path)])
    writer.close()
    after = CliRunner().invoke(rldk, ["validate", "--strict", str(tmp_path)])

    assert (during.exit_code, after.exit_code) == (0, 1)
    assert "[torn_tail]" in after.output


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "JSON"])
def test_a_file_name_that_is_no_text_is_shown_escaped(tmp_path: Path, options: list[str]) -> None:
    """Names on Linux are bytes; one that is no UTF-8 is checked as any other, in every locale."""
    name = os.fsdecode(b"caf\xe9.jsonl")
    (tmp_path / name).write_text(FOREIGN)
    done = run_python("-m", "rldk", "validate", *options, name, cwd=tmp_path, env={"PYTHONIOENCODING": "utf-8:strict"})

    assert (done.returncode, done.stderr) == (0, "")
    assert (json.loads(done.stdout)["path"] if options else done.stdout.partition(":")[0]) == "caf\\xe9.jsonl"


def test_a_name_like_markup_is_no_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in users' files and names is printed as it stands there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "[red]a.jsonl").write_text('{"step":1,"[bold]x":[[1]]}\n')
    done = CliRunner().invoke(rldk, ["validate", "[red]a.jsonl"])

    assert done.output.startswith("[red]a.jsonl:1:")
    assert "[bold]x" in done.output


@pytest.mark.parametrize("options", [[], ["--strict"], ["--jobs", "2"]])
def test_a_pipe_is_checked_as_it_comes(folder: Path, options: list[str]) -> None:
    """`cat log | rldk validate /dev/stdin`, also when there is nothing wrong with it."""
    command = [sys.executable, "-m", "rldk", "validate", *options, "/dev/stdin"]
    text = (folder / "logs/r_events.jsonl").read_text()
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "/dev/stdin: valid, 3 lines\n", "")


def test_long_lines_are_not_wrapped_in_a_pipe(tmp_path: Path) -> None:
    """A finding is one line, however long, so that grep and sort work on it."""
    name = "x" * 100
    (tmp_path / f"{name}.jsonl").write_text('{"step":1}\n')
    done = run_python("-m", "rldk", "validate", f"{name}.jsonl", "--require", "y" * 100, cwd=tmp_path)

    assert done.stdout.splitlines()[0] == (
        f"{name}.jsonl:1:0: $.{'y' * 100}: expected the required field, found nothing [missing_field]"
    )


def test_there_are_no_colours_in_a_pipe(folder: Path) -> None:
    """Escape codes are for terminals."""
    done = run_python(
        "-m", "rldk", "validate", "--strict", "bad.jsonl", "logs", cwd=folder, env={"TERM": "xterm-256color"}
    )

    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "JSON"])
def test_a_reader_that_goes_away_is_no_error_message(tmp_path: Path, options: list[str]) -> None:
    """`rldk validate ... | head -1` ends quietly."""
    (tmp_path / "a.jsonl").write_text("garbage\n" * 20_000)
    command = [sys.executable, "-m", "rldk", "validate", "--max-errors", "0", *options, "a.jsonl", "a.jsonl"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=clean_environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.read(20)
        process.stdout.close()
        errors = process.stderr.read()

    assert first in {b"a.jsonl:1:0: expecte", b'{"path":"a.jsonl","s'}
    assert (process.returncode, errors) == (1, b"")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_large_file_shows_its_progress_on_a_terminal(tmp_path: Path, jobs: str) -> None:
    """The bar goes to standard error and only when that is a terminal; standard output has the result alone."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"step":1,"notes":"%s"}\n' % (b"x" * 1000) * 21_000)
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "rldk", "validate", "a.jsonl", "--jobs", jobs]
    environment = clean_environment() | {"TERM": "xterm"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=end, cwd=tmp_path, env=environment) as process:
        os.close(end)
        output, _ = process.communicate()
    shown = read_all(terminal)

    assert (process.returncode, output) == (0, b"a.jsonl: valid, 21,000 lines\n")
    assert b"a.jsonl" in shown
    assert b"MB" in shown


def read_all(terminal: int) -> bytes:
    """What was written to a terminal whose other end is closed."""
    shown = b""
    try:
        while chunk := os.read(terminal, 65536):
            shown += chunk
    except OSError:
        # Linux says EIO where others say end of file.
        pass
    os.close(terminal)
    return shown


def test_the_report_in_python_says_the_same(folder: Path) -> None:
    """The command prints what `validate_jsonl_file` finds."""
    report = validate_jsonl_file(folder / "bad.jsonl", strict=True)

    assert not report
    assert [(problem.line, problem.byte, problem.kind) for problem in report.problems] == [(2, 180, "step_back")]
