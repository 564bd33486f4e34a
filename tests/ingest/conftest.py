"""What these tests have in common: RLDK knows two formats, and logs are written in one line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from pathlib import Path


class WriteLog(Protocol):
    """Writes a log of JSON lines into the folder of the test."""

    def __call__(self, name: str, *records: Any) -> Path:
        """Write records, one on each line; bytes are written as they are."""
        ...


@pytest.fixture(autouse=True)
def _only_two_formats(two_formats: None) -> None:
    """Leave the other formats to their own tests."""


@pytest.fixture
def write(tmp_path: Path) -> WriteLog:
    """A way to write logs."""

    def write(name: str, *records: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n" for each in records]
        path.write_bytes(b"".join(lines))
        return path

    return write
