"""`rldk diagnose`."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING

import click
import msgspec
from rich.text import Text

from rldk.alerts import Alert, Verdict, clones
from rldk.alerts.findings import SEVERITIES
from rldk.cli.account import print_passed_over
from rldk.cli.rules import own_rules, rule_options
from rldk.cli.sources import counting, format_options, options_of
from rldk.cli.terminal import paragraph_width, terminal
from rldk.ingest.account import IngestReport, PassedOver, RunReport
from rldk.ingest.diagnosis import diagnoses
from rldk.ingest.options import Options
from rldk.report.verdict import COLOURS, render_findings, render_rule, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


__all__ = ["diagnose"]


class Judged(msgspec.Struct):
    """A run that was judged."""

    run_id: str
    source: str
    account: list[RunReport]
    """What became of the lines of each of its logs."""
    verdict: Verdict


class Judgement(msgspec.Struct):
    """All that was judged: what `--json` prints."""

    runs: list[Judged]
    clones: list[Alert]
    """Runs that agree with another one in every step."""
    passed_over: list[PassedOver]
    """Files that were not read."""
    schema: int = 1

    def severities(self) -> set[str]:
        """How bad what was found is."""
        found = [alert for run in self.runs for alert in run.verdict.alerts]
        return {alert.severity for alert in (*found, *self.clones)}

    def exit_code(self, fail_on: str) -> int:
        """0 when nothing so bad was found, 1 when something was, 2 when there was nothing to judge."""
        if self.severities().intersection(SEVERITIES[SEVERITIES.index(fail_on) :]):
            return 1
        return 0 if any(each.events for run in self.runs for each in run.account) else 2


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@rule_options
@format_options
@click.option(
    "--fail-on",
    default="critical",
    show_default=True,
    type=click.Choice(["warning", "critical"]),
    metavar="SEVERITY",
    help="Exit with 1 from this severity on: warning or critical.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
def diagnose(
    sources: Sequence[str],
    *,
    preset: str,
    rules: Path | None,
    adapter: str | None,
    fields: Sequence[str],
    fail_on: str,
    as_json: bool,
) -> None:
    """Say what is wrong with a run, since when, and what people do about it.

    Each SOURCE is whatever `rldk ingest` reads: a log, a folder, a pattern, an address. What cannot be read is a
    finding by itself, and the run is judged on the rest. First comes the verdict, in one sentence; then what was
    found, the worst first, what was checked and found fine, what could not be checked and which metric that needs,
    and the keys that were not understood.

    \b
    rldk diagnose rldk_logs
    rldk diagnose outputs/checkpoint-250 --preset grpo --fail-on warning
    rldk diagnose metrics.jsonl --rules rules.toml --json

    Exit codes: 0 nothing so bad was found, 1 something was, 2 wrong usage or nothing to judge.
    """
    report, runs = IngestReport(), []
    with counting("judging") as progress:
        options = Options(history="all", progress=progress, **options_of(adapter, fields, "salvage"))
        for each in diagnoses(list(sources), options, preset=preset, rules=own_rules(rules), report=report):
            deque(each.changes(), maxlen=0)
            runs.append(Judged(each.run_id, each.source, each.account, each.verdict()))
    found = Judgement(runs, clones(run.verdict for run in runs), report.passed_over)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        console = terminal()
        for line in _lines(found, paragraph_width(console)):
            console.print(line, soft_wrap=True)
        print_passed_over(report, console)
    sys.exit(found.exit_code(fail_on))


def _lines(found: Judgement, width: float) -> Iterator[Text]:
    """The verdicts, those of several runs together before what is behind each."""
    for run in found.runs:
        yield from sentence(run.run_id, run.verdict, width)
    for alert in found.clones:
        yield Text()
        yield from render_rule([alert], width)
    for run in found.runs:
        if len(found.runs) > 1:
            head = Text(f"\n{run.run_id}", style=COLOURS[run.verdict.health])
            yield head.append(f"  {run.source}", style="not bold dim")
        yield from render_findings(run.verdict, width)
