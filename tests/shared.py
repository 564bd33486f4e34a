"""Real logs that lie beside the checkout, and are no part of it: read in tests where they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

SHARED: Final = Path(os.environ.get("RLDK_SHARED") or Path(__file__).resolve().parents[2] / "shared")
"""The folder with recorded samples and other people's logs."""

REAL: Final = SHARED / "data" / "real"
"""Other people's logs, with a list of them in MANIFEST.csv."""

needs_shared: Final = pytest.mark.skipif(
    not (REAL / "MANIFEST.csv").is_file(), reason=f"needs the real logs in {REAL}; RLDK_SHARED says where they are"
)
"""Marks a test that reads them."""
