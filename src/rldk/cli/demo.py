"""`rldk demo`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from rldk.cli.terminal import terminal
from rldk.errors import MissingExtraError
from rldk.io.manifest import find_resumed
from rldk.io.reader import last_event
from rldk.io.segments import derived_path, find_logs, log_path, run_log
from rldk.io.validator import validate_jsonl_file
from rldk.report.final import build_report
from rldk.report.render import render_report

if TYPE_CHECKING:
    from rich.console import Console

    from rldk.io.segments import Log
    from rldk.report.final import Report

__all__ = ["demo"]

_ENVIRONMENT: Final = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
_NEWLINE: Final = b"\n"
_FILES: Final = {
    "events.jsonl": "every event, one JSON line each",
    "metrics.csv": "the same as a table",
    "metrics.json": "each metric in a few numbers",
    "final_report.json": "what became of the run",
    "alerts.json": "what is wrong with it, and what was checked",
    "manifest.json": "where the run comes from, what its metrics mean",
}


class _Plan(NamedTuple):
    """What the demo trains, and where."""

    folder: Path
    trainer: Path
    steps: int
    save_every: int

    def train(self, crash_at: int | None, console: Console) -> int:
        """Train in a process of its own, showing its steps; its exit code."""
        arguments = [str(self.folder), str(self.trainer), str(self.steps), str(self.save_every), str(crash_at or 0)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RLDK_")}
        with self.output.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "rldk.integrations.trl.demo", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment | _ENVIRONMENT,
            )
            try:
                self._follow(process, console)
                return process.wait()
            finally:
                process.kill()

    def _follow(self, process: subprocess.Popen[bytes], console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(30), MofNCompleteColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("loading torch and TRL", total=self.steps)
            while process.poll() is None:
                if step := self.step():
                    progress.update(task, description="training", completed=step)
                time.sleep(0.1)

    @property
    def output(self) -> Path:
        """What the trainer prints."""
        return self.trainer / "output.txt"

    @property
    def log(self) -> Log | None:
        """The log of the run, None before it began."""
        run_id = find_resumed(self.folder, str(self.trainer))
        path = log_path(self.folder, run_id) if run_id else None
        return run_log(path) if path and path.exists() else None

    def step(self) -> int:
        """The last step that was recorded."""
        if (log := self.log) is None:
            return 0
        with log.path.open("rb") as file:
            event = last_event(file)
        return event.step if event else 0


@click.command()
@click.option(
    "--out",
    default="rldk_demo",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to put everything in.",
)
@click.option("--steps", default=30, show_default=True, type=click.IntRange(3), help="Steps to train.")
@click.option("--crash-at", type=click.IntRange(1), metavar="K", help="Kill the training at step K, then resume it.")
def demo(out: Path, steps: int, crash_at: int | None) -> None:
    """Train a tiny model with TRL's GRPO on the CPU, offline, and see what RLDK records of it.

    With --crash-at the training process is killed by SIGKILL at the end of step K and then resumed from its last
    checkpoint; the demo shows that nothing it had recorded was lost. Needs `pip install 'rldk[trl]'`.

    \b
    rldk demo
    rldk demo --crash-at 17
    """
    save_every = max(1, min(10, steps // 3))
    if crash_at is not None and not save_every < crash_at <= steps:
        raise click.BadParameter(
            f"the first checkpoint is kept after step {save_every}: expected a step from {save_every + 1} to {steps}",
            param_hint="--crash-at",
        )
    if importlib.util.find_spec("trl") is None:
        raise MissingExtraError("TRL", "trl")
    console = terminal()
    folder = out.absolute()
    trainer = folder / f"trainer-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}"
    trainer.mkdir(parents=True)
    plan = _Plan(folder, trainer, steps, save_every)
    console.print("A model of 29,000 parameters learns to write vowels: TRL's GRPO, on the CPU.\n")
    before = None if crash_at is None else _crash(plan, crash_at, console)
    _require(plan, plan.train(None, console), 0, console)
    log = _recorded(plan)
    report = build_report(log)
    console.print(render_report(report, console.width))
    console.print()
    _show_checks(log, report, console)
    if before is not None:
        _show_nothing_lost(plan, log, report, before, console)
    _show_files(log, console)


def _crash(plan: _Plan, crash_at: int, console: Console) -> bytes:
    """Train until the process kills itself; what it left in the log."""
    _require(plan, plan.train(crash_at, console), -signal.SIGKILL, console)
    left = _recorded(plan).path.read_bytes()
    console.print(f"Killed the training with SIGKILL at the end of step {crash_at}.", style="bold red")
    console.print(f"It could close nothing; its log has {left.count(_NEWLINE)} events.")
    console.print("Resuming from its last checkpoint.\n")
    return left


def _require(plan: _Plan, code: int, expected: int, console: Console) -> None:
    if code != expected:
        for line in plan.output.read_text(errors="replace").splitlines()[-20:]:
            console.print(line, style="dim")
        raise click.ClickException(f"the training ended with exit code {code}; all it printed is in {plan.output}")


def _recorded(plan: _Plan) -> Log:
    if (log := plan.log) is None:
        raise click.ClickException(f"nothing was recorded; all the training printed is in {plan.output}")
    return log


def _show_checks(log: Log, report: Report, console: Console) -> None:
    attempts = report.summary.attempts.values()
    seconds, events = sum(each.ended - each.began for each in attempts), sum(each.events for each in attempts)
    valid = bool(validate_jsonl_file(log.path, strict=True))
    _show(console, "strictly valid", "yes" if valid else "no", good=valid)
    _show(
        console, "speed", f"{events} events in {seconds:.1f} s of training, {events / max(seconds, 1e-3):.0f} a second"
    )


def _show_nothing_lost(plan: _Plan, log: Log, report: Report, before: bytes, console: Console) -> None:
    kept = log.path.read_bytes().startswith(before)
    train = report.summary.curves["train", None]
    whole = report.summary.steps == (1, plan.steps) and train.points == plan.steps
    first, second = report.final.attempts[0], report.final.attempts[-1]
    _show(
        console,
        "killed attempt",
        f"steps {first.first_step} to {first.last_step} were logged, every byte is still there",
        good=kept,
    )
    _show(
        console, "resumed attempt", f"after step {second.resumed_from}, steps {second.first_step} to {second.last_step}"
    )
    _show(console, "trained twice", f"{report.summary.replaced} steps: both passes are kept, the later one counts")
    _show(console, "each step once", f"{train.points} of {plan.steps} steps count", good=whole)
    if not kept or not whole:
        raise click.ClickException("something was lost, which must not happen: please report it")


def _show(console: Console, name: str, text: str, *, good: bool | None = None) -> None:
    style = {True: "green", False: "bold red", None: ""}[good]
    console.print(Text.assemble((f"{name:<17}", "bold"), (text, style)))


def _show_files(log: Log, console: Console) -> None:
    folder = log.path.parent
    console.print(f"\nIn {os.path.relpath(folder)}, each name after {log.run_id}_:", style="bold", soft_wrap=True)
    for name, meaning in _FILES.items():
        size = derived_path(log, name).stat().st_size / 1000
        console.print(f"  {name:<18} {size:6.1f} kB  {meaning}", soft_wrap=True)
    shown = os.path.relpath(folder if len(find_logs(folder)) == 1 else log.path)
    console.print("\nNext:", style="bold")
    for command in (f"report {shown}", f"validate --strict {shown}", "demo --crash-at 17"):
        console.print(f"  {_program()} {command}", style="cyan", soft_wrap=True)


def _program() -> str:
    """How this program can be called again: by its name, where the shell would find it."""
    if shutil.which("rldk"):
        return "rldk"
    called = Path(sys.argv[0])
    return os.path.relpath(called) if called.name == "rldk" else f"{os.path.relpath(sys.executable)} -m rldk"
