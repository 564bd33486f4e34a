"""`rldk verify`, run as a person runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import msgspec
import pytest
from click.testing import CliRunner

from rldk.cli import rldk
from rldk.io.compression import compress
from rldk.io.manifest import Manifest, Removed, update_manifest
from rldk.io.sealing import describe
from rldk.io.segments import derived_path, log_path, run_log, sealed_path, sealed_segments
from rldk.io.verify import verify
from tests.runs import run_python
from tests.samples import an_event, write_log

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from rldk.io.segments import Log

RUN: Final = "grpo-20260131T235959-1f3a"


def _write(folder: Path, rank: int = 0, events: int = 1100) -> Log:
    """Two sealed segments of so many events, one compressed, and a live file of one event; recorded."""
    info = {"run_id": RUN, "rank": rank}
    log = run_log(write_log(log_path(folder, RUN, rank), [an_event(2 * events, info=info)]))
    for number in (1, 2):
        steps = range((number - 1) * events, number * events)
        write_log(sealed_path(log, number), [an_event(step, info=info) for step in steps])
    compress(sealed_path(log, 1), "zst")

    def enter(manifest: Manifest) -> None:
        manifest.segments = [describe(each.path) for each in sealed_segments(log)]

    update_manifest(log, enter)
    return log


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    """The log of a run in `logs`, from where this folder is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    return _write(tmp_path / "logs")


def _verify(*arguments: str) -> Result:
    return CliRunner().invoke(rldk, ["verify", *arguments])


def test_a_line_for_each_file_and_one_for_the_run(log: Log) -> None:
    """Name, events and verdict in columns, no wider than a terminal."""
    done = _verify("logs")

    assert done.exit_code == 0
    assert done.output == (
        f"{RUN}_events.000001.jsonl.zst  1,100 events  ok\n"
        f"{RUN}_events.000002.jsonl      1,100 events  ok\n"
        f"{RUN}_events.jsonl                 1 event   ok\n"
        f"{RUN}: ok, 3 files with 2,201 events\n"
    )
    assert max(map(len, done.output.splitlines())) <= 80
    assert _verify(str(log.path)).output == done.output


def test_what_is_wrong_is_below_its_file(log: Log) -> None:
    """Expected and found; of a hash the beginning; of a line its number and byte."""
    path = sealed_path(log, 2)
    before = describe(path)
    path.write_bytes(path.read_bytes().replace(b'"seed":42', b'"seed":[]', 12))
    after = describe(path)
    sealed_path(log, 1, "zst").unlink()
    done = _verify("logs")
    offset = path.read_bytes().index(b"[]")
    lines = done.output.splitlines()

    assert done.exit_code == 1
    assert lines[:6] == [
        f"{RUN}_events.000001.jsonl.zst                missing",
        "  file: expected 1100 events, seq 0 to 1099, found no such file",
        f"{RUN}_events.000002.jsonl      1,100 events  bad",
        f"  sha256: expected {before.sha256[:12]}..., found {after.sha256[:12]}...",
        "  first_attempt: expected 1, found nothing",
        "  first_seq: expected 1100, found nothing",
    ]
    assert lines[7] == (
        f"  line 1, byte {offset}: $.rng['seed']: expected a number, a string, true, false or null, "
        "found a list [non_primitive]"
    )
    assert lines[17:] == [
        "  and 2 problems more",
        f"{RUN}_events.jsonl                 1 event   ok",
        f"{RUN}: 2 bad, 2 files with 1,101 events",
    ]


@pytest.mark.usefixtures("log")
def test_what_is_no_failure_is_told_too(tmp_path: Path) -> None:
    """Segments not yet recorded, what retention removed, and what crashes left over."""
    other = _write(tmp_path / "logs", rank=3, events=2)

    def change(manifest: Manifest) -> None:
        manifest.segments = []
        manifest.removed = Removed(
            segments=1, events=2, bytes=1, last_number=1, last_attempt=1, last_seq=1, last_step=1, at="", policy=""
        )

    update_manifest(other, change)
    sealed_path(other, 1, "zst").unlink()
    (tmp_path / "logs" / ".rldk-1f3a").touch()
    done = _verify("logs")

    assert done.exit_code == 0
    assert done.output.splitlines()[3:] == [
        "1 segment with 2 events of rank 3 removed by retention",
        f"{RUN}_events.rank3.000002.jsonl      2 events  ok, not yet recorded",
        f"{RUN}_events.rank3.jsonl             1 event   ok",
        ".rldk-1f3a: left over, a temporary file, of a crash or of a process at work",
        f"{RUN}: ok, 5 files with 2,204 events, 2 ranks, 1 not yet recorded",
    ]


def test_a_manifest_that_cannot_be_read_is_bad(log: Log) -> None:
    """It is named like a file of events."""
    derived_path(log, "manifest.json").write_bytes(b"{")
    done = _verify("logs")

    assert done.exit_code == 1
    assert done.output.splitlines()[:2] == [
        f"{RUN}_manifest.json                          bad",
        "  file: expected a manifest, found Input data was truncated",
    ]


def test_json_has_all_that_was_found(log: Log) -> None:
    """The whole of it, with whole hashes; the exit code is the same."""
    path = sealed_path(log, 2)
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    done = _verify("logs", "--json")

    assert done.exit_code == 1
    assert json.loads(done.output) == msgspec.to_builtins(verify(log.path))
    assert json.loads(done.output)["valid"] is False


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere", "nowhere: No such file or directory"),
        (".", ".: expected the log of a run (*_events.jsonl), found none"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path: Path, path: str, message: str) -> None:
    """Exit code 2."""
    done = run_python("-m", "rldk", "verify", path, cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"rldk: {message}\n")
