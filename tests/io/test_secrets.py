"""Which settings are secrets, by their names."""

import pytest

from rldk.io.secrets import names_secret
from tests.samples import HARMLESS_NAMES, SECRET_NAMES


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secret_is_told_by_the_end_of_its_name(name: str) -> None:
    """In capital and small letters, behind a dash, a dot, an underscore or nothing."""
    assert names_secret(name)


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_what_only_sounds_similar_is_no_secret(name: str) -> None:
    """Counts of tokens, parts of words, and no name at all."""
    assert not names_secret(name)
