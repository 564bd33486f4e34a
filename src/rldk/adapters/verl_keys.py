"""What stands before verl's keys: before all of them, before those that nobody else has, and before validation."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["KEPT", "OWN", "SECTION", "STRIPPED"]

STRIPPED: Final = ("val/",)
"""Before metrics of validation, and no part of their names."""

KEPT: Final = ("val-core/", "val-aux/")
"""Before metrics of validation; these two tell the most important metric from the others."""

OWN: Final = ("actor/pg_loss", "critic/score/", "timing_s/", *KEPT)
"""How keys begin that are verl's wherever they stand."""

SECTION: Final = re.compile(
    r"(?:actor|critic|global_seqlen|perf|prompt_length|response_length|timing_\w+|train|training|val|val-aux|val-core)/"
)
"""How keys begin that are verl's where a log has the form of verl's."""
