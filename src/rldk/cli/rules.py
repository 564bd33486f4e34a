"""What the commands that judge runs have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rldk.alerts import PRESETS, load_rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from rldk.alerts import Rule

__all__ = ["own_rules", "rule_options"]


def rule_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what a run is judged by."""
    rules = click.option(
        "--rules",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="A TOML file with rules of your own, to be used beside those of the preset.",
    )
    preset = click.option(
        "--preset",
        default="auto",
        show_default=True,
        type=click.Choice(PRESETS),
        metavar="NAME",
        help=f"The rules to judge by: {', '.join(PRESETS)}; auto chooses by the algorithm.",
    )
    return preset(rules(command))


def own_rules(path: Path | None) -> tuple[Rule, ...]:
    """The rules in a file of the user's, none when there is no file.

    Raises:
        RLDKError: they cannot be understood.
        OSError: the file cannot be read.
    """
    return load_rules(path) if path else ()
