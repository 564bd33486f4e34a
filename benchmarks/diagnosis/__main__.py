"""Judge synthetic runs with RLDK and with `rldoctor`, and print what was found, when, and what was found wrongly."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click
from rich.console import Console
from rich.table import Table

from benchmarks.diagnosis.ours import judge, judge_file
from benchmarks.diagnosis.real import BROKEN, HEALTHY, REAL, serious, verdict_on
from benchmarks.diagnosis.runs import Run, faulty_runs, healthy_runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SCENARIOS: Final = {
    "entropy_collapse": ("entropy_collapse",),
    "saturated_groups": ("zero_signal_groups",),
    "too_hard": ("zero_signal_groups",),
    "reward_hacking": ("reward_hacking_suspect",),
    "length_hacking": ("reward_hacking_suspect", "length_explosion"),
    "truncation": ("truncation_saturated", "length_explosion"),
    "kl_blowup": ("kl_runaway",),
    "clip_saturation": ("clip_saturated",),
    "grad_spikes": ("grad_norm_spike",),
    "plateau": ("reward_stalled",),
    "format_domination": ("component_domination",),
    "healthy": (),
}
"""The scenarios of `rldoctor` itself, and the rules that have found each."""

THEIRS: Final = Path(__file__).with_name("theirs.py")

Alarms = dict[str, dict[str, int]]
"""For each run the step at which each rule or detector first warned."""


class Row(NamedTuple):
    """What was found of runs with the same fault."""

    what: str
    runs: int
    cells: tuple[str, ...]


class Measured(NamedTuple):
    """A table."""

    title: str
    heads: list[str]
    rows: list[Row]


def doctor(place: Path) -> str:
    """A Python that has `rldoctor`."""
    python = place / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)  # noqa: S603 - our own
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "rldoctor"], check=True)  # noqa: S603 - as above
    return str(python)


def by_doctor(python: str, folder: Path, *arguments: str) -> Alarms:
    """What `rldoctor` says of the runs in a folder."""
    command = [python, "-P", str(THEIRS), str(folder), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own
    return dict(map(json.loads, done.stdout.splitlines()))


def write(runs: Iterable[Run], folder: Path) -> None:
    """Write runs as logs that `rldoctor` reads."""
    for run in runs:
        lines = (json.dumps(record) for record in run.records())
        (folder / f"{run.name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def found(alarms: dict[str, int], names: Sequence[str], onset: int) -> int | None:
    """When one of these first warned since the fault began; a warning before that is none of it."""
    steps = [step for name, step in alarms.items() if name in names and step >= onset]
    return min(steps, default=None)


def share(found: Sequence[object | None]) -> str:
    """How many there are."""
    return f"{100 * sum(each is not None for each in found) / len(found):.0f} %"


def delay(runs: Sequence[Run], steps: Sequence[int | None]) -> str:
    """The median delay, in steps and in percent of the run."""
    late = [
        (step - run.onset, (step - run.onset) / run.steps)
        for run, step in zip(runs, steps, strict=True)
        if step is not None
    ]
    if not late:
        return "-"
    return (
        f"{statistics.median(each[0] for each in late):.0f} ({100 * statistics.median(each[1] for each in late):.0f} %)"
    )


def faults(runs: Sequence[Run], ours: Alarms, theirs: Alarms | None) -> list[Row]:
    """A row for each fault, and one for all."""
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.fault.name if run.fault else ""].append(run)
        groups["all"].append(run)
    everything = groups.pop("all")
    rows = []
    for name, group in [*groups.items(), ("all", everything)]:
        cells = []
        for alarms, field in ((ours, "rules"), (theirs, "detectors")):
            if alarms is None:
                continue
            offered = [run for run in group if run.fault and getattr(run.fault, field)]
            if not offered:
                cells += ["not offered", "-"]
                continue
            steps = [found(alarms[run.name], getattr(run.fault, field), run.onset) for run in group]
            cells += [share(steps), delay(group, steps)]
        rows.append(Row(name, len(group), tuple(cells)))
    return rows


def alarmed(runs: Sequence[Run], alarms: Alarms) -> str:
    """How many of healthy runs were warned of."""
    count = sum(bool(alarms[run.name]) for run in runs)
    return f"{count} of {len(runs)} ({100 * count / len(runs):.1f} %)"


def scenarios(python: str, place: Path, seeds: int) -> list[Row]:
    """A row for each of the scenarios of `rldoctor`."""
    folder = place / "own"
    folder.mkdir()
    theirs = by_doctor(python, folder, str(seeds))
    groups: dict[str, list[str]] = defaultdict(list)
    for name in theirs:
        groups[name.rsplit("-", 2)[0]].append(name)
    rows = []
    for scenario, rules in SCENARIOS.items():
        names = groups[scenario]
        ours = {name: judge_file(folder / f"{name}.jsonl").alarms for name in names}
        expected = json.loads((folder / f"{names[0]}.expected").read_text(encoding="utf-8"))
        cells = []
        for alarms, wanted in ((ours, rules), (theirs, expected)):
            if wanted:
                cells.append(share([found(alarms[name], wanted, 0) for name in names]))
            else:
                cells.append(f"{sum(bool(alarms[name]) for name in names)} alarms")
        rows.append(Row(scenario, len(names), tuple(cells)))
    return rows


def real(python: str | None) -> list[Row]:
    """A row for each real run whose state is known, where they are at hand."""
    labelled = [*((path, True) for path in HEALTHY), *((path, False) for path in BROKEN)]
    places = {path: str(_file(REAL / path)) for path, _ in labelled}
    theirs: dict[str, list[str] | None] = {}
    if python:
        command = [python, "-P", str(THEIRS), "--files", *places.values()]
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own
        theirs = dict(map(json.loads, done.stdout.splitlines()))
    rows = []
    for path, healthy in labelled:
        said = ", ".join(serious(verdict_on(REAL / path))) or "no warning"
        cells = ["healthy" if healthy else "broken", said]
        if python:
            found = theirs[places[path]]
            cells.append("cannot be read" if found is None else ", ".join(found) or "no warning")
        rows.append(Row(path.split("/")[1].replace("__", "/"), 1, tuple(cells)))
    return rows


def _file(place: Path) -> Path:
    """The one file in a folder."""
    return next((path for path in sorted(place.rglob("*")) if path.is_file()), place) if place.is_dir() else place


def table(measured: Measured) -> Table:
    """A table for a terminal."""
    made = Table(title=measured.title, title_justify="left")
    for column in measured.heads:
        made.add_column(column, no_wrap=True)
    for row in measured.rows:
        made.add_row(row.what, str(row.runs), *row.cells)
    return made


def markdown(measured: Measured) -> str:
    """A table for a page."""
    lines = [f"{measured.title}:", "", "| " + " | ".join(measured.heads) + " |", "|" + "---|" * len(measured.heads)]
    lines += ["| " + " | ".join((row.what, str(row.runs), *row.cells)) + " |" for row in measured.rows]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--seeds", default=1, show_default=True, help="Runs of each fault, length and noise.")
@click.option("--healthy", default=2, show_default=True, help="Healthy runs of each kind, length and noise.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the environment of `rldoctor` here.")
@click.option("--alone", is_flag=True, help="RLDK only; nothing is downloaded.")
@click.option("--markdown", "page", type=click.Path(path_type=Path), help="Write the tables to this file too.")
def main(*, seeds: int, healthy: int, keep: Path | None, alone: bool, page: Path | None) -> None:
    """Measure what is found, when, and what is found wrongly."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    with tempfile.TemporaryDirectory(prefix="rldk-diagnosis-") as name:
        place = Path(name)
        python = None if alone else doctor((keep or place / "rldoctor").absolute())
        tables = [synthetic(list(faulty_runs(seeds)), list(healthy_runs(healthy)), python, place)]
        if python:
            heads = ["scenario", "runs", "RLDK", "rldoctor"]
            tables.append(Measured("The scenarios of rldoctor", heads, scenarios(python, place, 3)))
        if REAL.is_dir():
            heads = ["real run", "runs", "it is", "RLDK", *(["rldoctor"] if python else [])]
            tables.append(Measured("Real runs", heads, real(python)))
        about = f"{datetime.now(UTC):%Y-%m-%d}, {versions(python)}"
    console.print(about)
    for each in tables:
        console.print(table(each))
    if page:
        page.write_text("\n".join([about + "\n", *map(markdown, tables)]), encoding="utf-8")


def synthetic(broken: list[Run], sound: list[Run], python: str | None, place: Path) -> Measured:
    """Judge synthetic runs, with and without faults."""
    ours = {run.name: judge(run).alarms for run in (*broken, *sound)}
    theirs: Alarms | None = None
    if python:
        folder = place / "runs"
        folder.mkdir()
        write((*broken, *sound), folder)
        theirs = by_doctor(python, folder)
    cells = [cell for alarms in (ours, theirs) if alarms for cell in (alarmed(sound, alarms), "-")]
    rows = [*faults(broken, ours, theirs), Row("healthy runs warned of", len(sound), tuple(cells))]
    heads = ["fault", "runs", "RLDK found", "delay", *(["rldoctor found", "delay"] if theirs else [])]
    return Measured("Synthetic runs", heads, rows)


def versions(python: str | None) -> str:
    """What was measured."""
    found = f"RLDK {version('rldk')}"
    if python:
        asked = "from importlib.metadata import version; print(version('rldoctor'))"
        done = subprocess.run([python, "-c", asked], check=True, capture_output=True, text=True)  # noqa: S603 - our own
        found += f", rldoctor {done.stdout.strip()}"
    return f"{found}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
