"""W&B: run files `.wandb`, histories, summaries and exports, read without W&B, a network or an account."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple

from rldk.adapters.base import Aside, Bad, Certainty, Claim, FormatAdapter, Parsed, Reading, no
from rldk.adapters.csv_rows import UNNAMED, Comment, columns, csv_rows
from rldk.adapters.csv_rows import Row as CsvRow
from rldk.adapters.foreign_json import JsonElement, JsonLine, document, json_records, listed, objects
from rldk.adapters.leveldb_log import Record, records
from rldk.adapters.lines import read_head
from rldk.adapters.records import run_name
from rldk.adapters.wandb_chart import chart_of, read_chart
from rldk.adapters.wandb_records import Facts, Row, Summary, logged
from rldk.adapters.wandb_rows import OWN, RowReader, flattened, plan_of
from rldk.errors import UnknownFormatError
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from rldk.adapters.base import Item
    from rldk.adapters.foreign_json import Element
    from rldk.adapters.lines import Line
    from rldk.io.event_schema import Event

__all__ = ["WandbAdapter"]

_MARK: Final = b":W&B"
_HEADER: Final = _MARK + b"\xe1\xbe\x00"
"""What a run file begins with: its mark, a number made of `Weights & Biases`, and version 0."""
_FOLDER: Final = re.compile(r"(?:offline-|dry)?run-\d{8}_\d{6}-([A-Za-z0-9][A-Za-z0-9._-]{0,127})|latest-run")
"""What W&B calls the folder of a run: when it began, and its id."""
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SUMMARY: Final = "wandb-summary.json"
_INSIDE: Final = ("files/wandb-history.jsonl", "wandb-history.jsonl", f"files/{_SUMMARY}", _SUMMARY)
"""What is read of a folder without a run file: the history of old versions, the summary."""


class WandbAdapter(FormatAdapter):
    """Reads what W&B keeps on disk of a run, and what its pages and its API give back.

    A folder is read by its run file, which holds all that the others do. Tables, pictures and histograms are set
    aside by name, the configuration is a fact of the run, and `output.log` is left to those who read consoles.
    """

    name: ClassVar[str] = "wandb"
    reads: ClassVar[str] = (
        "W&B: .wandb files and run folders, histories as JSON lines, JSON lists or CSV, summaries, chart exports"
    )

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether the file is one that W&B writes, or the folder that of a run."""
        if path.is_dir():
            inside = _inside(path)
            return Claim(Certainty.SURE, f"a folder of W&B with {inside.name}") if inside else no("no W&B run is in it")
        kind = _kind(head, path)
        return Claim(kind.certainty, kind.why) if kind.read else no(kind.why)

    def read(self, path: Path) -> Reading:
        """The run that the file, or the folder, holds."""
        file = _inside(path) if path.is_dir() else path
        if file is None:
            raise UnknownFormatError(path, "expected the folder of a W&B run, found no run file and no summary in it")
        kind = _kind(read_head(file), file)
        if kind.read is None:
            raise UnknownFormatError(file, f"expected a file of W&B, found one that is none: {kind.why}")
        return kind.read(file, self.field_map)

    def unit(self, path: Path, root: Path) -> Path:
        """The folder of a run, when the file lies in one."""
        folder = path.parent.parent if path.parent.name == "files" else path.parent
        inside = folder == root or root in folder.parents
        return folder if inside and _FOLDER.fullmatch(folder.name) else path


class _Kind(NamedTuple):
    read: Callable[[Path, Mapping[str, str]], Reading] | None
    """What reads such a file; None when it is none of W&B."""
    certainty: Certainty
    why: str


def _kind(head: bytes, path: Path) -> _Kind:
    """Which of W&B's files this is."""
    if head.startswith(_MARK):
        return _Kind(_read_run_file, Certainty.SURE, "a run file of W&B")
    if rows := listed(head):
        return _rows_kind(rows[0], "a JSON list")
    if objects(head) or head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return _json_kind(head, path)
    names = columns(head)
    if set(OWN) <= set(names):
        return _Kind(_read_table, Certainty.SURE, f"the columns {', '.join(OWN)}")
    chart = chart_of(names)
    if chart and (chart.sure or chart.x == "Step"):
        certainty = Certainty.SURE if chart.sure else Certainty.TYPICAL
        return _Kind(_read_export, certainty, f"columns of runs and metrics, {next(iter(chart.metrics))!r}")
    return _Kind(None, Certainty.NO, "it begins like no run file, history, summary or export of W&B")


def _json_kind(head: bytes, path: Path) -> _Kind:
    rows = objects(head)
    first = rows[0] if rows else {}
    if len(rows) < 2 and ("_wandb" in first or (not rows and b'"_wandb"' in head)):  # noqa: PLR2004 - it is all there is
        return _Kind(_read_summary, Certainty.SURE, "the summary of a W&B run, with _wandb")
    if len(rows) < 2 and path.name.startswith(_SUMMARY):  # noqa: PLR2004
        return _Kind(_read_summary, Certainty.TYPICAL, "the name of a W&B summary, and JSON in it")
    return _rows_kind(first, "JSON lines")


def _rows_kind(first: Mapping[str, Any], form: str) -> _Kind:
    """What rows of a history are that begin with this one."""
    if first.keys() >= set(OWN):
        return _Kind(_read_lines, Certainty.SURE, f"{form} with {', '.join(OWN)}")
    if "_step" in first and ("_timestamp" in first or "_runtime" in first):
        return _Kind(_read_lines, Certainty.TYPICAL, f"{form} with _step and a time of W&B")
    return _Kind(None, Certainty.NO, f"JSON without W&B's own {', '.join(OWN)}")


def _inside(folder: Path) -> Path | None:
    """The file of a run's folder that holds the most; None when it is no such folder."""
    try:
        runs = sorted(folder.glob("*.wandb"))
        if len(runs) == 1:
            return runs[0]
        return next((folder / name for name in _INSIDE if (folder / name).is_file()), None)
    except OSError:
        return None


def _run_id(path: Path) -> str:
    """The id of a run, as the folder of the file says it; otherwise made of the names around."""
    match = next((match for each in path.absolute().parents if (match := _FOLDER.fullmatch(each.name))), None)
    return (match and match[1]) or run_name(path)


def _read_run_file(path: Path, field_map: Mapping[str, str]) -> Reading:
    head = read_head(path)
    if not head.startswith(_HEADER):
        expected = "a run file of W&B of version 0, which begins with"
        raise UnknownFormatError(path, f"expected {expected} {_HEADER!r}, found {head[: len(_HEADER)]!r}")
    facts: dict[str, Any] = {}
    plan = plan_of(_rows_of(path, facts), field_map)
    own = str(facts.pop("run_id", ""))
    reader = RowReader(plan, own if _ID.fullmatch(own) else _run_id(path), field_map)
    return Reading(_run_items(path, reader), plan.axis, reader.sources, "record", facts)


def _rows_of(path: Path, facts: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The rows of a run file's history; what else is known goes into `facts`."""
    for record in records(path, _HEADER):
        found = logged(record.data) if isinstance(record, Record) else None
        if isinstance(found, Row):
            yield found.values
        elif isinstance(found, Facts):
            config = {**facts.get("config", {}), **found.facts.get("config", {})}
            facts.update(found.facts, **({"config": config} if config else {}))


def _run_items(path: Path, reader: RowReader) -> Iterator[Item]:
    summary: dict[str, Any] = {}
    media: set[str] = set()
    for record in records(path, _HEADER):
        if isinstance(record, Bad):
            yield record
            continue
        found = logged(record.data)
        if isinstance(found, Problem):
            yield record.bad(path, found)
        elif isinstance(found, Row):
            yield from _items(reader.read(found.values), record, path)
        elif isinstance(found, Summary):
            _update(summary, media, found)
            yield Aside("summary")
        else:
            yield Aside(found.kind)
    last = reader.read_summary(summary)
    if not isinstance(last, Aside):
        yield Bad(last, path, 0) if isinstance(last, Problem) else Parsed(last, 0)


def _update(summary: dict[str, Any], media: set[str], found: Summary) -> None:
    """Take in new values of the summary; of media nothing is kept, whatever is said of them later."""
    flat = flattened(found.values)
    if isinstance(flat, Problem):
        return
    media.update(name.rpartition(" (")[0] for name in flat.media)
    summary.update({key: value for key, value in flat.values.items() if not _within(key, media)})
    for name in found.removed:
        summary.pop(name, None)


def _within(key: str, media: set[str]) -> bool:
    return any(key.startswith(f"{name}.") for name in media)


def _items(
    result: list[Event] | Aside | Problem, source: Record | Line | Element | CsvRow, path: Path, lines: int = 1
) -> Iterator[Item]:
    """The items of a row, which its first event counts."""
    if isinstance(result, Aside):
        yield result._replace(lines=lines)
    elif isinstance(result, Problem):
        yield source.bad(path, result)
    else:
        for index, event in enumerate(result):
            yield Parsed(event, 0 if index else lines)


def _read_lines(path: Path, field_map: Mapping[str, str]) -> Reading:
    head = read_head(path)
    found = json_records(path, head)
    rows = (each.members for each in found if isinstance(each, (JsonLine, JsonElement)))
    reader = RowReader(plan := plan_of(rows, field_map), _run_id(path), field_map)
    unit: Literal["record", "line"] = "record" if listed(head) else "line"
    return Reading(_line_items(path, head, reader), plan.axis, reader.sources, unit)


def _line_items(path: Path, head: bytes, reader: RowReader) -> Iterator[Item]:
    for each in json_records(path, head):
        if isinstance(each, (JsonLine, JsonElement)):
            yield from _items(reader.read(each.members), each.line, path)
        else:
            yield each


def _read_table(path: Path, field_map: Mapping[str, str]) -> Reading:
    rows = (_without_index(each) for each in csv_rows(path) if isinstance(each, CsvRow))
    reader = RowReader(plan := plan_of(rows, field_map), _run_id(path), field_map)
    return Reading(_table_items(path, reader), plan.axis, reader.sources)


def _table_items(path: Path, reader: RowReader) -> Iterator[Item]:
    for each in csv_rows(path):
        if isinstance(each, CsvRow):
            yield from _items(reader.read(_without_index(each)), each, path, each.lines)
        else:
            yield Aside("comment") if isinstance(each, Comment) else each


def _without_index(row: CsvRow) -> Mapping[str, Any]:
    """A row without the numbers that pandas puts before rows, in a column without a name."""
    return {name: value for name, value in row.numbers().items() if name != UNNAMED}


def _read_summary(path: Path, field_map: Mapping[str, str]) -> Reading:
    found = document(path)
    values = found.value if not isinstance(found, Bad) and isinstance(found.value, dict) else {}
    plan = plan_of([values], field_map)
    reader = RowReader(plan._replace(keys=frozenset()), _run_id(path), field_map)
    if isinstance(found, Bad):
        items: list[Item] = [found]
    elif isinstance(found.value, dict):
        result = reader.read_summary(values)
        items = [found.bad(result)] if isinstance(result, Problem) else [_of_summary(result)]
    else:
        items = [found.bad(Problem("not_an_object", "an object", "something else"))]
    return Reading(iter(items), plan.axis, reader.sources, "record")


def _of_summary(result: Event | Aside) -> Item:
    return Aside("a summary without metrics") if isinstance(result, Aside) else Parsed(result)


def _read_export(path: Path, field_map: Mapping[str, str]) -> Reading:
    chart = chart_of(columns(read_head(path)))
    if chart is None:
        raise UnknownFormatError(path, "expected an export of a chart of W&B, found another file")
    return read_chart(path, chart, field_map)
