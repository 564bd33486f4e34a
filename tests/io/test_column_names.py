"""What the column of a metric is called in a table."""

from __future__ import annotations

from rldk.io.column_names import apart


def test_no_two_metrics_have_one_column() -> None:
    """A name that is taken gets a prefix, and so does one that already looks like that; others stay as they are."""
    names = ["loss", "step", "metrics.step", "metrics.metrics.step", "metrics.loss", "steps", "Step"]

    assert [apart(name, {"step", "phase"}) for name in names] == [
        "loss",
        "metrics.step",
        "metrics.metrics.step",
        "metrics.metrics.metrics.step",
        "metrics.loss",
        "steps",
        "Step",
    ]
