"""What a writer is to those who write to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldk.io.event_schema import Event

__all__ = ["BatchWriter", "Writer"]


class Writer(Protocol):
    """Takes events. Writers around a writer filter, buffer or forward; the innermost writes to disk."""

    def write(self, event: Event) -> bool:
        """Take an event. True: it is in the kernel's hands and survives the death of this process."""
        ...

    def flush(self) -> None:
        """Hand on whatever is held back."""
        ...

    def close(self) -> None:
        """Flush, and give up what is held open. Closing again does nothing."""
        ...


class BatchWriter(Writer, Protocol):
    """A writer that takes several events at once."""

    def write_all(self, events: Sequence[Event]) -> int:
        """Take events; how many of them the kernel has."""
        ...
