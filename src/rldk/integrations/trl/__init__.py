"""Record a run of TRL, or of plain transformers: `from rldk.integrations.trl import RLDKCallback`."""

from __future__ import annotations

from rldk.errors import MissingExtraError

try:
    from rldk.integrations.trl.callbacks import RLDKCallback
except ModuleNotFoundError as error:
    if error.name not in {"transformers", "torch"}:
        raise
    raise MissingExtraError("transformers", "trl") from error

__all__ = ["RLDKCallback"]
