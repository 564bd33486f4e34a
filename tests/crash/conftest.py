"""Small disks, disks whose power is cut, a kernel whose system calls go wrong, and a user without privileges."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534


def mount(stack: ExitStack, folder: Path, *options: str) -> Path:
    """Mount something at a folder, until the stack ends; skip the test where that is not allowed."""
    command = shutil.which("mount")
    if command is None:
        pytest.skip("there is no mount command")
    folder.mkdir()
    done = subprocess.run([command, *options, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is for root, and not for every root: {done.stderr.strip()}")
    # Lazily: a test that failed may have left a file open there.
    stack.callback(subprocess.run, [str(Path(command).with_name("umount")), "-l", str(folder)], check=True)
    return folder


class SmallDisk(Protocol):
    """Makes a file system that is soon full."""

    def __call__(self, *options: str) -> Path:
        """Make one."""
        ...


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """File systems of 8 MiB, or of what options of a tmpfs say."""
    numbers = itertools.count(1)
    with ExitStack() as stack:

        def make(*options: str) -> Path:
            chosen = ",".join(options or ("size=8m",))
            return mount(stack, tmp_path / f"disk{next(numbers)}", "-t", "tmpfs", "-o", chosen, "tmpfs")

        yield make


class PowerCut:
    """A disk on a loop device, and what is found on it when the power is cut now.

    What the kernel has not sent to the device is not in its backing file; a copy of that file is the disk after a
    power cut, and mounting it replays the journal.
    """

    def __init__(self, stack: ExitStack, tmp_path: Path) -> None:
        mkfs = shutil.which("mkfs.ext4")
        if mkfs is None:
            pytest.skip("there is no mkfs.ext4")
        self._stack, self._tmp_path = stack, tmp_path
        self._image, self._numbers = tmp_path / "disk.img", itertools.count(1)
        with self._image.open("wb") as file:
            file.truncate(24 * 2**20)
        subprocess.run([mkfs, "-F", "-q", str(self._image)], check=True)
        self.folder = mount(stack, tmp_path / "disk", "-o", "loop", str(self._image))

    def cut(self) -> Path:
        """The disk as the power cut leaves it."""
        number = next(self._numbers)
        copy = self._tmp_path / f"cut{number}.img"
        # A copy during which the kernel wrote is of no moment at all.
        changed, before = self._image.stat().st_mtime_ns, -1
        while changed != before:
            before = changed
            shutil.copyfile(self._image, copy)
            changed = self._image.stat().st_mtime_ns
        return mount(self._stack, self._tmp_path / f"cut{number}", "-o", "loop", str(copy))


@pytest.fixture
def power_cut(tmp_path: Path) -> Iterator[PowerCut]:
    """A disk whose power can be cut."""
    with ExitStack() as stack:
        yield PowerCut(stack, tmp_path)


@pytest.fixture(scope="session")
def faulty_calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library to preload, that makes system calls go wrong."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build faulty_calls.c with")
    library = tmp_path_factory.mktemp("faulty_calls") / "faulty_calls.so"
    source = Path(__file__).with_name("faulty_calls.c")
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the C compiler cannot build faulty_calls.c: {done.stderr.strip()}")
    return library


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may enter and write to, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="rldk-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


@pytest.fixture
def nobody() -> int | None:
    """The user to become where a child must not be root; None when the tests are not run by root anyway."""
    return NOBODY if os.geteuid() == 0 else None
