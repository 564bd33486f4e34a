"""Record a run of TRL, or of plain transformers: `from rldk.integrations.trl import RLDKCallback`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rldk.errors import MissingExtraError

if TYPE_CHECKING:
    from rldk.integrations.trl.callbacks import RLDKCallback

__all__ = ["RLDKCallback"]


def __getattr__(name: str) -> Any:
    """Load the callback when it is asked for: it needs transformers, and the modules beside it do not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return import_module("rldk.integrations.trl.callbacks").RLDKCallback
    except ModuleNotFoundError as error:
        if error.name not in {"transformers", "torch"}:
            raise
        raise MissingExtraError("transformers", "trl") from error
