"""Work is shared without a byte lost or done twice, and no process outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rldk.ingest import executors
from rldk.ingest.executors import Stored, WorkerError, automatic, perform, shares, stored
from rldk.ingest.worker import Checked, Checking, Gathered, Gathering, Irregular, Task
from rldk.io.codec import encode
from rldk.io.compression import compress
from tests.runs import clean_environment, run_python
from tests.samples import an_event, write_log

if TYPE_CHECKING:
    from collections.abc import Iterator


def _log(folder: Path, count: int = 3000, name: str = "r1_events.jsonl") -> Path:
    return write_log(folder / name, map(an_event, range(count)))


def _checks(files: list[Stored], count: int) -> list[Task]:
    return [Checking(pieces, strict=True, check_consistency=False, require=[]) for pieces in shares(files, count)]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_file_is_cut_between_lines(tmp_path: Path, count: int) -> None:
    """The pieces follow each other from the first byte to the last, each of whole lines, the first the largest."""
    path = _log(tmp_path)
    found = shares(stored([path]), count)
    text = path.read_bytes()
    ranges = [(piece.start, piece.end or 0) for pieces in found for piece in pieces]

    assert [len(pieces) for pieces in found] == [1] * count
    assert [ranges[0][0], ranges[-1][1]] == [0, len(text)]
    assert all(end == start for (_, end), (start, _) in pairwise(ranges))
    assert all(text[:end].endswith(b"\n") for _, end in ranges)
    sizes = [end - start for start, end in ranges]
    assert max(sizes[1:], default=0) - min(sizes[1:], default=0) < 1000
    assert sizes[0] == max(sizes)


def test_files_are_shared_in_their_order(tmp_path: Path) -> None:
    """A share may hold several files and parts of files; a compressed file is taken whole, an empty one left out."""
    paths = [_log(tmp_path, 200 + number, f"r1_events.00000{number}.jsonl") for number in range(1, 9)]
    compressed = compress(paths[3], "gz")
    assert compressed
    paths[3] = compressed
    paths[5].write_bytes(b"")
    found = shares(stored([*paths, tmp_path / "absent.jsonl"]), 3)
    pieces = [piece for share in found for piece in share]

    assert len(found) == 3
    assert list(dict.fromkeys(piece.path for piece in pieces)) == [str(path) for path in paths if path != paths[5]]
    assert [(piece.start, piece.end) for piece in pieces if piece.path == str(compressed)] == [(0, None)]
    for path in paths:
        if path not in {compressed, paths[5]}:
            ranges = [(piece.start, piece.end or 0) for piece in pieces if piece.path == str(path)]
            assert sum(end - start for start, end in ranges) == path.stat().st_size


def test_what_cannot_be_cut_makes_fewer_shares(tmp_path: Path) -> None:
    """A file of one line, or of no line at all, is one piece."""
    one, none = tmp_path / "one.jsonl", tmp_path / "none.jsonl"
    one.write_bytes(encode(an_event(notes=["x" * 1000])))
    none.write_bytes(b"x" * 1000)

    assert [len(shares(stored([path]), 4)) for path in (one, none)] == [1, 1]
    assert shares([], 4) == []


def test_an_empty_compressed_file_is_a_piece_wherever_it_stands(tmp_path: Path) -> None:
    """It has no size, and is behind every cut when it is the last one or the only one."""
    log, empty = _log(tmp_path), tmp_path / "empty.jsonl.gz"
    empty.touch()
    for paths in ([empty], [log, empty], [empty, log, empty]):
        found = shares(stored(paths), 2)

        assert [piece.path for share in found for piece in share if piece.end is None] == [
            str(empty) for path in paths if path == empty
        ]


def test_only_large_files_are_worth_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below, and where Python cannot be started, all is done here; above, no more processes than processors."""
    path = tmp_path / "large.jsonl"
    path.touch()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    counts = []
    for size in (0, 79_999_999, 80_000_000, 110_000_000, 10**12):
        os.truncate(path, size)
        counts.append(automatic(stored([path])))
    monkeypatch.setattr(sys, "executable", "")

    assert counts == [1, 1, 4, 5, 6]
    assert automatic(stored([path])) == 1


def test_results_come_in_the_order_of_the_pieces(tmp_path: Path) -> None:
    """Each task has its own, whoever is done first; progress adds up to the size of the files."""
    path = _log(tmp_path)
    told: list[int] = []
    found = perform(_checks(stored([path]), 3), told.append)

    assert [[type(result) for result in results] for results in found] == [[Checked]] * 3
    assert sum(result.lines for (result,) in found if isinstance(result, Checked)) == 3000
    assert sum(told) == path.stat().st_size
    assert perform([]) == []


def test_a_bad_piece_is_no_error(tmp_path: Path) -> None:
    """It is said to be irregular; the others are done."""
    path = _log(tmp_path)
    tasks = _checks(stored([path]), 3)
    text = bytearray(path.read_bytes())
    text[-5] ^= 1
    path.write_bytes(text)
    found = perform(tasks)

    assert [type(result) for (result,) in found] == [Checked, Checked, Irregular]


def _children() -> set[str]:
    """The processes this one has started and not waited for."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.fixture
def no_process_stays() -> Iterator[None]:
    """Fail a test after which there are processes that were not there before."""
    before = _children()
    yield
    assert _children() == before


@pytest.mark.usefixtures("no_process_stays")
def test_a_process_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at once, ended with an error, or not started at all: nobody waits for it, and nothing stays."""
    tasks = _checks(stored([_log(tmp_path)]), 3)
    popen = subprocess.Popen

    def run(code: str) -> None:
        """Start this instead of workers."""
        monkeypatch.setattr(subprocess, "Popen", lambda command, **others: popen([command[0], "-c", code], **others))

    run("raise SystemExit(3)")
    with pytest.raises(WorkerError, match=r"found \[3, 3\]"):
        perform(tasks)
    run("import os, sys; sys.stdout.write('{'); sys.stdout.flush(); os.kill(os.getpid(), 9)")
    with pytest.raises(WorkerError, match=r"found \[-9, -9\]"):
        perform(tasks)
    run("")
    with pytest.raises(WorkerError, match=r"a result for each piece, found \[0, 0\]"):
        perform(tasks)
    monkeypatch.undo()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no_python"))
    with pytest.raises(WorkerError, match=r"No such file"):
        perform(tasks)


@pytest.mark.usefixtures("no_process_stays")
def test_an_interrupt_ends_all_processes(tmp_path: Path) -> None:
    """Ctrl-C while the work is going on leaves no process behind."""

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(_checks(stored([_log(tmp_path)]), 3), interrupt)


def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    """They find nobody to tell how far they have come."""
    path = write_log(tmp_path / "r1_events.jsonl", map(an_event, range(30_000)))
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from rldk.ingest import executors\n"
        "from rldk.ingest.worker import Checking\n"
        "shares = executors.shares(executors.stored([Path(sys.argv[1])]), 2)\n"
        "def started(task):\n"
        "    process = start(task)\n"
        "    print(process.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "start, executors._start = executors._start, started\n"
        "executors.perform([Checking(pieces, True, False, []) for pieces in shares])\n"
    )
    done = run_python("-c", code, path)
    pid = int(done.stdout)

    assert done.returncode == -signal.SIGKILL
    for _ in range(500):
        if not Path(f"/proc/{pid}").exists() or "zombie" in Path(f"/proc/{pid}/status").read_text():
            break
        time.sleep(0.02)
    else:
        pytest.fail("it is still there")


def test_a_script_without_a_guard_can_share_work(tmp_path: Path) -> None:
    """Nothing of the script is run again, and no module is taken from the current folder."""
    path = _log(tmp_path)
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from rldk.ingest.gathering import gather\n"
        "from rldk.io.segments import run_log\n"
        f"print(sum(len(part.step) for part in gather(run_log(Path({str(path)!r})), 3).parts))\n"
    )
    for name in ("msgspec", "rldk", "selectors"):
        (tmp_path / "elsewhere" / name).mkdir(parents=True)
        (tmp_path / "elsewhere" / name / "__init__.py").write_text("raise SystemExit('the wrong one')")
    done = run_python(script, cwd=tmp_path / "elsewhere")

    assert (done.stdout, done.stderr, done.returncode) == ("3000\n", "", 0)


def test_the_buffers_of_a_worker_are_in_the_file_it_was_given(tmp_path: Path) -> None:
    """The parts can be made of them without a copy."""
    path = _log(tmp_path)
    tasks: list[Task] = [
        Gathering(pieces, [str(tmp_path / f"{number}")]) for number, pieces in enumerate(shares(stored([path]), 2))
    ]
    found = perform(tasks)
    parts = [
        result.layout.part(memoryview((tmp_path / str(number)).read_bytes()))
        for number, (result,) in enumerate(found)
        if isinstance(result, Gathered)
    ]

    assert [step for part in parts for step in part.step] == list(range(3000))


def test_a_process_starts_with_the_environment_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds this rldk wherever that was imported from, before any other."""
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    seen: dict[str, str] = {}
    monkeypatch.setattr(subprocess, "Popen", lambda _, **options: seen.update(options["env"]))
    executors._start(Checking([], strict=True, check_consistency=False, require=[]))

    root = str(Path(executors.__file__).parents[2])
    assert seen["PYTHONPATH"] == f"{root}{os.pathsep}/somewhere"
    assert seen["PATH"] == clean_environment()["PATH"]
