"""Let all processes of a training stop, or save, after the same step, because the main process wants to."""

from __future__ import annotations

import itertools
import logging
import sys
from typing import Any, Final

from rldk.integrations.watch import Wish

__all__ = ["Agreement"]

_MAIN: Final = 0
_trainings: Final = itertools.count(1)
"""Each training of this process has its own place in the store, where those before have left theirs."""

_log: Final = logging.getLogger(__name__)


class Agreement:
    """Hands the wishes of the main process to all processes.

    A process that stopped alone would leave the others waiting for it for ever. So a wish that the main process has
    at the log of one step comes true at the next log, in all of them: nobody gets there before the main process has
    left the log before, since trainers gather what they log. Nothing here waits for another process. When there is
    only one, its wishes come true at once.

    The processes leave word in the store by which torch.distributed has brought them together.
    """

    def __init__(self) -> None:
        self._store, self._rank, self._size = _processes()
        self._key = f"rldk/{next(_trainings)}"
        self._granted_so_far = 0
        self._left = Wish()
        """What the main process has left word of and what has not come true yet."""
        if self._store:
            self._store.set(f"{self._key}/present/{self._rank}", "yes")

    def ask(self, wish: Wish, step: int) -> Wish:
        """Say what the main process wants; what this process is to do now.

        Args:
            wish: what is wanted; nothing, in every other process.
            step: the step that was just logged.
        """
        if not self._store:
            return wish
        granted = self._granted(step)
        if any(wish) and self._rank == _MAIN:
            if not self._store.check([f"{self._key}/present/{rank}" for rank in range(self._size)]):
                _log.warning("a rule wants training to stop or to save, but not every process has the callback")
                return granted
            self._left = Wish(self._left.save or wish.save, self._left.stop or wish.stop)
            self._store.set(self._place, f"{step} {self._left.save:d} {self._left.stop:d}")
        return granted

    @property
    def _place(self) -> str:
        """Where word is left of the next wish."""
        return f"{self._key}/wish/{self._granted_so_far}"

    def _granted(self, step: int) -> Wish:
        """The wish that was left at an earlier step and that this process has not met yet."""
        if not self._store.check([self._place]):
            return Wish()
        asked, save, stop = map(int, self._store.get(self._place).split())
        if asked >= step:
            return Wish()
        self._granted_so_far += 1
        self._left = Wish()
        return Wish(bool(save), bool(stop))


def _processes() -> tuple[Any, int, int]:
    """The store of torch.distributed, the rank and the number of processes; no store when there is only one."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None, _MAIN, 1
    size = distributed.get_world_size()
    store = distributed.distributed_c10d._get_default_store() if size > 1 else None  # noqa: SLF001 - no other way to it
    return store, distributed.get_rank(), size
