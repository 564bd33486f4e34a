"""Keep whatever goes wrong in a recorder away from the trainer, and tell of it once."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

from rldk.errors import RLDKError

if TYPE_CHECKING:
    from rldk.integrations.attempt import RecordedAttempt

__all__ = ["Troubles", "guarded"]

_log: Final = logging.getLogger(__name__)


class Troubles:
    """Counts what went wrong, and tells of it once.

    Args:
        raises: whether the user wants errors to stop the training.
    """

    def __init__(self, *, raises: bool) -> None:
        self.raises = raises
        self.count = 0
        self.recorded: RecordedAttempt | None = None
        """The attempt being recorded: its writer may have told of the same trouble already."""

    def attempt(self, where: str, do: Callable[[], object], what: str = "") -> bool:
        """Do something that must not harm the training; whether it went well.

        Here it is decided what becomes of an error, unless the user wants to hear of it; see `report`.
        """
        try:
            do()
        except Exception as error:
            if self.raises:
                raise
            self.report(where, error, what)
            return False
        return True

    def report(self, where: str, error: Exception, what: str = "") -> None:
        """Take note of an error.

        Args:
            where: what was being done.
            error: what went wrong.
            what: what it means for the log, where that is known.
        """
        self.count += 1
        if self.count == 1 and not (self.recorded and self.recorded.troubled):
            what = what or ("nothing is recorded" if self.recorded is None else "this may be missing from the log")
            # What the world does to us is told in a sentence; of a mistake of ours the place is told too.
            expected = isinstance(error, (RLDKError, OSError))
            message = "%s: %s: %s; training goes on, %s"
            _log.warning(message, where, type(error).__name__, error, what, exc_info=None if expected else error)


class _Guarded(Protocol):
    @property
    def troubles(self) -> Troubles:
        """Where errors are reported."""
        ...


_Hook = TypeVar("_Hook", bound=Callable[..., None])


def guarded(hook: _Hook) -> _Hook:
    """Keep what goes wrong in a method away from its caller, unless the user wants to hear of it."""

    @functools.wraps(hook)
    def guarded(self: _Guarded, *args: Any, **kwargs: Any) -> None:
        self.troubles.attempt(hook.__name__, functools.partial(hook, self, *args, **kwargs))

    return cast("_Hook", guarded)
