"""OpenRLHF: RLDK's own logs of it, its TensorBoard folders, and the lines `Global step N: {...}` of its console."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from rldk.adapters.base import Aside, Bad, Certainty, Claim, FormatAdapter, Parsed, Reading, no
from rldk.adapters.console import find_line, is_text, spoken
from rldk.adapters.event_files import event_unit, first_tags, folder_tags, read_event_files
from rldk.adapters.launches import no_steps
from rldk.adapters.lines import numbered, read_head
from rldk.adapters.openrlhf_logs import ROLLOUTS, read_eval, read_train, trainer_of
from rldk.adapters.python_dict import DictError, read_dict
from rldk.adapters.records import EventBuilder, run_name
from rldk.adapters.rldk_events import is_events, read_run
from rldk.adapters.tag_conventions import OpenRLHF, convention_of
from rldk.errors import UnknownFormatError
from rldk.io.problems import Problem
from rldk.io.segments import find_logs, is_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rldk.adapters.base import Item
    from rldk.adapters.lines import Line, Piece
    from rldk.adapters.openrlhf_logs import Entry

__all__ = ["OpenRLHFAdapter"]

_SHAPE: Final = "Global step N: {...}"
_MARK: Final = b"step"
_STEP: Final = re.compile(r"Global step (\d{1,20}): (?=\{)")
_EVAL: Final = re.compile(
    r"(?:Eval at step|Evaluation completed in [^{}]{1,80}, global_step) (\d{1,20})(?:, eval_metrics)?: (?=\{)"
)
_OTHER: Final = Aside("console output")
_SHOWN: Final = 60


class OpenRLHFAdapter(FormatAdapter):
    """Reads what OpenRLHF leaves behind.

    Its logger, and so its TensorBoard folder, has only every `logging_steps`-th step, in single precision; its
    console has all steps in full. Steps are those of OpenRLHF. The evaluation of an asynchronous run may come after
    later steps of training.
    """

    name: ClassVar[str] = "openrlhf"
    reads: ClassVar[str] = f"OpenRLHF: RLDK's logs, TensorBoard folders, a console with lines {_SHAPE}"

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether it has the tags, or the lines, that OpenRLHF writes."""
        if path.is_dir():
            return _folder_claim(path)
        if is_events(head):
            return Claim(Certainty.GENERIC, "the first line is an RLDK event")
        if (tags := first_tags(head)) is not None:
            return _tags_claim(tags)
        return _console_claim(head, path) if is_text(head) else no("neither text nor an event file")

    def read(self, path: Path) -> Reading:
        """The run that the file or the folder is of."""
        if find_logs(path) if path.is_dir() else is_log(path):
            return read_run(path)
        head = read_head(path)
        if path.is_dir() or first_tags(head) is not None:
            return read_event_files(path, self.field_map, OpenRLHF)
        if is_events(head):
            return read_run(path)
        first = find_line(head, path, _MARK, _logged).piece
        if first is None:
            found = no_steps(head, path, "OpenRLHF", _SHAPE)
            raise UnknownFormatError(path, f"expected a log of OpenRLHF, found {found}")
        algorithm = trainer_of(_keys(first)).algorithm
        builder = EventBuilder(run_name(path), "openrlhf", algorithm, field_map=self.field_map)
        facts = {"framework": "openrlhf", "algorithm": algorithm}
        return Reading(_items(path, builder), ROLLOUTS, builder.sources, facts=facts)

    def unit(self, path: Path, root: Path) -> Path:
        """The folder of an event file; another file as it is."""
        return event_unit(path, root)


def _folder_claim(path: Path) -> Claim:
    if find_logs(path):
        return Claim(Certainty.GENERIC, "a folder with RLDK logs")
    tags = folder_tags(path)
    return no("no event file and no RLDK log is in it") if tags is None else _tags_claim(tags)


def _tags_claim(tags: frozenset[str]) -> Claim:
    convention = convention_of(tags)
    if isinstance(convention, OpenRLHF):
        return Claim(Certainty.SURE, f"TensorBoard events with the tags of OpenRLHF: {convention.why}")
    return no("the tags of its TensorBoard events are not those of OpenRLHF")


def _console_claim(head: bytes, path: Path) -> Claim:
    piece = find_line(head, path, b"Global step ", _STEP.search).piece
    if piece:
        certainty = Certainty.SURE if trainer_of(_keys(piece)).keys else Certainty.TYPICAL
        return Claim(certainty, f"a line {_SHAPE}, {piece.text[:_SHOWN]!r}")
    if b"openrlhf" in head.lower():
        return no(no_steps(head, path, "OpenRLHF", _SHAPE))
    return no(f"no line `{_SHAPE}`")


def _keys(piece: Piece) -> list[str]:
    """The keys of the step that a line prints, none when it prints none that is whole."""
    match = _STEP.search(piece.text)
    try:
        return [*read_dict(piece.text, match.end()).members] if match else []
    except DictError:
        return []


def _logged(text: str) -> re.Match[str] | None:
    return _STEP.search(text) or _EVAL.search(text)


class _Printed(NamedTuple):
    """What a line prints: the step, and what was logged for it."""

    step: str
    entries: list[Entry]


def _printed(text: str) -> _Printed | None:
    """What a text prints of a step or an evaluation, None when it is something else.

    Raises:
        DictError: it begins like one.
    """
    if match := _STEP.search(text):
        return _Printed(match[1], [read_train(read_dict(text, match.end()).members)])
    if match := _EVAL.search(text):
        return _Printed(match[1], read_eval(read_dict(text, match.end()).members))
    return None


def _items(path: Path, builder: EventBuilder) -> Iterator[Item]:
    for line in numbered(path):
        if isinstance(line, Bad):
            yield line
        elif _MARK in line.text:
            yield from _line_items(line, path, builder)
        else:
            yield _OTHER


def _line_items(line: Line, path: Path, builder: EventBuilder) -> Iterator[Item]:
    """The items of a line; the first stands for the line, and the others are made from none."""
    first = 1
    for piece in spoken(line):
        for item in _piece_items(line, piece, path, builder):
            yield item._replace(lines=first)
            first = 0
    if first:
        yield _OTHER


def _piece_items(line: Line, piece: Piece, path: Path, builder: EventBuilder) -> Iterator[Item]:
    try:
        printed = _printed(piece.text)
    except DictError as error:
        rest = piece.text[error.at :].strip()[:_SHOWN]
        expected = f"{error.expected} in what Python prints of a dict"
        problem = Problem("bad_value", expected, repr(rest) if rest else "the end", byte=piece.byte)
        yield line.bad(path, problem) if line.whole else line.torn(path)
        return
    if printed is None:
        return
    for entry in printed.entries:
        event = builder.event(entry.metrics, step=printed.step, phase=entry.phase, eval_set=entry.eval_set)
        yield line.bad(path, event) if isinstance(event, Problem) else Parsed(event)
