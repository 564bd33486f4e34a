"""What a Trainer prints: a dict for each log, between progress bars and whatever else the terminal was sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from rldk.adapters.base import Aside, Bad, Parsed, Reading
from rldk.adapters.console import strip_prefixes
from rldk.adapters.lines import numbered, shown
from rldk.adapters.python_dict import DictError, read_dict
from rldk.adapters.records import EventBuilder, number, run_name, whole_step
from rldk.adapters.trl_algorithm import trained_by_files, trained_by_keys
from rldk.adapters.trl_logs import LogReader, read_entry
from rldk.adapters.trl_state import rounded
from rldk.io.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rldk.adapters.base import Item
    from rldk.adapters.lines import Line
    from rldk.adapters.trl_algorithm import Trained

__all__ = ["MARK", "has_broken_record", "has_record", "read_console"]

MARK: Final = b"{'"
"""What every line with a record contains."""

_BAR: Final = re.compile(r"[0-9]{1,3}%\|[^|]{0,400}\| *[0-9]+/[0-9]+ \[")
"""A bar of tqdm: ` 6%|6   | 10/160 [04:10<1:02:00, 25.0s/it]`."""

_UNNAMED: Final = re.compile(r" *[0-9]{1,3}%\|[^|]{0,400}\| *([0-9]{1,15})/([0-9]{1,15}) \[")
"""A bar without a name before it, as those of training and evaluation are, and how far it is."""

_BLANKS: Final = re.compile(r"\s*")

_STEP_KEYS: Final = ("step", "global_step", "global_step/max_steps")
"""Where a record itself may say its step, the last being what ms-swift adds: `12/438`."""

_LIKELY: Final = re.compile(r"\{'(?:loss|grad_norm|learning_rate|epoch|reward|eps|(?:eval|train)_\w+)':")
"""How a record begins that is worth a complaint when it cannot be read."""

_REPEATED: Final = re.compile(r"callbacks(?:\.py)?:\d+(?:\] | >> )|callbacks - ")
"""What LLaMA-Factory prints before the record it repeats, rounded, when the Trainer has printed it."""


_COUNTED: Final = "step_counted: the console does not tell the steps of the training, this counts its records"


class _Record(NamedTuple):
    """A dict of metrics in a line."""

    members: dict[str, Any]
    at: int
    """The byte of its line at which the part that holds it begins."""
    repeats: bool = False
    """Whether another tool repeats what the trainer printed."""


class _Broken(NamedTuple):
    """What begins like a dict of metrics, and cannot be read."""

    problem: Problem


def has_record(text: str) -> bool:
    """Whether a part of a line holds a record, for `console.find_line`."""
    return any(isinstance(each, _Record) for each in _records(text, 0))


def has_broken_record(text: str) -> bool:
    """Whether a part of a line begins like a record and cannot be read, for `console.find_line`."""
    return any(isinstance(each, _Broken) for each in _records(text, 0))


def _records(text: str, at: int) -> Iterator[_Record | _Broken]:
    """The records in a part of a line: at its beginning, or after a bar whose carriage return was lost."""
    start = text.find("{'")
    if start < 0:
        return
    before = text[:start]
    plain = strip_prefixes(before).strip()
    if plain and not _BAR.search(plain):
        return
    while text.startswith("{'", start):
        try:
            members, end = read_dict(text, start)
        except DictError as error:
            if _LIKELY.match(text, start):
                found = text[error.at : error.at + 20]
                byte = at + len(text[: error.at].encode())
                yield _Broken(Problem("bad_json", error.expected, repr(found) if found else "the end", byte=byte))
            return
        if _is_record(members):
            yield _Record(_numbers(members), at, bool(_REPEATED.search(before)))
        blanks = _BLANKS.match(text, end)
        start = blanks.end() if blanks else end


def _numbers(members: Mapping[str, Any]) -> dict[str, Any]:
    """The members with numbers for the texts that spell one: transformers prints them in quotes since 5.0."""
    return {key: number(value) if isinstance(value, str) else value for key, value in members.items()}


def _is_record(members: Mapping[str, Any]) -> bool:
    """Whether a Trainer printed it: with an epoch among other things, or with a runtime and its rate."""
    if "epoch" in members or {"loss", "learning_rate"} <= members.keys():
        return len(members) > 1
    return any(
        key.endswith("_runtime") and f"{key.removesuffix('_runtime')}_samples_per_second" in members for key in members
    )


class _Part(NamedTuple):
    """What stood on the terminal at one time."""

    blank: bool
    """Whether it is nothing but blanks, as tqdm writes over a bar to clear it."""
    begins: bool
    """Whether a line begins with it, so that no carriage return stood before it."""
    text: str
    records: list[_Record | _Broken]


def _parts(line: Line) -> Iterator[_Part]:
    """What a line showed, one after the other."""
    at = 0
    for part in line.text.split(b"\r"):
        text = shown(part)
        records = list(_records(text.strip(), at)) if MARK in part else []
        yield _Part(part != b"" and not part.strip(b" "), at == 0, text, records)
        at += len(part) + 1


class _Bar(NamedTuple):
    done: int
    total: int


class _Redrawn:
    """What was drawn after each time the bars were cleared."""

    def __init__(self) -> None:
        self.bars: list[list[_Bar]] = []
        """The first two: one may be that of an evaluation."""
        self._cleared = False

    def clear(self) -> None:
        """The bars are gone."""
        self._cleared = True

    def draw(self, bar: _Bar) -> None:
        """A bar is drawn."""
        if self._cleared:
            self.bars.append([])
            self._cleared = False
        if self.bars and len(self.bars[-1]) < 2:  # noqa: PLR2004 - of training and of evaluation
            self.bars[-1].append(bar)


class _Survey:
    """What must be known of a whole console before its first record can be made an event."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.own_steps = True
        """Whether each record says its step."""
        self.rounded = True
        """Whether no loss has more than four decimals."""
        self._redrawn = _Redrawn()
        self._redrawn_below = _Redrawn()
        """The same where something made newlines of carriage returns, as viewers of logs do: a blank line below a bar
        has cleared it."""
        self._drawn = False
        """Whether the last line was a bar."""
        self._points: list[tuple[str, Any]] = []
        """Phase and epoch of each record that the trainer printed itself."""

    @property
    def printed(self) -> bool:
        """Whether the trainer printed records itself, so that others only repeat them."""
        return bool(self._points)

    def take(self, line: Line) -> None:
        """Note what a line shows."""
        drawn, self._drawn = self._drawn, False
        blank = drawn and not line.text.strip(b" ")
        if not blank and MARK not in line.text and b"%|" not in line.text and b"\r" not in line.text:
            return
        for part in _parts(line):
            if part.blank and (drawn or not part.begins):
                self._redrawn_below.clear()
            if part.blank and not part.begins:
                self._redrawn.clear()
            if match := _UNNAMED.match(part.text):
                self._drawn = True
                bar = _Bar(int(match[1]), int(match[2]))
                self._redrawn.draw(bar)
                self._redrawn_below.draw(bar)
            for record in part.records:
                if isinstance(record, _Record):
                    self._note_record(record)

    def _note_record(self, record: _Record) -> None:
        phase, _, metrics = read_entry(record.members)
        self.keys |= metrics.keys()
        self.rounded = self.rounded and rounded([metrics[key] for key in ("loss",) if key in metrics])
        if not record.repeats:
            self.own_steps = self.own_steps and _own_step(record.members) is not None
            self._points.append((phase, metrics.get("epoch")))

    def steps(self) -> list[int] | None:
        """The step of each record, when the bars surely tell it.

        Before anything is written through tqdm it clears its bars, and it draws them anew right after, even when what
        was written reaches the file much later. So the bar of the training is redrawn once for each record, with the
        step it belongs to. This is trusted when there are as many redrawings as records, no step goes back, and the
        epochs agree.
        """
        return self._told(self._redrawn.bars) or self._told(self._redrawn_below.bars)

    def _told(self, redrawn: list[list[_Bar]]) -> list[int] | None:
        if not redrawn or len(redrawn) != len(self._points):
            return None
        totals = set.intersection(*({bar.total for bar in bars} for bars in redrawn))
        if len(totals) != 1:
            return None
        drawn = [[bar.done for bar in bars if bar.total in totals] for bars in redrawn]
        # The bar of an evaluation is full when it is logged, so the lower one is that of the training.
        phases = [phase for phase, _ in self._points]
        steps = [min(done) if phase == "eval" else done[0] for done, phase in zip(drawn, phases, strict=True)]
        return steps if _agree(steps, self._points) else None


def _agree(steps: list[int], points: list[tuple[str, Any]]) -> bool:
    """Whether no step goes back, each log of training has its own, and epochs grow with the steps."""
    trained = [step for step, (phase, _) in zip(steps, points, strict=True) if phase == "train"]
    if steps != sorted(steps) or len(trained) != len(set(trained)):
        return False
    known = [(step, epoch) for step, (_, epoch) in zip(steps, points, strict=True) if type(epoch) in {int, float}]
    if not known:
        return True
    last, reached = known[-1]
    # An epoch is printed with two decimals or four digits, and its last step may be of fewer batches.
    allowed = reached + (0.01 + 0.001 * reached) * last
    return all(abs(epoch * last - reached * step) <= allowed for step, epoch in known)


def _own_step(members: Mapping[str, Any]) -> int | None:
    for key in _STEP_KEYS:
        value = members.get(key)
        step = whole_step(value.partition("/")[0] if isinstance(value, str) else value)
        if not isinstance(step, Problem):
            return step
    return None


def read_console(path: Path, field_map: Mapping[str, str]) -> Reading:
    """The run that printed a console. It is read twice: what tells a step stands behind what it belongs to."""
    survey = _Survey()
    for line in numbered(path):
        if not isinstance(line, Bad):
            survey.take(line)
    own = survey.printed and survey.own_steps
    steps = None if own else survey.steps()
    trained = trained_by_files(path.parent) or trained_by_keys(survey.keys)
    made = EventBuilder(run_name(path), trained.framework, trained.algorithm, field_map=field_map)
    facts = trained.facts()
    if own or steps is not None:
        facts["steps_told_by"] = "the records" if own else "the progress bar"
    axis = "optimizer update" if "steps_told_by" in facts else "step" if "step" in field_map else "log record"
    items = _Console(path, survey, trained, made, steps).items()
    return Reading(items, axis, made.sources, facts=facts)


class _Console:
    """Makes events of the records of a console."""

    def __init__(
        self,
        path: Path,
        survey: _Survey,
        trained: Trained,
        made: EventBuilder,
        steps: list[int] | None,
    ) -> None:
        self._path = path
        self._printed = survey.printed
        self._made = made
        self._steps = steps
        self._own = survey.printed and survey.own_steps
        self._counted = 0
        self._logs = LogReader(zero_is_healthy=trained.zero_is_healthy or survey.rounded)

    def items(self) -> Iterator[Item]:
        """What becomes of each line; of several records in a line the first counts it."""
        for line in numbered(self._path):
            if isinstance(line, Bad):
                yield line
                continue
            records = [record for part in _parts(line) for record in part.records] if MARK in line.text else []
            own = [record for record in records if isinstance(record, _Broken) or not self._repeated(record)]
            if not own:
                yield Aside("the record before, printed again by another tool" if records else "no metrics")
            for index, record in enumerate(own):
                yield self._item(line, record)._replace(lines=0 if index else 1)

    def _repeated(self, record: _Record) -> bool:
        return record.repeats and self._printed

    def _item(self, line: Line, record: _Record | _Broken) -> Parsed | Bad:
        if isinstance(record, _Broken):
            return line.bad(self._path, record.problem) if line.whole else line.torn(self._path)
        self._counted += 1
        step = self._step(record.members)
        phase, metrics, data_slice, notes = self._logs.read(step, record.members)
        eval_set = data_slice.pop("eval_set", None)
        if not self._own and self._steps is None:
            data_slice.clear()
            notes = [note for note in notes if not note.startswith("final_")]
            notes += [_COUNTED] * (self._counted == 1 and "step" not in self._made.field_map)
        event = self._made.event(
            {key: value for key, value in metrics.items() if key not in {"step", "global_step"}},
            step=step,
            phase=phase,
            eval_set=None if eval_set is None else str(eval_set),
            data_slice=data_slice,
            notes=notes,
        )
        if isinstance(event, Problem):
            return line.bad(self._path, msgspec.structs.replace(event, byte=record.at))
        return Parsed(event)

    def _step(self, members: Mapping[str, Any]) -> int:
        """The step of a record: what it says itself, what the bar says, or how many there were."""
        if self._steps is not None:
            return self._steps[self._counted - 1]
        own = _own_step(members) if self._own else None
        return self._counted if own is None else own
