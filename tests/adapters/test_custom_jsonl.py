"""Any JSON lines: records of a step, and streams with one metric on each line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rldk.adapters.base import Certainty, Claim, no
from rldk.adapters.custom_jsonl import COUNTS, STEP_NAMES, CustomJSONLAdapter
from tests.adapters.items import asides, bads, events, lines, survives

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.adapters.base import Item


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a log may be written."""
    return tmp_path / "mine.jsonl"


def _read(log: Path, records: list[Any], field_map: dict[str, str] | None = None) -> list[Item]:
    """What becomes of records that are written one on each line; bytes are written as they are."""
    log.write_bytes(
        b"".join(each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n" for each in records)
    )
    items = list(CustomJSONLAdapter(field_map).read(log).items)
    assert lines(items) == len(log.read_bytes().splitlines())
    return items


def _metrics(items: list[Item]) -> list[tuple[int, dict[str, Any]]]:
    return [(event.step, dict(event.metrics)) for event in events(items)]


@pytest.mark.parametrize(
    ("head", "field_map", "claim"),
    [
        (b'{"step": 1}\n', {}, Claim(Certainty.GENERIC, "JSON lines with a step, 'step'")),
        (b'{"lr": 1}\n{"iteration": 1}\n', {}, Claim(Certainty.GENERIC, "JSON lines with a step, 'iteration'")),
        (
            b'{"trainer": {"i": 1}}\n',
            {"step": "trainer.i"},
            Claim(Certainty.GENERIC, "JSON lines with a step, 'trainer.i'"),
        ),
        (
            b'{"trainer.i": 1}\n',
            {"step": "trainer.i"},
            Claim(Certainty.GENERIC, "JSON lines with a step, 'trainer.i'"),
        ),
        (
            b'{"a": 1, "b": 2}\n{"a": 1, "c": 3}\n',
            {},
            no(
                "JSON lines without a step: expected step or global_step or _step or train_step or training_step or "
                "iteration or update, found a, b, c; say which with step=FIELD"
            ),
        ),
        (b'{"a": 1}', {"step": "i"}, no("JSON lines without a step: expected i, found a; say which with step=FIELD")),
        (b'{"epoch": 0, "loss": 1}\n', {}, Claim(Certainty.GENERIC, "JSON lines with a step, 'epoch'")),
        (b"[1]\n", {}, no("the first line is no JSON object")),
        (
            b'{"step": 1},\n{"step": 2},\n',
            {},
            no("the first line is no JSON object: expected the end of the line, found ,"),
        ),
        (b"", {}, no("the first line is no JSON object")),
    ],
)
def test_json_lines_with_a_step_are_recognised(head: bytes, field_map: dict[str, str], claim: Claim, log: Path) -> None:
    """By any of its names, or the one that the field map gives; otherwise the names that are there are shown."""
    assert CustomJSONLAdapter(field_map).handles(head, log) == claim


def test_what_wandb_says_of_itself_is_no_run(tmp_path: Path) -> None:
    """Even where it names a step; another log with the same fields is one."""
    line = b'{"time": "2026-01-31T23:59:59Z", "level": "WARN", "msg": "ignored", "step": 3, "current": 50}\n'

    claim = CustomJSONLAdapter().handles(line, tmp_path / "debug-internal.log")
    assert claim == no("a log of W&B about itself, without metrics")
    assert CustomJSONLAdapter().handles(line, tmp_path / "trainer.log")


def test_the_step_of_a_checkpoint_is_no_run(tmp_path: Path) -> None:
    """What stands alone in a JSON file; with a metric beside it, or a second record, it is a log."""
    claim = CustomJSONLAdapter().handles(b'{"step": 1000}', tmp_path / "training_step.json")

    assert claim == no("one JSON object with nothing but 'step', as beside a checkpoint")
    for content in (b'{"step": 1, "loss": 2}', b'{"step": 1}\n{"step": 2}\n'):
        assert CustomJSONLAdapter().handles(content, tmp_path / "training_step.json")


@pytest.mark.parametrize(("name", "axis"), COUNTS.items())
def test_where_nothing_is_a_step_another_count_is(name: str, axis: str, log: Path) -> None:
    """What it counts is said."""
    items = _read(log, [{"run": "a"}, {name: 3, "loss": 0.5}, {name: 4.0, "loss": 0.25}, {"best": 0.25}])

    assert CustomJSONLAdapter().read(log).axis == axis
    assert _metrics(items) == [(3, {"loss": 0.5}), (4, {"loss": 0.25})]
    assert asides(items) == [("header with run", 1)]
    assert [each.partition(": ")[2] for each in bads(items)] == [
        f"$.{name}: expected a step, found nothing [missing_field]"
    ]


@pytest.mark.parametrize(
    "records",
    [
        [{"epoch": 0.5, "loss": 0.5}],
        [{"episode": 1, "text": "hello"}],
        [{"epoch": True, "loss": 0.5}],
        [{"epoch": 1, "loss": 0.5}, {"step": 2, "loss": 0.5}],
    ],
)
def test_another_count_is_a_whole_number_beside_numbers(records: list[dict[str, Any]], log: Path) -> None:
    """And none of the first records has a step."""
    head = "".join(json.dumps(each) + "\n" for each in records).encode()
    claim = CustomJSONLAdapter().handles(head, log)

    assert (claim.why.endswith("'step'")) if len(records) > 1 else not claim


def test_records_may_stand_in_a_list(tmp_path: Path) -> None:
    """A JSON file of them is read as lines are, headers and streams of metrics among them."""
    path = tmp_path / "history.json"
    records = [{"run": "a"}, {"step": 1, "loss": 0.5}, {"loss": 1.0}, *(_pair(2, name) for name in ("a", "b"))]
    path.write_text(json.dumps(records, indent=2))

    reading = CustomJSONLAdapter().read(path)
    items = list(reading.items)
    claim = CustomJSONLAdapter().handles(path.read_bytes(), path)
    assert claim == Claim(Certainty.GENERIC, "a JSON list with a step, 'step'")
    assert _metrics(items) == [(1, {"loss": 0.5}), (2, {"a": 0.5, "b": 0.5})]
    assert asides(items) == [("header with run", 1)]
    assert [each.partition(": ")[2] for each in bads(items)] == [
        "$.step: expected a step, found nothing [missing_field]"
    ]
    assert (reading.unit, lines(items)) == ("record", 5)


def _pair(step: int, name: str) -> dict[str, Any]:
    return {"step": step, "name": name, "value": 0.5}


@pytest.mark.parametrize("name", STEP_NAMES)
def test_a_step_has_many_names(log: Path, name: str) -> None:
    """The first that the first record has is the step of all."""
    assert _metrics(_read(log, [{name: 1, "loss": 0.5}, {name: 2, "loss": 0.25}])) == [
        (1, {"loss": 0.5}),
        (2, {"loss": 0.25}),
    ]


def test_a_second_name_of_a_step_is_a_metric(log: Path) -> None:
    """Only one of them can be the step, the others keep their names."""
    assert _metrics(_read(log, [{"global_step": 10, "step": 1}])) == [(1, {"global_step": 10})]


def test_headers_and_texts_are_set_aside_by_name(log: Path) -> None:
    """What stands before the first step, and what has no number in it; a record of metrics without a step is bad."""
    items = _read(
        log,
        [
            {"config": {"lr": 0.1}, "seed": 1},
            {},
            {"step": 1, "loss": 0.5},
            {"message": "saved", "path": "x"},
            {"loss": 0.25},
            b"\n",
            {"step": 2, "loss": 0.125},
        ],
    )

    assert _metrics(items) == [(1, {"loss": 0.5}), (2, {"loss": 0.125})]
    assert asides(items) == [
        ("header with config, seed", 1),
        ("header with nothing", 1),
        ("no metrics, only message, path", 1),
        ("blank line", 1),
    ]
    assert bads(items) == ["<line>:5:97: $.step: expected a step, found nothing [missing_field]"]


def test_a_long_header_is_named_in_short(log: Path) -> None:
    """After six names, dots."""
    assert asides(_read(log, [dict.fromkeys("abcdefgh", 0), {"step": 1}])) == [("header with a, b, c, d, e, f, ...", 1)]


def test_without_any_step_all_is_refused(log: Path) -> None:
    """With what is missing, and how to say where it is."""
    items = _read(log, [{"a": 1}, {"a": 2}])

    assert bads(items) == [
        (
            "<line>:1:0: $: expected a step in one of the lines, as step or global_step or _step or train_step or "
            "training_step or iteration or update, found none; say which field holds it: step=FIELD [missing_field]"
        )
    ]
    assert asides(items) == [("header with a", 1), ("header with a", 1)]


def test_a_field_map_leads_into_objects(log: Path) -> None:
    """Step and metrics are named by the way to them."""
    items = _read(log, [{"trainer": {"i": 1, "loss": 0.5}}], {"step": "trainer.i", "policy_loss": "trainer.loss"})

    assert _metrics(items) == [(1, {"policy_loss": 0.5})]


def test_fields_that_are_called_as_in_rldk_are_taken_for_it(log: Path) -> None:
    """When they hold what RLDK means by them; otherwise they stay what they are."""
    own, other, mapped = _read(
        log,
        [
            {"step": 1, "phase": "eval", "eval_set": "math", "wall_time": 1.5, "timestamp": 1769903999, "loss": 1},
            {"step": 2, "phase": "validation", "eval_set": 3, "wall_time": 1.7e9, "timestamp": "noon", "loss": 2},
            {"step": 3, "time": "2026-01-31T23:59:59Z", "loss": 3},
        ],
    )
    first, second, third = events([own, other, mapped])

    assert (first.phase, first.eval_set, first.wall_time) == ("eval", "math", 1.5)
    assert (first.timestamp, first.metrics) == ("2026-01-31T23:59:59.000000Z", {"loss": 1})
    assert (second.phase, second.eval_set, second.wall_time, second.timestamp) == ("train", None, None, None)
    assert second.metrics == {"eval_set": 3, "wall_time": 1.7e9, "loss": 2}
    assert second.data_slice == {"phase": "validation", "timestamp": "noon"}
    assert (third.timestamp, third.metrics) == ("2026-01-31T23:59:59.000000Z", {"loss": 3})


@pytest.mark.parametrize(
    ("name", "value"), [("name", "value"), ("metric", "value"), ("key", "value"), ("tag", "value")]
)
def test_a_stream_of_single_metrics_is_put_together(log: Path, name: str, value: str) -> None:
    """Successive lines of one step are one event, times apart; a metric that comes again begins another."""
    items = _read(
        log,
        [
            {"step": 1, name: "loss", value: 0.5, "time": 1769903999.0},
            {"step": 1, name: "lr", value: 0.1, "time": 1769903999.5},
            {"step": 2, name: "loss", value: 0.25},
            {"step": 2, name: "loss", value: 0.125},
            {"step": 2, name: "lr", value: None, "phase": "eval"},
        ],
    )

    assert _metrics(items) == [
        (1, {"loss": 0.5, "lr": 0.1}),
        (2, {"loss": 0.25}),
        (2, {"loss": 0.125}),
        (2, {"lr": None}),
    ]
    assert [item.lines for item in items] == [2, 1, 1, 1]
    assert [event.phase for event in events(items)] == ["train", "train", "train", "eval"]


def test_damage_in_a_stream_is_said_once_for_all_lines_of_a_step(log: Path) -> None:
    """The lines that made up the record are counted, and the first is named."""
    items = _read(log, [{"step": 1.5, "name": "a", "value": 1}, {"step": 1.5, "name": "b", "value": 2}])

    assert bads(items) == ["<line>:1:0: $.step: expected a whole number, found 1.5 [wrong_type]"]
    assert items[0].lines == 2


def test_each_damaged_line_is_named(log: Path) -> None:
    """No JSON, no object, a torn end: and what lies between is read."""
    items = _read(log, [{"step": 1, "loss": 1}, b"oops\n", [1], {"step": 2, "loss": 2}, b'{"step": 3'])

    assert _metrics(items) == [(1, {"loss": 1}), (2, {"loss": 2})]
    assert [text.rpartition("[")[2] for text in bads(items)] == ["bad_json]", "not_an_object]", "torn_tail]"]


def test_nothing_but_an_error_of_ours_comes_of_any_bytes(log: Path) -> None:
    """Whatever happened to the file."""
    records = [{"step": 1, "loss": 0.5, "deep": {"er": [1, None]}}, {"step": 2, "name": "x", "value": 1}, {"step": "3"}]

    survives(
        CustomJSONLAdapter({"seed": "deep.er"}), log, b"".join(json.dumps(each).encode() + b"\n" for each in records)
    )
