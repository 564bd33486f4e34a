"""Reading dicts as Python prints them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rldk.adapters.python_dict import Dict, DictError, read_dict

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), _VALUES))
def test_what_python_prints_is_read_back(value: dict[str, Any]) -> None:
    """Every dict of what JSON knows too, as `repr` writes it, is read back with equal values of equal types."""
    text = repr(value)

    assert repr(read_dict(text)) == repr(Dict(value, len(text)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("nan", math.nan),
        ("-inf", -math.inf),
        ("np.float64(0.5)", 0.5),
        ("np.float32(nan)", math.nan),
        ("float32(3)", 3),
        ("tensor(0.25, device='cuda:0', grad_fn=<NllLossBackward0>)", 0.25),
        ("tensor([1, 2])", [1, 2]),
        ("array(1.5, dtype=float32)", 1.5),
        ("(1, 'a')", [1, "a"]),
        ("1e-06", 1e-06),
        ("'1e-06'", "1e-06"),
        (r"'it\'s \u00e9'", "it's é"),
        (r"'a\qb'", r"a\qb"),
        ("9" * 30, 1e30),
    ],
)
def test_values(text: str, value: Any) -> None:
    """What stands for numbers in the prints of numpy and torch is taken as numbers, and NaN is data."""
    assert repr(read_dict(f"{{'a': {text}}} and more").members) == repr({"a": value})


@pytest.mark.parametrize(
    ("text", "expected", "at"),
    [
        ("{'a': 0.5, 'b", "a key in quotes", 11),
        ("{'a': 0.5", ", or }", 9),
        ("{'a': }", "a value", 6),
        ("{'a': foo}", "a number, a string, None, True or False", 6),
        ("{'a': foo(1)}", "a number, a string, None, True or False", 6),
        ("{'a': 1, 'a': 2}", "each key once", 9),
        ("{1: 2}", "a key in quotes", 1),
        ("{'a' 1}", ":", 5),
        ("{'a': tensor(1, 2)}", "an argument with its name", 16),
        (r"{'a': '\ud800'}", "a character of Unicode", 6),
        ("{'a':" * 20, "at most 8 levels", 40),
        ("[1]", "{", 0),
    ],
)
def test_what_is_none(text: str, expected: str, at: int) -> None:
    """What is no dict, or calls something, is refused, and it is said where."""
    with pytest.raises(DictError) as caught:
        read_dict(text)

    assert (caught.value.expected, caught.value.at) == (expected, at)
