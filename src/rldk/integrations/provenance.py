"""Where a run comes from: process, versions, git; with secrets left out."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from importlib import metadata
from typing import Any, Final

from rldk.io.filters import REDACTED
from rldk.io.secrets import names_secret

__all__ = ["git_state", "parameters", "process_facts", "redacted", "seeds", "versions"]

_GIT_PATIENCE: Final = 2.0
"""Seconds that git may take; a large working tree must not hold up training."""

_INT64: Final = range(-(2**63), 2**63)


def process_facts() -> dict[str, Any]:
    """Which process this is, with the values of secret flags left out."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "cwd": _cwd(), "argv": _redacted_argv(sys.argv)}


def _cwd() -> str | None:
    try:
        return _text(os.getcwd())  # noqa: PTH109 - a string for JSON
    except OSError:
        # It was removed under us.
        return None


def versions(*packages: str) -> dict[str, str]:
    """The versions of Python and of those packages that are installed."""
    found = {"python": sys.version.split()[0]}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any]:
    """The commit of the working folder and whether it has changes; empty where git cannot tell."""
    sha = _git("rev-parse", "HEAD")
    if not sha:
        return {}
    status = _git("status", "--porcelain", "--untracked-files=no")
    return {"sha": sha, "dirty": None if status is None else bool(status)}


def _git(*arguments: str) -> str | None:
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            timeout=_GIT_PATIENCE,
            check=True,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()


def parameters(model: Any) -> int | None:
    """How many parameters a model has; None when it does not say, or shards them away as ZeRO-3 does."""
    count = getattr(model, "num_parameters", None)
    return (int(count()) or None) if callable(count) else None


def seeds(seed: int | None) -> dict[str, Any]:
    """The seeds as they are found; None for those nobody can tell.

    numpy and `random` do not say how they were seeded, so theirs are never known.

    Args:
        seed: the seed the trainer was given.
    """
    hash_seed = os.environ.get("PYTHONHASHSEED")
    return {
        "seed": seed,
        "python_hash_seed": int(hash_seed) if hash_seed and hash_seed.isdecimal() else hash_seed or None,
        "torch_seed": _torch_seed(),
        "numpy_seed": None,
        "random_seed": None,
    }


def _torch_seed() -> int | str | None:
    """The seed of torch; as text when it is one of the upper half of 64 bits, which no table can hold as a number."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    seed = int(torch.initial_seed())
    return seed if seed in _INT64 else str(seed)


def redacted(value: Any, name: str = "") -> Any:
    """A value with every entry left out whose name says that it is secret; what is no JSON becomes its repr."""
    if names_secret(name) and value not in (None, "", False):
        return REDACTED
    if isinstance(value, dict):
        return {_text(str(key)): redacted(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(item) for item in value]
    if isinstance(value, float):
        return value if value - value == 0 else repr(value)
    if isinstance(value, str):
        return _text(value)
    return value if value is None or isinstance(value, (bool, int)) else _text(repr(value))


def _text(value: str) -> str:
    """A string that JSON can hold: what is no text, as the bytes of some file names, appears as codes."""
    return value.encode(errors="backslashreplace").decode()


def _redacted_argv(argv: list[str]) -> list[str]:
    shown: list[str] = []
    hide = False
    for word in argv:
        flag, equals, _ = word.partition("=")
        secret = names_secret(flag.lstrip("-+"))
        shown.append(REDACTED if hide else f"{flag}={REDACTED}" if secret and equals else _text(word))
        hide = secret and not equals and flag.startswith("-")
    return shown
