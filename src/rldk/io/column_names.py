"""What the column of a metric is called in a table that has columns of other things too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["apart"]

_PREFIX: Final = "metrics."


def apart(metric: str, taken: Collection[str]) -> str:
    """The name of a metric, with `metrics.` before it where it would be taken for something else.

    A metric that is itself called `metrics.step` gets the prefix too, so that no two have one column.

    Args:
        metric: its own name.
        taken: what the other columns are called.
    """
    bare = metric
    while bare.startswith(_PREFIX):
        bare = bare.removeprefix(_PREFIX)
    return _PREFIX + metric if bare in taken else metric
