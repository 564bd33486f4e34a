"""Runs of TRL, and of transformers' Trainer: what it saves, what it prints, and what RLDK's callback recorded."""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from rldk.adapters.base import Certainty, Claim, FormatAdapter, Reading, no
from rldk.adapters.console import find_line, is_text, last_error
from rldk.adapters.foreign_json import decode, objects
from rldk.adapters.lines import read_head
from rldk.adapters.rldk_events import RLDKEventsAdapter, read_run
from rldk.adapters.trl_beside import RESULTS
from rldk.adapters.trl_console import MARK, has_broken_record, has_record, read_console
from rldk.adapters.trl_results import is_results, read_results
from rldk.adapters.trl_state import STATE, current_state, output_folder, read_state
from rldk.errors import UnknownFormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["TRLAdapter"]

_JSON: Final = re.compile(rb"\xef?\xbb?\xbf?\s*(?:\{\s*[\"}]|\[\s*[\[{\]])")
_HISTORY: Final = re.compile(rb'"log_history"\s*:')
_STATE: Final = re.compile(rb'"(?:global_step|is_world_process_zero|max_steps)"\s*:')
_ROWS: Final = (rb'"step"\s*:', rb'"epoch"\s*:', rb'"(?:loss|learning_rate|grad_norm|eval_loss|train_loss)"\s*:')
"""What the first row of a history has that was saved by itself."""


class _Found(NamedTuple):
    """What a file is, and what reads it."""

    claim: Claim
    read: Callable[[Path, Mapping[str, str]], Reading] | None = None


class TRLAdapter(FormatAdapter):
    """Reads what a Trainer of TRL or transformers leaves behind."""

    name: ClassVar[str] = "trl"
    reads: ClassVar[str] = (
        "runs of TRL and transformers: trainer_state.json, output folders with checkpoints, the console, "
        "all_results.json, and RLDK's own logs"
    )

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether the file is a state, results, or a console with a record; a console is searched beyond its head."""
        return _find(head, path).claim

    def read(self, path: Path) -> Reading:
        """The run of a state, an output folder or checkpoint, results, a console or an RLDK log."""
        claim, read = _find(read_head(path), path)
        if read is None:
            raise UnknownFormatError(path, f"expected what a Trainer saves or prints, found none of it: {claim.why}")
        return read(path, self.field_map)

    def unit(self, path: Path, root: Path) -> Path:
        """The output folder, when the file lies in it or in one of its checkpoints and it holds the run's history."""
        if path.name == STATE:
            folder = output_folder(path.parent)
            alone = current_state(folder) == path and folder == path.parent and not any(folder.glob(f"*/{STATE}"))
            return folder if folder.is_relative_to(root) and not alone else path
        if path.name in RESULTS and path.parent.is_relative_to(root):
            if current_state(path.parent):
                return path.parent
            return next(path.parent / name for name in RESULTS if (path.parent / name).is_file() or name == path.name)
        return RLDKEventsAdapter().unit(path, root)


def _find(head: bytes, path: Path) -> _Found:
    own = RLDKEventsAdapter().handles(head, path)
    if own:
        return _Found(Claim(Certainty.TYPICAL, f"{own.why}, which is read as such"), lambda path, _: read_run(path))
    if os.path.isdir(path):  # noqa: PTH112 - unlike Path.is_dir it never raises
        return _find_in(path)
    found = _find_document(head) if _JSON.match(head) else None
    if found and (found.claim or objects(head)):
        return found
    if not is_text(head):
        return _Found(no("it is no text"))
    record = find_line(head, path, MARK, has_record)
    if record.piece:
        why = f"line {record.number} holds a dict of metrics, as a Trainer prints it"
        return _Found(Claim(Certainty.TYPICAL, why), read_console)
    broken = find_line(head, path, MARK, has_broken_record)
    cut = f"; line {broken.number} begins like one, and is broken off" if broken.piece else ""
    error = last_error(head, path)
    end = f"; its last traceback, line {error.number}: {error.text}" if error else ""
    return found or _Found(no(f"no line with metrics among its {record.number} lines{cut}{end}"))


def _find_in(folder: Path) -> _Found:
    state = current_state(folder)
    if state:
        why = f"a folder with {state.relative_to(folder)}"
        return _Found(Claim(Certainty.SURE, why), lambda _, field_map: read_state(state, field_map))
    results = next((folder / name for name in RESULTS if (folder / name).is_file()), None)
    if results:
        why = f"a folder with {results.name}"
        return _Found(Claim(Certainty.TYPICAL, why), lambda _, field_map: read_results(results, field_map))
    return _Found(no(f"neither {STATE} nor checkpoints with one are in the folder"))


def _find_document(head: bytes) -> _Found:
    lines = objects(head)
    # ms-swift ends its JSON lines with a summary that holds the whole history once more; that is no state.
    if "log_history" in lines[0] if lines else _HISTORY.search(head):
        if _STATE.search(head):
            return _Found(Claim(Certainty.SURE, "the state of a Trainer, with global_step and log_history"), read_state)
        return _Found(Claim(Certainty.TYPICAL, "a log_history"), read_state)
    first = head.partition(b"}")[0]
    if first.lstrip()[:1] == b"[" and all(re.search(key, first) for key in _ROWS):
        return _Found(Claim(Certainty.TYPICAL, "a list of rows as in log_history, with step and epoch"), read_state)
    value = decode(head)
    if isinstance(value, dict) and is_results(value):
        certainty = Certainty.SURE if b"\n" in head.strip() else Certainty.TYPICAL
        return _Found(Claim(certainty, "results of transformers, with a runtime and its rate"), read_results)
    return _Found(no("JSON without log_history"))
