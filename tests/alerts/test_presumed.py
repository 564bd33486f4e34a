"""What keys without a fixed meaning are taken for."""

from __future__ import annotations

import pytest

from rldk.alerts.presumed import PRESUMED, presumed
from rldk.metrics import METRICS


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("reward", "reward_mean"),
        ("train/reward", "reward_mean"),
        ("completions/mean_length", "response_len_mean"),
        ("completions/clipped_ratio", "truncation_rate"),
        ("rewards/format/mean", "reward_component/format"),
        ("rewards/format/std", None),
        ("score", None),
        ("entropy_loss", None),
        ("objective/kl", None),
    ],
)
def test_what_a_key_is_taken_for(key: str, name: str | None) -> None:
    """A plain name is taken for what it says, one with several meanings for nothing."""
    assert presumed(key) == name


def test_every_name_is_canonical() -> None:
    """Nothing is taken for a metric that there is not, and no canonical name for another."""
    assert {*PRESUMED.values()} <= {*METRICS}
    assert not {*PRESUMED} & {*METRICS}
