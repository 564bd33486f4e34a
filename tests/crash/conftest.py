"""A disk that is soon full, and a kernel whose writes go wrong."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None:
        pytest.skip("no mount command to make a small file system with")
    command = [mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"only root can mount a small file system: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        # Lazily: a test that failed may have left a file open there.
        subprocess.run([str(Path(mount).with_name("umount")), "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def faulty_write(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library to preload, that makes writes go wrong."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build faulty_write.c with")
    library = tmp_path_factory.mktemp("faulty_write") / "faulty_write.so"
    source = Path(__file__).with_name("faulty_write.c")
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the C compiler cannot build faulty_write.c: {done.stderr.strip()}")
    return library
