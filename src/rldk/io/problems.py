"""What can be wrong with a log, and where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from rldk.errors import InvalidLineError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KINDS", "Kind", "Problem"]

Kind = Literal[
    "attempt_back",
    "bad_checksum",
    "bad_compression",
    "bad_json",
    "bad_record",
    "bad_row",
    "bad_value",
    "bare_nonfinite",
    "blank_line",
    "byte_order_mark",
    "duplicate_key",
    "empty_file",
    "invalid_utf8",
    "line_too_long",
    "lone_surrogate",
    "missing_field",
    "mixed_runs",
    "newer_schema",
    "non_primitive",
    "nonfinite_mismatch",
    "not_an_object",
    "number_out_of_range",
    "seq_gap",
    "seq_repeat",
    "step_back",
    "too_deep",
    "too_large",
    "torn_tail",
    "unknown_field",
    "wall_time_back",
    "wrong_type",
]

KINDS: Final[dict[Kind, str]] = {
    "attempt_back": "the attempt is lower than on an earlier line of this rank",
    "bad_checksum": "the bytes of a record are not those that its checksum was made of",
    "bad_compression": "the compressed file is damaged or cut short; what comes before can be read",
    "bad_json": "the line is not JSON",
    "bad_record": "a part of a file that is not made of lines cannot be read",
    "bad_row": "a row of a table is not made of the fields that its header names",
    "bad_value": "the type is right, the value is not one the field can have",
    "bare_nonfinite": "NaN or Infinity stands bare, which JSON does not allow",
    "blank_line": "the line is empty",
    "byte_order_mark": "the line begins with a UTF-8 byte order mark",
    "duplicate_key": "an object has the same key twice; readers disagree on which one counts",
    "empty_file": "the file holds no event",
    "invalid_utf8": "the bytes are not UTF-8",
    "line_too_long": "the line is longer than 16 MiB",
    "lone_surrogate": "a string holds half of a surrogate pair, which is no character",
    "missing_field": "a required field is absent",
    "mixed_runs": "the event belongs to another run than the first event of the file",
    "newer_schema": "the event was written by a later schema than this RLDK understands",
    "non_primitive": "an object or a list stands where a number, string, true, false or null belongs",
    "nonfinite_mismatch": "`nonfinite` and the nulls in `metrics` do not agree",
    "not_an_object": "the line is JSON, but no object",
    "number_out_of_range": "an integer beyond 64 bits, or a float beyond the largest double",
    "seq_gap": "`seq` skips numbers that no note explains: events are missing",
    "seq_repeat": "`seq` repeats or goes back",
    "step_back": "`step` goes back within one attempt, rank, phase and evaluation set",
    "too_deep": "objects or lists are nested deeper than 8 levels",
    "too_large": "the file is larger than one that has to be read as a whole may be",
    "torn_tail": "the last line has no newline: it was cut short while being written",
    "unknown_field": "the event has a field at the top that the schema does not know",
    "wall_time_back": "`wall_time` goes back within one attempt and rank",
    "wrong_type": "the value has another type than the field",
}
"""Each kind of damage in a sentence; the codes are stable and may be matched on."""


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with a log.

    `byte` counts from the start of the file, decompressed when it is compressed, and `line` from 1. A problem
    found in a single line on its own has both relative to that line until `at` moves it.
    """

    kind: Kind
    expected: str
    found: str
    field: str = ""
    byte: int = 0
    line: int = 1

    def at(self, line: int, byte: int) -> Problem:
        """This problem, moved to where its line stands in the file."""
        return msgspec.structs.replace(self, line=line, byte=byte + self.byte)

    def error(self, path: Path | None = None) -> InvalidLineError:
        """This problem as an exception."""
        return InvalidLineError(
            self.kind,
            self.expected,
            self.found,
            field=self.field,
            byte=self.byte,
            line=self.line,
            path=path,
        )
