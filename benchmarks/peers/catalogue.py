"""Which loggers are measured, and what each needs."""

from __future__ import annotations

from typing import Final, NamedTuple


class Peer(NamedTuple):
    """A logger.

    `name` is its module here. Without `packages` it runs in this Python, else in a virtual environment of its own
    the version of the first package is shown, unless it is `ours`, written after the behaviour of another.
    `kills` is how many of its processes are killed by default. `lines` is the pattern of its files that are to be
    lines of JSON. `room` is how many KiB it has on a disk that
    becomes full.
    """

    name: str
    title: str
    packages: tuple[str, ...] = ()
    kills: int = 30
    lines: str = ""
    room: int = 1024
    ours: bool = False
    environment: tuple[tuple[str, str], ...] = ()


RLDK: Final = Peer("rldk", "RLDK", kills=100, lines="*.jsonl")

PEERS: Final = (
    RLDK,
    Peer(
        "wandb",
        "W&B offline",
        ("wandb",),
        kills=16,
        environment=(
            ("WANDB_MODE", "offline"),
            ("WANDB_ERROR_REPORTING", "false"),
            ("WANDB_DISABLE_GIT", "true"),
            ("WANDB_DISABLE_CODE", "true"),
        ),
    ),
    Peer(
        "trackio",
        "trackio",
        ("trackio",),
        kills=16,
        environment=(
            ("TRACKIO_DIR", "{folder}"),
            ("HF_HUB_OFFLINE", "1"),
            ("HF_HUB_DISABLE_TELEMETRY", "1"),
            ("GRADIO_ANALYTICS_ENABLED", "False"),
        ),
    ),
    Peer("swanlab", "SwanLab offline", ("swanlab",), kills=16, environment=(("SWANLAB_MODE", "offline"),)),
    Peer("tensorboardx", "tensorboardX", ("tensorboardX", "tensorboard"), kills=16),
    Peer(
        "mlflow",
        "MLflow, SQLite",
        ("mlflow",),
        kills=6,
        room=4096,
        environment=(("MLFLOW_DISABLE_TELEMETRY", "true"), ("GIT_PYTHON_REFRESH", "quiet")),
    ),
    Peer("aim", "Aim", ("aim",), kills=6, room=4096, environment=(("AIM_UI_TELEMETRY_ENABLED", "0"),)),
    Peer("verl_file", "verl's file logger (ours)", ("orjson",), lines="*.jsonl", ours=True),
    Peer("sb3_json", "SB3's JSON (ours)", lines="*.json", ours=True),
    Peer("sb3_csv", "SB3's CSV (ours)", ours=True),
    Peer("held_csv", "Lightning's CSV (ours)", ours=True),
    Peer("append_json", "append + flush (ours)", lines="*.jsonl", ours=True),
)
"""RLDK, the peers, and those that were written by us after the behaviour of one, to be measured without it."""

COMMON: Final = (("DO_NOT_TRACK", "1"), ("NO_COLOR", "1"), ("NO_PROXY", "localhost,127.0.0.1,::1"))
"""Set for every peer."""

NOWHERE: Final = "http://127.0.0.1:9"
"""A proxy that is not there: whoever looks for the network finds none."""
