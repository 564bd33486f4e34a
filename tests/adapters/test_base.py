"""What an adapter is, and what each mode makes of the items that it gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from rldk.adapters.base import (
    Adapter,
    Aside,
    Bad,
    Certainty,
    Claim,
    FormatAdapter,
    Parsed,
    Reading,
    forgiven,
    no,
    permitted,
)
from rldk.errors import InvalidLineError
from rldk.io.problems import Problem
from tests.samples import an_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rldk.adapters.base import Item, Mode

LOG = Path("logs/mine.txt")
BAD = Bad(Problem("bad_json", "a value", "oops", byte=70, line=2), LOG)
TORN = Bad(Problem("torn_tail", "a newline", "nothing", byte=90, line=3), LOG)
ITEMS: list[Item] = [Aside("header"), Parsed(an_event(1)), BAD, Parsed(an_event(2)), TORN]


class Fixed(FormatAdapter):
    """Gives the items above, whatever it reads."""

    name: ClassVar[str] = "fixed"
    reads: ClassVar[str] = "nothing"

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether it is the one file."""
        return Claim(Certainty.SURE, "its name") if path == LOG else no("another name")

    def read(self, path: Path) -> Reading:
        """The items above."""
        return Reading(iter(ITEMS), "step", {})


def _given(events: Iterator[Any]) -> tuple[list[int], str]:
    """The steps that are given before the end, and what is said there."""
    steps = []
    try:
        for event in events:
            steps.append(event.step)  # noqa: PERF401 - what came before the exception is kept
    except InvalidLineError as error:
        return steps, str(error)
    return steps, ""


@pytest.mark.parametrize(
    ("mode", "steps", "message"),
    [
        ("strict", [1], "logs/mine.txt:2:70: expected a value, found oops [bad_json]"),
        ("tolerate_torn_tail", [1], "logs/mine.txt:2:70: expected a value, found oops [bad_json]"),
        ("stop_at_first_bad", [1], ""),
        ("salvage", [1, 2], ""),
    ],
)
def test_a_mode_decides_what_becomes_of_damage(mode: Mode, steps: list[int], message: str) -> None:
    """The first damage that a mode does not allow is raised, with file, line and byte."""
    assert _given(Fixed().events(LOG, mode)) == (steps, message)


@pytest.mark.parametrize(("mode", "goes_on"), [("strict", False), ("tolerate_torn_tail", True), ("salvage", True)])
def test_a_torn_tail_is_forgiven_by_all_modes_but_one(mode: Mode, goes_on: bool) -> None:  # noqa: FBT001 - a parameter
    """Only `strict` takes an unfinished end for damage."""
    message = "" if goes_on else "logs/mine.txt:3:90: expected a newline, found nothing [torn_tail]"

    assert forgiven(TORN, mode) is goes_on
    assert _given(permitted(iter([ITEMS[1], TORN]), mode)) == ([1], message)


def test_an_unknown_mode_is_refused() -> None:
    """The message shows the modes there are, and the one that was asked for."""
    with pytest.raises(ValueError, match=r"^mode: expected one of strict, .*, salvage, found 'lenient'$"):
        next(permitted(iter(ITEMS), "lenient"))  # type: ignore[arg-type]


def test_a_claim_is_true_when_the_file_would_be_read() -> None:
    """Whatever the certainty; what is said is the end of a sentence in both cases."""
    claims = [Claim(certainty, "why") for certainty in Certainty]

    assert [bool(claim) for claim in claims] == [False, True, True, True]
    assert no("why") == claims[0]


def test_a_format_is_an_adapter_and_an_adapter_need_not_be_one() -> None:
    """Whoever has a name, `handles` and `events` can be registered."""

    class Foreign:
        """Offers no more than the protocol asks for."""

        name = "foreign"

        def handles(self, head: bytes, path: Path) -> Claim:
            return no("never")

        def events(self, path: Path, mode: Mode = "strict") -> Iterator[Any]:
            return iter(())

    assert isinstance(Fixed(), Adapter)
    assert isinstance(Foreign(), Adapter)
    assert not isinstance(object(), Adapter)


def test_a_file_is_a_whole_run_unless_the_format_says_otherwise() -> None:
    """The unit of a file is the file itself, and the field map is a copy of the one that was given."""
    field_map = {"step": "iteration"}
    adapter = Fixed(field_map)
    field_map["step"] = "changed"

    assert adapter.unit(LOG, Path()) == LOG
    assert adapter.field_map == {"step": "iteration"}
    assert Fixed().field_map == {}
