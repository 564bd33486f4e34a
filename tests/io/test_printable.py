"""Texts of a log that a terminal shows, and does not obey."""

from __future__ import annotations

import pytest

from rldk.io.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe 奖励　x 👩‍🔬", "größe 奖励　x 👩‍🔬"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("two\nlines\r\t\x00", "two\\x0alines\\x0d\\x09\\x00"),
        ("\x7f \x9b", "\\x7f \\x9b"),
        ("a\u2028b \u202ec", "a\\u2028b \\u202ec"),
    ],
)
def test_what_a_terminal_obeys_is_shown_as_code(text: str, shown: str) -> None:
    """Letters of all scripts stay as they are; control characters, line ends and turns of direction do not."""
    assert printable(text) == shown
