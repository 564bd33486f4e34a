"""Events and logs that tests start from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rldk.io.codec import encode
from rldk.io.event_schema import Event

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["EXAMPLE", "FIELDS", "HARMLESS_NAMES", "REQUIRED", "SECRET_NAMES", "an_event", "write_log"]

EXAMPLE: Final = (
    b'{"step":0,"wall_time":10.5,"metrics":{"reward_mean":0.5,"reward_std":0.1,"kl_mean":0.1,"entropy_mean":0.8,'
    b'"clip_frac":0.2,"grad_norm":1.0,"lr":0.001,"loss":0.4},"rng":{"seed":42,"python_hash_seed":42,"torch_seed":42,'
    b'"numpy_seed":42,"random_seed":42},"data_slice":{"tokens_in":1000,"tokens_out":500,"batch_size":32,'
    b'"sequence_length":512},"model_info":{"run_id":"my_training_run","git_sha":"abc123","phase":"train",'
    b'"model_name":"gpt2","model_size":124000000,"optimizer":"AdamW","scheduler":"CosineAnnealingLR"},"notes":[]}'
)
"""The example of the specification, which has none of the optional fields."""

FIELDS: Final = [
    "step",
    "wall_time",
    "timestamp",
    "seq",
    "metrics",
    "nonfinite",
    "rng",
    "data_slice",
    "model_info",
    "notes",
]
"""The fields of an event, in the order in which they are written."""

REQUIRED: Final = ["step", "wall_time", "metrics", "rng", "data_slice", "model_info", "notes"]
"""Those that each event has."""

SECRET_NAMES: Final = (
    "token",
    "hub_token",
    "HF_TOKEN",
    "push-to-hub-token",
    "hub.token",
    "pad_token",
    "api_key",
    "apikey",
    "API-KEY",
    "wandb_api_key",
    "api_keys",
    "AWS_SECRET_ACCESS_KEY",
    "access_key",
    "key",
    "secret",
    "secrets",
    "client_secret",
    "password",
    "passwords",
    "db_passwd",
    "credential",
    "credentials",
    "use_wandb",
)
"""Names of settings that hold secrets."""

HARMLESS_NAMES: Final = (
    "pad_token_id",
    "tokens",
    "max_tokens",
    "num_tokens",
    "tokenizer",
    "keys",
    "keyboard",
    "monkey",
    "secretary",
    "lr",
    "",
)
"""Names of settings that only sound as if they did."""


def an_event(step: int = 0, /, *, info: dict[str, Any] | None = None, **changes: Any) -> Event:
    """An event as a writer's at this step, with other fields or other entries of `model_info` where they are given."""
    fields: dict[str, Any] = {
        "step": step,
        "wall_time": step + 0.5,
        "timestamp": f"2026-01-31T23:59:{step % 60:02}.250000Z",
        "seq": step,
        "metrics": {"loss": 1.0 / (step + 1), "kl_mean": 0.25},
        "rng": {"seed": 42},
        "data_slice": {"batch_size": 8},
        "model_info": {"run_id": "r1", "phase": "train", "schema": 1, "attempt": 1, "rank": 0, **(info or {})},
        "notes": [],
    }
    return Event(**(fields | changes))


def write_log(path: Path, events: Iterable[Event]) -> Path:
    """Make a log of these events, just as they are."""
    path.write_bytes(b"".join(map(encode, events)))
    return path
