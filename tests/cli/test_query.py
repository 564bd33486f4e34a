"""`rldk query`, run as a person runs it."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from rldk.cli import main, rldk
from tests.cli.test_ingest import on_terminal

pytest.importorskip("duckdb")

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("two_formats")

LINES = """\
{"step": 1, "loss": 0.1, "a/b": NaN, "n": 4611686018427387904}
{"step": 2, "loss": 0.25, "note": "x"}
{"step": 1, "loss": 0.5, "a/b": -Infinity}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a log and a cache of its own."""
    (tmp_path / "mine.jsonl").write_text(LINES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RLDK_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def invoke(*arguments: str) -> tuple[int, list[str], list[str]]:
    """The exit code, and what is printed, without the blanks at the ends of lines."""
    done = CliRunner().invoke(rldk, ["query", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    out, err = ([line.rstrip() for line in text.splitlines()] for text in (done.stdout, done.stderr))
    return done.exit_code, out, err


SQL = 'SELECT step, loss, "a/b" AS x, n FROM runs ORDER BY attempt, step'


def test_rows_are_a_table() -> None:
    """Null is empty, NaN and infinities are spelled out, and numbers are shown in full."""
    assert invoke(SQL, "mine.jsonl", "--all-history") == (
        0,
        [
            "step  loss  x          n",
            "1     0.1   NaN        4611686018427387904",
            "2     0.25",
            "1     0.5   -Infinity",
        ],
        [],
    )
    assert invoke("SELECT count(*) AS rows FROM runs", "mine.jsonl") == (0, ["rows", "1"], [])


def test_rows_can_be_had_as_json_and_csv() -> None:
    """With the same spellings, in lists too."""
    _, lines, _ = invoke(SQL, "mine.jsonl", "--all-history", "--json")
    _, rows, _ = invoke(SQL, "mine.jsonl", "--all-history", "--csv")
    _, lists, _ = invoke("SELECT list(\"a/b\") AS l, {'x': 'NaN'::DOUBLE} AS s FROM runs", "mine.jsonl", "--json")

    assert [json.loads(line) for line in lines] == [
        {"step": 1, "loss": 0.1, "x": "NaN", "n": 2**62},
        {"step": 2, "loss": 0.25, "x": None, "n": None},
        {"step": 1, "loss": 0.5, "x": "-Infinity", "n": None},
    ]
    assert list(csv.reader(rows)) == [
        ["step", "loss", "x", "n"],
        ["1", "0.1", "NaN", f"{2**62}"],
        ["2", "0.25", "", ""],
        ["1", "0.5", "-Infinity", ""],
    ]
    assert json.loads(lists[0]) == {"l": ["-Infinity"], "s": {"x": "NaN"}}
    _, arrays, _ = invoke("SELECT array_value('NaN'::DOUBLE, 1.0) AS a", "mine.jsonl", "--json")
    assert json.loads(arrays[0]) == {"a": ["NaN", 1.0]}


def test_options_say_how_to_read(folder: Path) -> None:
    """As with `rldk ingest`."""
    (folder / "mine.jsonl").write_text('{"i": 7, "step": 1}\noops\n')
    arguments = ["SELECT step FROM runs", "mine.jsonl", "--field-map", "step=i", "--adapter", "custom_jsonl"]

    assert invoke(*arguments, "--on-error", "salvage") == (0, ["step", "7"], [])
    assert invoke(*arguments) == (
        1,
        [],
        [
            "rldk: mine.jsonl:2:20: expected a value, found oops [bad_json]",
            "  --on-error collect  lists all that cannot be read",
            "  --on-error salvage  keeps what can be read",
        ],
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["SELEC", "mine.jsonl"], "rldk: the query cannot be answered: Parser Error: syntax error"),
        (["SELECT nope FROM runs", "mine.jsonl"], 'Referenced column "nope" not found'),
        (["", "mine.jsonl"], "rldk: expected a query, found none in ''"),
        (["SELECT loss, loss FROM runs", "mine.jsonl", "--json"], "found 'loss' twice"),
        (["SELECT 1", "nope.jsonl"], "rldk: nope.jsonl: No such file or directory"),
        (["SELECT 1"], "Missing argument 'SOURCE...'"),
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is wrong on standard error, and no traceback."""
    with pytest.raises(SystemExit) as caught:
        main(["query", *arguments])

    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_rows_that_are_too_wide_stand_one_below_the_other(folder: Path) -> None:
    """Each value on a line of its own, where the terminal is too narrow for a table."""
    arguments = ["mine.jsonl", "--adapter", "custom_jsonl"]
    invoke("SELECT 1", *arguments)
    wide = on_terminal(folder, 80, "query", "SELECT * FROM runs", *arguments)
    narrow = on_terminal(folder, 80, "query", "SELECT step, loss FROM runs", *arguments)

    assert [line.rstrip() for line in narrow.splitlines()] == ["step  loss", "1     0.5"]
    assert [line.rstrip() for line in wide.splitlines()] == [
        *("run_id     mine", "phase      train", "eval_set", "step       1", "wall_time", "timestamp", "attempt    2"),
        *("rank       0", "seed", "loss       0.5", "a/b        -Infinity"),
        "",
    ]
