"""A file is replaced as a whole, or not at all."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from rldk.io.replace import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def umask() -> Iterator[int]:
    """A umask of 027, so that permissions do not depend on who runs the tests."""
    old = os.umask(0o027)
    yield 0o027
    os.umask(old)


def test_a_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    """Until the block has ended the old content stands; then the new, and nothing else is left."""
    path = tmp_path / "r1_manifest.json"
    path.write_bytes(b"old, and longer than the new")
    with replacing(path) as file:
        file.write(b"new")
        during = path.read_bytes()

    assert during == b"old, and longer than the new"
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["r1_manifest.json"]


def test_a_file_that_was_not_there_is_made(tmp_path: Path) -> None:
    """There need not be an old version."""
    with replacing(tmp_path / "new.json") as file:
        file.write(b"{}")

    assert (tmp_path / "new.json").read_bytes() == b"{}"


def _fail_half_way(path: Path, error: type[BaseException]) -> None:
    with replacing(path) as file:
        file.write(b"half of the n")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_version(tmp_path: Path, error: type[BaseException]) -> None:
    """Whatever ends the block early, the old file stays and the side file goes."""
    path = tmp_path / "r1_manifest.json"
    path.write_bytes(b"old")
    with pytest.raises(error):
        _fail_half_way(path, error)

    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["r1_manifest.json"]


def test_the_side_file_is_known_by_its_name(tmp_path: Path) -> None:
    """What a crash may leave behind begins with `.rldk-` and stands in the same folder."""
    with replacing(tmp_path / "x.json"):
        names = [entry.name for entry in tmp_path.iterdir()]

    assert [name.startswith(".rldk-") for name in names] == [True]


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path, umask: int) -> None:
    """The file has the permissions of any new file, and the umask is as it was."""
    with replacing(tmp_path / "x.json"):
        pass
    (tmp_path / "plain").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("x.json", "plain")]

    assert modes == [0o666 & ~umask] * 2
    assert os.umask(umask) == umask


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Folders are made by those who own them."""
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "absent" / "x.json"):
        pass


def test_where_no_file_can_be_made_the_one_that_was_asked_for_is_named(tmp_path: Path) -> None:
    """Not the side file, of which nobody knows."""
    path = tmp_path / "nope" / "r1_manifest.json"
    with pytest.raises(FileNotFoundError) as caught, replacing(path):
        pass

    assert caught.value.filename == str(path)
