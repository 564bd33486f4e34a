"""Turn what a trainer logs into events, whatever the trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rldk.io.event_schema import Event
from rldk.io.values import plain_metrics, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rldk.io.clock import RunClock
    from rldk.io.event_schema import Primitive
    from rldk.io.protocol import Writer
    from rldk.metrics import Translator

__all__ = ["Recorder"]

_FLOATS: Final = {float}
_TEXTS: Final = {str}


class Recorder:
    """Gives each event what all events of an attempt share, and its time; then writes it.

    Args:
        writer: where the events go.
        clock: tells the time of the run.
        translator: knows the canonical names of the trainer's keys.
        rng: the seeds.
        model_info: what is known of run and model; `phase` is set for each event.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        clock: RunClock,
        translator: Translator,
        rng: Mapping[str, Primitive],
        model_info: Mapping[str, Primitive],
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._translator = translator
        self._rng = dict(rng)
        self.model_info = dict(model_info)
        """What the events written from now on say of run and model."""
        self.refused_metrics = 0
        """How many metrics were left out of events written otherwise."""

    def record(
        self,
        step: int,
        metrics: Mapping[str, Any],
        *,
        phase: str = "train",
        data_slice: Mapping[str, Primitive] | None = None,
        notes: Iterable[str] = (),
    ) -> bool:
        """Write one event.

        Args:
            step: the trainer's own step.
            metrics: the trainer's keys and values. Numbers and 0-d numpy and torch scalars are taken; what is
                neither is left out, and a note names it.
            phase: train, eval or final.
            data_slice: what the step was computed on.
            notes: short sentences, each beginning with a code and a colon.

        Returns:
            True when the kernel has the event.
        """
        wall_time, timestamp = self._clock.now()
        notes = list(notes)
        if set(map(type, metrics.values())) != _FLOATS or set(map(type, metrics)) != _TEXTS:
            metrics, refused = plain_metrics(metrics)
            notes += [refusal(refused)] if refused else []
            self.refused_metrics += len(refused)
        event = Event(
            step=step,
            wall_time=wall_time,
            timestamp=timestamp,
            metrics=self._translator.translate(metrics),
            rng=self._rng,
            data_slice=dict(data_slice or {}),
            model_info={**self.model_info, "phase": phase},
            notes=notes,
        )
        return self._writer.write(event)
