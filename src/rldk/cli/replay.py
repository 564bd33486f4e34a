"""`rldk replay`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec
from rich.text import Text

from rldk.cli.rules import own_rules, rule_options
from rldk.cli.sources import format_options, options_of
from rldk.cli.terminal import paragraph_width, terminal
from rldk.ingest.account import IngestReport
from rldk.ingest.diagnosis import diagnoses
from rldk.ingest.options import Options
from rldk.report.verdict import render_change, sentence

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["replay"]


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="RUN...")
@rule_options
@format_options
@click.option("--json", "as_json", is_flag=True, help="Print each change as a line of JSON.")
def replay(
    sources: Sequence[str],
    *,
    preset: str,
    rules: Path | None,
    adapter: str | None,
    fields: Sequence[str],
    as_json: bool,
) -> None:
    """Show when each alert would have fired, had RUN been judged while it trained.

    Each line is a change of an alert: the step at which it fired, got worse or was resolved. With --json each is an
    object with `run_id`, `step` and `alert`.

    \b
    rldk replay rldk_logs
    rldk replay metrics.jsonl --rules rules.toml --json
    """
    report, console = IngestReport(), terminal()
    width, options = paragraph_width(console), Options(history="all", **options_of(adapter, fields, "salvage"))
    for each in diagnoses(list(sources), options, preset=preset, rules=own_rules(rules), report=report):
        if not as_json:
            head = Text(each.run_id, style="bold").append(f"  {each.source}", style="not bold dim")
            console.print(head, soft_wrap=True)
        for step, alert in each.changes():
            if as_json:
                click.echo(msgspec.json.encode({"run_id": each.run_id, "step": step, "alert": alert}))
                continue
            for line in render_change(step, alert, width):
                console.print(line, soft_wrap=True)
        if not as_json:
            for line in sentence(each.run_id, each.verdict(), width):
                console.print(line, soft_wrap=True)
