"""Positions and the cursors made of them."""

from __future__ import annotations

import pytest

from rldk.io.position import START, Position, cursor_of, positions_of


def test_cursors_are_opaque_and_checked() -> None:
    """A cursor comes back as what it was made from; what is none is refused with what was found."""
    places = {0: Position(3, 70_000, 81, 2**32 - 1), 2: START}

    assert positions_of(cursor_of(places)) == places
    assert positions_of("0") == {}
    for text in ("", "1", "!!", "kA=x", cursor_of(places)[:-4]):
        with pytest.raises(ValueError, match=r"cursor: expected one that came with an event, or 0, found"):
            positions_of(text)
