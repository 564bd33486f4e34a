"""Make writers inert in a forked child, so that it can neither write as its parent nor wait for it for ever."""

from __future__ import annotations

import os
import weakref
from typing import Final, Protocol

__all__ = ["leave_to_parent_at_fork"]


class _Inherited(Protocol):
    def leave_to_parent(self) -> None:
        """Give up what belongs to the parent process: this is a forked child."""
        ...


_inherited: Final[weakref.WeakSet[_Inherited]] = weakref.WeakSet()


def leave_to_parent_at_fork(inherited: _Inherited) -> None:
    """Have `leave_to_parent` called in every child that is forked while this object lives."""
    _inherited.add(inherited)


def _leave_to_parent() -> None:
    for each in list(_inherited):
        each.leave_to_parent()


os.register_at_fork(after_in_child=_leave_to_parent)
