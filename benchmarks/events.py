"""The events that are measured with: 30 metrics, as GRPO logs them, with floats of full length."""

import random
from pathlib import Path
from typing import Any

import msgspec

from rldk import Event
from rldk.io.clock import timestamp
from rldk.io.codec import LineEncoder

NAMES = (
    *("loss", "grad_norm", "lr", "tokens_total", "response_len_mean", "response_len_min", "response_len_max"),
    *("truncation_rate", "completions/mean_terminated_length", "completions/min_terminated_length"),
    *("completions/max_terminated_length", "reward_component/accuracy", "reward_component_std/accuracy"),
    *("reward_component/format", "reward_component_std/format", "reward_mean", "reward_std"),
    *("frac_zero_std_groups", "kl_mean", "entropy_mean", "clip_ratio/low_mean", "clip_ratio/high_mean", "clip_frac"),
    *("clip_ratio/low_min", "clip_ratio/high_max", "step_time", "epoch", "sampling/sampling_logp_difference/mean"),
    *("sampling/sampling_logp_difference/max", "sampling/importance_sampling_ratio/mean"),
)
"""The metrics of an event, 30 of them."""

_RNG = {"seed": 42, "python_hash_seed": None, "torch_seed": 42, "numpy_seed": None, "random_seed": None}
_DATA = {"batch_size": 128, "window": 1}
_MODEL = {
    "run_id": "bench",
    "git_sha": "de64283750a04529dae8474e30cc748f6af3682a",
    "model_name": "Qwen/Qwen2.5-7B",
    "model_size": 7615616512,
    "optimizer": "AdamW",
    "scheduler": "cosine",
    "algorithm": "grpo",
    "framework": "trl",
    "framework_version": "1.16.0",
    "phase": "train",
}


def events(count: int) -> list[Event]:
    """Events of successive steps, as the recorder hands them to the writer."""
    rng = random.Random(7)  # noqa: S311 - figures, not secrets
    return [
        Event(
            step=step,
            wall_time=step * 1.0325,
            timestamp=timestamp(1_790_000_000 + step * 1.0325),
            metrics={name: rng.uniform(-1, 1) for name in NAMES},
            rng=_RNG,
            data_slice=_DATA,
            model_info=_MODEL,
            notes=[],
        )
        for step in range(count)
    ]


_STAMPS: dict[str, Any] = {"schema": 1, "rank": 0, "world_size": 1, "attempt": 1}


def stamped(event: Event, seq: int) -> Event:
    """The event as the writer completes it: what has to be encoded in the end."""
    return msgspec.structs.replace(event, seq=seq, model_info={**event.model_info, **_STAMPS})


def large_log(folder: Path, size: int) -> tuple[Path, int]:
    """A log of so many bytes as a writer writes it, and how many events it holds."""
    path = folder / "large_events.jsonl"
    encoder, few = LineEncoder(_STAMPS), events(1000)
    count = 0
    with path.open("wb") as file:
        while file.tell() < size:
            event = few[count % len(few)]
            moment = count * 1.0325
            event = msgspec.structs.replace(
                event, step=count, wall_time=moment, timestamp=timestamp(1_790_000_000 + moment)
            )
            file.write(encoder.encode(event, count))
            count += 1
    return path, count
