"""`rldk ingest`, run as a person runs it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from rldk.cli import main, rldk
from rldk.cli.account import print_account
from rldk.cli.terminal import terminal
from rldk.ingest import IngestReport
from rldk.ingest.account import Found, PassedOver, RunReport
from rldk.io.problems import Problem
from tests.runs import clean_environment, make_event, run_python, write_attempt

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("two_formats")


def steps(count: int, **more: Any) -> str:
    """JSON lines of so many steps."""
    return "".join(json.dumps({"step": step, "loss": 0.5, **more}) + "\n" for step in range(count))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with an RLDK run that was resumed, and logs of others: a good one and a damaged one."""
    write_attempt(tmp_path / "logs", [make_event(step, metrics={"loss": float("nan")}) for step in range(4)])
    write_attempt(tmp_path / "logs", [make_event(step) for step in (2, 3)], resumed_from=1)
    (tmp_path / "good.jsonl").write_text(json.dumps({"config": 1}) + "\n" + steps(3, mine=1, note="x", many=[1]))
    (tmp_path / "bad.jsonl").write_text(steps(2) + 'oops\n{"step": 2, "none": null}\n[]\n{"step": 3')
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("hello\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments: str) -> tuple[int, list[str], list[str]]:
    """The exit code, and what is printed, without the blanks at the ends of lines."""
    done = CliRunner().invoke(rldk, ["ingest", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    out, err = ([line.rstrip() for line in text.splitlines()] for text in (done.stdout, done.stderr))
    return done.exit_code, out, err


GOOD = [
    "run   read as       events  lines",
    "good  custom_jsonl       3      4  3 parsed, 1 set aside",
    "kept under their own names, of unknown meaning: mine",
    "texts and truth values, kept in the events only: note",
    "lists, which no event can hold, were left out of 3 events",
    "set aside: header with config (1x)",
]
BAD = [
    "run  read as       events  lines",
    "bad  custom_jsonl       3      6  3 parsed, 1 torn, 2 bad",
    "null where a number was expected: none (1x)",
    "kept under their own names, of unknown meaning: none",
]
TORN = (
    "rldk: torn.jsonl:3:50: expected a newline at the end of the last line, found 5 bytes without one: "
    "the file was cut short, or is still being written [torn_tail]"
)
PROBLEMS = [
    "bad.jsonl:3:50: expected a value, found oops [bad_json]",
    "bad.jsonl:5:81: expected an object, found a list [not_an_object]",
    (
        "bad.jsonl:6:84: expected a newline at the end of the last line, found 10 bytes without one: "
        "the file was cut short, or is still being written [torn_tail]"
    ),
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "code", "out"),
    [
        (["good.jsonl"], 0, GOOD),
        (
            ["logs"],
            0,
            [
                "run  read as      events  lines",
                "r    rldk_events       4      6  4 parsed, 2 rewound",
                "NaN or infinite: loss (2x)",
            ],
        ),
        (
            ["logs", "--all-history"],
            0,
            ["run  read as      events  lines", "r    rldk_events       6      6", "NaN or infinite: loss (4x)"],
        ),
        (["bad.jsonl", "--on-error", "salvage"], 1, BAD + PROBLEMS),
        (
            ["bad.jsonl", "--on-error", "stop_at_first_bad"],
            1,
            ["run  read as       events  lines", "bad  custom_jsonl       2      3  2 parsed, 1 bad", PROBLEMS[0]],
        ),
        (
            ["good.jsonl", "--adapter", "custom_jsonl", "--field-map", "policy_loss=loss"],
            0,
            GOOD,
        ),
    ],
)
def test_what_is_printed(arguments: list[str], code: int, out: list[str]) -> None:
    """Each run with what became of its lines, and what is worth knowing of them; 1 when something was not read."""
    assert invoke(*arguments) == (code, out, [])


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "err"),
    [
        (
            ["bad.jsonl"],
            [
                f"rldk: {PROBLEMS[0]}",
                "  --on-error collect  lists all that cannot be read",
                "  --on-error salvage  keeps what can be read",
            ],
        ),
        (
            ["bad.jsonl", "--on-error", "collect"],
            [
                "rldk: 3 lines cannot be read:",
                *(f"  {problem}" for problem in PROBLEMS),
                "  --on-error salvage  keeps what can be read",
            ],
        ),
        (
            ["torn.jsonl"],
            [
                TORN,
                "  --on-error collect             lists all that cannot be read",
                "  --on-error tolerate_torn_tail  leaves out an unfinished end such as this",
                "  --on-error salvage             keeps what can be read",
            ],
        ),
    ],
)
def test_an_error_says_what_can_be_done(folder: Path, arguments: list[str], err: list[str]) -> None:
    """On standard error, with the other ways to read; the exit code is 1, and nothing is written."""
    (folder / "torn.jsonl").write_text(steps(2) + '{"ste')
    before = sorted(folder.iterdir())

    assert invoke(*arguments, "-o", "out.csv") == (1, [], err)
    assert sorted(folder.iterdir()) == before


@pytest.mark.usefixtures("folder")
def test_several_runs_are_summed_up() -> None:
    """Remarks on one are told with its name, those on several once."""
    code, out, _ = invoke("good.jsonl", "logs", "bad.jsonl", "--on-error", "salvage")

    assert code == 1
    assert out[:4] == [
        "run   read as       events  lines",
        "good  custom_jsonl       3      4  3 parsed, 1 set aside",
        "r     rldk_events        4      6  4 parsed, 2 rewound",
        "bad   custom_jsonl       3      6  3 parsed, 1 torn, 2 bad",
    ]
    assert out[4] == "3 runs, 10 events"
    assert "good: kept under their own names, of unknown meaning: mine" in out


@pytest.mark.usefixtures("folder")
def test_files_that_were_not_read_are_named() -> None:
    """With the reason; in a folder that has logs besides."""
    code, out, _ = invoke(".", "--on-error", "salvage")

    assert code == 1
    assert out[-1] == (
        "not read: notes/notes.txt: expected a log of training metrics in a format that is known, found none of them"
    )


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.jsonl"])
def test_a_table_is_written(folder: Path, name: str) -> None:
    """Whose name says its form."""
    pytest.importorskip("pyarrow")
    code, out, err = invoke("good.jsonl", "-o", name)

    assert (code, out, err) == (0, [*GOOD, f"wrote {name}"], [])
    assert (folder / name).stat().st_size > 0


@pytest.mark.usefixtures("folder")
def test_the_account_can_be_had_as_json() -> None:
    """All of it, also when something cannot be read."""
    code, (line,), _ = invoke("good.jsonl", "--json")
    failed, (failed_line,), err = invoke("bad.jsonl", "--json", "--on-error", "collect")
    good, bad = (json.loads(each)["runs"][0] for each in (line, failed_line))

    assert (code, good["events"], good["lines"], good["aside"]) == (0, 3, 4, 1)
    assert (failed, bad["bad"], len(bad["problems"]), err[0]) == (1, 2, 3, "rldk: 3 lines cannot be read:")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope.jsonl"], "rldk: nope.jsonl: No such file or directory"),
        (["*.nope"], "rldk: *.nope: No file or folder fits the pattern"),
        (["good.jsonl", "-o", "nope/x.csv"], "rldk: nope: No such folder"),
        (
            ["notes"],
            "rldk: notes: expected a folder with logs of training, found none in it:\n  notes/notes.txt: expected",
        ),
        (["notes/notes.txt"], "custom_jsonl: the first line is no JSON object"),
        (
            ["good.jsonl", "-o", "x.txt"],
            "'-o' / '--output': x.txt: expected a name that ends in .parquet, .csv, .jsonl, found '.txt'",
        ),
        (["good.jsonl", "-o", "notes"], "File 'notes' is a directory"),
        (["good.jsonl", "--adapter", "nope"], "--adapter: expected one of rldk_events, custom_jsonl, found 'nope'"),
        (["good.jsonl", "--on-error", "nope"], "'--on-error': 'nope' is not one of 'abort', 'collect'"),
        ([], "Missing argument 'SOURCE...'"),
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is wrong on standard error, and no traceback."""
    with pytest.raises(SystemExit) as caught:
        main(["ingest", *arguments])
    captured = capsys.readouterr()

    assert (caught.value.code, captured.out) == (2, "")
    assert message in captured.err.replace("\n        ", " ")


class TestFieldMaps:
    """`--field-map`, by itself or from files."""

    @pytest.fixture
    def log(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A log that needs one, in the current folder."""
        log = tmp_path / "mine.jsonl"
        log.write_text(json.dumps({"trainer": {"i": 7}, "r": 0.5}) + "\n")
        monkeypatch.chdir(tmp_path)
        return log

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("map.json", '{"step": "trainer.i", "reward_mean": "r"}'),
            ("map.toml", 'step = "trainer.i"\nreward_mean = "r"\n'),
            ("", ""),
        ],
    )
    def test_it_is_given_in_words_or_in_a_file(self, log: Path, name: str, content: str) -> None:
        """JSON or TOML, or one option for each name."""
        if name:
            (log.parent / name).write_text(content)
            options = ["--field-map", name]
        else:
            options = ["--field-map", "step=trainer.i", "--field-map", " reward_mean = r "]
        code, _, err = invoke("mine.jsonl", *options, "-o", "out.jsonl")

        assert (code, err) == (0, [])
        row = json.loads((log.parent / "out.jsonl").read_bytes())
        assert (row["step"], row["reward_mean"]) == (7, 0.5)

    @pytest.mark.usefixtures("log")
    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ("step", "expected NAME=FIELD, as step=trainer.iteration, or a .json or .toml file, found 'step'"),
            ("=i", "expected NAME=FIELD, as step=trainer.iteration, or a .json or .toml file, found '=i'"),
            (
                "iteration=step",
                (
                    "field_map: expected RLDK's name first, step=iteration, found iteration=step, "
                    "which seems to be mixed up"
                ),
            ),
            ("nope.json", "nope.json: No such file or directory"),
        ],
    )
    def test_one_that_cannot_be_understood_is_explained(self, option: str, message: str) -> None:
        """It is wrong usage."""
        code, _, err = invoke("mine.jsonl", "--field-map", option)

        assert code == 2
        assert err[-1] == f"Error: Invalid value for --field-map: {message}"

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("map.json", b'{"step": 3}', "map.json: expected the name of a field for each of RLDK's names, found: "),
            ("map.json", b'{"step": "a", "step": "b"}', "map.json:1:14: expected each key once, found 'step' again"),
            ("map.json", b"{", "map.json:1:1: expected a string, found the end of the line"),
            ("map.json", b"[]", "map.json: expected the name of a field for each of RLDK's names, found: "),
            ("map.toml", b"step = 3", "map.toml: expected the name of a field for each of RLDK's names, found: "),
            ("map.toml", b"step", "map.toml: expected the name of a field for each of RLDK's names, found: "),
            ("map.toml", b"\xff", "map.toml: expected the name of a field for each of RLDK's names, found: "),
        ],
    )
    def test_a_file_that_is_no_field_map_is_explained(self, log: Path, name: str, content: bytes, message: str) -> None:
        """With what is wrong in it."""
        (log.parent / name).write_bytes(content)
        code, _, err = invoke("mine.jsonl", "--field-map", name)

        assert code == 2
        assert f"Error: Invalid value for --field-map: {message}" in " ".join(err)


def test_reading_events_needs_no_table(folder: Path) -> None:
    """Neither the help nor a reading without a table loads pandas, pyarrow or DuckDB."""
    code = (
        "import sys\nfrom rldk.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print({'pandas', 'pyarrow', 'duckdb', 'numpy', 'fsspec', 'torch'} & sys.modules.keys(), file=sys.stderr)"
    )
    for arguments in (["ingest", "--help"], ["ingest", "good.jsonl", "--adapter", "custom_jsonl"], ["adapters"]):
        assert run_python("-c", code, *arguments, cwd=folder).stderr == "set()\n"


def on_terminal(folder: Path, columns: int, *arguments: str) -> str:
    """What a command shows on a terminal of so many columns."""
    main_end, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rldk", *arguments],
        stdin=end,
        stdout=end,
        stderr=end,
        cwd=folder,
        env=clean_environment()
        | {"COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1", "RLDK_CACHE_DIR": str(folder / "cache")},
    )
    os.close(end)
    shown = bytearray()
    while True:
        try:
            chunk = os.read(main_end, 4096)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    process.wait()
    os.close(main_end)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [80, 120])
def test_it_fits_a_terminal(folder: Path, columns: int) -> None:
    """Nothing is wider than the terminal but a problem, which is told in one piece; while it reads it counts."""
    name = "run-of-a-long-name-with-many-words-in-it-and-a-date-20260131T235959"
    (folder / f"{name}.jsonl").write_text(
        "{}\n" + steps(2000, **{f"custom/metric_{index}": index for index in range(12)}) + steps(7)
    )
    shown = on_terminal(folder, columns, "ingest", f"{name}.jsonl", "good.jsonl", "--adapter", "custom_jsonl")
    lines = shown[shown.index("run ") :].splitlines()

    assert "lines" in shown[: shown.index("run ")]
    assert max(map(len, lines)) <= columns
    assert "2,000 rewound" in shown


def test_long_lists_are_shortened() -> None:
    """Ten names, problems and files, twenty remarks; and how many there are besides."""
    run = RunReport("r", "m.jsonl", "custom_jsonl", "step", "record", events=1, lines=2000, parsed=1, bad=1999)
    run.unknown = {f"m{index}": 1 for index in range(1500)}
    problem = Problem("bad_json", "a value", "x")
    run.problems, run.more_problems = [Found("m.jsonl", problem)] * 1000, 999
    others = [RunReport(f"r{index}", "m", "a", "step", "line", null={f"m{index}": 1}) for index in range(22)]
    passed_over = [PassedOver(f"{index}.txt", "no log") for index in range(12)]
    console = terminal()
    with console.capture() as capture:
        print_account(IngestReport([run, *others], passed_over), console)
    lines = [line.rstrip() for line in capture.get().splitlines()]

    assert lines[1] == "r    custom_jsonl       1  2,000 records  1 parsed, 1,999 bad"
    assert lines[24] == "23 runs, 1 event"
    assert lines[25] == (
        "r: kept under their own names, of unknown meaning: m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, and 1,490 more"
    )
    assert lines[45] == "and 3 more remarks; --json has all"
    assert lines[46:56] == ["m.jsonl:1:0: expected a value, found x [bad_json]"] * 10
    assert lines[56] == "and 1,989 more problems; --json has all"
    assert lines[57:67] == [f"not read: {index}.txt: no log" for index in range(10)]
    assert lines[67:] == ["and 2 more files; --json has all"]


def test_a_remark_on_several_runs_is_made_once() -> None:
    """With how many they are."""
    runs = [RunReport(f"r{index}", "m", "a", "step", "line", unknown={"mine": index + 1}) for index in range(3)]
    console = terminal()
    with console.capture() as capture:
        print_account(IngestReport(runs), console)

    assert capture.get().splitlines()[-1] == "3 runs: kept under their own names, of unknown meaning: mine"


@pytest.mark.parametrize("source", [os.fsdecode(b"caf\xe9"), os.fsdecode(b"caf\xe9/x\xff.jsonl"), "*"])
def test_a_file_name_that_is_no_text_is_shown_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """Names on Linux are bytes; one that is no UTF-8 is in every account, and hinders no table."""
    pytest.importorskip("pyarrow")
    (tmp_path / "logs" / os.fsdecode(b"caf\xe9")).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "logs")
    log = tmp_path / "logs" / os.fsdecode(b"caf\xe9/x\xff.jsonl")
    log.write_text(steps(2) + "oops\n")
    for output in ("x.csv", "x.jsonl", "x.parquet"):
        code, out, _ = invoke(source, "--on-error", "salvage", "--json", "-o", str(tmp_path / output))
        (run,) = json.loads(out[0])["runs"]

        assert (code, run["source"], run["problems"][0]["path"]) == (1, *["caf\\xe9/x\\xff.jsonl"] * 2)
        assert (tmp_path / output).exists()
