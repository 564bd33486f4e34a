"""Folders and disks that cannot be written to: said at once, where the log is opened, and by name."""

from __future__ import annotations

import errno
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rldk.io.writer import open_writer
from tests.crash.accounts import account
from tests.runs import files, make_event, run_python, write_attempt

if TYPE_CHECKING:
    from tests.crash.conftest import SmallDisk

WRITE = Path(__file__).with_name("write_events.py")


def test_a_folder_that_may_not_be_written_to(open_folder: Path, nobody: int | None) -> None:
    """An ordinary user gets the system's error with the path, from `open_writer`; nothing has been changed."""
    write_attempt(open_folder, [make_event(0)])
    before = files(open_folder)
    open_folder.chmod(0o555)
    done = run_python(WRITE, json.dumps({"folder": str(open_folder), "count": 3, "user": nobody}))
    open_folder.chmod(0o755)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"PermissionError: [Errno 13] Permission denied: '{open_folder}/r.lock'"
    assert files(open_folder) == before


def test_a_folder_that_an_ordinary_user_may_write_to(open_folder: Path, nobody: int | None) -> None:
    """Nothing a writer does, rotation and compression among it, needs privileges."""
    options = {"rotation": "20 kB", "compression": "gz"}
    asked = {"folder": str(open_folder / "run"), "count": 100, "user": nobody, "options": options}
    done = run_python(WRITE, json.dumps(asked))

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["acknowledged"] == list(range(100))
    assert account(open_folder / "run").steps == list(range(100))


def test_a_folder_that_is_closed_during_the_run(open_folder: Path, nobody: int | None) -> None:
    """The log goes on in the file it has open, loses nothing, and is rotated when that can be done again."""
    folder = open_folder / "run"
    asked = {"folder": str(folder), "count": 150, "user": nobody, "closed": [50, 100], "options": {"rotation": "20 kB"}}
    done = run_python(WRITE, json.dumps(asked))

    assert done.returncode == 0
    assert json.loads(done.stdout)["acknowledged"] == list(range(150))
    assert account(folder).steps == list(range(150))
    assert "the log cannot be rotated now and goes on in the same file: [Errno 13] Permission denied" in done.stderr
    sizes = [path.stat().st_size for path in sorted(folder.glob("r_events.0*"))]
    assert max(sizes) > 50_000
    assert len(sizes) >= 3


def test_a_disk_that_is_read_only(small_disk: SmallDisk) -> None:
    """The system's error with the path comes from `open_writer`, and the log that is there can still be read."""
    folder = small_disk()
    write_attempt(folder, [make_event(0)])
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)  # noqa: S607 - it has just been used
    with pytest.raises(OSError, match="Read-only file system") as raised:
        open_writer(folder, run_id="r")

    assert (raised.value.errno, raised.value.filename) == (errno.EROFS, str(folder / "r.lock"))
    assert account(folder).steps == [0]
