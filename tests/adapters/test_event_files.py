"""Values that are records of their own become one event for a step, and a resume is not mixed with what it replaces."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from rldk.adapters.base import Aside, Bad, Parsed, Reading
from rldk.adapters.event_files import read_event_files
from rldk.errors import UnknownFormatError
from tests.adapters.event_file import event, event_file, header, record, scalar, scalars, tensor

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.io.event_schema import Event


def read(path: Path, *events: bytes) -> Reading:
    """The reading of a file with these events."""
    path.write_bytes(event_file(*events))
    return read_event_files(path, {})


def points(reading: Reading) -> list[tuple[str, int, dict[str, Any]]]:
    """Phase, step and metrics of each event."""
    return [
        (each.event.phase, each.event.step, dict(each.event.metrics))
        for each in reading.items
        if isinstance(each, Parsed)
    ]


def events(reading: Reading) -> list[Event]:
    """The events."""
    return [each.event for each in reading.items if isinstance(each, Parsed)]


def test_the_values_of_a_step_are_one_event(tmp_path: Path) -> None:
    """Each record is counted with the event that it became part of; those without numbers are set aside."""
    path = tmp_path / "run" / "events.out.tfevents.1.host"
    path.parent.mkdir()
    reading = read(path, *scalars((1, "a", 0.5), (1, "b", 1.5), (1, "eval/a", 2.5), (2, "a", 0.25)))
    header_of_it, *parsed = reading.items

    assert header_of_it == Aside("header, brain.Event:2")
    assert [(each.event.phase, each.event.step, each.event.metrics, each.lines) for each in parsed] == [
        ("train", 1, {"a": 0.5, "b": 1.5}, 2),
        ("eval", 1, {"a": 2.5}, 1),
        ("train", 2, {"a": 0.25}, 1),
    ]
    assert [each.event.wall_time for each in parsed] == [1.0, 1.0, 2.0]
    assert next(each.event.timestamp for each in parsed) == "2023-11-14T22:13:21.000000Z"
    assert {each.event.run_id for each in parsed} == {"run"}
    assert (reading.unit, reading.axis) == ("record", "step, as its writer counts it")


def test_a_record_may_hold_several_values(tmp_path: Path) -> None:
    """Such a record is counted once, whatever becomes of its parts."""
    text = tensor("note", b"\x08\x07", plugin="text")
    reading = read(tmp_path / "f", event(1, scalar("a", 0.5), scalar("eval/a", 2.5), text))
    items = list(reading.items)

    assert [type(each) for each in items] == [Aside, Aside, Parsed, Parsed]
    assert [each.lines for each in items] == [1, 0, 1, 0]


def test_numbers_by_another_axis_are_set_aside(tmp_path: Path) -> None:
    """NeMo-RL logs what its nodes do by seconds, which are no steps."""
    written = scalars((1, "timing/train/all", 1.0), (600, "ray/node.0.util", 9.0), (2, "timing/train/all", 2.0))
    items = list(read(tmp_path / "f", *written).items)

    assert items[1] == Aside("number by seconds since the run began, 'ray/node.0.util'")
    assert [each.event.step for each in items if isinstance(each, Parsed)] == [1, 2]


def test_a_tag_that_comes_again_is_another_event(tmp_path: Path) -> None:
    """A value logged twice for a step is not overwritten: who reads the events decides."""
    assert points(read(tmp_path / "f", *scalars((1, "a", 0.5), (1, "b", 1.0), (1, "a", 0.75)))) == [
        ("train", 1, {"a": 0.5, "b": 1.0}),
        ("train", 1, {"a": 0.75}),
    ]


def test_tags_written_one_after_the_other_find_their_steps(tmp_path: Path) -> None:
    """A tool that writes all steps of one tag before the next gives the same events, in the order of steps."""
    written = scalars((1, "a", 1.0), (2, "a", 2.0), (4, "a", 4.0), (1, "b", 1.5), (2, "b", 2.5), (3, "b", 3.5))

    assert points(read(tmp_path / "f", *written)) == [
        ("train", 1, {"a": 1.0, "b": 1.5}),
        ("train", 2, {"a": 2.0, "b": 2.5}),
        ("train", 3, {"b": 3.5}),
        ("train", 4, {"a": 4.0}),
    ]


def test_a_late_evaluation_stays_where_it_was_logged(tmp_path: Path) -> None:
    """An evaluation that ends after later steps of training keeps its step, and its place."""
    written = scalars((1, "a", 1.0), (2, "a", 2.0), (3, "a", 3.0), (2, "eval/a", 9.0), (4, "a", 4.0))

    assert [point[:2] for point in points(read(tmp_path / "f", *written))] == [
        ("train", 1),
        ("train", 2),
        ("train", 3),
        ("eval", 2),
        ("train", 4),
    ]


def test_a_tag_that_goes_back_is_a_resume(tmp_path: Path) -> None:
    """What was logged before is not mixed with what follows, and both are there."""
    written = scalars((1, "a", 1.0), (2, "a", 2.0), (2, "b", 2.0), (3, "a", 3.0), (2, "a", 2.25), (3, "a", 3.25))

    assert points(read(tmp_path / "f", *written)) == [
        ("train", 1, {"a": 1.0}),
        ("train", 2, {"a": 2.0, "b": 2.0}),
        ("train", 3, {"a": 3.0}),
        ("train", 2, {"a": 2.25}),
        ("train", 3, {"a": 3.25}),
    ]


def test_the_files_of_a_folder_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    """Whatever they are called, they are one run, and its time goes on from the first record of the first."""
    (tmp_path / "b.tfevents").write_bytes(event_file(event(1, scalar("a", 1.0))))
    later = b"".join(map(record, (header(50.0), event(1, scalar("a", 1.25), after=60.0))))
    (tmp_path / "a.tfevents").write_bytes(later)
    (tmp_path / "notes.txt").write_bytes(b"no event file")
    found = events(read_event_files(tmp_path, {}))

    assert [(each.step, each.metrics, each.wall_time) for each in found] == [
        (1, {"a": 1.0}, 1.0),
        (1, {"a": 1.25}, 60.0),
    ]


def test_damage_in_one_file_leaves_the_others(tmp_path: Path) -> None:
    """A torn tail of a restart is told, with its file, and the next restart is read."""
    (tmp_path / "1.tfevents").write_bytes(event_file(*scalars((1, "a", 1.0), (2, "a", 2.0)))[:-1])
    later = b"".join(map(record, (header(50.0), event(2, scalar("a", 2.25), after=60.0))))
    (tmp_path / "2.tfevents").write_bytes(later)
    items = list(read_event_files(tmp_path, {}).items)
    (bad,) = [each for each in items if isinstance(each, Bad)]

    assert (bad.path.name, bad.problem.kind, bad.problem.line) == ("1.tfevents", "torn_tail", 3)
    assert [each.event.metrics for each in items if isinstance(each, Parsed)] == [{"a": 1.0}, {"a": 2.25}]


def test_damage_does_not_take_a_step_apart(tmp_path: Path) -> None:
    """What was logged before it comes before it, and the values of its step behind it still find the others."""
    content = bytearray(event_file(*scalars((1, "a", 1.0), (2, "a", 2.0), (2, "b", 2.0), (2, "c", 2.0), (3, "a", 3.0))))
    content[content.index(b"\x0a\x01b")] ^= 1
    (tmp_path / "f").write_bytes(content)
    items = list(read_event_files(tmp_path / "f", {}).items)

    assert [
        each.problem.kind if isinstance(each, Bad) else each.event.metrics
        for each in items[1:]
        if not isinstance(each, Aside)
    ] == [
        {"a": 1.0},
        {"a": 2.0, "c": 2.0},
        "bad_checksum",
        {"a": 3.0},
    ]


def test_many_values_do_not_all_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When more values wait than may, the oldest are given first; the events are the same."""
    monkeypatch.setattr("rldk.adapters.event_files._WAITING", 10)
    written = scalars(*((step, tag, step / 2) for step in range(40) for tag in "abc"))

    assert points(read(tmp_path / "f", *written)) == [
        ("train", step, dict.fromkeys("abc", step / 2)) for step in range(40)
    ]


def test_a_step_that_is_none_is_said_with_its_record(tmp_path: Path) -> None:
    """A negative step cannot be an event's."""
    (bad,) = [each for each in read(tmp_path / "f", event(-1, scalar("a", 1.0))).items if isinstance(each, Bad)]

    assert str(bad.problem.error(bad.path)) == (
        f"{tmp_path}/f:2:52: $.step: expected a step from 0 to {2**63 - 1}, found -1 [bad_value]"
    )


def test_a_damaged_value_is_said_with_its_byte(tmp_path: Path) -> None:
    """Inside a whole record the byte is that of the value."""
    items = list(read(tmp_path / "f", event(1, b"\x0a\x01a\x15")).items)

    assert [str(each.problem.error()) for each in items if isinstance(each, Bad)] == [
        "<line>:2:71: expected 4 bytes in field 2, found 0 until the message ends [bad_record]"
    ]


def test_times_before_the_header_are_those_of_the_values(tmp_path: Path) -> None:
    """A tool that writes an old run anew gives its values their own times."""
    content = record(header(1e6)) + record(event(1, scalar("a", 1.0))) + record(event(2, scalar("a", 2.0)))
    (tmp_path / "f").write_bytes(content)

    assert [each.wall_time for each in events(read_event_files(tmp_path / "f", {}))] == [0.0, 1.0]


def test_a_damaged_header_does_not_hide_the_rest(tmp_path: Path) -> None:
    """A file whose first record was changed is known by the others, and the first is said to be bad."""
    content = bytearray(event_file(*scalars((1, "a", 1.0))))
    content[12] ^= 1
    (tmp_path / "f").write_bytes(content)
    bad, parsed = read_event_files(tmp_path / "f", {}).items

    assert isinstance(bad, Bad)
    assert bad.problem.kind == "bad_checksum"
    assert isinstance(parsed, Parsed)


def test_what_is_no_event_file_is_refused(tmp_path: Path) -> None:
    """A folder without one, and another file, say so."""
    with pytest.raises(UnknownFormatError, match="found none; folders inside it are runs of their own"):
        read_event_files(tmp_path, {})
    (tmp_path / "f").write_bytes(b"{}")
    with pytest.raises(UnknownFormatError, match=r"event files \(\*tfevents\*\), found something else"):
        read_event_files(tmp_path / "f", {})


@pytest.mark.parametrize("seed", range(4))
def test_mutations_are_read_or_refused(tmp_path: Path, seed: int) -> None:
    """Whatever is changed, in a record or around it, what comes is events and things that are bad."""
    chance = random.Random(seed)  # noqa: S311 - changes, no secrets
    path = tmp_path / "f"
    half = tensor("t", b"\x08\x13", b"\x68\x05")
    for _ in range(150):
        written = [header(), *scalars((1, "a", 0.5), (1, "eval/a", 1.5), (2, "a", 0.25)), event(3, half)]
        for _ in range(chance.randrange(1, 4)):
            which, content = chance.randrange(len(written)), bytearray(chance.choice(written))
            content[chance.randrange(len(content))] = chance.randrange(256)
            written[which] = bytes(content[: chance.randrange(1, len(content) + 1)])
        path.write_bytes(b"".join(map(record, written)))
        try:
            items = list(read_event_files(path, {}).items)
        except UnknownFormatError:
            continue
        assert sum(each.lines for each in items) == len(written)
