"""`rldk convert`, run as a person runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from rldk.cli import main, rldk
from rldk.io.reader import read_events

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("two_formats")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a good log, one that is damaged, and one whose evaluations go back."""
    good = [json.dumps({"step": step, "loss": 0.5}) for step in (1, 2)]
    back = [json.dumps({"step": step, "acc": 0.5, "phase": "eval"}) for step in (2, 1)]
    for name, lines in (("good", good), ("bad", [*good, "oops"]), ("back", back)):
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments: str) -> tuple[int, list[str], list[str]]:
    """The exit code, and what is printed, without the blanks at the ends of lines."""
    done = CliRunner().invoke(rldk, ["convert", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    out, err = ([line.rstrip() for line in text.splitlines()] for text in (done.stdout, done.stderr))
    return done.exit_code, out, err


def test_a_log_is_written_and_checked(folder: Path) -> None:
    """And what was read is told as `rldk ingest` tells it."""
    assert invoke("good.jsonl", "-o", "run_events.jsonl") == (
        0,
        [
            "run   read as       events  lines",
            "good  custom_jsonl       2      2",
            "wrote run_events.jsonl: strictly valid",
        ],
        [],
    )
    assert [event.step for event in read_events(folder / "run_events.jsonl")] == [1, 2]


def test_a_folder_gets_a_log_of_each_run(folder: Path) -> None:
    """Called after it."""
    (folder / "out").mkdir()
    code, out, _ = invoke("good.jsonl", "bad.jsonl", "-o", "out", "--on-error", "salvage")

    assert code == 1
    assert out[-2:] == [
        "wrote out/good_events.jsonl: strictly valid",
        "wrote out/bad_events.jsonl: strictly valid",
    ]


def test_what_is_not_in_order_is_written_and_said() -> None:
    """The foreign log went back, so the new one does; exit 1."""
    code, out, _ = invoke("back.jsonl", "-o", "x.jsonl")

    assert code == 1
    assert out[-2] == "wrote x.jsonl: not in order"
    assert out[-1].endswith("$.step: expected step >= 2, found 1 [step_back]")


def test_an_error_says_what_can_be_done(folder: Path) -> None:
    """And nothing is written."""
    code, out, err = invoke("bad.jsonl", "-o", "x.jsonl")

    assert (code, out) == (1, [])
    assert err == [
        "rldk: bad.jsonl:3:50: expected a value, found oops [bad_json]",
        "  --on-error collect  lists all that cannot be read",
        "  --on-error salvage  keeps what can be read",
    ]
    assert not (folder / "x.jsonl").exists()


def test_a_log_without_events_is_not_written(folder: Path) -> None:
    """That is a finding: exit 1."""
    (folder / "none.jsonl").write_text('{"header": 1}\n')
    code, out, _ = invoke("none.jsonl", "-o", "x.jsonl", "--adapter", "custom_jsonl", "--on-error", "salvage")

    assert (code, out[-1]) == (1, "nothing was written: there are no events")
    assert not (folder / "x.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["good.jsonl", "-o", "bad.jsonl"], "rldk: bad.jsonl: it is there already, and is not written over\n"),
        (["good.jsonl", "-o", "nope/x.jsonl"], "rldk: nope: No such folder\n"),
        (["good.jsonl", "bad.jsonl", "-o", "x.jsonl"], "expected one run, found 2: good.jsonl, bad.jsonl"),
        (["nope.jsonl", "-o", "x.jsonl"], "rldk: nope.jsonl: No such file or directory\n"),
        (["good.jsonl"], "Missing option '-o' / '--output'"),
        (
            ["good.jsonl", "-o", "x.jsonl", "--adapter", "nope"],
            "expected one of rldk_events, custom_jsonl, found 'nope'",
        ),
    ],
)
def test_wrong_usage_exits_with_2(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what is wrong on standard error, and nothing written."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    with pytest.raises(SystemExit) as caught:
        main(["convert", *arguments])

    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
