"""The folder of tables that were made of logs, which may be removed at any time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rldk.ingest import cache
from rldk.ingest.cache import cached, trim

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_cache_lies_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In RLDK_CACHE_DIR, else in the user's cache folder; the folder is made."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    home = cached("a.parquet")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    xdg = cached("a.parquet")
    monkeypatch.setenv("RLDK_CACHE_DIR", str(tmp_path / "own"))
    own = cached("a.parquet")

    assert home == tmp_path / "home" / ".cache" / "rldk" / "tables" / "a.parquet"
    assert xdg == tmp_path / "xdg" / "rldk" / "tables" / "a.parquet"
    assert own == tmp_path / "own" / "tables" / "a.parquet"
    assert all(path.parent.is_dir() and not path.exists() for path in (home, xdg, own))


def test_the_oldest_tables_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the rest is small enough; never the newest, however large, and nothing that is no table."""
    monkeypatch.setattr(cache, "_LARGEST", 25)
    for age, name in enumerate(["new.parquet", "middle.parquet", "old.parquet", "other.txt"]):
        (tmp_path / name).write_bytes(b"x" * 10)
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    trim(tmp_path / "new.parquet")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["middle.parquet", "new.parquet", "other.txt"]

    (tmp_path / "middle.parquet").write_bytes(b"x" * 30)
    trim(tmp_path / "middle.parquet")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["middle.parquet", "other.txt"]
