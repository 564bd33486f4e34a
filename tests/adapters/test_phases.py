"""Records that hold training and evaluation beside each other."""

from __future__ import annotations

from rldk.adapters.phases import Part, parts


def test_training_comes_before_evaluation() -> None:
    """Prefixes of an evaluation are taken away, but for those that are part of a name."""
    record = {"val/a": 1, "b": 2, "core/a": 3}

    assert parts(record, ("val/",), ("core/",)) == [Part("train", {"b": 2}), Part("eval", {"a": 1, "core/a": 3})]


def test_a_part_that_holds_nothing_is_none() -> None:
    """There is no event without a metric."""
    assert parts({"val/a": 1}, ("val/",)) == [Part("eval", {"a": 1})]
    assert parts({}, ("val/",)) == []


def test_no_two_keys_become_one() -> None:
    """The later keeps its prefix; the same name in training is another metric, and a bare prefix is a name."""
    record = {"a": 0, "val/a": 1, "test/a": 2, "val/": 3}

    assert parts(record, ("val/", "test/")) == [
        Part("train", {"a": 0, "val/": 3}),
        Part("eval", {"a": 1, "test/a": 2}),
    ]
