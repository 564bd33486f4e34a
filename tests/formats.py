"""A small log of every format that RLDK reads, written by hand: three steps of training, good and damaged."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rldk.adapters.tfrecord import crc32c, masked
from rldk.io.codec import encode
from rldk.io.event_schema import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["FORMATS", "Format"]

STEPS: Final = (1, 2, 3)
VALUES: Final = (0.5, 0.25, 0.125)
"""What each format's metric is at these steps."""


class Format(NamedTuple):
    """A format, and how a log of it looks."""

    adapter: str
    file: str
    """What the file is called."""
    metric: str
    """What RLDK calls the metric that is in it."""
    parts: tuple[bytes, ...]
    """What is written for each step; all together are the file."""
    head: bytes = b""
    """What stands before the first step."""
    foot: bytes = b""
    """What stands after the last step."""
    broken: bytes = b""
    """What stands in the place of a step that was damaged; empty where damage cannot be told from something else."""
    lined: bool = True
    """Whether the file is made of lines, or of records that only make sense together."""
    timed: bool = False
    """Whether it says when each step was."""

    @property
    def whole(self) -> bytes:
        """The file as it should be."""
        return self.head + b"".join(self.parts) + self.foot

    def write(self, folder: Path, content: bytes | None = None) -> Path:
        """Write the file, or what became of it."""
        path = folder / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.whole if content is None else content)
        return path


def _lines(make: Callable[[int, float], Any]) -> tuple[bytes, ...]:
    """A line for each step."""
    made = [make(step, value) for step, value in zip(STEPS, VALUES, strict=True)]
    return tuple((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in made)


def _event(step: int, value: float) -> bytes:
    info = {"run_id": "run", "phase": "train", "schema": 1, "attempt": 1, "rank": 0}
    return encode(
        Event(
            step=step,
            wall_time=float(step),
            timestamp=f"2026-01-31T23:59:5{step}.000000Z",
            seq=step - 1,
            metrics={"loss": value},
            rng={},
            data_slice={},
            model_info=info,
            notes=[],
        )
    ).rstrip(b"\n")


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(crc32c(length))) + data + struct.pack("<I", masked(crc32c(data)))


def _scalar(tag: str, value: float) -> bytes:
    name = tag.encode()
    inside = b"\x0a" + bytes([len(name)]) + name + b"\x15" + struct.pack("<f", value)
    summary = b"\x0a" + bytes([len(inside)]) + inside
    return b"\x2a" + bytes([len(summary)]) + summary


def _tf_event(step: int, value: float) -> bytes:
    wall_time = b"\x09" + struct.pack("<d", 1_790_000_000.0 + step)
    return _record(wall_time + b"\x10" + bytes([step]) + _scalar("mine/loss", value))


def _areal(step: int, value: float) -> bytes:
    time = f"20260131-23:59:5{step}.000 StatsLogger INFO"
    bar = "═" * 12
    lines = (
        f"{time}: Epoch 1/1 Step {step}/3 Train step {step}/3 done.",
        f"{time}: Stats (1/1):",
        f"╒{bar}╤{bar}╕",
        f"│ mine       │ {value:.4e} │",
        f"╘{bar}╧{bar}╛",
    )
    return "\n".join(lines).encode()


_TRAINER_STATE: Final = tuple(
    json.dumps({"epoch": step / 3, "loss": value, "step": step}).encode() + (b",\n" if step < STEPS[-1] else b"\n")
    for step, value in zip(STEPS, VALUES, strict=True)
)
_CSV: Final = tuple(f"{step},{value}\n".encode() for step, value in zip(STEPS, VALUES, strict=True))

FORMATS: Final = (
    Format(
        "rldk_events",
        "run_events.jsonl",
        "loss",
        _lines(_event),
        broken=b'{"step":2,"wall_time":oops}\n',
        timed=True,
    ),
    Format(
        "trl",
        "trainer_state.json",
        "loss",
        _TRAINER_STATE,
        head=b'{"global_step": 3, "log_history": [\n',
        foot=b"]}\n",
        broken=b'{"epoch": oops, "loss": 0.25, "step": 2},\n',
        lined=False,
    ),
    Format(
        "openrlhf",
        "console.log",
        "policy_loss",
        _lines(lambda step, value: f"Global step {step}: {{'policy_loss': {value}, 'actor_lr': 0.001}}".encode()),
        broken=b"Global step 2: {'policy_loss': oops, 'actor_lr': 0.001}\n",
    ),
    Format(
        "verl",
        "metrics.jsonl",
        "policy_loss",
        _lines(lambda step, value: {"step": step, "data": {"actor/pg_loss": value, "actor/lr": 0.001}}),
        broken=b'{"step": 2, "data": {"actor/pg_loss": oops}}\n',
    ),
    Format(
        "wandb",
        "history.jsonl",
        "mine",
        _lines(lambda step, value: {"mine": value, "_step": step, "_runtime": step, "_timestamp": 1.79e9 + step}),
        broken=b'{"mine": oops, "_step": 2, "_runtime": 2, "_timestamp": 1790000002}\n',
        timed=True,
    ),
    Format(
        "tensorboard",
        "runs/events.out.tfevents.1790000000.host.1.0",
        "mine/loss",
        tuple(_tf_event(step, value) for step, value in zip(STEPS, VALUES, strict=True)),
        head=_record(b"\x09" + struct.pack("<d", 1_790_000_000.0) + b"\x1a\x0dbrain.Event:2"),
        broken=_tf_event(2, VALUES[1])[:-1] + b"\x00",
        lined=False,
        timed=True,
    ),
    Format(
        "sb3",
        "progress.csv",
        "train/mine",
        tuple(f"{step},{step},{value}\n".encode() for step, value in zip(STEPS, VALUES, strict=True)),
        head=b"time/total_timesteps,time/iterations,train/mine\n",
        broken=b"2,2,0.25,7\n",
    ),
    Format(
        "baselines",
        "progress.csv",
        "loss",
        tuple(f"{step},{step},{value}\n".encode() for step, value in zip(STEPS, VALUES, strict=True)),
        head=b"misc/total_timesteps,misc/nupdates,loss\n",
        broken=b"2,2,0.25,7\n",
    ),
    Format(
        "llamafactory",
        "trainer_log.jsonl",
        "loss",
        _lines(
            lambda step, value: {
                "current_steps": step,
                "total_steps": 3,
                "loss": value,
                "percentage": 33.3,
                "elapsed_time": f"0:00:0{step}",
                "remaining_time": "0:00:09",
            }
        ),
        broken=b'{"current_steps": 2, "total_steps": 3, "loss": oops}\n',
    ),
    Format(
        "ms_swift",
        "logging.jsonl",
        "loss",
        _lines(
            lambda step, value: {
                "loss": value,
                "global_step/max_steps": f"{step}/3",
                "percentage": "33.3%",
                "elapsed_time": f"{step}s",
                "remaining_time": "9s",
            }
        ),
        broken=b'{"loss": oops, "global_step/max_steps": "2/3"}\n',
    ),
    Format(
        "tinker",
        "metrics.jsonl",
        "mine",
        _lines(lambda step, value: {"step": step, "progress/batch": step, "optim/lr": 0.001, "mine": value}),
        broken=b'{"step": 2, "progress/batch": 2, "optim/lr": oops}\n',
    ),
    Format(
        "nemo_rl",
        "metrics.json",
        "train/mine",
        tuple(
            f'"{step}": {value}{"," if step < STEPS[-1] else ""}\n'.encode()
            for step, value in zip(STEPS, VALUES, strict=True)
        ),
        head=b'{"train/mine": {\n',
        foot=b"}}\n",
        broken=b'"2": oops,\n',
        lined=False,
    ),
    Format(
        "dreamer",
        "metrics.jsonl",
        "train/mine",
        _lines(
            lambda step, value: {"step": step, "train/loss/policy": 1.5, "train/opt/updates": step, "train/mine": value}
        ),
        broken=b'{"step": 2, "train/loss/policy": oops}\n',
    ),
    Format(
        "areal", "trainer.log", "mine", _lines(_areal), broken=_areal(2, 0.25).replace(b"2.5000e-01", b"oops!") + b"\n"
    ),
    Format(
        "custom_csv",
        "mine.csv",
        "mine",
        _CSV,
        head=b"step,mine\n",
        broken=b"2,0.25,7\n",
    ),
    Format(
        "custom_jsonl",
        "mine.jsonl",
        "mine",
        _lines(lambda step, value: {"step": step, "mine": value}),
        broken=b'{"step": 2, "mine": oops}\n',
    ),
)
"""One log of each adapter."""
