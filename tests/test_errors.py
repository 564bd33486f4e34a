"""The errors say what was expected, what was found and where, and can be caught by their kind."""

from __future__ import annotations

import inspect
import pickle
import re
from pathlib import Path

import pytest

import rldk.errors
from rldk.errors import (
    IngestError,
    InvalidEventError,
    InvalidLineError,
    MissingExtraError,
    RLDKError,
    RunIdError,
    RunLockedError,
    RunNotFoundError,
    UnknownFormatError,
    WriteFailedError,
)
from rldk.ingest import IngestReport

LOG = Path("logs/r1_events.jsonl")
ERRORS = [
    (InvalidEventError("$.step", "an integer >= 0", "-1"), ValueError, "$.step: expected an integer >= 0, found -1"),
    (
        InvalidLineError("bad_value", "an integer >= 0", "-1", field="$.step", byte=70, line=2, path=LOG),
        ValueError,
        "logs/r1_events.jsonl:2:70: $.step: expected an integer >= 0, found -1 [bad_value]",
    ),
    (
        InvalidLineError("bad_json", "a value", "}"),
        ValueError,
        "<line>:1:0: expected a value, found } [bad_json]",
    ),
    (
        RunIdError("a b"),
        ValueError,
        (
            "run_id 'a b': expected 1 to 128 characters from A-Z a-z 0-9 . _ -, "
            "the first a letter or a digit, and no Windows device name such as con or nul"
        ),
    ),
    (
        RunNotFoundError(Path("logs"), []),
        FileNotFoundError,
        "logs: expected the log of a run (*_events.jsonl), found none",
    ),
    (
        RunNotFoundError(Path("logs"), ["a", "b"]),
        FileNotFoundError,
        "logs: expected one run, found 2: a, b; name one of their files",
    ),
    (
        RunLockedError(Path("logs/r1.lock"), "process 7 on host"),
        RLDKError,
        (
            "logs/r1.lock: the run is being written by process 7 on host; "
            "end that process, or choose another run_id or output_dir"
        ),
    ),
    (
        UnknownFormatError(LOG, "expected a log, found a picture"),
        ValueError,
        "logs/r1_events.jsonl: expected a log, found a picture",
    ),
    (
        UnknownFormatError(LOG, "expected a log, found none", [("trl", "no step"), ("verl", "no line")]),
        ValueError,
        "logs/r1_events.jsonl: expected a log, found none:\n  trl: no step\n  verl: no line",
    ),
    (IngestError(IngestReport(), ["a.jsonl:1:0: wrong"]), ValueError, "a.jsonl:1:0: wrong"),
    (
        IngestError(IngestReport(), ["a.jsonl:1:0: wrong", "a.jsonl:2:9: wrong"]),
        ValueError,
        "2 lines cannot be read:\n  a.jsonl:1:0: wrong\n  a.jsonl:2:9: wrong",
    ),
    (
        IngestError(IngestReport(), ["wrong"] * 1000, 234),
        ValueError,
        "1,234 lines cannot be read:" + "\n  wrong" * 20 + "\n  and 1,214 more",
    ),
    (
        WriteFailedError(LOG, "No space left on device"),
        OSError,
        "logs/r1_events.jsonl: the event was not written: No space left on device",
    ),
    (
        MissingExtraError("TRL", "trl"),
        ImportError,
        "TRL is not installed; install it with: pip install 'rldk[trl]'",
    ),
]


@pytest.mark.parametrize(("error", "base", "message"), ERRORS, ids=lambda value: type(value).__name__)
def test_an_error_says_what_and_where(error: RLDKError, base: type[Exception], message: str) -> None:
    """The message is made from the facts, and the error is also of the built-in kind one would catch."""
    assert str(error) == message
    assert isinstance(error, (RLDKError, base))
    assert isinstance(error, base)


@pytest.mark.parametrize(("error", "base", "message"), ERRORS, ids=lambda value: type(value).__name__)
def test_an_error_survives_the_way_between_processes(error: RLDKError, base: type[Exception], message: str) -> None:
    """Pickled and read again it has the same message and the same facts."""
    same = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert (type(same), str(same), isinstance(same, base)) == (type(error), message, True)
    assert vars(same) == vars(error)


def test_the_tree_is_the_one_that_is_drawn() -> None:
    """The docstring of the module shows every error; all derive from the root, and `__all__` names them."""
    classes = {
        name: each
        for name, each in vars(rldk.errors).items()
        if inspect.isclass(each) and each.__module__ == "rldk.errors"
    }
    drawn = re.findall(r"^(?:[├└]── )?(\w+Error)\b", rldk.errors.__doc__ or "", re.MULTILINE)

    assert sorted(drawn) == sorted(classes) == rldk.errors.__all__
    assert drawn[0] == "RLDKError"
    assert all(issubclass(each, RLDKError) for each in classes.values())
