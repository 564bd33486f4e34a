"""Repairing loses no byte: what is not left in the log, or copied from it, is beside it."""

from __future__ import annotations

import base64
import errno
import gzip
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from rldk.errors import RLDKError, RunLockedError
from rldk.io.codec import encode
from rldk.io.event_schema import MAX_LINE
from rldk.io.repair import Repair, Salvage, repair, salvage
from rldk.io.writer import open_writer
from tests.runs import files, make_event, write_attempt

if TYPE_CHECKING:
    from pathlib import Path

TORN = b'{"step":4,"wall_ti'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The log of a run of two attempts, three events in all."""
    write_attempt(tmp_path, [make_event(1), make_event(2)])
    return write_attempt(tmp_path, [make_event(3)], resumed_from=2)


def lines(path: Path) -> list[bytes]:
    """The lines of a file, newlines included."""
    return path.read_bytes().splitlines(keepends=True)


def add(path: Path, content: bytes) -> int:
    """Append to a file; its size before."""
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(content)
    return size


def places(done: Repair | Salvage) -> list[tuple[str, int, int]]:
    """Kind, line and byte of each problem that is listed."""
    return [(problem.kind, problem.line, problem.byte) for problem in done.problems]


def records(path: Path) -> list[dict[str, Any]]:
    """What is said of the unreadable pieces."""
    return [json.loads(line) for line in lines(path)]


# In place


def test_an_unfinished_line_is_moved_where_the_next_attempt_would_move_it(path: Path) -> None:
    """The log is whole lines again, the side file has every byte, and the next writer finds nothing to move."""
    before = path.read_bytes()
    add(path, TORN)
    done = repair(path)

    assert done == Repair(str(path), lines=3, moved_bytes=len(TORN), torn=f"{path}.3.torn")
    assert files(path.parent) == {"r_events.jsonl": before, "r_events.jsonl.3.torn": TORN}
    writer = open_writer(path.parent, run_id="r")
    assert (writer.attempt, writer.counters.torn_bytes) == (3, 0)
    writer.close()


def test_a_log_that_is_whole_stays_as_it_is(path: Path) -> None:
    """Nothing is written, not even a time changes; a second repair finds nothing either."""
    add(path, TORN)
    repair(path)
    os.utime(path, ns=(10**18, 10**18))
    before = files(path.parent)
    done = repair(path)

    assert done == Repair(str(path), lines=3)
    assert (files(path.parent), path.stat().st_mtime_ns) == (before, 10**18)


@pytest.mark.parametrize("content", [b"", TORN], ids=["empty", "unfinished"])
def test_a_log_without_a_whole_line_is_repaired_too(tmp_path: Path, content: bytes) -> None:
    """A run that was killed in its first event leaves an empty log, and its bytes to attempt 1."""
    path = tmp_path / "r_events.jsonl"
    path.write_bytes(content)
    done = repair(path)

    assert (done.lines, done.moved_bytes) == (0, len(content))
    assert files(tmp_path) == {"r_events.jsonl": b""} | ({"r_events.jsonl.1.torn": TORN} if content else {})


def test_the_attempt_is_known_from_sealed_segments_too(path: Path) -> None:
    """A crash just after a rotation leaves a live file without an event."""
    path.rename(path.with_name("r_events.000001.jsonl"))
    path.write_bytes(TORN)
    done = repair(path)

    assert done == Repair(str(path), lines=0, moved_bytes=len(TORN), torn=f"{path}.3.torn")


def test_a_sealed_segment_is_repaired_as_a_log(path: Path) -> None:
    """The segment alone is meant, whatever stands in the others."""
    sealed = path.rename(path.with_name("r_events.000001.jsonl"))
    path.write_bytes(TORN)
    add(sealed, TORN)
    done = repair(sealed)

    assert (done.lines, done.torn) == (3, f"{sealed}.3.torn")
    assert path.read_bytes() == TORN


def test_damaged_lines_are_reported_and_left(path: Path) -> None:
    """Only the unfinished line at the end is moved; of the others the first five are listed, all are counted."""
    content = b"garbage\n" * 7 + path.read_bytes()
    path.write_bytes(content + TORN)
    done = repair(path)

    assert path.read_bytes() == content
    assert (done.lines, done.moved_bytes, done.damaged) == (10, len(TORN), 7)
    assert places(done) == [("bad_json", number, 8 * (number - 1)) for number in range(1, 6)]


def test_wherever_a_log_is_cut_no_byte_is_lost(path: Path) -> None:
    """For a log cut at every byte of its last line: log and side file together are what was there."""
    whole = path.read_bytes()
    torn = path.with_name("r_events.jsonl.2.torn")
    for cut in range(len(whole) - len(lines(path)[-1]), len(whole)):
        path.write_bytes(whole[:cut])
        torn.unlink(missing_ok=True)
        repair(path)

        assert path.read_bytes() + (torn.read_bytes() if torn.exists() else b"") == whole[:cut]
        assert path.read_bytes().endswith(b"\n")


def test_the_log_is_cut_only_when_the_side_file_is_on_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where that fails the log keeps its unfinished line, and the lock is given back."""

    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    add(path, TORN)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        repair(path)

    assert path.read_bytes() == before
    assert not (path.parent / "r.lock").exists()


def test_a_run_that_is_being_written_is_left_alone(path: Path) -> None:
    """The writer may be about to finish the line."""
    writer = open_writer(path.parent, run_id="r")
    add(path, TORN)
    before = path.read_bytes()
    with pytest.raises(RunLockedError, match=f"r.lock: the run is being written by process {os.getpid()} on "):
        repair(path)
    during = path.read_bytes()
    writer.close()
    repair(path)

    assert (during, path.read_bytes() + TORN) == (before, before)


def test_a_run_cannot_be_written_while_it_is_repaired(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is held until all has been read."""
    from rldk.io import repair as module

    refused: list[str] = []

    def blocks(file: Any) -> Any:
        with pytest.raises(RunLockedError) as caught:
            open_writer(path.parent, run_id="r")
        refused.append(str(caught.value.path))
        return original(file)

    original = module.blocks
    monkeypatch.setattr(module, "blocks", blocks)
    repair(path)

    assert refused == [str(path.parent / "r.lock")]


def test_a_log_may_have_any_name(path: Path) -> None:
    """A copy of a log is repaired as the log itself."""
    copy = path.rename(path.with_name("copy.jsonl"))
    add(copy, TORN)
    done = repair(copy)

    assert (done.lines, done.torn) == (3, f"{copy}.3.torn")


def test_a_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    """The last line of a foreign log may be whole without a newline."""
    path = tmp_path / "train_log.jsonl"
    path.write_bytes(b'{"step":1}\n{"step":2}')
    with pytest.raises(RLDKError) as caught:
        repair(path)

    assert str(caught.value) == f"{path}: expected an event log, found no event in it"
    assert files(tmp_path) == {"train_log.jsonl": b'{"step":1}\n{"step":2}'}


@pytest.mark.parametrize("name", ["r_events.000001.jsonl.gz", "r_events.000001.jsonl.zst"])
def test_a_compressed_log_is_left_alone(tmp_path: Path, name: str) -> None:
    """Nothing can be moved out of it."""
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(RLDKError) as caught:
        repair(tmp_path / name)

    assert str(caught.value) == (
        f"{tmp_path / name}: expected a plain log, found a compressed one; copy it with rldk repair --salvage"
    )
    assert files(tmp_path) == {name: b"x"}


def test_a_symbolic_link_is_not_followed(path: Path) -> None:
    """Lock and side file belong beside the log itself."""
    link = path.with_name("s_events.jsonl")
    link.symlink_to(path)
    with pytest.raises(OSError, match="symbolic"):
        repair(link)


# To another file


def test_what_can_be_read_is_copied_byte_for_byte(path: Path) -> None:
    """Lines before and after damage, spaces and all; the log is not touched."""
    first, second, third = lines(path)
    spaced = second.replace(b',"', b', "')
    path.write_bytes(first + b"garbage\n" + spaced + third + TORN)
    os.utime(path, ns=(10**18, 10**18))
    before = path.read_bytes(), path.stat().st_mtime_ns
    done = salvage(path)
    out = path.with_name("r_events.salvaged.jsonl")
    unreadable = path.with_name("r_events.salvaged.unreadable.jsonl")

    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert out.read_bytes() == first + spaced + third
    assert (done.path, done.out, done.unreadable) == (str(path), str(out), str(unreadable))
    assert (done.lines, done.damaged) == (3, 2)
    assert places(done) == [("bad_json", 2, len(first)), ("torn_tail", 5, len(before[0]) - len(TORN))]
    assert sorted(files(path.parent)) == [path.name, out.name, unreadable.name]


def test_what_cannot_be_read_is_kept_with_the_reason(path: Path) -> None:
    """Line, place, kind, expected, found, length, and the bytes: as text where they are text."""
    size = add(path, b'{"step": nul}\n\xff\x00\n')
    add(path, "größ".encode())
    salvage(path)

    assert records(path.with_name("r_events.salvaged.unreadable.jsonl")) == [
        {
            "line": 4,
            "start": size,
            "length": 14,
            "kind": "bad_json",
            "expected": "a value",
            "found": "nul}",
            "field": "",
            "byte": size + 9,
            "text": '{"step": nul}\n',
            "truncated": False,
        },
        {
            "line": 5,
            "start": size + 14,
            "length": 3,
            "kind": "invalid_utf8",
            "expected": "UTF-8",
            "found": "byte 0xff (invalid start byte)",
            "field": "",
            "byte": size + 14,
            "base64": base64.b64encode(b"\xff\x00\n").decode(),
            "truncated": False,
        },
        {
            "line": 6,
            "start": size + 17,
            "length": 6,
            "kind": "torn_tail",
            "expected": "a newline at the end of the last line",
            "found": "6 bytes without one",
            "field": "",
            "byte": size + 17,
            "text": "größ",
            "truncated": False,
        },
    ]


def test_a_log_that_is_whole_is_copied_whole(path: Path) -> None:
    """There is no second file when all was readable."""
    done = salvage(path)

    assert done == Salvage(str(path), str(path.with_name("r_events.salvaged.jsonl")), lines=3)
    assert files(path.parent) == {name: path.read_bytes() for name in ("r_events.jsonl", "r_events.salvaged.jsonl")}


@pytest.mark.parametrize(
    ("content", "length", "shown"),
    [
        (b"x" * 65_535 + b"\n", 65_536, {"text": "x" * 65_535 + "\n", "truncated": False}),
        (b"x" * 65_536 + b"\n", 65_537, {"text": "x" * 65_536, "truncated": True}),
        (b"x" * 65_535 + "ö\n".encode(), 65_538, {"text": "x" * 65_535, "truncated": True}),
        (b"\xff" * 65_536 + b"\n", 65_537, {"base64": base64.b64encode(b"\xff" * 65_536).decode(), "truncated": True}),
        (b"x" * MAX_LINE + b"\n", MAX_LINE + 1, {"text": "x" * 65_536, "truncated": True}),
    ],
    ids=["not long", "long", "a character on the edge", "no text", "longer than a line may be"],
)
def test_of_a_long_piece_the_beginning_is_kept(
    tmp_path: Path, content: bytes, length: int, shown: dict[str, Any]
) -> None:
    """64 KiB of it, cut between two characters, and marked; the lines around it are copied."""
    line = encode(make_event(1))
    path = tmp_path / "r_events.jsonl"
    path.write_bytes(line + content + line)
    done = salvage(path)
    (record,) = records(tmp_path / "r_events.salvaged.unreadable.jsonl")

    assert {name: record.get(name) for name in ("start", "length", *shown)} == {
        "start": len(line),
        "length": length,
        **shown,
    }
    assert (done.lines, done.damaged) == (2, 1)
    assert (tmp_path / "r_events.salvaged.jsonl").read_bytes() == line * 2


@pytest.mark.parametrize("name", ["out.jsonl", "out.unreadable.jsonl", "r_events.jsonl"])
def test_nothing_is_replaced(path: Path, name: str) -> None:
    """Where a file stands already, be it the log itself, nothing is written at all."""
    add(path, TORN)
    if not path.with_name(name).exists():
        path.with_name(name).write_bytes(b"mine")
    before = files(path.parent)
    out = path if name == path.name else path.with_name("out.jsonl")
    with pytest.raises(FileExistsError) as caught:
        salvage(path, out)

    assert (caught.value.filename, caught.value.strerror) == (str(path.with_name(name)), "File exists")
    assert files(path.parent) == before


def test_the_copy_is_plain_and_named_so(path: Path) -> None:
    """A name of a compressed file would be believed by every reader."""
    out = path.with_name("out.jsonl.gz")
    with pytest.raises(RLDKError) as caught:
        salvage(path, out)

    assert str(caught.value) == (
        f"{out}: expected a name ending in .jsonl, found one of a compressed file; lines are copied plain"
    )
    assert sorted(files(path.parent)) == [path.name]


def test_a_dangling_link_is_not_replaced_either(path: Path) -> None:
    """A name is taken whatever it leads to."""
    out = path.with_name("out.jsonl")
    out.symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        salvage(path, out)

    assert out.is_symlink()


def test_what_fails_half_way_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both files appear when all has been copied, or neither does."""
    from rldk.io import repair as module

    def fail(*_: Any) -> bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    add(path, b"garbage\n" + TORN)
    before = files(path.parent)
    monkeypatch.setattr(module, "_record", fail)
    with pytest.raises(OSError, match="No space left"):
        salvage(path)

    assert files(path.parent) == before


def test_a_run_may_be_copied_while_it_is_written(path: Path) -> None:
    """The line the writer is at work on is not there yet, and so not damaged; after its death it is."""
    writer = open_writer(path.parent, run_id="r")
    add(path, TORN)
    during = salvage(path, path.with_name("during.jsonl"))
    writer.close()
    after = salvage(path, path.with_name("after.jsonl"))

    assert (during.lines, during.damaged, during.unreadable) == (3, 0, None)
    assert (after.lines, after.damaged) == (3, 1)


def test_a_sealed_segment_is_not_being_written(path: Path) -> None:
    """An unfinished line in it is damage, though a writer is at work on the run."""
    sealed = path.rename(path.with_name("r_events.000001.jsonl"))
    add(sealed, TORN)
    writer = open_writer(path.parent, run_id="r")
    done = salvage(sealed)
    writer.close()

    assert (done.lines, done.damaged) == (3, 1)


def test_a_compressed_segment_is_copied_as_plain_lines(path: Path) -> None:
    """Damage in the lines of it is told by their place in the plain file."""
    plain = path.read_bytes() + b"garbage\n"
    segment = path.with_name("r_events.000001.jsonl.gz")
    segment.write_bytes(gzip.compress(plain))
    done = salvage(segment)

    assert (done.out, done.lines, done.damaged) == (f"{path.parent}/r_events.000001.salvaged.jsonl", 3, 1)
    assert places(done) == [("bad_json", 4, len(plain) - 8)]
    assert path.with_name("r_events.000001.salvaged.jsonl").read_bytes() == path.read_bytes()


def test_a_broken_compressed_segment_is_copied_up_to_the_damage(tmp_path: Path) -> None:
    """Whole lines are kept, and so is the piece of a line before the damage."""
    content = b"".join(encode(make_event(step, metrics={"x": 1 / (step + 1)})) for step in range(2_000))
    segment = tmp_path / "r_events.000001.jsonl.gz"
    compressed = gzip.compress(content)
    segment.write_bytes(compressed[: len(compressed) // 2])
    done = salvage(segment)
    kept = (tmp_path / "r_events.000001.salvaged.jsonl").read_bytes()
    (record,) = records(tmp_path / "r_events.000001.salvaged.unreadable.jsonl")

    assert 100 < done.lines < 2_000
    assert content.startswith(kept + record["text"].encode())
    assert (kept.count(b"\n"), record["kind"]) == (done.lines, "bad_compression")
