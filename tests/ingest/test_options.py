"""The arguments that everything has which ingests."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from rldk.ingest.options import OnError, Options, check_field_map


def test_an_option_is_one_of_its_choices() -> None:
    """The message shows them all, and what was given."""
    with pytest.raises(ValueError, match=r"^history: expected one of effective, all, found 'some'$"):
        Options(history="some")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^on_error: expected one of abort, collect, salvage, .*, found 'ignore'$"):
        Options(on_error="ignore")  # type: ignore[arg-type]


def test_each_way_is_a_mode_of_the_reader() -> None:
    """To collect all that is wrong, one reads on."""
    modes = {each: Options(on_error=each).mode for each in get_args(OnError)}

    assert modes == {
        "abort": "strict",
        "collect": "salvage",
        "salvage": "salvage",
        "tolerate_torn_tail": "tolerate_torn_tail",
        "stop_at_first_bad": "stop_at_first_bad",
    }


def test_the_key_is_all_that_makes_another_table() -> None:
    """Not the progress that is told meanwhile."""
    one = Options(field_map={"step": "i"}, progress=print)

    assert one.key == Options(field_map={"step": "i"}).key
    different = [
        Options(adapter_hint="trl"),
        Options(field_map={"step": "j"}),
        Options(on_error="salvage"),
        Options(history="all"),
    ]
    assert len({str(each.key) for each in [one, *different]}) == 5


@pytest.mark.parametrize(
    "field_map",
    [
        {},
        {"step": "trainer.iteration", "reward_mean": "reward", "mine": "yours"},
        {"step": "step", "loss": "lr", "reward_component/math": "loss", "policy_loss": "loss.policy"},
    ],
)
def test_a_field_map_names_a_field_for_each_name(field_map: dict[str, str]) -> None:
    """Any name may be given, and any field."""
    check_field_map(field_map)


@pytest.mark.parametrize(
    ("field_map", "message"),
    [
        (
            {"iteration": "step"},
            "field_map: expected RLDK's name first, step=iteration, found iteration=step, which seems to be mixed up",
        ),
        (
            {"step": "i", "train.reward": "reward_mean"},
            (
                "field_map: expected RLDK's name first, reward_mean=train.reward, found train.reward=reward_mean, "
                "which seems to be mixed up"
            ),
        ),
        (
            {"loss": "x", "policy_loss": "x"},
            "field_map: expected a field of its own for each name, found 'x' for loss and policy_loss",
        ),
        ({"step": 3}, "field_map: expected the name of a field for each name, found 'step': 3"),
        ({"step": ""}, "field_map: expected the name of a field for each name, found 'step': ''"),
        ({"": "i"}, "field_map: expected the name of a field for each name, found '': 'i'"),
    ],
)
def test_a_field_map_that_cannot_be_meant_is_refused(field_map: dict[str, Any], message: str) -> None:
    """Before anything is read, with what to write instead."""
    with pytest.raises(ValueError, match=r"^field_map") as caught:
        Options(field_map=field_map)

    assert str(caught.value) == message


@pytest.mark.parametrize("found", ["step=i", [("step", "i")]])
def test_what_is_no_mapping_is_shown(found: Any) -> None:
    """Beside what a field map looks like."""
    with pytest.raises(TypeError, match=r"^field_map: expected a mapping, as") as caught:
        Options(field_map=found)

    assert str(caught.value).endswith(f", found {found!r}")
